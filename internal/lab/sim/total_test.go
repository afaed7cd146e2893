package sim

import (
	"testing"
	"time"
)

// TestTotalsAreBounded fills the memory of totals, and expects it to be emptied.
func TestTotalsAreBounded(t *testing.T) {
	t.Parallel()
	o := Defaults()
	o.Begin = time.Unix(maxHours*hourSeconds, 0)
	o.End = o.Begin.Add(2 * time.Hour)
	h := newHistory(&o)
	for hour := range int64(maxHours) {
		h.hour(stream{}, hour)
	}
	if got := len(h.hours.known); got != maxHours {
		t.Fatalf("%d hours are remembered, want %d", got, maxHours)
	}
	for range 2 {
		if got := h.hour(stream{}, maxHours); got < 3500 || got > 3700 || len(h.hours.known) != 1 {
			t.Errorf("an hour of %d rows, %d hours remembered; want about 3600 rows, 1 hour", got, len(h.hours.known))
		}
	}
}

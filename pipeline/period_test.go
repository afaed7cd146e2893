package pipeline_test

import (
	"slices"
	"testing"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

func TestPeriods(t *testing.T) {
	zone := time.FixedZone("", 5*3600+1800)
	at := time.Date(2026, 12, 31, 23, 45, 1, 2, zone)
	for unit, want := range map[pipeline.Unit][]string{
		pipeline.Hour: {"2026-12-31 23", "2027-01-01 00", "2026-12-31 22"}, pipeline.Day: {"2026-12-31", "2027-01-01", "2026-12-30"}, pipeline.Month: {"2026-12", "2027-01", "2026-11"},
	} {
		p := pipeline.PeriodOf(unit, at)
		if got := []string{p.String(), p.Add(1).String(), p.Add(-1).String()}; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", unit, got, want)
		}
		if !p.End().Equal(p.Add(1).Begin) || at.Before(p.Begin) || !at.Before(p.End()) {
			t.Errorf("%s: from %s to %s", unit, p.Begin, p.End())
		}
		again, err := pipeline.ParsePeriod(unit, p.String(), zone)
		if err != nil || !again.Begin.Equal(p.Begin) {
			t.Errorf("%s: read %s, %v", p, again, err)
		}
		if _, err := pipeline.ParsePeriod(unit, "x", zone); err == nil {
			t.Errorf("x is no %s", unit)
		}
	}
	if units, err := pipeline.ParseUnits(" day,hour"); err != nil || !slices.Equal(units, []pipeline.Unit{pipeline.Day, pipeline.Hour}) {
		t.Errorf("%v, %v", units, err)
	}
	for _, wrong := range []string{"", "day,", "week", "day,day", "DAY"} {
		if units, err := pipeline.ParseUnits(wrong); err == nil {
			t.Errorf("%q was read as %v", wrong, units)
		}
	}
}

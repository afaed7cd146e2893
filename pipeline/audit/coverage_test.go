package audit_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

// readDays is the coverage of some days, and counts how often it was asked.
type readDays struct {
	days  map[time.Time]*pipeline.Coverage
	asked int
}

func (r *readDays) Coverage(_ context.Context, s pipeline.Stream, day time.Time) (*pipeline.Coverage, error) {
	r.asked++
	if s.Kind != pipeline.StreamMessages {
		return nil, errors.New("not asked for")
	}
	return r.days[day], nil
}

// TestSumsThatAreComplete marks hours and days of any zone, where all of them was read to its end.
func TestSumsThatAreComplete(t *testing.T) {
	first := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	second := first.Add(24 * time.Hour)
	coverage := func(day time.Time, from, to time.Duration) *pipeline.Coverage {
		return &pipeline.Coverage{Day: day, Read: []pipeline.Window{{Begin: day.Add(from), End: day.Add(to)}}}
	}
	days := map[time.Time]*pipeline.Coverage{
		first: coverage(first, 15*time.Hour, 24*time.Hour), second: coverage(second, 0, 20*time.Hour+30*time.Minute),
	}
	messages := pipeline.Stream{Kind: pipeline.StreamMessages}
	for name, tc := range map[string]struct {
		zone  *time.Location
		every time.Duration
		asked int
		want  []time.Time
	}{
		"hours in UTC":              {time.UTC, time.Hour, 3, hoursFrom(first.Add(15*time.Hour), 29)},
		"hours of a half-hour zone": {time.FixedZone("IST", 19800), time.Hour, 4, hoursFrom(first.Add(15*time.Hour+30*time.Minute), 29)},
		"days in UTC":               {time.UTC, 24 * time.Hour, 3, nil},
		"days in China":             {time.FixedZone("CST", 28800), 24 * time.Hour, 3, []time.Time{first.Add(16 * time.Hour)}},
	} {
		sums := audit.NewSums(tc.every, tc.zone)
		for at := first; at.Before(second.Add(36 * time.Hour)); at = at.Add(10 * time.Minute) {
			sums.Add(&pipeline.Ledger{Stream: messages, Window: pipeline.Window{Begin: at, End: at.Add(10 * time.Minute)}, Rows: 1})
		}
		sums.Add(&pipeline.Ledger{
			Stream: pipeline.Stream{Kind: pipeline.StreamStatistics, Name: "users"}, Window: pipeline.Window{Begin: second, End: second.Add(time.Minute)},
		})
		reader := &readDays{days: days}
		if err := sums.Complete(t.Context(), reader); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got []time.Time
		for _, sum := range sums.All() {
			if sum.Complete {
				got = append(got, sum.Begin)
			}
		}
		if len(got) != len(tc.want) || reader.asked > tc.asked {
			t.Errorf("%s: complete are %v, want %v; the coverage was asked for %d times", name, got, tc.want, reader.asked)
			continue
		}
		for i := range got {
			if !got[i].Equal(tc.want[i]) {
				t.Errorf("%s: %v is complete, want %v", name, got[i], tc.want[i])
			}
		}
	}
}

func hoursFrom(begin time.Time, n int) []time.Time {
	var all []time.Time
	for i := range n {
		all = append(all, begin.Add(time.Duration(i)*time.Hour))
	}
	return all
}

package operate

import (
	"slices"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/web"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

// TestNewestWindowsAreBounded: of however many ledger records, in whatever order of partitions, the newest are kept, page by page each once, and
// never more ranges of offsets than there may be.
func TestNewestWindowsAreBounded(t *testing.T) {
	const records, limit = 1000, 7
	begin := time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)
	for _, ranges := range []int{1, maxOffsets / 3} {
		var seen []int64
		for cursor := ""; ; {
			n, err := newNewest(cursor, limit)
			if err != nil {
				t.Fatal(err)
			}
			offsets := make([]pipeline.OffsetRange, ranges)
			for partition := range 3 { // One partition is read after the other, so newer ones come before older ones.
				for i := partition; i < records; i += 3 {
					l := &pipeline.Ledger{Sequence: int64(i), Committed: begin.Add(time.Duration(i/2) * time.Millisecond), Offsets: offsets}
					n.add(l, audit.Place{Partition: int32(partition), Offset: int64(i)})
					if n.offsets > max(maxOffsets, ranges) || len(n.kept) > limit {
						t.Fatalf("%d records with %d ranges are held", len(n.kept), n.offsets)
					}
				}
			}
			page := n.answer()
			for _, w := range page.Windows {
				seen = append(seen, w.Sequence)
			}
			if cursor = page.Next; cursor == "" || ranges > 1 && len(seen) > 20 {
				break
			}
		}
		if ranges == 1 && len(seen) != records {
			t.Errorf("%d records on all pages", len(seen))
		}
		sorted := slices.Clone(seen)
		slices.Sort(sorted)
		if len(slices.Compact(sorted)) != len(seen) {
			t.Errorf("some came twice: %v", seen)
		}
		for i := 1; i < len(seen); i++ {
			if seen[i]/2 > seen[i-1]/2 {
				t.Fatalf("%d comes behind %d", seen[i], seen[i-1])
			}
		}
	}
	for _, cursor := range []string{"x", "1-2", "1-2-3-4", "01-2-3", "1-2-3 "} {
		if _, err := newNewest(cursor, 1); err == nil {
			t.Errorf("the cursor %q is taken", cursor)
		}
	}
}

// TestStateOfAnHour goes by what was read of it, what is behind the position, and what was lost.
func TestStateOfAnHour(t *testing.T) {
	day := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	at := func(hour float64) time.Time { return day.Add(time.Duration(hour * float64(time.Hour))) }
	covered := &pipeline.Coverage{Day: day, Read: []pipeline.Window{{Begin: at(2), End: at(6)}, {Begin: at(8), End: at(10.5)}}}
	position := &pipeline.Checkpoint{End: at(10.5), Backlog: []pipeline.Backlog{{End: at(6), Until: at(7.5)}}}
	for hour, want := range map[int]web.HourState{
		1: web.HourUnread, 2: web.HourRead, 3: web.HourEmpty, 4: web.HourGap, 6: web.HourBacklog, 7: web.HourBacklog, 8: web.HourEmpty,
		10: web.HourReading, 11: web.HourReading,
	} {
		h := &web.HourCoverage{Hour: at(float64(hour))}
		switch hour {
		case 2:
			h.Rows = 1
		case 4:
			h.Rows, h.GapSeconds = 5, 7
		default:
		}
		if got := hourState(h, covered, position); got != want {
			t.Errorf("hour %d is %s, want %s", hour, got, want)
		}
	}
	if got := hourState(&web.HourCoverage{Hour: at(12)}, &pipeline.Coverage{Day: day}, nil); got != web.HourUnread {
		t.Errorf("without a position it is %s", got)
	}
}

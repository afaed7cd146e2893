package pipeline

import (
	"slices"
	"testing"
	"time"

	"github.com/jmpub/jmpub/pipeline/event"
)

// TestLateRowsAreKnownToWhoCanBringThem publishes late rows of a window for a position with two ranges of the backlog: each knows from then on
// the rows that what it reads next can bring again, and no others.
func TestLateRowsAreKnownToWhoCanBringThem(t *testing.T) {
	day := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	at := func(minute int) time.Time { return day.Add(time.Duration(minute) * time.Minute) }
	for _, tc := range []struct {
		what       string
		begin, end int
		// rows are the minutes of rows; their ids are those, from 1 on.
		rows []int
		// live, first and second are the ids that the position and its ranges know afterwards.
		live, first, second []int64
		unclear             bool
	}{
		{what: "far before all", begin: 0, end: 10, rows: []int{5}},
		{what: "before the first range", begin: 0, end: 20, rows: []int{5, 18, 19}, first: []int64{18, 19}},
		{what: "in the first range", begin: 20, end: 30, rows: []int{25}, first: []int64{25}},
		{what: "at its end", begin: 30, end: 50, rows: []int{30, 49}, first: []int64{30, 49}},
		{what: "between the ranges", begin: 32, end: 57, rows: []int{40, 57}},
		{what: "before the second one", begin: 32, end: 60, rows: []int{40, 59}, second: []int64{59}},
		{what: "near the position", begin: 90, end: 100, rows: []int{91, 99}, live: []int64{99}},
		{what: "without a clock", begin: 90, end: 100, rows: []int{91, 99}, live: []int64{91, 99}, unclear: true},
	} {
		cp := &Checkpoint{
			End: at(100), OverlapFrom: at(98), OverlapIDs: []int64{7}, OverlapHashes: []int64{7},
			Backlog: []Backlog{{End: at(20), Until: at(30), OverlapFrom: at(18)}, {End: at(60), Until: at(70), OverlapFrom: at(58)}},
		}
		b := &Batch{}
		for _, minute := range tc.rows {
			e := event.Event{MsgID: int64(minute), ServerTime: at(minute).UnixMilli(), ClientTime: at(minute).UnixMilli(), Value: []byte{byte(minute)}}
			if tc.unclear {
				e.ClientTime = 0
			}
			b.Events = append(b.Events, e)
		}
		next := cp.know(Window{at(tc.begin), at(tc.end)}, b)
		for name, got := range map[string]struct {
			ids, hashes int
			is, want    []int64
		}{
			"position": {len(next.OverlapIDs), len(next.OverlapHashes), next.OverlapIDs, append([]int64{7}, tc.live...)},
			"first":    {len(next.Backlog[0].LiveIDs), len(next.Backlog[0].LiveHashes), next.Backlog[0].LiveIDs, tc.first},
			"second":   {len(next.Backlog[1].LiveIDs), len(next.Backlog[1].LiveHashes), next.Backlog[1].LiveIDs, tc.second},
		} {
			if !slices.Equal(got.is, got.want) || got.ids != got.hashes {
				t.Errorf("%s: the %s knows %v, want %v; %d hashes", tc.what, name, got.is, got.want, got.hashes)
			}
		}
		if len(cp.OverlapIDs) != 1 || cp.Backlog[0].LiveIDs != nil {
			t.Errorf("%s: the position before has changed", tc.what)
		}
	}
	rejected := &Batch{Rejected: []event.Rejection{{Row: []byte("broken")}}}
	cp := &Checkpoint{End: at(100), OverlapFrom: at(98)}
	if next := cp.know(Window{at(90), at(100)}, rejected); len(next.OverlapHashes) != 1 || len(next.OverlapIDs) != 0 {
		t.Errorf("of a rejected row %v and %v are known", next.OverlapIDs, next.OverlapHashes)
	}
	if next := (&Checkpoint{End: at(100)}).know(Window{at(0), at(10)}, rejected); len(next.OverlapHashes) != 1 {
		t.Error("a position that does not say from when on it knows what was published does not know a late row")
	}
}

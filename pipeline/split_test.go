package pipeline

import (
	"testing"
	"time"
)

// TestSplitKeepsRangesApart starts live-first reading at a position that was set back into its backlog: the ranges must not touch,
// because no checkpoint with such ranges can be read back.
func TestSplitKeepsRangesApart(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	cp := Checkpoint{End: now.Add(-time.Minute), Backlog: []Backlog{{End: now.Add(-3 * time.Hour), Until: now.Add(-time.Hour)}}}
	to := now.Add(-2 * time.Hour)
	reset := cp.ResetTo(to, RowSet{}, time.Second)
	reset.split(now)
	if len(reset.Backlog) != 1 || !reset.Backlog[0].Until.Equal(to) || !reset.End.Equal(to) {
		t.Errorf("after a reset into the backlog: %+v", reset)
	}
	behind := cp
	behind.End = now.Add(-30 * time.Minute)
	behind.split(now)
	if len(behind.Backlog) != 2 || !behind.Backlog[0].Until.Before(behind.Backlog[1].End) {
		t.Errorf("with time between the backlog and the position: %+v", behind)
	}
}

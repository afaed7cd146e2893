package pipeline

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Ledger is the record of one committed window: what was asked, what came, what was published, and where it stands.
type Ledger struct {
	AppKey string `json:"app_key"`
	Stream Stream `json:"stream"`
	Window
	// Sequence is one more than that of the stream's record before this one; the first has 1. It is 0 in a replay, and of late rows that are
	// published while the stream has no position.
	Sequence int64 `json:"sequence,omitempty"`
	// MovedFrom and MovedTo are the interval by which the window moved a position of the stream: MovedFrom is where the
	// position stood, MovedTo where it stands now. Both are zero where no position moved (late rows, early ones, statistics, replays).
	MovedFrom time.Time `json:"moved_from,omitzero"`
	MovedTo   time.Time `json:"moved_to,omitzero"`
	// Total is what the API said the window holds; Rows is what it sent, repeated ones too.
	Total int64 `json:"total"`
	Rows  int64 `json:"rows"`
	// Repeated rows came more than once within the window; Skipped ones had been published by an earlier window.
	Repeated int64 `json:"repeated"`
	Skipped  int64 `json:"skipped"`
	// EarlyRows had been published before the window had settled; see Early.
	EarlyRows int64 `json:"early_rows,omitempty"`
	// Published and Rejected sum up to Rows - Repeated - Skipped - EarlyRows.
	Published int64 `json:"published"`
	Rejected  int64 `json:"rejected"`
	Pages     int   `json:"pages"`
	Requests  int   `json:"requests"`
	Restarts  int   `json:"restarts"`
	// Mismatch tells that Total was not met after every attempt, and the window was closed nevertheless.
	Mismatch bool `json:"mismatch,omitempty"`
	// Replay is the id of the replay that read the window; empty where a position of the stream moved over it.
	Replay string `json:"replay,omitempty"`
	// Late tells that the window had been read before: only rows that were missing then are counted as published.
	Late bool `json:"late,omitempty"`
	// Early tells that the window had not settled: it moves no position, rows may be missing, and the windows that are read of its time later
	// count what it published among their EarlyRows.
	Early bool `json:"early,omitempty"`
	// Backlog tells that the window is history behind the live position.
	Backlog  bool          `json:"backlog,omitempty"`
	Started  time.Time     `json:"started_at"`
	Duration time.Duration `json:"-"`
	// Committed is when the record was written, by the clock of the topic it was read back from; zero until then.
	Committed time.Time     `json:"-"`
	Offsets   []OffsetRange `json:"offsets"`
}

// OffsetRange is the closed range of offsets [First, Last] that a window occupies in one partition.
type OffsetRange struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	First     int64  `json:"first"`
	Last      int64  `json:"last"`
}

// mergeRanges sorts ranges and joins those that touch. Between two parts of a window another writer may have come to a
// partition; then they do not touch and stay two.
func mergeRanges(ranges []OffsetRange) []OffsetRange {
	slices.SortFunc(ranges, func(a, b OffsetRange) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.First, b.First))
	})
	merged := ranges[:0]
	for _, r := range ranges {
		if n := len(merged); n > 0 && merged[n-1].Topic == r.Topic && merged[n-1].Partition == r.Partition &&
			merged[n-1].Last+1 == r.First {
			merged[n-1].Last = r.Last
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

package pipeline

import "time"

// Checkpoint is the committed position of one stream.
type Checkpoint struct {
	AppKey string
	Stream Stream
	// End is the end_time up to which every row is published (but for those of Past), in whole seconds, UTC.
	End time.Time
	// Span is the window length that suited the density last seen.
	Span time.Duration
	// Seen are the msgids of published rows that a window beginning before End could bring again, ascending; of statistics,
	// the marks of what was last published of each period.
	Seen []int64
	// SeenRejected are content hashes of rejected rows without a msgid, for the same purpose, ascending.
	SeenRejected []int64
	// Sequence is the number of the stream's newest ledger record; 0 where it has none.
	Sequence int64
	// Counts are sums over the life of the stream.
	Counts Counts
	// SavedAt is when the checkpoint was made, by the local clock.
	SavedAt time.Time
	// Rechecked tells up to where windows were asked for late rows.
	Rechecked []Rechecked
	// Replay is the id of the replay whose position this is; empty for the live position.
	Replay string
	// Reset names the reset that put the position here; empty once a window was committed from it.
	Reset string
	// Removed tells that the stream's user, group or room was found to be deleted, and that consumers were told.
	Removed bool
	// Past is the history before End that is not published yet; nil where every row up to End is.
	Past *Past
}

// Rechecked is the end_time up to which windows were asked for late rows, so long after they were closed.
type Rechecked struct {
	After time.Duration
	End   time.Time
}

// Counts are sums over committed windows.
type Counts struct {
	Windows    int64 `json:"windows"`
	Rows       int64 `json:"rows"`
	Published  int64 `json:"published"`
	Skipped    int64 `json:"skipped"`
	Rejected   int64 `json:"rejected"`
	Mismatches int64 `json:"mismatches"`
	GapSeconds int64 `json:"gap_seconds"`
}

// Closed is a whole window, ready to commit or (in the part that is streamed) about to be whole. One without an app
// key in Ledger and Checkpoint has notices alone.
type Closed struct {
	// Ledger is the window's ledger record; Offsets, Published and Rejected are filled in while publishing.
	Ledger Ledger
	// Checkpoint is the stream's position once the window is committed.
	Checkpoint Checkpoint
	// Notices tell consumers what they must know of this window.
	Notices []Notice
	// joint and jointRejected are what a live window brought near the joint to its past.
	joint, jointRejected []int64
}

// Ledger is the record of one committed window: what was asked, what came, what was published, and where it stands.
type Ledger struct {
	AppKey string `json:"app_key"`
	Stream Stream `json:"stream"`
	Window
	// Sequence is one more than that of the stream's record before this one; the first has 1. It is 0 in a replay.
	Sequence int64 `json:"sequence,omitempty"`
	// MovedFrom and MovedTo are the interval by which the window moved a position of the stream: MovedFrom is where the
	// position stood, MovedTo where it stands now. Both are zero where no position moved (late rows, statistics, replays).
	MovedFrom time.Time `json:"moved_from,omitzero"`
	MovedTo   time.Time `json:"moved_to,omitzero"`
	// Total is what the API said the window holds; Rows is what it sent, repeated ones too.
	Total int64 `json:"total"`
	Rows  int64 `json:"rows"`
	// Repeated rows came more than once within the window; Skipped ones had been published by an earlier window.
	Repeated int64 `json:"repeated"`
	Skipped  int64 `json:"skipped"`
	// Published and Rejected sum up to Rows - Repeated - Skipped.
	Published int64 `json:"published"`
	Rejected  int64 `json:"rejected"`
	Pages     int   `json:"pages"`
	Requests  int   `json:"requests"`
	Restarts  int   `json:"restarts"`
	// Mismatch tells that Total was not met after every attempt, and the window was closed nevertheless.
	Mismatch bool `json:"mismatch,omitempty"`
	// Replay is the id of the replay that read the window; empty where the live position moved over it.
	Replay string `json:"replay,omitempty"`
	// Late tells that the window had been read before: only rows that were missing then are counted as published.
	Late bool `json:"late,omitempty"`
	// PastUntil is where the history ends that was being published behind the live position, if the window is of it.
	PastUntil time.Time     `json:"past_until,omitzero"`
	Started   time.Time     `json:"started_at"`
	Duration  time.Duration `json:"-"`
	// Committed is when the record was written, by the clock of the topic it was read back from; zero until then.
	Committed time.Time     `json:"-"`
	Offsets   []OffsetRange `json:"offsets"`
}

// NoticeKind is what a notice tells.
type NoticeKind string

// The notices.
const (
	NoticeGap      NoticeKind = "gap"      // time left the API's history before it was read
	NoticeMismatch NoticeKind = "mismatch" // a window was closed although the rows did not add up to its total
	NoticeRemoved  NoticeKind = "removed"  // a user, group or chatroom was deleted, and its stream is read no longer
	// NoticeReplayStarted comes with a replay's first window, NoticeReplayFinished with its last one.
	NoticeReplayStarted  NoticeKind = "replay_started"
	NoticeReplayFinished NoticeKind = "replay_finished"
	// NoticeLateRows tells that rows appeared in a window after it had been read, and were published then.
	NoticeLateRows NoticeKind = "late_rows"
)

// Notice is what a consumer of the topics must know.
type Notice struct {
	Kind   NoticeKind `json:"kind"`
	AppKey string     `json:"app_key"`
	Stream Stream     `json:"stream"`
	Window
	// Detail is one sentence for people.
	Detail string `json:"detail"`
	// Total is what the API announced, in a mismatch. Rows are those that came then, that a replay read, or that were late.
	Total int64     `json:"total,omitempty"`
	Rows  int64     `json:"rows,omitempty"`
	At    time.Time `json:"at"`
	// Replay is the id of the replay that this is about.
	Replay string `json:"replay,omitempty"`
}

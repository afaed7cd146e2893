package pipeline

import (
	"time"

	"github.com/jmpub/jmpub/pipeline/event"
)

// Observer takes what happens, so that logs, metrics and screens can show it; nil is nobody. It is called from several
// goroutines, must return quickly and must not call back.
type Observer func(o Observation)

// Tell tells the observer, if there is one.
func (f Observer) Tell(o Observation) {
	if f != nil {
		f(o)
	}
}

// Retry is the observer as a [Retry] wants it.
func (f Observer) Retry(op string, err error, wait time.Duration) {
	f.Tell(RetryScheduled{Op: op, Err: err, Wait: wait})
}

// Observers is an observer that tells all of these, in their order.
func Observers(all ...Observer) Observer {
	return func(o Observation) {
		for _, f := range all {
			f.Tell(o)
		}
	}
}

// Observation is something that happened: one of the types below.
type Observation interface{ observation() }

// RequestAnswered is an HTTP request to the API: how long the reply took, and its class: "ok", "deviating" (taken although it is not
// as documented), "rate_limited", "server_error", "network", "unauthorized", "refused" or "malformed". Window is the one that a page was asked of; zero for what is no page.
type RequestAnswered struct {
	Stream Stream
	Window Window
	Class  string
	Took   time.Duration
}

// QuotaTold is what a reply of the API says of the app's quota, where it says so: how many requests a minute are allowed, 0 where that is not
// told, and how many of them are left.
type QuotaTold struct{ Limit, Remaining int }

// TransactionEnded is a transaction in which something was written to Kafka: how it ended, how long after it was begun, how long of that it took
// to end it, and how many bytes its batches have, as they were sent.
type TransactionEnded struct {
	Result    TransactionResult
	Took, End time.Duration
	Bytes     int64
}

// TransactionResult is how a transaction ended.
type TransactionResult string

// The results. A transaction of which nobody could say how it ended has failed.
const (
	Committed TransactionResult = "committed"
	Aborted   TransactionResult = "aborted"
	Failed    TransactionResult = "failed"
)

// MemoryHeld tells, whenever it changes, how many bytes of memory a session's windows have reserved.
type MemoryHeld struct{ Bytes int64 }

// RetryScheduled is a failed try of a call that will be repeated after Wait.
type RetryScheduled struct {
	Op   string
	Err  error
	Wait time.Duration
}

// WindowRestarted is a window that is read again from its first request.
type WindowRestarted struct {
	Stream Stream
	Window Window
	Err    error
}

// WindowPlanned is a window that is about to be asked for.
type WindowPlanned struct {
	Stream Stream
	Plan   Plan
}

// ClocksCompared tells, with each reply of the API, what its clock and the local one say.
type ClocksCompared struct {
	Server, Local time.Time
	// Disagree is set from when they differ by more than can be left alone until that has been over for a while, Changed when it
	// is another than the last time.
	Disagree, Changed bool
}

// PauseRead tells, at the beginning of each session, what is paused.
type PauseRead struct{ Pause Pause }

// StreamStarted tells, at the beginning of each session, from where a stream is read.
type StreamStarted struct{ Checkpoint *Checkpoint }

// HeadRead tells up to where a stream is read, also when nothing was there to commit.
type HeadRead struct {
	Stream Stream
	End    time.Time
}

// WindowCommitted is a window whose transaction committed.
type WindowCommitted struct {
	Ledger     *Ledger
	Checkpoint *Checkpoint
	// Events counts its events by target.
	Events [event.TargetCount]int
}

// RowRejected is a rejected row that was committed. Its Row is nil: it stands in its topic.
type RowRejected struct {
	Stream    Stream
	Rejection event.Rejection
}

// NoticePublished is a notice that was committed.
type NoticePublished struct{ Notice Notice }

// SessionStarted tells that positions are read anew from the checkpoints, and why; nil at the first start.
type SessionStarted struct{ Err error }

// StreamDropped is a stream that is given up; the others go on.
type StreamDropped struct {
	Stream Stream
	Err    error
}

// StreamsDiscovered tells how many streams of the lists are read, about how long it takes until a window of each was, and how many are
// left out because there are too many.
type StreamsDiscovered struct {
	Streams int
	Sweep   time.Duration
	LeftOut int
}

// WindowAbandoned is a window that a stop left uncommitted; it is read again at the next start.
type WindowAbandoned struct {
	Stream Stream
	Window Window
}

func (RequestAnswered) observation()   {}
func (QuotaTold) observation()         {}
func (TransactionEnded) observation()  {}
func (MemoryHeld) observation()        {}
func (RetryScheduled) observation()    {}
func (WindowRestarted) observation()   {}
func (WindowPlanned) observation()     {}
func (ClocksCompared) observation()    {}
func (PauseRead) observation()         {}
func (StreamStarted) observation()     {}
func (HeadRead) observation()          {}
func (WindowCommitted) observation()   {}
func (RowRejected) observation()       {}
func (NoticePublished) observation()   {}
func (SessionStarted) observation()    {}
func (StreamDropped) observation()     {}
func (StreamsDiscovered) observation() {}
func (WindowAbandoned) observation()   {}

// ClaimAwaited is the claim of another command that is waited for.
type ClaimAwaited struct{ Claim Claim }

func (ClaimAwaited) observation() {}

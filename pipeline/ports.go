package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/jmpub/jmpub/pipeline/event"
)

// Source reads one app's streams. Implementations are safe for concurrent use, also for one stream: several of its windows
// are fetched at the same time. All errors are *[Fault] or the context's; transient faults are retried inside (with [Retry]),
// so none of class [Transient] comes out.
type Source interface {
	Planner
	EarlySource
	// Now is the server's clock. The first call asks the API for it, with a request for s.
	Now(ctx context.Context, s Stream) (time.Time, error)
	// Open sends the window's first request. An error of class [Restart] that carries a Span means the window is
	// too long and a plan with that span should take its place.
	Open(ctx context.Context, s Stream, w Window) (Pages, error)
}

// EarlySource is a [Source] of what has not settled, and may be incomplete.
type EarlySource interface {
	// Early asks once, in one request, for the rows of a stream from a second on up to the server's present one, whether they have settled or
	// not, and returns what of them fits into a page, with the window that was asked for. Rows may be missing. It begins the poll interval.
	Early(ctx context.Context, s Stream, since time.Time) (Window, Page, error)
	// OpenEarly is Open for a window that need not have settled, only be over. Rows may be missing. It begins the poll interval.
	OpenEarly(ctx context.Context, s Stream, w Window) (Pages, error)
	// SettledTotal asks, in one request, how many rows a window holds that has settled; -1 where it is not stated. By an error of class [Restart] the
	// clock showed that it had not.
	SettledTotal(ctx context.Context, s Stream, w Window) (int64, error)
}

// Planner lays out the windows of a [Source].
type Planner interface {
	// Plan returns the window that follows p. It waits until the server's clock has moved far enough (settle), and
	// at the head for the poll interval; a done context ends the wait. The window begins before p.End by the
	// overlap, ends at least one second after p.End and not after p.Until, and lies within what the API still holds.
	// Where nothing before p.Until is held any more, it ends behind p.Until.
	Plan(ctx context.Context, s Stream, p Position) (Plan, error)
	// Due tells for how long Plan would only wait, by what is known now. It asks nobody.
	Due(s Stream, p Position) Due
	// Forget lets go of what is remembered of a stream that is read no longer.
	Forget(s Stream)
}

// Pages are the replies of one window, in order. Not safe for concurrent use.
type Pages interface {
	// Next returns the next page, or io.EOF after the last. A fault of class [Restart] means that the window must be
	// asked for anew: the cursor expired, was refused, or came twice, or the clock showed that the window had not
	// settled when it was asked for. After an error it must not be called again. The rows of the page before the last one are not
	// valid any more once it is called.
	Next(ctx context.Context) (Page, error)
	// Requests is the number of requests sent for this window so far, the repeated ones too.
	Requests() int
	// Free gives the memory of all pages to other windows: none of their rows is valid any more, and Next must not be called again. Who does not
	// care leaves it to the garbage collector.
	Free()
}

// Sink writes to Kafka. It is used by one goroutine at a time. All errors are *[Fault] or the context's; transient
// faults are retried inside. A fault of class [Abort] or [Fenced] leaves no transaction that could still be
// committed: the caller begins again with Open.
type Sink interface {
	// Open takes the right to write. The first call takes it from whoever had it and ends what that one left open;
	// a later call renews it, and fails with class [Fenced] if somebody else has taken it meanwhile. When it
	// returns nil, all earlier transactions of this writer are decided and visible as such.
	Open(ctx context.Context) error
	// Begin starts a transaction. One is open at a time.
	Begin(ctx context.Context) (Transaction, error)
	// Forget makes the next call of Open like the first one.
	Forget()
}

// Transaction is what commits together. Where the sink delivers at least once, it is only a batch: Commit and Abort do
// nothing.
type Transaction interface {
	// Publish writes the batch's events and rejected rows, each to its topic, and returns where they stand. Order is
	// kept within a partition. The batch must not change until Publish returns, and may be reused after it.
	Publish(ctx context.Context, b *Batch) (Published, error)
	// Append writes records of jmpub's own topics.
	Append(ctx context.Context, records []Record) error
	// Commit makes all of it visible to a read_committed reader. An error that has [ErrInDoubt] means that it is unknown here whether
	// it did (the caller opens the sink again and loads the checkpoints to learn it), any other one that it did not.
	Commit(ctx context.Context) error
	// Abort drops all of it.
	Abort(ctx context.Context) error
}

// ErrInDoubt is in the error of a commit that may have been taken, although nobody has said so.
var ErrInDoubt = errors.New("whether it was committed is not known")

// Published tells where a batch stands in Kafka.
type Published struct {
	// Offsets are the ranges that the batch occupies, by topic and partition, sorted.
	Offsets []OffsetRange
	// Rejected are the events that Kafka could not take and that went to the rejected topic instead.
	Rejected []event.Rejection
	// Events counts the events by target topic, without those in Rejected.
	Events [event.TargetCount]int
}

// Checkpoints keeps the position of each stream of one app. It is used by one goroutine at a time. All errors are *[Fault] or
// the context's; transient faults are retried inside.
type Checkpoints interface {
	// Open takes the right to save positions, from whoever had it, where they are not kept by the sink's own transactions. It
	// is called after [Sink.Open].
	Open(ctx context.Context) error
	// Load returns the checkpoints that are committed.
	Load(ctx context.Context) (map[Stream]Checkpoint, error)
	// Stage returns the records that have to commit in the transaction: ledger records, notices and, where checkpoints live in
	// Kafka, the checkpoints.
	Stage(c *Commit) ([]Record, error)
	// Save makes durable what Stage left out, after the transaction committed. A fault of class [Fenced] means that somebody
	// else has taken the right to save, and that nothing was saved.
	Save(ctx context.Context, c *Commit) error
}

// Evidence tells how far streams were published by what stands in Kafka, whatever their positions say. It is used by one
// goroutine at a time. All errors are *[Fault] or the context's; transient faults are retried inside.
type Evidence interface {
	// Lost are the streams of which more was published than their positions say; positions that are forgotten say it too.
	Lost(ctx context.Context, positions map[Stream]Checkpoint) ([]LostPosition, error)
	// Sequences are the numbers of the newest ledger records of streams, of those that have any.
	Sequences(ctx context.Context, streams []Stream) (map[Stream]int64, error)
}

// Clock is the time that waits and durations are measured in; time.Now in production.
type Clock func() time.Time

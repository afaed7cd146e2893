package audit

import (
	"context"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// Archive reads back what an app has committed. Reading disturbs no writer. It is used by one goroutine at a time. All errors
// are *[pipeline.Fault] or the context's; transient faults are retried inside. What the functions are given belongs to the
// archive and is valid during the call.
type Archive interface {
	// Ledger calls fn with the ledger records that a query asks for and that are committed now, with their places. Those of a
	// stream that stand in one partition come in the order in which they were committed. It returns up to where it read.
	Ledger(ctx context.Context, q Query, fn func(*pipeline.Ledger, Place) error) (Frontier, error)
	// Newer calls fn with the ledger records of a stream that stand behind a frontier: all that are committed at the time of
	// the call. It waits while a transaction of the app is open there that began before the call.
	Newer(ctx context.Context, s pipeline.Stream, behind Frontier, fn func(*pipeline.Ledger, Place) error) error
	// At reads the ledger record at a place again; nil if it is not there any more.
	At(ctx context.Context, p Place) (*pipeline.Ledger, error)
	// Records calls fn with the records in ranges of offsets that a ledger record names, as far as they are still there; key
	// is nil where a record has none.
	Records(ctx context.Context, ranges []pipeline.OffsetRange, fn func(topic string, key, value []byte) error) error
}

// Query says which ledger records are wanted.
type Query struct {
	// Streams are those whose records are wanted; nil is all of the app's.
	Streams []pipeline.Stream
	// Since leaves out what was written before; some of it may come nevertheless, because clocks differ.
	Since time.Time
}

// Place is where a ledger record stands in the ledger's topic.
type Place struct {
	Partition int32
	Offset    int64
}

// Frontier is up to where the ledger was read: by partition, the first offset that was not.
type Frontier map[int32]int64

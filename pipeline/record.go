package pipeline

import (
	"time"

	"github.com/jmpub/jmpub/internal/spares"
	"github.com/jmpub/jmpub/pipeline/event"
)

// Batch is the content of one window, or of a part of one that is too large to be held whole. Events keep the order in
// which the API returned their rows.
type Batch struct {
	AppKey   string
	Stream   Stream
	Window   Window
	Events   []event.Event
	Rejected []event.Rejection
	// Bytes is about how much memory the batch holds.
	Bytes int

	memory event.Memory
}

// free gives the memory in which the events stand to other batches. Nobody uses them any more.
func (b *Batch) free() {
	if cap(b.Events) >= leastEvents {
		all := b.Events[:cap(b.Events)]
		clear(all) // What is kept must not keep what the events stood in.
		keptEvents.Give(all[:0])
	}
	b.Events = nil
	b.memory.Free()
}

// keptEvents is room for the events of the next windows, of a few; leastEvents is from how many on it is kept.
var keptEvents = spares.New(30_000, func(room []event.Event) int { return cap(room) }) //nolint:gochecknoglobals // All windows share it.

const leastEvents = 1000

// roomFor is room for so many events, or for a few more, because the next windows have about as many.
func roomFor(n int) []event.Event {
	if n >= leastEvents {
		if kept, ok := keptEvents.Take(); ok && cap(kept) >= n {
			return kept
		}
	}
	return make([]event.Event, 0, n+n/8)
}

// Topic names one of jmpub's own topics, without the prefix.
type Topic string

// The topics of jmpub's own records.
const (
	TopicRejected    Topic = "rejected"
	TopicWindows     Topic = "windows"
	TopicNotices     Topic = "notices"
	TopicCheckpoints Topic = "checkpoints"
	TopicCoverage    Topic = "coverage"
)

// TopicProcesses is the topic in which processes tell their state. It stands apart: nothing of it is published with a window, and nothing that
// is published depends on it.
const TopicProcesses Topic = "processes"

// StatisticsTopic is the topic of a stream of statistics.
func StatisticsTopic(s Stream) Topic { return Topic(string(StreamStatistics) + "." + s.Name) }

// Record is a record of one of jmpub's own topics.
type Record struct {
	Topic Topic
	// Partition is fixed where the reader relies on it (checkpoints); -1 leaves it to PartitionKey.
	Partition int32
	Key       []byte
	// PartitionKey is what the partition is computed from; nil is the key.
	PartitionKey []byte
	// Value is the record's JSON; nil is a tombstone.
	Value []byte
}

// FormatTime writes a time as events, checkpoints and ledger records have it: RFC 3339 in UTC.
func FormatTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

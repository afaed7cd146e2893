package checkpoint

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

// Archive reads back what an app's windows have published: the ledger, and the records at the offsets that it names.
// Only what is committed counts. It is used by one goroutine at a time.
type Archive struct {
	ledger *kafka.Log
	appKey string
	// partitions gives the number of partitions of the ledger's topic.
	partitions func() int
	// Skipped, where it is set, is told of what stands at a key of the app and is no ledger record. It is passed over: whoever
	// may write there can have put it there, and it takes nothing away from the others.
	Skipped func(error)
}

var _ audit.Archive = (*Archive)(nil)

// NewArchive reads the ledger in a topic. partitions gives the topic's number of partitions.
func NewArchive(client *kafkago.Client, topic, appKey string, partitions func() int, retry pipeline.Retry) *Archive {
	return &Archive{ledger: &kafka.Log{Client: client, Topic: topic, Retry: retry, Prefix: appKey}, appKey: appKey, partitions: partitions}
}

// ReadTogether has the ledger read together with that of other apps. It is called before the first use. Those to whom the records are given
// then hold up the others, and read nothing of the ledger meanwhile.
func (a *Archive) ReadTogether(t *kafka.Together) { a.ledger.Together = t }

const (
	// ledgerSlack is how far this machine's clock may be from that of the one which wrote a ledger record.
	ledgerSlack = time.Hour
	// writerSlack is by how much a writer's clock may have been set back between the moment at which it made a position and that at which
	// it wrote the ledger record to it.
	writerSlack = time.Minute
)

// Ledger calls fn with the app's ledger records that a query asks for; see [audit.Archive]. Where the topic was given more
// partitions, a stream's older records stand in another one than its newer ones. They are looked for, behind the newer ones, if
// the sequence numbers do not show that all of them were found.
func (a *Archive) Ledger(ctx context.Context, q audit.Query, fn func(*pipeline.Ledger, audit.Place) error) (audit.Frontier, error) {
	r := a.since(q.Since, ledgerSlack, q.Streams)
	if q.Streams == nil {
		for partition := range a.partitions() {
			if err := r.read(ctx, partition, a.isOurs, fn); err != nil {
				return nil, err
			}
		}
		return r.frontier, nil
	}
	err := r.readOwn(ctx, func(l *pipeline.Ledger, p audit.Place) error {
		r.streams[l.Stream.String()].add(l, q.Since)
		return fn(l, p)
	})
	if err != nil {
		return nil, err
	}
	for partition := range a.partitions() {
		lack := func(l *streamLog) bool { return l.partition != partition && !l.whole }
		if err := r.readStreams(ctx, partition, lack, fn); err != nil {
			return nil, err
		}
	}
	return r.frontier, nil
}

// recent calls fn with the ledger records of streams from the one on that was written with a position at a time, in the order of the log;
// those alone that stand where the streams' records are written now.
func (a *Archive) recent(ctx context.Context, saved time.Time, streams []pipeline.Stream, fn func(*pipeline.Ledger, audit.Place) error) error {
	return a.since(saved, writerSlack, streams).readOwn(ctx, fn)
}

// ledgerReading is one reading of the ledger since a time.
type ledgerReading struct {
	*Archive

	// since is when reading begins; zero where everything is read.
	since    time.Time
	streams  map[string]*streamLog
	frontier audit.Frontier
}

// since makes a reading since a time, less the slack; of some streams, or of all that there are.
func (a *Archive) since(t time.Time, slack time.Duration, streams []pipeline.Stream) *ledgerReading {
	r := &ledgerReading{Archive: a, streams: make(map[string]*streamLog, len(streams)), frontier: make(audit.Frontier)}
	if !t.IsZero() {
		r.since = t.Add(-slack).Truncate(time.Minute) // So that many apps ask the same.
	}
	for _, s := range streams {
		r.streams[s.String()] = &streamLog{partition: PartitionOf(a.appKey, s, a.partitions())}
	}
	return r
}

// readOwn reads, for each stream, the partition in which its records are written now.
func (r *ledgerReading) readOwn(ctx context.Context, fn func(*pipeline.Ledger, audit.Place) error) error {
	for partition := range r.partitions() {
		belong := func(l *streamLog) bool { return l.partition == partition }
		if err := r.readStreams(ctx, partition, belong, fn); err != nil {
			return err
		}
	}
	return nil
}

// readStreams reads a partition for the records of some streams; not at all, if there is none.
func (r *ledgerReading) readStreams(
	ctx context.Context, partition int, wanted func(*streamLog) bool, fn func(*pipeline.Ledger, audit.Place) error,
) error {
	names := make(map[string]bool)
	for name, l := range r.streams {
		if wanted(l) {
			names[name] = true
		}
	}
	if len(names) == 0 {
		return nil
	}
	return r.read(ctx, partition, func(key []byte) bool { return names[string(r.streamOf(key))] }, fn)
}

// read reads a partition, as far as it is decided.
func (r *ledgerReading) read(
	ctx context.Context, partition int, wanted func(key []byte) bool, fn func(*pipeline.Ledger, audit.Place) error,
) error {
	b, err := r.ledger.Decided(ctx, partition)
	if err != nil {
		return err
	}
	number := int32(partition) //nolint:gosec // A partition's number.
	if _, read := r.frontier[number]; !read {
		r.frontier[number] = b.End // What comes later was not read for every stream.
	}
	if !r.since.IsZero() {
		if b.First, err = r.ledger.OffsetAt(ctx, partition, r.since, b); err != nil {
			return err
		}
	}
	return r.ledger.Committed(ctx, partition, b, r.records(wanted, fn))
}

// streamLog is what was found of a stream in the partition where its records stand now.
type streamLog struct {
	partition int
	// whole tells that nothing is missing from the time on that was asked for: the first record is older, or the first of all,
	// and each has the next number. next is the number that comes next.
	whole bool
	next  int64
}

func (s *streamLog) add(l *pipeline.Ledger, since time.Time) {
	switch {
	case l.Sequence == 0: // A replay's records are not numbered.
		return
	case l.Sequence == 1, s.next == 0 && l.Committed.Before(since):
		s.whole = true
	case l.Sequence != s.next:
		s.whole = false
	}
	s.next = l.Sequence + 1
}

// Newer calls fn with a stream's ledger records behind a frontier; see [audit.Archive].
func (a *Archive) Newer(ctx context.Context, s pipeline.Stream, behind audit.Frontier, fn func(*pipeline.Ledger, audit.Place) error) error {
	from := make(audit.Frontier)
	maps.Copy(from, behind)
	own := int32(PartitionOf(a.appKey, s, a.partitions())) //nolint:gosec // A partition's number.
	from[own] = behind[own]                                // From its begin on, where it was not read at all.
	wanted := func(key []byte) bool { return string(a.streamOf(key)) == s.String() }
	for _, partition := range slices.Sorted(maps.Keys(from)) {
		b, err := a.ledger.All(ctx, int(partition))
		if err != nil {
			return err
		}
		b.First = max(b.First, from[partition])
		if err := a.ledger.Own(ctx, int(partition), b, a.records(wanted, fn)); err != nil {
			return err
		}
	}
	return nil
}

// At reads the ledger record at a place again; see [audit.Archive].
func (a *Archive) At(ctx context.Context, p audit.Place) (found *pipeline.Ledger, err error) {
	b, err := a.ledger.All(ctx, int(p.Partition))
	if err != nil {
		return nil, err
	}
	if p.Offset < b.First {
		return nil, nil //nolint:nilnil // Retention has deleted it.
	}
	take := a.records(a.isOurs, func(l *pipeline.Ledger, _ audit.Place) error {
		found = l
		return nil
	})
	return found, a.ledger.Known(ctx, int(p.Partition), kafka.Bounds{First: p.Offset, End: p.Offset + 1}, take)
}

// maxLedger bounds a ledger record: no topic that jmpub made takes a larger one.
const maxLedger = 2 << 20

// records decodes the records with the keys that are wanted.
func (a *Archive) records(wanted func(key []byte) bool, fn func(*pipeline.Ledger, audit.Place) error) func(*kafka.LogRecord) error {
	return func(r *kafka.LogRecord) error {
		if r.Value == nil || !wanted(r.Key) {
			return nil
		}
		record, err := a.decode(r)
		switch {
		case isNewer(err, r.Value, a.appKey): // Without it, what is published would look as if it were missing.
			return err
		case err != nil:
			if a.Skipped != nil {
				a.Skipped(err)
			}
			return nil
		}
		record.Committed = r.Time
		return fn(&record, audit.Place{Partition: int32(r.Partition), Offset: r.Offset}) //nolint:gosec // A partition's number.
	}
}

// decode reads a ledger record, which has to be that of its key.
func (*Archive) decode(r *kafka.LogRecord) (pipeline.Ledger, error) {
	err := r.Unread
	if err == nil && len(r.Value) > maxLedger {
		err = damaged("it has %d bytes", len(r.Value))
	}
	if err != nil {
		return pipeline.Ledger{}, decodeFault("the ledger record", r.Where(), notOurs, err)
	}
	record, err := DecodeLedger(r.Value, r.Where())
	if err == nil && string(LedgerKey(record.AppKey, record.Stream, record.Window)) != string(r.Key) {
		err = decodeFault("the ledger record", r.Where(), notOurs, damaged("its key is %q", r.Key))
	}
	return record, err
}

func (a *Archive) isOurs(key []byte) bool { return a.streamOf(key) != nil }

// streamOf is the stream that a ledger record's key names; nil where it is another app's.
func (a *Archive) streamOf(key []byte) []byte {
	rest, ours := bytes.CutPrefix(key, []byte(a.appKey+"/"))
	end := bytes.LastIndexByte(rest, '/')
	if !ours || end < 0 {
		return nil
	}
	return rest[:end]
}

// Records calls fn with the records in the ranges; see [audit.Archive]. A range that a committed ledger record names is
// committed, so that nobody's open transaction has to be waited for.
func (a *Archive) Records(ctx context.Context, ranges []pipeline.OffsetRange, fn func(topic string, key, value []byte) error) error {
	for _, r := range ranges {
		l := &kafka.Log{Client: a.ledger.Client, Topic: r.Topic, Retry: a.ledger.Retry}
		there, err := l.All(ctx, int(r.Partition))
		if err != nil {
			return err
		}
		// What retention has deleted cannot be read; the caller finds it missing.
		b := kafka.Bounds{First: max(r.First, there.First), End: min(r.Last+1, there.End)}
		err = l.Known(ctx, int(r.Partition), b, func(r *kafka.LogRecord) error { return fn(r.Topic, r.Key, r.Value) })
		if err != nil {
			return err
		}
	}
	return nil
}

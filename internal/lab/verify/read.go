package verify

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/jmpub/jmpub/pipeline"
)

// Check tells what is wrong with a record by itself; nil if nothing is. topic is the name of its topic without the prefix, and
// of an event its target; the event's value is JSON, in whatever form it stands in Kafka. It is called by several goroutines
// at a time.
type Check func(topic string, r *kgo.Record) error

// Read reads the event topics and the rejected rows from their beginning to what is their end when it is called, as soon
// as every transaction in there is decided. A topic that does not exist holds nothing.
//
// With checks, it reads jmpub's other topics too, and gives each record of any topic to each of them.
func Read(ctx context.Context, brokers []string, prefix string, checks ...Check) (*Found, error) {
	return (&Layout{Prefix: prefix}).Read(ctx, brokers, checks...)
}

// Read is [Read] of topics that are laid out so.
func (l *Layout) Read(ctx context.Context, brokers []string, checks ...Check) (*Found, error) {
	found := newFound()
	w := newWitness(l, found.hash, checks)
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(200*time.Millisecond),
		kgo.FetchMaxBytes(replyBytes), kgo.FetchMaxPartitionBytes(partitionBytes),
		kgo.KeepControlRecords(), // The last one before the end is often the marker of a transaction.
	)
	if err != nil {
		return nil, fmt.Errorf("verify: connect to %v: %w", brokers, err)
	}
	defer client.Close()
	left, err := decided(ctx, kadm.NewClient(client), w.names())
	if err == nil {
		err = readAll(ctx, client, left, w, found)
	}
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	return found, nil
}

// Topics are those that [Read] reads without checks: that of rejected rows, and then those of events.
func Topics(prefix string) []string { return (&Layout{Prefix: prefix}).Topics() }

// Collect is [Read] by another client: it takes the records that one has read of [Topics], without markers and aborted ones,
// and ends at the first error.
func Collect(prefix string, records iter.Seq2[*kgo.Record, error]) (*Found, error) {
	found := newFound()
	w := newWitness(&Layout{Prefix: prefix}, found.hash, nil)
	for r, err := range records {
		if err != nil {
			return nil, fmt.Errorf("verify: %w", err)
		}
		found.take(w.look(r))
	}
	return found, nil
}

// The bounds of a fetch. A reply has room for all partitions of one broker, so that it is never that bound which ends it:
// the embedded broker then leaves out the list of aborted transactions.
const (
	replyBytes     = 96 << 20
	partitionBytes = 512 << 10
)

// partition names one; extent is what it holds.
type (
	partition struct {
		topic  string
		number int32
	}
	extent struct{ first, end int64 }
)

// decided lists the partitions that hold something, with their ends at the call, once no transaction is open that began
// before: a broker answers EndTxn before the markers are written, so what was just committed can still be invisible.
func decided(ctx context.Context, admin *kadm.Client, names []string) (map[partition]extent, error) {
	starts, err := lookUp(ctx, "look up the beginnings", admin.ListStartOffsets, names)
	if err != nil {
		return nil, err
	}
	ends, err := lookUp(ctx, "look up the ends", admin.ListEndOffsets, names)
	if err != nil {
		return nil, err
	}
	held := make(map[partition]extent)
	for at, end := range ends {
		if start, ok := starts[at]; ok && start < end {
			held[at] = extent{start, end}
		}
	}
	retry := patience()
	err = retry.Do(ctx, "wait for open transactions", func(ctx context.Context) error {
		stable, cause := lookUp(ctx, "look up the last stable offsets", admin.ListCommittedOffsets, names)
		if cause != nil {
			return cause
		}
		for at, e := range held {
			if stable[at] < e.end {
				return &pipeline.Fault{
					Class: pipeline.Transient, Op: "wait for open transactions",
					Err: fmt.Errorf("%s/%d has %d offsets, of which %d are decided", at.topic, at.number, e.end, stable[at]),
				}
			}
		}
		return nil
	})
	return held, err
}

func patience() pipeline.Retry {
	return pipeline.Retry{Initial: 20 * time.Millisecond, Max: time.Second}
}

// listing is one of the methods of [kadm.Client] that list offsets.
type listing func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error)

// lookUp lists offsets, as often as it takes: a broker that has just started, or become a leader, cannot tell them for a
// moment.
func lookUp(ctx context.Context, op string, list listing, names []string) (all map[partition]int64, err error) {
	retry := patience()
	err = retry.Do(ctx, op, func(ctx context.Context) error {
		var cause error
		all, cause = listed(list(ctx, names...))
		if said, ok := errors.AsType[*kerr.Error](cause); cause != nil && (!ok || said.Retriable) {
			return &pipeline.Fault{Class: pipeline.Transient, Op: op, Err: cause}
		}
		return cause
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	return all, nil
}

// listed are offsets by partition, without topics that do not exist.
func listed(offsets kadm.ListedOffsets, err error) (map[partition]int64, error) {
	if err != nil {
		return nil, err
	}
	all := make(map[partition]int64)
	var errs []error
	offsets.Each(func(o kadm.ListedOffset) {
		switch {
		case o.Err == nil:
			all[partition{o.Topic, o.Partition}] = o.Offset
		case !errors.Is(o.Err, kerr.UnknownTopicOrPartition):
			errs = append(errs, fmt.Errorf("%s/%d: %w", o.Topic, o.Partition, o.Err))
		}
	})
	return all, errors.Join(errs...)
}

// readAll looks at every committed record of the partitions. Looking is most of the work, so every processor does it.
func readAll(ctx context.Context, client *kgo.Client, left map[partition]extent, w *witness, found *Found) error {
	var from kadm.Offsets
	for at, e := range left {
		from.AddOffset(at.topic, at.number, e.first, -1)
	}
	client.AddConsumePartitions(from.KOffsets())
	var taking sync.Mutex // Guards found.
	var looking errgroup.Group
	looking.SetLimit(runtime.GOMAXPROCS(0))
	defer func() { _ = looking.Wait() }() // It has no errors.
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("read, %d partitions left: %w", len(left), ctx.Err())
		}
		var errs []error
		fetches.EachError(func(topic string, number int32, err error) {
			errs = append(errs, fmt.Errorf("read %s/%d: %w", topic, number, err))
		})
		if err := errors.Join(errs...); err != nil {
			return err
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			records := within(left, partition{p.Topic, p.Partition}, p.Records)
			looking.Go(func() error {
				seen := make([]witnessed, len(records))
				for i, r := range records {
					seen[i] = w.look(r)
				}
				taking.Lock()
				defer taking.Unlock()
				for _, one := range seen {
					found.take(one)
				}
				return nil
			})
		})
	}
	return nil
}

// within keeps the records that stand before the partition's end and are no markers. It removes a partition that has been
// read up to its end from left.
func within(left map[partition]extent, at partition, records []*kgo.Record) []*kgo.Record {
	e, ok := left[at]
	if !ok {
		return nil
	}
	kept := records[:0]
	for _, r := range records {
		if r.Offset < e.end && !r.Attrs.IsControl() {
			kept = append(kept, r)
		}
		if r.Offset >= e.end-1 {
			delete(left, at)
		}
	}
	return kept
}

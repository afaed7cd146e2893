// Package verify compares what stands in the topics with what the API held. It reads with a client of its own (franz-go),
// so that a mistake in jmpub's use of Kafka cannot hide itself.
package verify

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/pipeline"
)

// Found is what a read_committed reader sees, reduced to what is compared. Rows are kept as hashes, so that millions fit.
type Found struct {
	// events are the records of each msgid.
	events map[int64][]sighting
	// rejected counts rejected rows by the hash of their bytes.
	rejected map[uint64]int
	// Records counts all of them, Broken those whose headers, key and value contradict each other.
	Records, Broken int
	// Examples describes the first broken ones.
	Examples []string
}

// sighting is one record of a msgid.
type sighting struct {
	target pipeline.Target
	row    uint64
}

const maxExamples = 10

// Read reads the event topics and the rejected rows from their beginning to what is their end when it is called.
func Read(ctx context.Context, brokers []string, prefix string) (*Found, error) {
	topics := make(map[string]pipeline.Target)
	for t := range pipeline.TargetCount {
		topics[prefix+"."+t.String()] = t
	}
	rejected := prefix + "." + string(pipeline.TopicRejected)
	names := []string{rejected}
	for name := range topics {
		names = append(names, name)
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(names...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(200*time.Millisecond),
		kgo.KeepControlRecords(), // The last one before the end is often the marker of a transaction.
	)
	if err != nil {
		return nil, fmt.Errorf("verify: connect: %w", err)
	}
	defer client.Close()
	left, err := undecided(ctx, kadm.NewClient(client), names)
	if err != nil {
		return nil, err
	}
	found := &Found{events: make(map[int64][]sighting), rejected: make(map[uint64]int)}
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := errors.Join(fetches.Err0(), ctx.Err()); err != nil {
			return nil, fmt.Errorf("verify: read %v: %w", names, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if at := (tp{r.Topic, r.Partition}); r.Offset >= left[at]-1 {
				delete(left, at)
			}
			if r.Attrs.IsControl() {
				return
			}
			if target, ok := topics[r.Topic]; ok {
				found.event(r, target)
			} else {
				found.Records++
				found.rejected[hashOf(r.Value)]++
			}
		})
	}
	return found, nil
}

type tp struct {
	topic     string
	partition int32
}

// undecided lists the partitions that hold something, with their ends, at a moment at which no transaction is open in
// them: a broker answers EndTxn before the markers are written, so what was just committed can still be invisible.
func undecided(ctx context.Context, admin *kadm.Client, names []string) (map[tp]int64, error) {
	for {
		starts, startErr := admin.ListStartOffsets(ctx, names...)
		stable, stableErr := admin.ListCommittedOffsets(ctx, names...)
		ends, endErr := admin.ListEndOffsets(ctx, names...)
		if err := errors.Join(startErr, stableErr, endErr); err != nil {
			return nil, fmt.Errorf("verify: look up the offsets: %w", err)
		}
		left, open := make(map[tp]int64), 0
		ends.Each(func(end kadm.ListedOffset) {
			start, _ := starts.Lookup(end.Topic, end.Partition)
			decided, _ := stable.Lookup(end.Topic, end.Partition)
			if decided.Offset < end.Offset {
				open++
			}
			if end.Offset > start.Offset {
				left[tp{end.Topic, end.Partition}] = end.Offset
			}
		})
		if open == 0 {
			return left, nil
		}
		if err := pipeline.Sleep(ctx, 50*time.Millisecond); err != nil {
			return nil, fmt.Errorf("verify: %d partitions have an open transaction: %w", open, err)
		}
	}
}

// event takes in one record of an event topic.
func (f *Found) event(r *kgo.Record, target pipeline.Target) {
	f.Records++
	id, err := strconv.ParseInt(string(r.Key), 10, 64)
	if err != nil {
		f.broken("%s/%d@%d: key %q is no msgid", r.Topic, r.Partition, r.Offset, r.Key)
		return
	}
	headers := make(map[string]string, len(r.Headers))
	for _, h := range r.Headers {
		headers[h.Key] = string(h.Value)
	}
	if headers["ce_id"] != string(r.Key) || headers["ce_specversion"] != "1.0" || headers["content-type"] != "application/json" {
		f.broken("%s/%d@%d: headers %v do not fit the key %s", r.Topic, r.Partition, r.Offset, headers, r.Key)
	}
	row, err := pipeline.Rebuild(r.Value)
	if err != nil {
		f.broken("%s/%d@%d: %v", r.Topic, r.Partition, r.Offset, err)
		return
	}
	f.events[id] = append(f.events[id], sighting{target, hashOf(pipeline.Canonical(row))})
}

func (f *Found) broken(format string, args ...any) {
	f.Broken++
	if len(f.Examples) < maxExamples {
		f.Examples = append(f.Examples, fmt.Sprintf(format, args...))
	}
}

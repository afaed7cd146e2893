package checkpoint

import (
	"bytes"
	"context"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
)

// Notices reads back what consumers were told of an app, or of all. It is used by one goroutine at a time.
type Notices struct {
	log    *kafka.Log
	appKey string
	// partitions gives the topic's number of partitions.
	partitions func() int
	// Skipped, where it is set, is told of what stands at a key of the app and is no notice. It is passed over.
	Skipped func(error)
}

// NewNotices reads the notices of an app in a topic; without an app key, those of all apps. partitions gives the topic's number of partitions.
func NewNotices(client *kafkago.Client, topic, appKey string, partitions func() int, retry pipeline.Retry) *Notices {
	return &Notices{
		log: &kafka.Log{Client: client, Topic: topic, Retry: retry, Prefix: appKey}, appKey: appKey, partitions: partitions,
	}
}

// maxNotice bounds a notice, which has some hundred bytes.
const maxNotice = 64 << 10

// Each calls fn with the notices that were written since a time and are committed now. Those of a stream come in the order in which they
// were committed.
func (n *Notices) Each(ctx context.Context, since time.Time, fn func(*pipeline.Notice) error) error {
	var ours []byte
	if n.appKey != "" {
		ours = []byte(n.appKey + "/")
	}
	for partition := range n.partitions() {
		b, err := n.log.Decided(ctx, partition)
		if err == nil {
			b.First, err = n.log.OffsetAt(ctx, partition, since, b)
		}
		if err != nil {
			return err
		}
		err = n.log.Committed(ctx, partition, b, func(r *kafka.LogRecord) error {
			if r.Value == nil || !bytes.HasPrefix(r.Key, ours) {
				return nil
			}
			notice, damage := n.decode(r)
			if damage == nil {
				return fn(&notice)
			}
			if n.Skipped != nil {
				n.Skipped(damage)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// decode reads a notice, which has to be that of its key.
func (*Notices) decode(r *kafka.LogRecord) (pipeline.Notice, error) {
	err := r.Unread
	if err == nil && len(r.Value) > maxNotice {
		err = damaged("it has %d bytes", len(r.Value))
	}
	if err != nil {
		return pipeline.Notice{}, decodeFault("the notice", r.Where(), notOurs, err)
	}
	notice, err := DecodeNotice(r.Value, r.Where())
	if err == nil && !bytes.Equal(streamKey(notice.AppKey, notice.Stream), r.Key) {
		err = decodeFault("the notice", r.Where(), notOurs, damaged("its key is %q", r.Key))
	}
	return notice, err
}

// DecodeNotice reads a notice. where is where it stands, for the error, which is a *[pipeline.Fault] of class [pipeline.Permanent].
func DecodeNotice(value []byte, where string) (pipeline.Notice, error) {
	var record noticeJSON
	err := decodeJSON(value, &record)
	if err == nil {
		err = required(map[string]bool{
			"kind": record.Kind != "", "app_key": record.AppKey != "", "stream": record.Stream.Kind != "",
			"begin_time": !record.Begin.IsZero(), "end_time": !record.End.IsZero(), "at": !record.At.IsZero(),
		})
	}
	if err != nil {
		return pipeline.Notice{}, decodeFault("the notice", where, notOurs, err)
	}
	record.Window, record.At = utc(record.Window), record.At.UTC()
	return record.Notice, nil
}

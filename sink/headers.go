package sink

import (
	"strconv"
	"time"

	"github.com/segmentio/kafka-go/protocol"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// eventFormat is how a batch becomes records.
type eventFormat struct {
	// values is the format of the events' values.
	values      Format
	partitionBy PartitionBy
	recordTime  RecordTime
	// replayID is empty but for a replay.
	replayID string
}

// eventHeaders writes the headers of events: CloudEvents 1.0, Kafka protocol binding, binary content mode.
// They begin with those that all events of a batch share.
type eventHeaders []protocol.Header

func (f *eventFormat) headersOf(b *pipeline.Batch) eventHeaders {
	return append(eventHeaders{
		{Key: "ce_specversion", Value: []byte("1.0")},
		{Key: "ce_source", Value: []byte("urn:jmessage:app:" + b.AppKey)},
		{Key: "ce_type", Value: []byte("jmpub.message.v1")},
		{Key: "content-type", Value: []byte(f.values.contentType())},
		{Key: "jmpub_stream", Value: []byte(b.Stream.String())},
	}, f.replayHeader()...)
}

func (f *eventFormat) replayHeader() []protocol.Header {
	if f.replayID == "" {
		return nil
	}
	return []protocol.Header{{Key: "jmpub_replay", Value: []byte(f.replayID)}}
}

// append adds an event's headers to dst; key is its msgid in decimal.
func (h eventHeaders) append(dst []protocol.Header, e *event.Event, key []byte) []protocol.Header {
	dst = append(append(dst, h...), protocol.Header{Key: "ce_id", Value: key})
	if len(e.Time) > 0 {
		dst = append(dst, protocol.Header{Key: "ce_time", Value: e.Time})
	}
	if len(e.Conversation) > 0 {
		dst = append(dst, protocol.Header{Key: "ce_subject", Value: e.Conversation})
	}
	return dst
}

// rejectedHeaders say why a row was rejected and where it comes from.
func (f *eventFormat) rejectedHeaders(dst []protocol.Header, b *pipeline.Batch, r *event.Rejection, cutFrom int) []protocol.Header {
	add := func(key, value string) { dst = append(dst, protocol.Header{Key: key, Value: []byte(value)}) }
	add("jmpub_reason", string(r.Reason))
	add("jmpub_detail", r.Detail)
	add("jmpub_stream", b.Stream.String())
	add("jmpub_app_key", b.AppKey)
	add("jmpub_window", pipeline.FormatTime(b.Window.Begin)+"/"+pipeline.FormatTime(b.Window.End))
	if r.HasMsgID {
		add("jmpub_msgid", strconv.FormatInt(r.MsgID, 10))
	}
	if cutFrom > 0 {
		add("jmpub_truncated", strconv.Itoa(cutFrom))
	}
	return append(dst, f.replayHeader()...)
}

// timeOf is an event's record timestamp.
func (f *eventFormat) timeOf(e *event.Event, now time.Time) time.Time {
	if f.recordTime != TimeEvent {
		return now
	}
	switch {
	case e.ServerTime > 0:
		return time.UnixMilli(e.ServerTime)
	case e.ClientTime > 0:
		return time.UnixMilli(e.ClientTime)
	default:
		return now
	}
}

package sink

import (
	"strconv"
	"time"

	"github.com/segmentio/kafka-go/protocol"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// The headers of events are CloudEvents 1.0, Kafka protocol binding, binary content mode. headersOf are those that all events of a batch share.
func (c *WriterConfig) headersOf(b *pipeline.Batch) sharedHeaders {
	return shareHeaders(append([]protocol.Header{
		{Key: "ce_specversion", Value: []byte("1.0")},
		{Key: "ce_source", Value: []byte("urn:jmessage:app:" + b.AppKey)},
		{Key: "ce_type", Value: []byte("jmpub.message.v1")},
		{Key: "content-type", Value: []byte(c.Format.contentType())},
		{Key: "jmpub_stream", Value: []byte(b.Stream.String())},
	}, c.replayHeader()...))
}

func (c *WriterConfig) replayHeader() []protocol.Header {
	if c.ReplayID == "" {
		return nil
	}
	return []protocol.Header{{Key: "jmpub_replay", Value: []byte(c.ReplayID)}}
}

// appendHeadersOf adds the headers of an event alone to dst; key is its msgid in decimal.
func appendHeadersOf(dst []protocol.Header, e *event.Event, key []byte) []protocol.Header {
	dst = append(dst, protocol.Header{Key: "ce_id", Value: key})
	if len(e.Time) > 0 {
		dst = append(dst, protocol.Header{Key: "ce_time", Value: e.Time})
	}
	if len(e.Conversation) > 0 {
		dst = append(dst, protocol.Header{Key: "ce_subject", Value: e.Conversation})
	}
	return dst
}

// rejectedHeadersSize is no less than what the headers of a rejected row take: their names, what varies of their values, and the rest.
func (c *WriterConfig) rejectedHeadersSize(b *pipeline.Batch, r *event.Rejection) int {
	const rest = 256
	return rest + len(r.Reason) + len(r.Detail) + len(b.Stream.String()) + len(b.AppKey) + len(c.ReplayID)
}

// rejectedHeaders say why a row was rejected and where it comes from.
func (c *WriterConfig) rejectedHeaders(dst []protocol.Header, b *pipeline.Batch, r *event.Rejection, cutFrom int) []protocol.Header {
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
	return append(dst, c.replayHeader()...)
}

// timeOf is the record timestamp that an event asks for.
func (c *WriterConfig) timeOf(e *event.Event, now time.Time) time.Time {
	if c.RecordTime != TimeEvent {
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

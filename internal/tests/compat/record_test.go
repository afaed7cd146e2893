//go:build integration

package compat_test

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The codecs as a record batch has them (Kafka documentation, message format, attributes).
const (
	codecNone uint8 = iota
	codecGzip
	codecSnappy
	codecLz4
	codecZstd
)

// compression expects each batch of a transaction to be compressed as the setting says, and the Java client to find the whole history.
func compression(t *testing.T, h *history, java *Java) {
	t.Helper()
	wrong := &complaints{t: t}
	defer wrong.end()
	records := 0
	err := franzRecords(bounded(t), h.Addrs, h.topics(), func(r *kgo.Record) {
		if !r.Attrs.IsTransactional() { // What a run says of itself is one short record.
			return
		}
		if records++; r.Attrs.CompressionType() != h.codec {
			wrong.add("%s/%d at %d is compressed by codec %d, not %d", r.Topic, r.Partition, r.Offset, r.Attrs.CompressionType(), h.codec)
		}
	})
	if err != nil || records == 0 {
		t.Errorf("%d records, %v", records, err)
	}
	found, err := java.Reader().Found(bounded(t), h.Addrs, h.prefix)
	h.want(t, "Java client", found, err)
}

// event is what is compared of a value.
type event struct {
	MsgID        int64     `json:"msgid"`
	AppKey       string    `json:"app_key"`
	Conversation *string   `json:"conversation_id"`
	Time         time.Time `json:"time"`
}

func eventOf(t *testing.T, value []byte) event {
	t.Helper()
	var e event
	if err := json.Unmarshal(value, &e); err != nil {
		t.Errorf("%q: %v", value, err)
	}
	return e
}

// timestamps expects each event's timestamp to be when it was published, or when its message was sent.
func timestamps(t *testing.T, h *history, java *Java, ofEvent bool) {
	t.Helper()
	wrong := &complaints{t: t}
	defer wrong.end()
	byClock, without := 0, 0
	for _, r := range all(t, java.Reader().Records(bounded(t), h.Addrs, h.events()...)) {
		at := eventOf(t, r.Value).Time
		if ofEvent && !at.IsZero() {
			if byClock++; !r.Timestamp.Equal(at) {
				wrong.add("%s of %v has the timestamp %v", r.Key, at, r.Timestamp)
			}
			continue
		}
		if without++; r.Timestamp.Before(h.began.Truncate(time.Millisecond)) || r.Timestamp.After(h.ended) {
			wrong.add("%s has the timestamp %v, but was published between %v and %v", r.Key, r.Timestamp, h.began, h.ended)
		}
	}
	if byClock == 0 && (ofEvent || without == 0) {
		t.Error("nothing was compared")
	}
	t.Logf("%d records have their event's time, %d their publishing's", byClock, without)
}

// cloudEvents expects the CloudEvents SDK to see the attributes that the event has, and each header to be text that stands
// there once.
func cloudEvents(t *testing.T, h *history, java *Java) {
	t.Helper()
	wrong := &complaints{t: t}
	defer wrong.end()
	headers := 0
	records := all(t, java.Reader().Records(bounded(t), h.Addrs, h.events()...))
	for _, r := range records {
		names := make(map[string]bool)
		for _, header := range r.Headers {
			if headers++; names[header.Key] || !utf8.Valid(header.Value) || len(header.Value) == 0 {
				wrong.add("%s: header %s is %q", r.Key, header.Key, header.Value)
			}
			names[header.Key] = true
		}
		if !names["content-type"] || !names["jmpub_stream"] {
			wrong.add("%s has the headers %v only", r.Key, names)
		}
	}
	events, subjects, times := 0, 0, 0
	for ce, err := range java.CloudEvents(bounded(t), h.Addrs, h.events()...) {
		if err != nil {
			t.Fatal(err)
		}
		events++
		e := eventOf(t, ce.Data)
		if string(ce.ID) != strconv.FormatInt(e.MsgID, 10) || string(ce.Source) != "urn:jmessage:app:"+e.AppKey ||
			string(ce.Type) != "jmpub.message.v1" || string(ce.SpecVersion) != "1.0" ||
			string(ce.DataContentType) != "application/json" || ce.Extensions != 0 {
			wrong.add("msgid %d is the CloudEvent %+v", e.MsgID, ce)
		}
		if e.Conversation == nil != (ce.Subject == nil) || e.Conversation != nil && *e.Conversation != string(ce.Subject) {
			wrong.add("msgid %d has the subject %q", e.MsgID, ce.Subject)
		}
		if ce.Subject != nil {
			subjects++
		}
		var at time.Time
		if ce.Time != nil {
			times++
			if at, err = parseOffsetTime(string(ce.Time)); err != nil {
				t.Error(err)
			}
		}
		if !at.Equal(e.Time) {
			wrong.add("msgid %d of %v has the time %q", e.MsgID, e.Time, ce.Time)
		}
	}
	if events == 0 || events != len(records) || subjects == 0 || times == 0 {
		t.Errorf("the SDK saw %d CloudEvents of %d records, %d with a subject, %d with a time", events, len(records), subjects, times)
	}
	t.Logf("%d CloudEvents, %d with a subject, %d with a time; %d headers", events, subjects, times, headers)
}

// parseOffsetTime reads how Java writes a time: without seconds where they are zero.
func parseOffsetTime(text string) (time.Time, error) {
	if at, err := time.Parse("2006-01-02T15:04Z07:00", text); err == nil {
		return at, nil
	}
	return time.Parse(time.RFC3339Nano, text)
}

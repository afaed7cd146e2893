//go:build integration

package compat_test

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// javaReader shows that a witness tells committed from aborted records, waits for a transaction that is open, and says so
// when it cannot read.
func javaReader(t *testing.T, brokers []string, java *Java, topic string) {
	t.Helper()
	writer, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.TransactionalID(topic), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if _, err := kadm.NewClient(writer).CreateTopic(t.Context(), 2, -1, nil, topic); err != nil {
		t.Fatal(err)
	}
	reader := java.Reader()
	sent := time.Now().Add(-time.Hour).Truncate(time.Millisecond) // Much older, and retention would delete it.
	binary := []byte("\x00\xff\xfe\n\"\\é")
	write := func(name string) {
		if err := writer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			r := &kgo.Record{
				Topic: topic, Key: fmt.Append(nil, name, i), Value: binary, Timestamp: sent,
				Headers: []kgo.RecordHeader{{Key: "h,é", Value: binary}, {Key: "", Value: nil}, {Key: "h,é", Value: []byte{}}},
			}
			if i == 99 {
				r.Key, r.Value = nil, nil
			}
			if err := writer.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	end := func(commit kgo.TransactionEndTry) {
		if err := writer.EndTransaction(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
	}
	write("committed ")
	end(kgo.TryCommit)
	write("aborted ")
	end(kgo.TryAbort)
	write("open ")
	got := make(chan []*kgo.Record, 1)
	go func() { got <- all(t, reader.Records(t.Context(), brokers, topic, "no-such-topic")) }()
	select {
	case <-got:
		t.Error("the reader did not wait for an open transaction")
	case <-time.After(5 * time.Second): // Longer than a reader takes that does not wait.
	}
	end(kgo.TryCommit)
	records := <-got
	if len(records) != 200 {
		others, err := franz(bounded(t), brokers, []string{topic})
		t.Errorf("read %d records, want the 200 committed ones; franz-go reads %d, %v", len(records), len(others), err)
	}
	for _, r := range records {
		switch {
		case r.Key == nil && r.Value == nil:
		case strings.HasPrefix(string(r.Key), "aborted"):
			t.Errorf("read an aborted record, %q", r.Key)
		case string(r.Value) != string(binary) || !r.Timestamp.Equal(sent) || len(r.Headers) != 3 ||
			r.Headers[0].Key != "h,é" || string(r.Headers[0].Value) != string(binary) ||
			r.Headers[1].Value != nil || r.Headers[2].Value == nil:
			t.Errorf("record %q came as %v", r.Key, r)
		}
	}
	if n := len(all(t, java.UncommittedReader().Records(t.Context(), brokers, topic))); n != 300 {
		t.Errorf("read %d records with those that were aborted, want 300", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var last error
	for _, err := range reader.Records(ctx, []string{"127.0.0.1:1"}, topic) {
		last = err
	}
	if last == nil {
		t.Error("a broker that is not there was no error")
	}
}

// all is what a reader lists.
func all(t *testing.T, records iter.Seq2[*kgo.Record, error]) []*kgo.Record {
	t.Helper()
	var list []*kgo.Record
	for r, err := range records {
		if err != nil {
			t.Errorf("after %d records: %v", len(list), err)
			return nil
		}
		list = append(list, r)
	}
	return list
}

package kafkatest_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strconv"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// modelCases are what the model of Kafka claims besides.
func modelCases() []protocolCase {
	return []protocolCase{
		{"the last five batches are known again", (*lab).lastFive},
		{"sequences begin with the epoch", (*lab).epochs},
		{"a partition that was not added", (*lab).notAdded},
		{"a writer that is not known", (*lab).unknown},
		{"renewing", (*lab).renewing},
		{"transactions without a record", (*lab).nothing},
		{"batches without a producer", (*lab).plain},
		{"what is not decided is not seen", (*lab).stable},
		{"offsets at times", (*lab).times},
		{"a topic that is deleted", (*lab).deleted},
		{"batches that are refused", (*lab).refused},
		{"topics that are refused", (*lab).topics},
		{"the configuration of a topic", (*lab).config},
		{"an old epoch is renewed while a transaction is open", (*lab).zombie},
		{"a compacted topic", (*lab).compaction},
		{"a coordinator that was restarted", (*lab).forgetful},
	}
}

func (l *lab) lastFive(t *testing.T) {
	w := l.writer(t, time.Minute)
	ok(t, w.add(t))
	var batches [][]byte
	for i := range 7 {
		batches = append(batches, w.batch(t, strconv.Itoa(i), int32(i)))
		_, err := w.send(t, batches[i])
		ok(t, err)
	}
	for i, b := range batches {
		offset, err := w.send(t, b)
		if i < 2 {
			wantCode(t, "a batch that is forgotten", err, kafkago.OutOfOrderSequenceNumber)
			continue
		}
		ok(t, err)
		if offset != int64(i) {
			t.Errorf("batch %d again: offset %d, want %d", i, offset, i)
		}
	}
	ok(t, w.end(t, true))
	l.decided(t, w.topic)
	_, err := w.send(t, batches[6])
	wantCode(t, "a batch of a transaction that is over", err, kafkago.InvalidTransactionState)
	ok(t, w.add(t))
	w.sequence = 7
	_, err = w.write(t, "never")
	wantCode(t, "a batch behind one that was refused", err, kafkago.OutOfOrderSequenceNumber)
	ok(t, w.end(t, false))
	w.put(t, "next")
	ok(t, w.end(t, true))
	l.wantValues(t, w.topic, "0", "1", "2", "3", "4", "5", "6", "next")
}

func (l *lab) epochs(t *testing.T) {
	w := l.writer(t, time.Minute)
	w.sequence = 7 // Nobody knows of an earlier one.
	w.put(t, "seven")
	ok(t, w.end(t, true))
	ok(t, w.init(t, time.Minute, -1, -1))
	ok(t, w.add(t))
	_, err := w.send(t, w.batch(t, "gap", 8))
	wantCode(t, "a new epoch that does not begin at 0", err, kafkago.OutOfOrderSequenceNumber)
	w.put(t, "zero")
	ok(t, w.end(t, true))
	l.wantValues(t, w.topic, "seven", "zero")
}

func (l *lab) notAdded(t *testing.T) {
	w := l.writer(t, time.Minute)
	_, err := w.write(t, "never")
	wantCode(t, "produce before a transaction", err, kafkago.InvalidTransactionState)
	w.put(t, "first")
	ok(t, w.end(t, false))
	l.decided(t, w.topic)
	_, err = w.write(t, "never")
	wantCode(t, "produce behind a transaction", err, kafkago.InvalidTransactionState)
	w.put(t, "last")
	ok(t, w.end(t, true))
	l.wantValues(t, w.topic, "last")
}

func (l *lab) unknown(t *testing.T) {
	w := l.writer(t, time.Minute)
	other := *w
	other.id = w.id + "-other"
	wantCode(t, "add for an id that nobody has", other.add(t), kafkago.InvalidProducerIDMapping)
	wantCode(t, "end for an id that nobody has", other.end(t, true), kafkago.InvalidProducerIDMapping)
	_, err := other.write(t, "never")
	wantCode(t, "produce for an id that nobody has", err, kafkago.InvalidProducerIDMapping)
	other = *w
	other.pid.ProducerID += 1000
	wantCode(t, "add for another producer", other.add(t), kafkago.InvalidProducerIDMapping)
	wantCode(t, "end for another producer", other.end(t, true), kafkago.InvalidProducerIDMapping)
	_, err = other.write(t, "never")
	wantCode(t, "produce for another producer", err, kafkago.InvalidProducerIDMapping)
	wantCode(t, "renew another producer", other.init(t, time.Minute, other.pid.ProducerID, 0), kafkago.ProducerFenced)
	other = *w
	other.pid.ProducerEpoch++
	wantCode(t, "add in an epoch that is not yet", other.add(t), kafkago.ProducerFenced)
	wantCode(t, "end in an epoch that is not yet", other.end(t, true), kafkago.ProducerFenced)
	_, err = other.write(t, "never")
	wantCode(t, "produce in an epoch that is not yet", err, kafkago.InvalidProducerEpoch)
	wantCode(t, "renew an epoch that is not yet", other.init(t, time.Minute, w.pid.ProducerID, w.pid.ProducerEpoch+1), kafkago.ProducerFenced)
}

// renewing is about which epochs are given.
func (l *lab) renewing(t *testing.T) {
	w := l.writer(t, time.Minute)
	wantEpoch := func(what string, err error, want int) {
		t.Helper()
		if err != nil || w.pid.ProducerEpoch != want {
			t.Errorf("%s: epoch %d, %v; want %d", what, w.pid.ProducerEpoch, err, want)
		}
	}
	id := w.pid.ProducerID
	wantEpoch("a new id", nil, 0)
	wantEpoch("renew", w.init(t, time.Minute, id, 0), 1)
	wantEpoch("renew again, as if the reply had been lost", w.init(t, time.Minute, id, 0), 1)
	wantEpoch("renew once more", w.init(t, time.Minute, id, 1), 2)
	wantCode(t, "renew an old epoch", w.init(t, time.Minute, id, 0), kafkago.ProducerFenced)
	w.put(t, "left")
	wantEpoch("renew with a transaction open", w.init(t, time.Minute, id, 2), 3)
	w.put(t, "left too")
	wantEpoch("another writer", w.init(t, time.Minute, -1, -1), 5)
	wantCode(t, "renew what was replaced", w.init(t, time.Minute, id, 3), kafkago.ProducerFenced)
	wantCode(t, "a time too long", w.init(t, 16*time.Minute, -1, -1), kafkago.InvalidTransactionTimeout)
	wantCode(t, "no time", w.init(t, 0, -1, -1), kafkago.InvalidTransactionTimeout)
	w.put(t, "last")
	ok(t, w.end(t, true))
	wantEpoch("renew behind a commit", w.init(t, time.Second, id, 5), 6)
	w.put(t, "late")
	for w.add(t) == nil {
		time.Sleep(100 * time.Millisecond)
	}
	wantEpoch("renew when the time was over", w.init(t, time.Minute, id, 6), 7)
	l.wantValues(t, w.topic, "last")
}

func (l *lab) nothing(t *testing.T) {
	w := l.writer(t, time.Minute)
	wantCode(t, "commit without a transaction", w.end(t, true), kafkago.InvalidTransactionState)
	wantCode(t, "abort without a transaction", w.end(t, false), kafkago.InvalidTransactionState)
	for _, commit := range []bool{true, false} {
		ok(t, w.add(t))
		ok(t, w.end(t, commit))
	}
	ok(t, w.add(t)) // When that is taken, both markers stand.
	l.wantOffset(t, w.topic, kafkago.ReadUncommitted, kafkago.LastOffset, 2)
	l.wantOffset(t, w.topic, kafkago.ReadCommitted, kafkago.LastOffset, 2)
	ok(t, w.end(t, true))
	wantCode(t, "abort behind a commit", w.end(t, false), kafkago.InvalidTransactionState)
	ok(t, w.init(t, time.Minute, -1, -1))
	wantCode(t, "commit behind a renewal", w.end(t, true), kafkago.InvalidTransactionState)
	w.put(t, "x")
	ok(t, w.end(t, true))
	l.wantValues(t, w.topic, "x")
}

// zombie is about a writer that was replaced, and does not know it, when its successor has a transaction open.
func (l *lab) zombie(t *testing.T) {
	first := l.writer(t, time.Minute)
	second := &writer{Client: l.client, id: first.id, topic: first.topic}
	ok(t, second.init(t, time.Minute, -1, -1))
	second.put(t, "second")
	wantCode(t, "renew what was replaced", first.init(t, time.Minute, first.pid.ProducerID, first.pid.ProducerEpoch), kafkago.ProducerFenced)
	wantCode(t, "commit of the writer that replaced it", second.end(t, true), kafkago.ProducerFenced) // Its transaction was aborted.
	ok(t, second.init(t, time.Minute, second.pid.ProducerID, second.pid.ProducerEpoch))
	second.put(t, "again")
	ok(t, second.end(t, true))
	l.wantValues(t, first.topic, "again")
}

// forgetful is about a coordinator that was restarted, and does not know any more which epoch was before the one that it gave: nobody can
// tell then a writer whose reply was lost, or whose transaction timed out, from one that was replaced.
func (l *lab) forgetful(t *testing.T) {
	late, renewed := l.writer(t, time.Second), l.writer(t, time.Minute)
	late.put(t, "late")
	for late.add(t) == nil {
		time.Sleep(100 * time.Millisecond)
	}
	lost := renewed.pid
	ok(t, renewed.init(t, time.Minute, lost.ProducerID, lost.ProducerEpoch))
	l.restart(t)
	wantCode(t, "renew when the time was over", late.init(t, time.Minute, late.pid.ProducerID, late.pid.ProducerEpoch), kafkago.ProducerFenced)
	wantCode(t, "renew again, as if the reply had been lost", renewed.init(t, time.Minute, lost.ProducerID, lost.ProducerEpoch), kafkago.ProducerFenced)
	for _, w := range []*writer{late, renewed} {
		ok(t, w.init(t, time.Minute, -1, -1))
		w.put(t, "again")
		ok(t, w.end(t, true))
		l.wantValues(t, w.topic, "again")
	}
}

// sign makes a signed batch of records.
func (w *writer) sign(t *testing.T, compression protocol.Attributes, sequence int32, records ...protocol.Record) []byte {
	t.Helper()
	var buf bytes.Buffer
	set := protocol.RecordSet{
		Version: 2, Attributes: compression | protocol.Transactional, Records: protocol.NewRecordReader(records...),
	}
	if _, err := set.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	b := buf.Bytes()[4:]
	binary.BigEndian.PutUint64(b[43:], uint64(w.pid.ProducerID))
	binary.BigEndian.PutUint16(b[51:], uint16(w.pid.ProducerEpoch))
	binary.BigEndian.PutUint32(b[53:], uint32(sequence))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return buf.Bytes()
}

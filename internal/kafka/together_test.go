package kafka

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/segmentio/kafka-go/protocol/listoffsets"

	"github.com/jmpub/jmpub/pipeline"
)

// txLog is a partition with transactions that may grow. The value of a record is the number of the fetch that brings
// it, counted from 1. Safe for concurrent use.
type txLog struct {
	mu      sync.Mutex
	entries []slot
	// aborted are the transactions that were, in the order in which they ended.
	aborted []abortedTx
	fetches int
	// cancelled counts the fetches whose context ended.
	cancelled int
	// batches is how many batches a reply has.
	batches int
	// delay, where set, is how long the n-th fetch takes; fault, where set, is what comes of it.
	delay func(n int) time.Duration
	fault func(n int) error
}

// slot is what stands at an offset: nothing, where compaction was, a record with a key, or a marker.
type slot struct {
	key      string
	producer int64
	marker   protocol.Attributes // Control where it is one.
	kind     int16
}

type abortedTx struct{ producer, first, last int64 }

// write puts a record at the next offset, end the end of a transaction.
func (l *txLog) write(producer int64, key string) {
	l.entries = append(l.entries, slot{key: key, producer: producer})
}

func (l *txLog) end(producer, first int64, commit bool) {
	e := slot{producer: producer, marker: protocol.Control}
	if commit {
		e.kind = 1
	} else {
		l.aborted = append(l.aborted, abortedTx{producer, first, int64(len(l.entries))})
	}
	l.entries = append(l.entries, e)
}

// grow writes transactions of three producers that end in any order, some of it compacted.
func (l *txLog) grow(r *rand.Rand) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, begun := len(l.entries), make(map[int64]int64)
	for range 20 + r.IntN(40) {
		producer := int64(1 + r.IntN(3))
		first, open := begun[producer]
		switch {
		case open && r.IntN(4) == 0:
			l.end(producer, first, r.IntN(2) == 0)
			delete(begun, producer)
			continue
		case !open:
			begun[producer] = int64(len(l.entries))
		}
		l.write(producer, string("ab"[r.IntN(2)])+strconv.Itoa(len(l.entries)))
	}
	for producer := int64(1); producer <= 3; producer++ {
		if first, open := begun[producer]; open {
			l.end(producer, first, r.IntN(2) == 0)
		}
	}
	for i := before; i < len(l.entries); i++ {
		if l.entries[i].marker == 0 && r.IntN(8) == 0 {
			l.entries[i].key = ""
		}
	}
}

func (l *txLog) size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.entries))
}

func (l *txLog) RoundTrip(ctx context.Context, _ net.Addr, request kafkago.Request) (kafkago.Response, error) {
	if question, ok := request.(*listoffsets.Request); ok {
		return l.offset(question), nil
	}
	asked, ok := request.(*fetch.Request)
	if !ok {
		return nil, fmt.Errorf("unexpected %T", request)
	}
	l.mu.Lock()
	l.fetches++
	n, reply := l.fetches, l.fetch(asked.Topics[0].Partitions[0].FetchOffset)
	l.mu.Unlock()
	if l.delay != nil {
		if err := pipeline.Sleep(ctx, l.delay(n)); err != nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.cancelled++
			return nil, err
		}
	}
	if l.fault != nil {
		if err := l.fault(n); err != nil {
			return nil, err
		}
	}
	return reply, nil
}

// offset answers where it ends, or where the oldest transaction begins that is open.
func (l *txLog) offset(asked *listoffsets.Request) *listoffsets.Response {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := int64(len(l.entries))
	switch p := asked.Topics[0].Partitions[0]; {
	case p.Timestamp == kafkago.FirstOffset:
		at = 0
	case asked.IsolationLevel == int8(kafkago.ReadCommitted):
		for i := range l.entries {
			if e := &l.entries[i]; e.marker == 0 && l.endOf(int64(i)) == notEnded {
				at = int64(i)
				break
			}
		}
	}
	return &listoffsets.Response{Topics: []listoffsets.ResponseTopic{{
		Topic: "t", Partitions: []listoffsets.ResponsePartition{{Offset: at}},
	}}}
}

// endOf is how the transaction has ended that the record at an offset is of.
func (l *txLog) endOf(offset int64) ending {
	for _, e := range l.entries[offset:] {
		switch {
		case e.producer != l.entries[offset].producer || e.marker == 0:
		case e.kind == 1:
			return committed
		default:
			return aborted
		}
	}
	return notEnded
}

// fetch answers as a broker does: with whole batches, each of one producer, and the transactions among them that were aborted.
func (l *txLog) fetch(offset int64) *fetch.Response {
	var p fetch.ResponsePartition
	var batches []protocol.RecordReader
	// Batches of four offsets at the most, which begin at the same offsets for everybody.
	at := int64(0)
	for at < int64(len(l.entries)) && len(batches) < max(l.batches, 1) {
		e, first := l.entries[at], at
		var records []protocol.Record
		for ; at < int64(len(l.entries)) && at < first+4 && l.entries[at].producer == e.producer && l.entries[at].marker == 0; at++ {
			if key := l.entries[at].key; key != "" {
				records = append(records, protocol.Record{
					Offset: at, Key: protocol.NewBytes([]byte(key)), Value: protocol.NewBytes(strconv.AppendInt(nil, int64(l.fetches), 10)),
				})
			}
		}
		if e.marker != 0 {
			at++
		}
		if at <= offset {
			continue
		}
		if e.marker != 0 {
			control := protocol.ControlRecord{Offset: first, Type: e.kind}
			batches = append(batches, &protocol.ControlBatch{
				ProducerID: e.producer, BaseOffset: first, Records: protocol.NewRecordReader(control.Record()),
			})
			continue
		}
		batches = append(batches, &protocol.RecordBatch{
			Attributes: protocol.Transactional, ProducerID: e.producer, BaseOffset: first, Records: protocol.NewRecordReader(records...),
		})
	}
	for _, tx := range l.aborted {
		if tx.last >= offset && tx.first < at {
			p.AbortedTransactions = append(p.AbortedTransactions, fetch.ResponseTransaction{ProducerID: tx.producer, FirstOffset: tx.first})
		}
	}
	p.RecordSet.Records = &protocol.RecordStream{Records: batches}
	return fetched(p)
}

func (l *txLog) log(together *Together) *Log {
	return &Log{
		Client: &kafkago.Client{Addr: kafkago.TCP("fake:9092"), Transport: l}, Topic: "t", Together: together,
		Retry: pipeline.Retry{Initial: time.Millisecond, Max: time.Millisecond},
	}
}

// filled is a log of 100 records, and the marker of their only transaction.
func filled() *txLog {
	l := &txLog{}
	for i := range 100 {
		l.write(1, "a"+strconv.Itoa(i))
	}
	l.end(1, 0, true)
	return l
}

// idle is when no sweep and no request is left.
func (t *Together) idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.sweeps) == 0 && len(t.asked.all) == 0
}

func takeNothing(*LogRecord) error { return nil }

// TestNobodyIsServedByAnEarlierFetch arrives while a fetch is under way, and when more was committed since it was sent.
func TestNobodyIsServedByAnEarlierFetch(t *testing.T) {
	for _, first := range []int64{0, 1, 30, 99} {
		synctest.Test(t, func(t *testing.T) {
			b := filled()
			b.batches, b.delay = 1000, func(int) time.Duration { return time.Second }
			var together Together
			var reading sync.WaitGroup
			defer reading.Wait()
			reading.Go(func() {
				if err := b.log(&together).Committed(t.Context(), 0, Bounds{0, 101}, takeNothing); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
			b.mu.Lock()
			for i := range 40 {
				b.write(2, "b"+strconv.Itoa(i))
			}
			b.end(2, 101, true)
			b.mu.Unlock()
			found := make(map[string]bool)
			err := b.log(&together).Committed(t.Context(), 0, Bounds{first, b.size()}, func(r *LogRecord) error {
				if string(r.Value) == "1" {
					t.Errorf("%s comes from a fetch that was sent before", r.Where())
				}
				found[string(r.Key)] = true
				return nil
			})
			if want := int(140 - first); err != nil || len(found) != want || !found["b39"] {
				t.Errorf("from %d: %d records, %v; want %d", first, len(found), err, want)
			}
		})
	}
}

// wish is what one of many wants to read, and how it ends it.
type wish struct {
	b      Bounds
	prefix string
	// after so many records fn fails; the context ends at a time. Both are off where they are negative.
	failAfter int
	cancelAt  time.Duration
	slow      time.Duration
}

var (
	errEnough = errors.New("enough")
	errBroken = errors.New("broken")
)

// read reads what is wished for, and holds it against what is read alone.
func (w wish) read(t *testing.T, l *txLog, together *Together) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ends := time.Now().Add(w.cancelAt)
	if w.cancelAt >= 0 {
		defer time.AfterFunc(w.cancelAt, cancel).Stop()
	}
	log := l.log(together)
	log.Prefix = w.prefix
	l.mu.Lock()
	before := l.fetches
	l.mu.Unlock()
	var got []string
	var mu sync.Mutex
	returned := false
	err := log.Committed(ctx, 0, w.b, func(r *LogRecord) error {
		if !mu.TryLock() {
			t.Error("fn is called twice at the same time")
			return nil
		}
		defer mu.Unlock()
		if n, err := strconv.Atoi(string(r.Value)); err != nil || n <= before {
			t.Errorf("%s comes from fetch %s, %v; %d were sent before", r.Where(), r.Value, err, before)
		}
		if returned {
			t.Error("fn is called after the reading has ended")
		}
		got = append(got, string(r.Key))
		time.Sleep(w.slow)
		if len(got) == w.failAfter {
			return errEnough
		}
		return nil
	})
	if !mu.TryLock() {
		t.Fatal("fn is still running")
	}
	returned = true
	mu.Unlock()
	if late := time.Since(ends); errors.Is(err, context.Canceled) && late > w.slow && w.b.End-w.b.First > alone {
		t.Errorf("it ended %s after its context", late)
	}
	want := l.alone(t, w.b, w.prefix)
	switch {
	case err == nil && slices.Equal(got, want), errors.Is(err, errEnough) && len(got) == w.failAfter,
		errors.Is(err, context.Canceled) && ctx.Err() != nil, errors.Is(err, errBroken):
	default:
		t.Errorf("%+v: found %v, %v; want %v", w, got, err, want)
	}
	if len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
		t.Errorf("%+v: %v does not begin %v", w, got, want)
	}
}

// alone reads by itself, where nothing fails.
func (l *txLog) alone(t *testing.T, b Bounds, prefix string) (keys []string) {
	t.Helper()
	l.mu.Lock()
	quiet := &txLog{entries: l.entries, aborted: l.aborted}
	l.mu.Unlock()
	log := quiet.log(nil)
	log.Prefix = prefix
	if err := log.Committed(t.Context(), 0, b, func(r *LogRecord) error {
		keys = append(keys, string(r.Key))
		return nil
	}); err != nil {
		t.Error(err)
	}
	return keys
}

// TestTogetherAsAlone reads with many who come, fail, give up and are slow at random, in a partition with aborted transactions and gaps
// that grows meanwhile, from a broker that fails, for a moment or for good.
func TestTogetherAsAlone(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			l := &txLog{batches: 1 + r.IntN(6)}
			l.grow(r)
			faults, delays := make([]int, 5000), make([]time.Duration, 5000)
			for i := range faults {
				faults[i], delays[i] = r.IntN(300), time.Duration(r.IntN(5))*time.Millisecond
			}
			broken := seed%3 == 0
			l.delay = func(n int) time.Duration { return delays[n%len(delays)] }
			l.fault = func(n int) error {
				switch f := faults[n%len(faults)]; {
				case f == 0 && broken:
					return &pipeline.Fault{Class: pipeline.Permanent, Err: errBroken}
				case f < 20:
					return errors.New("connection reset")
				default:
					return nil
				}
			}
			var together Together
			var reading sync.WaitGroup
			for range 40 {
				time.Sleep(time.Duration(r.IntN(8)) * time.Millisecond)
				if r.IntN(20) == 0 {
					l.grow(r)
				}
				w := wish{Bounds{r.Int64N(l.size()), l.size()}, []string{"", "a", "b", "a1"}[r.IntN(4)], -1, -1, 0}
				switch r.IntN(8) {
				case 0:
					w.b.First = 0
				case 1:
					w.b.End = w.b.First + r.Int64N(w.b.End-w.b.First+1)
				case 2:
					w.failAfter = 1 + r.IntN(20)
				case 3:
					w.cancelAt, w.slow = time.Duration(r.IntN(50_000))*time.Microsecond, time.Duration(r.IntN(2))*time.Millisecond
				case 4:
					w.slow = time.Millisecond
				}
				reading.Go(func() { w.read(t, l, &together) })
			}
			reading.Wait()
			synctest.Wait()
			if !together.idle() {
				t.Error("somebody is still read for")
			}
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		})
	}
}

// TestLeaving ends a reading at once, while another one goes on and a third one is slow; and the fetch ends with the last one.
func TestLeaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := filled()
		b.delay = func(int) time.Duration { return time.Minute }
		var together Together
		begun := time.Now()
		read := func(ctx context.Context, fn func(*LogRecord) error) error {
			return b.log(&together).Committed(ctx, 0, Bounds{0, 101}, fn)
		}
		var reading sync.WaitGroup
		reading.Go(func() {
			first, leave := context.WithTimeout(t.Context(), time.Second)
			defer leave()
			if err := read(first, takeNothing); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
				t.Errorf("it ends after %s with %v", time.Since(begun), err)
			}
		})
		synctest.Wait()
		lasting, end := context.WithCancel(t.Context())
		defer end()
		reading.Go(func() {
			if err := read(lasting, func(*LogRecord) error { time.Sleep(time.Hour); return nil }); !errors.Is(err, context.Canceled) {
				t.Errorf("the last one ends with %v", err)
			}
		})
		time.Sleep(2*time.Minute + time.Second) // The fetch that the first one began has gone on, and the slow one is at its first record.
		brief, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		if err := read(brief, takeNothing); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 2*time.Minute+2*time.Second {
			t.Errorf("it ends after %s with %v", time.Since(begun), err)
		}
		time.Sleep(4*time.Hour + time.Second) // Another fetch is under way.
		end()
		reading.Wait()
		synctest.Wait()
		if b.cancelled != 1 || !together.idle() {
			t.Errorf("%d fetches were cancelled, idle: %t", b.cancelled, together.idle())
		}
	})
}

// TestNobodyWaitsForEver has others come all the time who want what is ahead.
func TestNobodyWaitsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := filled()
		b.delay = func(int) time.Duration { return time.Second }
		var together Together
		ctx, end := context.WithCancel(t.Context())
		var reading sync.WaitGroup
		for i := range 1000 {
			reading.Go(func() {
				if pipeline.Sleep(ctx, time.Duration(i)*time.Second) != nil {
					return
				}
				b.mu.Lock()
				first := int64(len(b.entries))
				for range 2 * alone {
					b.write(1, "a")
				}
				b.end(1, first, true)
				b.mu.Unlock()
				_ = b.log(&together).Committed(ctx, 0, Bounds{first, b.size()}, takeNothing)
			})
		}
		time.Sleep(10*time.Second + time.Millisecond)
		if err := b.log(&together).Committed(t.Context(), 0, Bounds{0, 100}, takeNothing); err != nil {
			t.Error(err)
		}
		if waited := time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); waited > 5*time.Minute {
			t.Errorf("it has waited for %s", waited)
		}
		end()
		reading.Wait()
	})
}

// TestAllAreNotified tells each who is waiting that a fetch failed, and nobody who has left.
func TestAllAreNotified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := filled()
		b.batches = 1000
		b.fault = func(n int) error {
			if n < 4 {
				return errors.New("connection reset")
			}
			return nil
		}
		b.delay = func(int) time.Duration { return time.Second }
		var together Together
		var reading sync.WaitGroup
		notified := make([]int, 4)
		for i := range notified {
			reading.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if i == 3 {
					time.AfterFunc(1900*time.Millisecond, cancel)
				}
				l := b.log(&together)
				l.Retry.Notify = func(string, error, time.Duration) { notified[i]++ }
				if err := l.Committed(ctx, 0, Bounds{0, 101}, takeNothing); err != nil && i != 3 {
					t.Error(err)
				}
			})
		}
		reading.Wait()
		if want := []int{3, 3, 3, 1}; !slices.Equal(notified, want) {
			t.Errorf("they were notified %v times, not %v", notified, want)
		}
	})
}

// TestOffsetsAreAskedForTogether asks for a partition's end while it grows: many at a time get one answer, and none is older than the question.
func TestOffsetsAreAskedForTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		end, requests := int64(0), 0
		carrier := roundTripper(func(ctx context.Context, request kafkago.Request) (kafkago.Response, error) {
			r, ok := request.(*listoffsets.Request)
			if !ok {
				return nil, fmt.Errorf("unexpected %T", request)
			}
			mu.Lock()
			requests++
			offset := end
			if r.Topics[0].Partitions[0].Timestamp == kafkago.FirstOffset {
				offset = 0
			}
			mu.Unlock()
			answer := listoffsets.ResponsePartition{Offset: offset}
			return &listoffsets.Response{Topics: []listoffsets.ResponseTopic{{Topic: "t", Partitions: []listoffsets.ResponsePartition{answer}}}},
				pipeline.Sleep(ctx, time.Second)
		})
		var together Together
		l := func() *Log {
			return &Log{Client: &kafkago.Client{Addr: kafkago.TCP("fake:9092"), Transport: carrier}, Topic: "t", Together: &together}
		}
		var asking sync.WaitGroup
		for i := range 300 {
			asking.Go(func() {
				time.Sleep(time.Duration(i) * 10 * time.Millisecond)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if i%10 == 0 {
					time.AfterFunc(time.Duration(i)*time.Millisecond, cancel)
				}
				mu.Lock()
				end++
				least := end
				mu.Unlock()
				b, err := l().Decided(ctx, 0)
				if err != nil && ctx.Err() == nil || err == nil && b.End < least {
					t.Errorf("the end is %d, %v; it was %d before", b.End, err, least)
				}
			})
		}
		asking.Wait()
		synctest.Wait()
		if requests > 20 || !together.idle() {
			t.Errorf("%d requests, idle: %t", requests, together.idle())
		}
	})
}

// TestAskersLeave asks in turn, and ends some of it: whoever stays gets an answer, and whoever comes later too.
func TestAskersLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var together Together
		cancelled := 0
		ask := func(after, within time.Duration) (int64, error) {
			time.Sleep(after)
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			return together.asked.ask(ctx, question{}, func(ctx context.Context) (int64, error) {
				if err := pipeline.Sleep(ctx, time.Second); err != nil {
					cancelled++
					return 0, err
				}
				return 7, nil
			})
		}
		var asking sync.WaitGroup
		for _, a := range []struct {
			after, within time.Duration
			leaves        bool
		}{
			{0, time.Hour, false},
			{200 * time.Millisecond, 100 * time.Millisecond, true}, // The only one in the next round.
			{400 * time.Millisecond, time.Second, true},            // The first one in the round after it.
			{500 * time.Millisecond, time.Hour, false},
			{1800 * time.Millisecond, 300 * time.Millisecond, true}, // The only one, when its request is under way.
		} {
			asking.Go(func() {
				offset, err := ask(a.after, a.within)
				if a.leaves != errors.Is(err, context.DeadlineExceeded) || !a.leaves && (offset != 7 || err != nil) {
					t.Errorf("%+v: %d, %v", a, offset, err)
				}
			})
		}
		asking.Wait()
		synctest.Wait()
		if cancelled != 1 || !together.idle() {
			t.Errorf("%d requests were cancelled, idle: %t", cancelled, together.idle())
		}
	})
}

type roundTripper func(context.Context, kafkago.Request) (kafkago.Response, error)

func (f roundTripper) RoundTrip(ctx context.Context, _ net.Addr, request kafkago.Request) (kafkago.Response, error) {
	return f(ctx, request)
}

// TestPrefix leaves out what others' keys bring, unread.
func TestPrefix(t *testing.T) {
	b := &txLog{}
	for _, key := range []string{"a1", "b1", "a", "", "b", "ab"} {
		b.write(1, key)
	}
	b.end(1, 0, true)
	log := b.log(nil)
	log.Prefix = "a"
	var got []string
	err := log.Committed(t.Context(), 0, Bounds{0, 7}, func(r *LogRecord) error {
		got = append(got, string(r.Key))
		return nil
	})
	if want := "a1 a ab"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("found %v, %v; want %s", got, err, want)
	}
}

package kafka

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/fetch"

	"github.com/jmpub/jmpub/pipeline"
)

// Together has those who want to read the same partition at about the same time read it together: its records are fetched and decoded once
// for all of them, and its offsets are asked for once. Each gets what it would get alone: the records within its own bounds, in order,
// all of them from requests that were sent after it asked. Those who share one reach the same cluster, with the same rights. Safe for
// concurrent use; the zero value is ready.
//
// A partition is read in sweeps, each from the first offset that somebody wants to the last one. Say that A reads from 0 to 100, and the
// sweep is at 40 when B wants what is from 50 to 100, and C what is from 0 to 120. B joins it: nothing that B wants has been asked for. C
// has to wait, as what is before 40 was fetched before C asked, and may not come after the rest. At 100 the sweep is over, and the next
// one begins at 0, for C and whoever has come meanwhile. So nobody waits for longer than it takes to read twice what all want.
//
// A reader's fn is called by the sweep, in another goroutine than the reader's own: never twice at the same time, and never after the
// reader's call has returned. A slow one holds up the others. Whoever leaves, because its fn fails or its context ends, disturbs nobody.
// A fetch that fails is repeated as the first reader of the sweep does it, and all who are there are notified; if it fails for good, so
// do those who need it, and the others go on. One reply is held at a time.
type Together struct {
	asked asks[question, int64]

	mu     sync.Mutex
	sweeps map[place]*sweep
}

// question is what a broker is asked about a partition: the offset at a time.
type question struct {
	place

	timestamp int64
}

// place is what can be read together: records of a partition that are seen the same way.
type place struct {
	topic     string
	partition int
	level     kafkago.IsolationLevel
	// markers tells that the ends of transactions are seen too, by all readers.
	markers bool
}

// sweep reads a partition, again and again for as long as there is somebody to read for.
type sweep struct {
	place

	log    *Log
	cancel context.CancelFunc
	// at is how far it has come, until where it ends.
	at, until int64
	// serving are the readers who were there when the newest fetch was sent.
	serving []*reader
	// wanting are those of them who want the record at hand.
	wanting []*reader

	// readers are guarded by the mutex of Together.
	readers []*reader
}

// reader is one who reads.
type reader struct {
	prefix string
	retry  *pipeline.Retry
	fn     func(*LogRecord) error
	// next is the offset of the first record that it has not seen. The sweep's own, like end.
	next, end int64
	// done takes what the reading has come to.
	done chan error

	// turn is taken while fn is called: who has it and sets gone knows that fn is not called any more. It is no mutex, as fn may wait for
	// something, and whoever waits for a mutex holds up simulated time.
	turn chan struct{}
	gone bool
}

// read calls fn with each record within bounds, in order.
func (t *Together) read(ctx context.Context, l *Log, at place, b Bounds, fn func(*LogRecord) error) error {
	r := &reader{prefix: l.Prefix, retry: &l.Retry, fn: fn, next: b.First, end: b.End, done: make(chan error, 1), turn: make(chan struct{}, 1)}
	s := t.join(ctx, l, at, r)
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		t.leave(s, r)
		return fmt.Errorf("read %s/%d from %d: %w", at.topic, at.partition, b.First, ctx.Err())
	}
}

// join adds a reader to the sweep of a place, and begins one where there is none. It outlives the reader that it begins with, as others
// may have joined by then.
func (t *Together) join(ctx context.Context, l *Log, at place, r *reader) *sweep {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sweeps[at]
	if s == nil {
		lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
		s = &sweep{place: at, cancel: cancel}
		s.log = &Log{Client: l.Client, Topic: l.Topic, Retry: pipeline.Retry{Initial: l.Retry.Initial, Max: l.Retry.Max}}
		s.log.Retry.Notify = func(op string, err error, wait time.Duration) { t.notify(s, op, err, wait) }
		if t.sweeps == nil {
			t.sweeps = make(map[place]*sweep)
		}
		t.sweeps[at] = s
		go t.run(lasting, s)
	}
	s.readers = append(s.readers, r)
	return s
}

// leave takes a reader out, and ends the sweep if it was the last one.
func (t *Together) leave(s *sweep, r *reader) {
	r.take()
	r.gone = true
	r.release()
	t.mu.Lock()
	defer t.mu.Unlock()
	s.readers = slices.DeleteFunc(s.readers, func(other *reader) bool { return other == r })
	if len(s.readers) == 0 {
		t.end(s)
	}
}

// end lets the next reader begin another sweep.
func (t *Together) end(s *sweep) {
	s.cancel()
	if t.sweeps[s.place] == s {
		delete(t.sweeps, s.place)
	}
}

func (t *Together) run(ctx context.Context, s *sweep) {
	for {
		b, ok := t.plan(s)
		if !ok {
			return
		}
		reply, err := s.log.fetch(ctx, s.partition, b, s.level)
		s.at = b.First + 1
		if err == nil {
			if s.at, err = s.serve(reply, b.First); err != nil {
				err = s.failed(b.First, err)
			}
		}
		s.advance(b.First, err)
	}
}

// plan lets those go who have got everything, and returns what to fetch for the others; not ok if there are none.
func (t *Together) plan(s *sweep) (b Bounds, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.readers = slices.DeleteFunc(s.readers, (*reader).finished)
	if len(s.readers) == 0 {
		t.end(s)
		return b, false
	}
	s.serving = append(s.serving[:0], s.readers...)
	b.First = s.begin()
	for _, r := range s.serving {
		if r.next == b.First {
			b.End = max(b.End, r.end)
		}
	}
	return b, true
}

// begin is the offset to read on from: the first one ahead that is wanted, within the sweep. Where there is none, the next sweep begins. It
// ends where the readers of now end, whoever else comes, or those who wait for the one after it would wait for ever.
func (s *sweep) begin() int64 {
	first, ahead := int64(math.MaxInt64), int64(math.MaxInt64)
	for _, r := range s.serving {
		first = min(first, r.next)
		if r.next >= s.at {
			ahead = min(ahead, r.next)
		}
	}
	if ahead < s.until {
		return ahead
	}
	for _, r := range s.serving {
		s.until = max(s.until, r.end)
	}
	return first
}

// serve gives the records of a reply to those who want them.
func (s *sweep) serve(reply *fetch.ResponsePartition, from int64) (next int64, err error) {
	known := byPrefix{readers: make(map[string][]*reader)}
	for _, r := range s.serving {
		if r.next >= from { // The others wait for what comes before.
			known.add(r)
		}
	}
	wanted := func(r *LogRecord) bool {
		if r.end == notEnded {
			s.wanting = known.find(s.wanting[:0], r.Offset, r.Key)
		} else {
			s.wanting = known.all(s.wanting[:0], r.Offset)
		}
		return len(s.wanting) > 0
	}
	return s.log.eachOf(reply, s.place, from, wanted, func(record *LogRecord) error {
		for _, r := range s.wanting {
			r.next = record.Offset + 1
			if err := r.give(record); err != nil {
				r.finish(s.failed(from, err))
			}
		}
		return nil
	})
}

// byPrefix finds readers by the keys that they want. There are as many as apps, and each record is that of one.
type byPrefix struct {
	readers map[string][]*reader
	// sizes are those that prefixes have.
	sizes []int
}

func (p *byPrefix) add(r *reader) {
	p.readers[r.prefix] = append(p.readers[r.prefix], r)
	if !slices.Contains(p.sizes, len(r.prefix)) {
		p.sizes = append(p.sizes, len(r.prefix))
	}
}

// find appends the readers who want the record with a key at an offset.
func (p *byPrefix) find(found []*reader, offset int64, key []byte) []*reader {
	for _, size := range p.sizes {
		if size > len(key) {
			continue
		}
		for _, r := range p.readers[string(key[:size])] {
			if r.next <= offset && offset < r.end {
				found = append(found, r)
			}
		}
	}
	return found
}

// all appends the readers who want what is at an offset, whatever it is.
func (p *byPrefix) all(found []*reader, offset int64) []*reader {
	for _, readers := range p.readers {
		for _, r := range readers {
			if r.next <= offset && offset < r.end {
				found = append(found, r)
			}
		}
	}
	return found
}

func (s *sweep) failed(from int64, err error) error {
	return fmt.Errorf("read %s/%d from %d: %w", s.topic, s.partition, from, err)
}

// advance takes in that what is from an offset up to where the sweep is now has been read, or could not be.
func (s *sweep) advance(from int64, err error) {
	for _, r := range s.serving {
		switch {
		case r.next < from || r.next >= s.at:
		case err != nil:
			r.finish(err)
		default:
			r.next = s.at
		}
	}
}

// notify tells all who are there that a fetch has failed and is repeated: those who came when it was under way are held up by it too.
func (t *Together) notify(s *sweep, op string, err error, wait time.Duration) {
	t.mu.Lock()
	readers := slices.Clone(s.readers)
	t.mu.Unlock()
	for _, r := range readers {
		r.take()
		if !r.gone && r.retry.Notify != nil {
			r.retry.Notify(op, err, wait)
		}
		r.release()
	}
}

func (r *reader) take()    { r.turn <- struct{}{} }
func (r *reader) release() { <-r.turn }

// give calls fn, unless the reader has gone.
func (r *reader) give(record *LogRecord) error {
	r.take()
	defer r.release()
	if r.gone {
		return nil
	}
	return r.fn(record)
}

// finish tells the reader what its reading has come to.
func (r *reader) finish(err error) {
	r.take()
	defer r.release()
	if !r.gone {
		r.gone = true
		r.done <- err
	}
}

// finished lets the reader go if it has got everything, and tells whether it has gone.
func (r *reader) finished() bool {
	if r.next >= r.end {
		r.finish(nil)
	}
	r.take()
	defer r.release()
	return r.gone
}

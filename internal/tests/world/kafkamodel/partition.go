package kafkamodel

import (
	"cmp"
	"slices"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

// partition is a partition's log, and what its leader knows of those who write to it.
type partition struct {
	leader        int32
	replicas, isr []int32

	// start is the first offset that is there, end is behind the last.
	start, end int64
	batches    []batch
	producers  map[int64]*writer
	waiting    map[int64]*waiting
	aborted    []aborted
}

// writer is what a partition knows of a producer.
type writer struct {
	epoch int16
	// sent are its last batches of this epoch, five at most.
	sent []sent
	// open is the first offset of its transaction; negative where none is open here.
	open int64
	// wrote is when it has written last, or its transaction was ended.
	wrote time.Time
}

// waiting is a producer's batch that the coordinator is asked about: the lowest sequence of those that were sent since its last
// transaction here. Whatever the answer was, none behind it is taken before it (KIP-890).
type waiting struct {
	epoch  int16
	lowest int32
}

// sent is a batch that was appended.
type sent struct {
	first, last int32
	base        int64
}

// remembered is how many batches of a producer are known again.
const remembered = 5

// aborted is a transaction that was aborted, from its first record to its marker.
type aborted struct {
	producer    int64
	first, last int64
}

// stable is the last stable offset: before it, everything is decided.
func (p *partition) stable() int64 {
	offset := p.end
	for _, w := range p.producers {
		if w.open >= 0 {
			offset = min(offset, w.open)
		}
	}
	return offset
}

// isOpen tells whether a producer has a transaction open here, in an epoch.
func (p *partition) isOpen(producer int64, epoch int16) bool {
	w := p.producers[producer]
	return w != nil && w.open >= 0 && w.epoch == epoch
}

// push appends a batch as it is.
func (p *partition) push(b batch) (base int64) {
	base = p.end
	b.place(base)
	p.batches = append(p.batches, b)
	p.end = b.last() + 1
	return base
}

// append takes a batch of a producer, which is verified, or answers one that it has already.
func (p *partition) append(b batch, now time.Time) (base int64, err kafkago.Error) {
	if b.producer() < 0 {
		return p.push(b), 0
	}
	first, last := b.sequences()
	w := p.producers[b.producer()]
	if w != nil && w.epoch == b.epoch() {
		for _, s := range w.sent {
			if s.first == first && s.last == last {
				return s.base, 0
			}
		}
	}
	if v := p.waiting[b.producer()]; v != nil && v.epoch == b.epoch() && first > v.lowest {
		return -1, kafkago.OutOfOrderSequenceNumber
	}
	switch {
	case w == nil: // Of a producer that is not known, any sequence is taken.
		w = &writer{open: -1}
		p.producers[b.producer()] = w
	case b.epoch() < w.epoch:
		return -1, kafkago.InvalidProducerEpoch
	case b.epoch() > w.epoch && first != 0, b.epoch() == w.epoch && first != w.next():
		return -1, kafkago.OutOfOrderSequenceNumber
	}
	if w.epoch != b.epoch() {
		w.sent = nil
	}
	base = p.push(b)
	w.epoch, w.wrote = b.epoch(), now
	w.sent = append(w.sent, sent{first, last, base})
	if len(w.sent) > remembered {
		w.sent = w.sent[1:]
	}
	if b.attributes().Transactional() {
		delete(p.waiting, b.producer())
		if w.open < 0 {
			w.open = base
		}
	}
	return base, 0
}

// wait notes that the coordinator is asked about a batch.
func (p *partition) wait(b batch) {
	first, _ := b.sequences()
	v := p.waiting[b.producer()]
	if v == nil || v.epoch < b.epoch() {
		p.waiting[b.producer()] = &waiting{b.epoch(), first}
		return
	}
	v.lowest = min(v.lowest, first)
}

// next is the sequence that comes next.
func (w *writer) next() int32 {
	if len(w.sent) == 0 {
		return 0
	}
	last := w.sent[len(w.sent)-1].last
	return int32((int64(last) + 1) % (1 << 31))
}

// forget forgets a producer that has no transaction open and has not written since a time.
func (p *partition) forget(producer int64, since time.Time) {
	if w := p.producers[producer]; w != nil && w.open < 0 && !w.wrote.After(since) {
		delete(p.producers, producer)
	}
}

// endTransaction takes a marker.
func (p *partition) endTransaction(b batch, commit bool, now time.Time) {
	w := p.producers[b.producer()]
	if w == nil {
		w = &writer{open: -1, epoch: b.epoch()}
		p.producers[b.producer()] = w
	}
	at := p.push(b)
	delete(p.waiting, b.producer())
	if b.epoch() > w.epoch {
		w.epoch, w.sent = b.epoch(), nil
	}
	if w.open >= 0 && !commit {
		p.aborted = append(p.aborted, aborted{b.producer(), w.open, at})
	}
	w.open, w.wrote = -1, now
}

// abortedWithin are the aborted transactions of which something stands within bounds, in the order in which they ended.
func (p *partition) abortedWithin(from, end int64) []fetch.ResponseTransaction {
	var found []fetch.ResponseTransaction
	for _, a := range p.aborted {
		if a.last >= from && a.first < end {
			found = append(found, fetch.ResponseTransaction{ProducerID: a.producer, FirstOffset: a.first})
		}
	}
	return found
}

// from is the index of the batch that holds an offset, or of the next one.
func (p *partition) from(offset int64) int {
	i, _ := slices.BinarySearchFunc(p.batches, offset, func(b batch, offset int64) int { return cmp.Compare(b.last(), offset) })
	return i
}

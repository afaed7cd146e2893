package kafkamodel

import (
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// Record is a record as a reader sees it who sees only what was committed.
type Record struct {
	Topic      string
	Partition  int
	Offset     int64
	Time       time.Time
	Key, Value []byte
	Headers    []protocol.Header
}

// Topics are the names of all topics.
func (c *Cluster) Topics() []string {
	c.lock()
	defer c.mu.Unlock()
	var names []string
	for name := range c.topics {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Committed are a topic's records that are decided and were committed, partition by partition.
func (c *Cluster) Committed(name string) []Record {
	c.lock()
	defer c.mu.Unlock()
	t := c.topics[name]
	if t == nil {
		return nil
	}
	var found []Record
	for number, p := range t.partitions {
		stable := p.stable()
		for _, b := range p.batches {
			if b.base() >= stable || b.attributes().Control() || p.wasAborted(b) {
				continue
			}
			records, _ := b.records() // They were checked.
			for _, r := range records {
				found = append(found, Record{name, number, r.offset, time.UnixMilli(r.time).UTC(), r.key, r.value, r.headers})
			}
		}
	}
	return found
}

// Open tells how many transactions are open in a topic's partitions.
func (c *Cluster) Open(name string) (n int) {
	c.lock()
	defer c.mu.Unlock()
	if t := c.topics[name]; t != nil {
		for _, p := range t.partitions {
			for _, w := range p.producers {
				if w.open >= 0 {
					n++
				}
			}
		}
	}
	return n
}

// wasAborted tells whether a batch is of a transaction that was aborted.
func (p *partition) wasAborted(b batch) bool {
	return b.attributes().Transactional() && slices.ContainsFunc(p.aborted, func(a aborted) bool {
		return a.producer == b.producer() && a.first <= b.base() && b.base() < a.last
	})
}

// Retain deletes what a topic's retention.ms does not keep: batches from the beginning on, as long as all of their records are older.
func (c *Cluster) Retain(name string) {
	c.lock()
	defer c.mu.Unlock()
	t := c.topics[name]
	if t == nil || !strings.Contains(t.config[cleanupPolicy], "delete") || t.number(retentionMs) < 0 {
		return
	}
	oldest := c.now.UnixMilli() - t.number(retentionMs)
	for _, p := range t.partitions {
		for len(p.batches) > 0 && p.batches[0].int64(atMaxTime) < oldest && p.batches[0].last() < p.stable() {
			p.start = p.batches[0].last() + 1
			p.batches = p.batches[1:]
		}
		p.aborted = slices.DeleteFunc(p.aborted, func(a aborted) bool { return a.last < p.start })
	}
}

// Compact keeps, of what is decided in a compacted topic, the newest committed record of each key. What was aborted goes, tombstones and
// markers stay. Of a batch that loses some of its records the place stays; one that loses all goes, unless it is its producer's last.
func (c *Cluster) Compact(name string) {
	c.lock()
	defer c.mu.Unlock()
	if t := c.topics[name]; t != nil {
		t.compact()
	}
}

// compactAll compacts all topics that are, from now on again and again.
func (c *Cluster) compactAll() {
	for _, t := range c.topics {
		t.compact()
	}
	c.after(c.opts.CompactEvery, c.compactAll)
}

func (t *topic) compact() {
	if !t.compacted() {
		return
	}
	for _, p := range t.partitions {
		p.compact()
	}
}

func (p *partition) compact() {
	newest, last := p.newest()
	stable := p.stable()
	var batches []batch
	for _, b := range p.batches {
		if b.base() >= stable || b.attributes().Control() {
			batches = append(batches, b)
			continue
		}
		dropped := p.wasAborted(b)
		records, _ := b.records() // They were checked.
		left := slices.DeleteFunc(slices.Clone(records), func(r record) bool { return dropped || newest[string(r.key)] != r.offset })
		switch {
		case len(left) == len(records):
			batches = append(batches, b)
		case len(left) > 0 || last[b.producer()] == b.base():
			batches = append(batches, b.keep(left))
		}
	}
	p.batches = batches
}

// newest finds, of what is decided, each key's newest offset, and the last batch of each producer.
func (p *partition) newest() (keys map[string]int64, producers map[int64]int64) {
	keys, producers = make(map[string]int64), make(map[int64]int64)
	stable := p.stable()
	for _, b := range p.batches {
		if b.base() >= stable || b.attributes().Control() {
			continue
		}
		producers[b.producer()] = b.base()
		if p.wasAborted(b) {
			continue
		}
		records, _ := b.records() // They were checked.
		for _, r := range records {
			keys[string(r.key)] = r.offset
		}
	}
	delete(producers, -1) // That is none.
	return keys, producers
}

// Package kafkamodel is Kafka at the level of its protocol's messages, in memory: what a [kafkago.RoundTripper] sends is answered as
// Apache Kafka 4.1 answers it, at the versions that kafka-go speaks. It is for simulations under testing/synctest: its clock is
// [time.Now], it has no goroutine, and what is due later happens as soon as anybody asks for something by then.
//
// internal/tests/kafkatest holds it against Apache Kafka. What it does not know it answers with an error that says so. Not modelled are
// consumer groups, quotas, log append time, segments, and topics that are made by being asked for; what has been appended is on all
// replicas.
package kafkamodel

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// Options of a cluster; the zero value is one broker.
type Options struct {
	// Brokers is their number, 1 where zero. Their ids begin at 1.
	Brokers int
	// TimeoutScan is how often the coordinator looks for transactions that have timed out, 10 s where zero.
	TimeoutScan time.Duration
	// MarkerDelay is how long after a transaction's verdict its marker is written to a partition; nil writes all of them at once.
	MarkerDelay func() time.Duration
	// ForgetProducers is producer.id.expiration.ms, a day where zero; ForgetTransactionalIDs is transactional.id.expiration.ms, a week where
	// zero. Both are kept at once, where a broker looks now and then.
	ForgetProducers, ForgetTransactionalIDs time.Duration
	// Taken is called with each record that a user appends; nil tells nobody. It must not ask the cluster for anything.
	Taken func(user, topic string, key []byte)
	// CompactEvery is how often all compacted topics are; never where zero.
	CompactEvery time.Duration
}

// Cluster is a model of a cluster. Safe for concurrent use.
type Cluster struct {
	opts  Options
	began time.Time

	mu sync.Mutex
	// now is the time of what is happening.
	now time.Time
	// due is what happens later, in the order of time.
	due []event
	// changed is closed, and made anew, when there may be more to read.
	changed chan struct{}

	up           []bool
	topics       map[string]*topic
	transactions map[string]*transaction
	nextProducer int64
	denied       map[access]bool
}

// event is what happens at a time.
type event struct {
	at time.Time
	do func()
}

// New makes a cluster with all brokers up and no topic.
func New(o Options) *Cluster {
	o.Brokers = max(1, o.Brokers)
	if o.TimeoutScan == 0 {
		o.TimeoutScan = 10 * time.Second
	}
	if o.MarkerDelay == nil {
		o.MarkerDelay = func() time.Duration { return 0 }
	}
	if o.ForgetProducers == 0 {
		o.ForgetProducers = 24 * time.Hour
	}
	if o.ForgetTransactionalIDs == 0 {
		o.ForgetTransactionalIDs = 7 * 24 * time.Hour
	}
	c := &Cluster{
		opts: o, began: time.Now(), now: time.Now(), changed: make(chan struct{}),
		topics: make(map[string]*topic), transactions: make(map[string]*transaction), denied: make(map[access]bool),
	}
	for range o.Brokers {
		c.up = append(c.up, true)
	}
	if o.CompactEvery > 0 {
		c.after(o.CompactEvery, c.compactAll)
	}
	return c
}

// lock begins an exchange with the cluster: what is due has happened.
func (c *Cluster) lock() {
	c.mu.Lock()
	c.settle()
}

// settle lets happen what is due.
func (c *Cluster) settle() {
	now := time.Now()
	for len(c.due) > 0 && !c.due[0].at.After(now) {
		e := c.due[0]
		c.due = c.due[1:]
		c.now = e.at
		e.do()
	}
	c.now = now
}

// after has something happen later.
func (c *Cluster) after(d time.Duration, do func()) {
	at := c.now.Add(d)
	i, _ := slices.BinarySearchFunc(c.due, at, func(e event, at time.Time) int {
		if e.at.After(at) {
			return 1
		}
		return -1 // Behind all that is due at the same time.
	})
	c.due = slices.Insert(c.due, i, event{at, do})
}

// grown wakes those who wait for more to read.
func (c *Cluster) grown() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// isUp tells whether a broker, by its id, is there.
func (c *Cluster) isUp(id int32) bool { return id >= 1 && int(id) <= len(c.up) && c.up[id-1] }

// anyUp is the first broker that is there from an index on; -1 if none is.
func (c *Cluster) anyUp(from int) int32 {
	for i := range c.up {
		if at := (from + i) % len(c.up); c.up[at] {
			return int32(at + 1)
		}
	}
	return -1
}

// Stop has a broker die. Other replicas become leaders of its partitions; it keeps what it has.
func (c *Cluster) Stop(id int) {
	c.lock()
	defer c.mu.Unlock()
	c.up[id-1] = false
	c.elect()
	c.coordinate()
}

// Start has a broker come back. What it leads stays where it is.
func (c *Cluster) Start(id int) {
	c.lock()
	defer c.mu.Unlock()
	c.up[id-1] = true
	c.elect()
	c.coordinate()
}

// elect finds who is in sync, and leaders for the partitions that have none.
func (c *Cluster) elect() {
	for _, t := range c.topics {
		for _, p := range t.partitions {
			c.electIn(p)
		}
	}
}

// electIn never leaves the replicas that were in sync last, when the last of them dies: only they have everything.
func (c *Cluster) electIn(p *partition) {
	alive := slices.DeleteFunc(slices.Clone(p.isr), func(id int32) bool { return !c.isUp(id) })
	if len(alive) == 0 {
		p.isr, p.leader = p.isr[:1], -1
		return
	}
	if !slices.Contains(alive, p.leader) {
		p.leader = alive[0]
	}
	for _, id := range p.replicas {
		if c.isUp(id) && !slices.Contains(alive, id) {
			alive = append(alive, id)
		}
	}
	p.isr = alive
}

// handle answers a message that has come to a broker.
func (c *Cluster) handle(m *Message) (protocol.Message, error) {
	answer, known := c.answer(m)
	if !known {
		return nil, fmt.Errorf("the model of Kafka does not know %T", m.Request)
	}
	return answer, nil
}

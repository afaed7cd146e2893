package kafkamodel

import (
	"hash/crc32"
	"slices"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/addpartitionstotxn"
	"github.com/segmentio/kafka-go/protocol/endtxn"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
)

// state is that of a transactional id, as its coordinator has it.
type state int

const (
	empty state = iota
	ongoing
	prepareCommit
	prepareAbort
	completeCommit
	completeAbort
)

// place is a partition of a topic.
type place struct {
	topic     string
	partition int32
}

// transaction is what the coordinator knows of a transactional id.
type transaction struct {
	producer int64
	epoch    int16
	// lastEpoch is the one that was renewed, or fenced because its time was over; -1 once another writer has the id. Only the
	// coordinator's memory has it.
	lastEpoch   int16
	coordinator int32
	timeout     time.Duration
	state       state
	// began is when the transaction did, changed when the state has changed last.
	began, changed time.Time
	places         []place
}

func (t *transaction) has(at place) bool { return slices.Contains(t.places, at) }

func (t *transaction) ending() bool { return t.state == prepareCommit || t.state == prepareAbort }

const (
	// longestTimeout is the broker's transaction.max.timeout.ms.
	longestTimeout = 15 * time.Minute
	// exhausted is an epoch behind which there is none.
	exhausted = 1<<15 - 2
	// markerRetry is how soon a marker is tried again whose partition has no leader.
	markerRetry = 100 * time.Millisecond
)

// transaction is what is known of a transactional id; nil where nothing is, or not any more.
func (c *Cluster) transaction(id string) *transaction {
	t := c.transactions[id]
	if t != nil && t.state != ongoing && !t.ending() && c.now.Sub(t.changed) >= c.opts.ForgetTransactionalIDs {
		delete(c.transactions, id)
		return nil
	}
	return t
}

// coordinatorOf is the broker that knows of a transactional id; -1 if none is up.
func (c *Cluster) coordinatorOf(id string) int32 {
	return c.anyUp(int(crc32.ChecksumIEEE([]byte(id))) % len(c.up))
}

// coordinate has other coordinators read their ids' states from their logs, which do not have all of it.
func (c *Cluster) coordinate() {
	for id, t := range c.transactions {
		if now := c.coordinatorOf(id); now != t.coordinator {
			t.coordinator, t.lastEpoch = now, -1
		}
	}
}

func (c *Cluster) findCoordinator(m *Message, req *findcoordinator.Request) *findcoordinator.Response {
	if !c.may(m.User, Describe, TransactionalID, req.Key) {
		return &findcoordinator.Response{ErrorCode: code(kafkago.TransactionalIDAuthorizationFailed), NodeID: -1, Port: -1}
	}
	return &findcoordinator.Response{NodeID: c.coordinatorOf(req.Key), Host: "model"}
}

func (c *Cluster) initProducerID(m *Message, req *initproducerid.Request) *initproducerid.Response {
	producer, epoch, err := c.initProducer(m, req)
	if err != 0 {
		producer, epoch = -1, -1
	}
	return &initproducerid.Response{ErrorCode: code(err), ProducerID: producer, ProducerEpoch: epoch}
}

func (c *Cluster) initProducer(m *Message, req *initproducerid.Request) (producer int64, epoch int16, err kafkago.Error) {
	id, timeout := req.TransactionalID, time.Duration(req.TransactionTimeoutMs)*time.Millisecond
	if id == "" {
		c.nextProducer++
		return c.nextProducer, 0, 0
	}
	switch {
	case !c.may(m.User, Write, TransactionalID, id):
		return 0, 0, kafkago.TransactionalIDAuthorizationFailed
	case c.coordinatorOf(id) != m.Broker:
		return 0, 0, kafkago.NotCoordinatorForGroup
	case timeout <= 0 || timeout > longestTimeout:
		return 0, 0, kafkago.InvalidTransactionTimeout
	}
	t := c.transaction(id)
	if t == nil {
		c.nextProducer++
		t = &transaction{producer: c.nextProducer, epoch: -1, lastEpoch: -1, coordinator: m.Broker, changed: c.now}
		c.transactions[id] = t
	}
	switch {
	case req.ProducerID >= 0 && t.epoch >= 0 && req.ProducerID != t.producer:
		return 0, 0, kafkago.ProducerFenced
	case t.ending():
		return 0, 0, kafkago.ConcurrentTransactions
	case t.state == ongoing:
		c.fence(t)
		return 0, 0, kafkago.ConcurrentTransactions
	}
	err = c.renew(t, req)
	if err == 0 {
		t.timeout = timeout
	}
	return t.producer, t.epoch, err
}

// renew gives a transactional id's next epoch away.
func (c *Cluster) renew(t *transaction, req *initproducerid.Request) kafkago.Error {
	own := req.ProducerID >= 0
	switch {
	case own && t.epoch >= 0 && req.ProducerEpoch == t.lastEpoch && req.ProducerEpoch != t.epoch:
		return 0 // It is asked for again, or its time was over: the epoch is new already.
	case own && t.epoch >= 0 && req.ProducerEpoch != t.epoch:
		return kafkago.ProducerFenced
	}
	t.lastEpoch = -1
	if own {
		t.lastEpoch = t.epoch
	}
	if t.epoch++; t.epoch > exhausted {
		c.nextProducer++
		t.producer, t.epoch, t.lastEpoch = c.nextProducer, 0, -1
	}
	t.state, t.changed = empty, c.now
	return 0
}

// fence aborts a transaction in an epoch that nobody has.
func (c *Cluster) fence(t *transaction) {
	t.lastEpoch = t.epoch
	t.epoch++
	c.end(t, false)
}

func (c *Cluster) addPartitions(m *Message, req *addpartitionstotxn.Request) *addpartitionstotxn.Response {
	all := c.addable(m, req)
	var places []place
	refused := false
	res := &addpartitionstotxn.Response{}
	for _, t := range req.Topics {
		result := addpartitionstotxn.ResponseResult{Name: t.Name}
		for _, number := range t.Partitions {
			err := all
			switch {
			case err == kafkago.TransactionalIDAuthorizationFailed:
			case !c.may(m.User, Write, Topic, t.Name):
				err, refused = kafkago.TopicAuthorizationFailed, true
			case c.partition(t.Name, number) == nil:
				err, refused = kafkago.UnknownTopicOrPartition, true
			default:
				places = append(places, place{t.Name, number})
			}
			result.Results = append(result.Results, addpartitionstotxn.ResponsePartition{PartitionIndex: number, ErrorCode: code(err)})
		}
		res.Results = append(res.Results, result)
	}
	if refused {
		notAttempted(res)
		return res
	}
	if all == 0 {
		c.join(c.transaction(req.TransactionalID), places)
	}
	return res
}

// notAttempted answers for partitions that are in order, of a request that is not: OPERATION_NOT_ATTEMPTED.
func notAttempted(res *addpartitionstotxn.Response) {
	for i := range res.Results {
		for j := range res.Results[i].Results {
			if one := &res.Results[i].Results[j]; one.ErrorCode != code(kafkago.TopicAuthorizationFailed) &&
				one.ErrorCode != code(kafkago.UnknownTopicOrPartition) {
				one.ErrorCode = code(kafkago.Error(55))
			}
		}
	}
}

// addable tells why no partition can be added.
func (c *Cluster) addable(m *Message, req *addpartitionstotxn.Request) kafkago.Error {
	t := c.transaction(req.TransactionalID)
	switch {
	case !c.may(m.User, Write, TransactionalID, req.TransactionalID):
		return kafkago.TransactionalIDAuthorizationFailed
	case c.coordinatorOf(req.TransactionalID) != m.Broker:
		return kafkago.NotCoordinatorForGroup
	case t == nil || t.producer != req.ProducerID:
		return kafkago.InvalidProducerIDMapping
	case t.epoch != req.ProducerEpoch:
		return kafkago.ProducerFenced
	case t.ending():
		return kafkago.ConcurrentTransactions
	default:
		return 0
	}
}

// join adds partitions to a transaction, with the first of which it begins.
func (c *Cluster) join(t *transaction, places []place) {
	if t.state != ongoing {
		t.state, t.places, t.began = ongoing, nil, c.now
		c.watch(t)
	}
	for _, at := range places {
		if !t.has(at) {
			t.places = append(t.places, at)
		}
	}
}

// watch aborts a transaction when its time is over and the coordinator sees it.
func (c *Cluster) watch(t *transaction) {
	began := t.began
	seen := began.Add(t.timeout).Sub(c.began).Truncate(c.opts.TimeoutScan) + c.opts.TimeoutScan
	c.after(c.began.Add(seen).Sub(c.now), func() {
		if t.state == ongoing && t.began.Equal(began) {
			c.fence(t)
		}
	})
}

func (c *Cluster) endTxn(m *Message, req *endtxn.Request) *endtxn.Response {
	err := c.endable(m, req)
	if t := c.transaction(req.TransactionalID); err == 0 && t.state == ongoing {
		c.end(t, req.Committed)
	}
	return &endtxn.Response{ErrorCode: code(err)}
}

// endable tells why a transaction cannot be ended; it can be, too, if the same verdict was taken before.
func (c *Cluster) endable(m *Message, req *endtxn.Request) kafkago.Error {
	t := c.transaction(req.TransactionalID)
	switch {
	case !c.may(m.User, Write, TransactionalID, req.TransactionalID):
		return kafkago.TransactionalIDAuthorizationFailed
	case c.coordinatorOf(req.TransactionalID) != m.Broker:
		return kafkago.NotCoordinatorForGroup
	case t == nil || t.producer != req.ProducerID:
		return kafkago.InvalidProducerIDMapping
	case t.epoch != req.ProducerEpoch:
		return kafkago.ProducerFenced
	case t.state == ongoing,
		t.state == completeCommit && req.Committed, t.state == completeAbort && !req.Committed:
		return 0
	case t.state == prepareCommit && req.Committed, t.state == prepareAbort && !req.Committed:
		return kafkago.ConcurrentTransactions
	default:
		return kafkago.InvalidTransactionState
	}
}

// end takes the verdict; the markers come when they come.
func (c *Cluster) end(t *transaction, commit bool) {
	t.state = prepareAbort
	complete := completeAbort
	if commit {
		t.state, complete = prepareCommit, completeCommit
	}
	left, producer, epoch := len(t.places), t.producer, t.epoch
	var write func(at place)
	write = func(at place) {
		p := c.partition(at.topic, at.partition)
		if p != nil && p.leader < 0 {
			c.after(markerRetry, func() { write(at) })
			return
		}
		if p != nil { // A topic that is gone needs none.
			p.endTransaction(marker(producer, epoch, commit, c.now), commit, c.now)
			c.grown()
		}
		if left--; left == 0 { // It takes the coordinator a moment to know of the last one.
			c.later(c.opts.MarkerDelay(), func() { t.state, t.changed = complete, c.now })
		}
	}
	for _, at := range t.places {
		c.later(c.opts.MarkerDelay(), func() { write(at) })
	}
}

// later is after, but for what does not have to wait.
func (c *Cluster) later(d time.Duration, do func()) {
	if d > 0 {
		c.after(d, do)
	} else {
		do()
	}
}

package kafkamodel

import (
	"io"
	"strings"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/rawproduce"
)

// errInvalidRecord is INVALID_RECORD, which kafka-go has no name for.
const errInvalidRecord = kafkago.Error(87)

func (c *Cluster) produce(m *Message, req *rawproduce.Request) *produce.Response {
	res := &produce.Response{}
	for _, t := range req.Topics {
		answer := produce.ResponseTopic{Topic: t.Topic}
		for _, part := range t.Partitions {
			data, _ := io.ReadAll(part.RecordSet.Reader) // It is memory.
			base, err := c.produceTo(m, req.TransactionalID, t.Topic, part.Partition, data)
			one := produce.ResponsePartition{Partition: part.Partition, ErrorCode: code(err), BaseOffset: base, LogAppendTime: -1, LogStartOffset: -1}
			if p := c.partition(t.Topic, part.Partition); err == 0 && p != nil {
				one.LogStartOffset = p.start
			}
			answer.Partitions = append(answer.Partitions, one)
		}
		res.Topics = append(res.Topics, answer)
	}
	c.grown()
	return res
}

// sizePrefix is what stands before the batches of a request.
const sizePrefix = 4

// produceTo checks in the order in which a broker does, and appends.
func (c *Cluster) produceTo(m *Message, id, name string, number int32, data []byte) (base int64, err kafkago.Error) {
	p, b := c.partition(name, number), batch(data[min(len(data), sizePrefix):])
	transactional := len(b) >= atRecords && b.attributes().Transactional()
	switch {
	case transactional && !c.may(m.User, Write, TransactionalID, id):
		return -1, kafkago.TransactionalIDAuthorizationFailed
	case !c.may(m.User, Write, Topic, name):
		return -1, kafkago.TopicAuthorizationFailed
	case p == nil:
		return -1, kafkago.UnknownTopicOrPartition
	case len(b) < atRecords || b[atMagic] != 2 || b.size() > len(b):
		return -1, kafkago.InvalidMessage
	case b.size() < len(b): // There is more than one.
		return -1, errInvalidRecord
	case p.leader != m.Broker:
		return -1, kafkago.NotLeaderForPartition
	}
	p.forget(b.producer(), c.now.Add(-c.opts.ForgetProducers))
	if transactional && !p.isOpen(b.producer(), b.epoch()) {
		p.wait(b)
		if err = c.verify(id, b, place{name, number}); err != 0 {
			return -1, err
		}
	}
	records, err := c.check(c.topics[name], p, b)
	if err != 0 {
		return -1, err
	}
	if base, err = p.append(b, c.now); err == 0 && c.opts.Taken != nil {
		for _, r := range records {
			c.opts.Taken(m.User, name, r.key)
		}
	}
	return base, err
}

// verify asks the coordinator whether the partition belongs to the producer's transaction (KIP-890), in the words in which older clients
// are answered.
func (c *Cluster) verify(id string, b batch, at place) kafkago.Error {
	t := c.transaction(id)
	switch {
	case t == nil || t.producer != b.producer():
		return kafkago.InvalidProducerIDMapping
	case t.epoch != b.epoch():
		return kafkago.InvalidProducerEpoch
	case t.ending():
		return kafkago.NotEnoughReplicas // So that they ask again.
	case t.state != ongoing || !t.has(at):
		return kafkago.InvalidTransactionState
	default:
		return 0
	}
}

// check holds a batch against the topic's configuration, and unpacks it.
func (c *Cluster) check(t *topic, p *partition, b batch) ([]record, kafkago.Error) {
	switch {
	case len(p.isr) < int(t.number(minInsync)):
		return nil, kafkago.NotEnoughReplicas
	case int64(len(b)) > t.number(maxMessage):
		return nil, kafkago.MessageSizeTooLarge
	case !b.intact():
		return nil, kafkago.InvalidMessage
	}
	records, err := b.records()
	if err != nil || len(records) == 0 || int32(len(records)) != b.int32(atLastDelta)+1 {
		return nil, errInvalidRecord
	}
	now, before, after := c.now.UnixMilli(), t.number(earliestBefore), t.number(latestAfter)
	for _, r := range records {
		if r.key == nil && strings.Contains(t.config[cleanupPolicy], "compact") {
			return nil, errInvalidRecord
		}
		if now-r.time > before || r.time-now > after {
			return nil, kafkago.InvalidTimestamp
		}
	}
	return records, 0
}

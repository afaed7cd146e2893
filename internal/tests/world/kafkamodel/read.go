package kafkamodel

import (
	"bytes"
	"encoding/binary"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/addpartitionstotxn"
	"github.com/segmentio/kafka-go/protocol/createpartitions"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/deletetopics"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
	"github.com/segmentio/kafka-go/protocol/endtxn"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/rawproduce"
)

// answer finds who answers a request.
func (c *Cluster) answer(m *Message) (res protocol.Message, known bool) {
	switch req := m.Request.(type) {
	case *createtopics.Request:
		return c.createTopics(m.User, req), true
	case *deletetopics.Request:
		return c.deleteTopics(m.User, req), true
	case *createpartitions.Request:
		return c.createPartitions(m.User, req), true
	case *describeconfigs.Request:
		return c.describeConfigs(m.User, req), true
	case *findcoordinator.Request:
		return c.findCoordinator(m, req), true
	case *initproducerid.Request:
		return c.initProducerID(m, req), true
	case *addpartitionstotxn.Request:
		return c.addPartitions(m, req), true
	case *endtxn.Request:
		return c.endTxn(m, req), true
	case *rawproduce.Request:
		return c.produce(m, req), true
	case *listoffsets.Request:
		return c.listOffsets(m, req), true
	case *fetch.Request:
		return c.fetch(m, req), true
	default:
		return nil, false
	}
}

// readable finds a partition for somebody who needs a right on its topic.
func (c *Cluster) readable(m *Message, o Operation, name string, number int32) (*partition, kafkago.Error) {
	p := c.partition(name, number)
	switch {
	case !c.may(m.User, o, Topic, name):
		return nil, kafkago.TopicAuthorizationFailed
	case p == nil:
		return nil, kafkago.UnknownTopicOrPartition
	case p.leader != m.Broker:
		return nil, kafkago.NotLeaderForPartition
	default:
		return p, 0
	}
}

// readCommitted is the isolation level of those who see only what was committed.
const readCommitted = 1

// bound is the offset up to which somebody sees.
func (p *partition) bound(level int8) int64 {
	if level == readCommitted {
		return p.stable()
	}
	return p.end
}

func (c *Cluster) listOffsets(m *Message, req *listoffsets.Request) *listoffsets.Response {
	res := &listoffsets.Response{}
	for _, t := range req.Topics {
		answer := listoffsets.ResponseTopic{Topic: t.Topic}
		for _, want := range t.Partitions {
			one := listoffsets.ResponsePartition{Partition: want.Partition, Timestamp: -1, Offset: -1, LeaderEpoch: -1}
			p, err := c.readable(m, Describe, t.Topic, want.Partition)
			if one.ErrorCode = code(err); err == 0 {
				one.Offset, one.Timestamp = p.offsetAt(want.Timestamp, req.IsolationLevel)
			}
			answer.Partitions = append(answer.Partitions, one)
		}
		res.Topics = append(res.Topics, answer)
	}
	return res
}

// offsetAt is the first offset whose record is not older than a time, and its time; -1 if there is none.
func (p *partition) offsetAt(time int64, level int8) (offset, at int64) {
	switch time {
	case kafkago.LastOffset:
		return p.bound(level), -1
	case kafkago.FirstOffset:
		return p.start, -1
	}
	for _, b := range p.batches {
		if b.int64(atMaxTime) < time {
			continue
		}
		records, _ := b.records() // They were checked.
		for _, r := range records {
			if r.time < time || r.offset < p.start {
				continue
			}
			if r.offset >= p.bound(level) {
				return -1, -1
			}
			return r.offset, r.time
		}
	}
	return -1, -1
}

func (c *Cluster) fetch(m *Message, req *fetch.Request) *fetch.Response {
	res := &fetch.Response{}
	for _, t := range req.Topics {
		answer := fetch.ResponseTopic{Topic: t.Topic}
		for _, want := range t.Partitions {
			one := fetch.ResponsePartition{
				Partition: want.Partition, HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1, PreferredReadReplica: -1,
			}
			p, err := c.readable(m, Read, t.Topic, want.Partition)
			if err == 0 && (want.FetchOffset < p.start || want.FetchOffset > p.end) {
				err = kafkago.OffsetOutOfRange
			}
			if one.ErrorCode = code(err); err == 0 {
				p.fill(&one, &want, req.IsolationLevel)
			}
			answer.Partitions = append(answer.Partitions, one)
		}
		res.Topics = append(res.Topics, answer)
	}
	return res
}

// fill answers with whole batches, the first of them whatever its size.
func (p *partition) fill(one *fetch.ResponsePartition, want *fetch.RequestPartition, level int8) {
	bound := p.bound(level)
	one.HighWatermark, one.LastStableOffset, one.LogStartOffset = p.end, p.stable(), p.start
	var data []byte
	end := want.FetchOffset
	for _, b := range p.batches[p.from(want.FetchOffset):] {
		if b.base() >= bound || len(data) > 0 && len(data)+len(b) > int(want.PartitionMaxBytes) {
			break
		}
		data, end = append(data, b...), b.last()+1
	}
	if len(data) == 0 {
		return
	}
	prefix := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	if _, err := one.RecordSet.ReadFrom(bytes.NewReader(append(prefix, data...))); err != nil {
		one.ErrorCode = code(kafkago.InvalidMessage)
		return
	}
	if level == readCommitted {
		one.AbortedTransactions = p.abortedWithin(want.FetchOffset, end)
	}
}

// isEmpty tells whether a reply has neither records nor an error.
func isEmpty(m protocol.Message) bool {
	res, ok := m.(*fetch.Response)
	if !ok {
		return false
	}
	for _, t := range res.Topics {
		for i := range t.Partitions {
			if t.Partitions[i].ErrorCode != 0 || t.Partitions[i].RecordSet.Records != nil {
				return false
			}
		}
	}
	return true
}

package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/rawproduce"
	"golang.org/x/sync/errgroup"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
)

// sender sends batches to the partitions' leaders.
type sender struct {
	client      *kafkago.Client
	retry       pipeline.Retry
	compression kafkago.Compression
	producer    *producer
	// checkpoints is the topic that holds the checkpoints.
	checkpoints string
	// bytes is what the batches of the open transaction that brokers have taken come to.
	bytes int64
}

// lane is what goes to one partition: its batches one after another, one of them in flight.
type lane struct {
	*partition
	chunks []chunk
	// batch is the encoded batch in flight; nil between two rounds.
	batch []byte
	// unanswered is set when a request with the batch ended without an answer, so that the transport may still be reading it.
	unanswered bool
	sent       bool
	// ranges are where the batches stand.
	ranges []pipeline.OffsetRange
}

// write sends the batches and returns where they stand. It works in rounds: each round encodes the next batch of every
// partition side by side, and sends each partition leader one request with all of its batches.
//
// One request a leader and not one a partition, because a broker checks with the coordinator that a partition belongs to
// the transaction (KIP-890), and answers a check that is still waiting with an error when the same producer sends another
// request.
func (s *sender) write(ctx context.Context, work map[topicPartition][]chunk) ([]pipeline.OffsetRange, error) {
	if len(work) == 0 {
		return nil, nil
	}
	partitions := make([]*partition, 0, len(work))
	lanes := make([]*lane, 0, len(work))
	for p, chunks := range work {
		l := &lane{partition: s.producer.at(p), chunks: chunks}
		partitions, lanes = append(partitions, l.partition), append(lanes, l)
	}
	if err := s.producer.join(ctx, partitions); err != nil {
		return nil, s.producer.overdue(err)
	}
	var ranges []pipeline.OffsetRange
	for len(lanes) > 0 {
		if err := s.round(ctx, lanes); err != nil {
			return nil, s.producer.overdue(err)
		}
		left := lanes[:0]
		for _, l := range lanes {
			if l.chunks = l.chunks[1:]; len(l.chunks) > 0 {
				left = append(left, l)
			} else {
				ranges = append(ranges, l.ranges...)
			}
		}
		lanes = left
	}
	return ranges, nil
}

// releaseBuffer gives the memory back, but only when nobody can still read it. An answer shows that the broker had all of the
// batch. A request that ended without one may still wait for its connection in the transport, which would then send whatever
// stands in the memory by that time: that memory is left to the garbage collector.
func (l *lane) releaseBuffer() {
	if l.batch != nil && !l.unanswered {
		buffers.Give(l.batch)
	}
	l.batch = nil
}

// round sends the next batch of each lane until all of them are taken, always the same bytes.
func (s *sender) round(ctx context.Context, lanes []*lane) error {
	defer func() {
		for _, l := range lanes {
			l.releaseBuffer()
		}
	}()
	var encoded errgroup.Group
	for _, l := range lanes {
		l.sent, l.unanswered = false, false
		encoded.Go(func() error {
			memory, _ := buffers.Take()
			var err error
			l.batch, err = encode(memory, l.chunks[0], s.compression, s.producer, l.sequence)
			return err
		})
	}
	if err := encoded.Wait(); err != nil {
		return err
	}
	op := produceTo(lanes)
	err := s.retry.Do(ctx, op, func(ctx context.Context) error {
		requests, err := s.byLeader(ctx, op, lanes)
		if err != nil {
			return err
		}
		errs := make([]error, len(requests))
		var sending sync.WaitGroup
		for i, request := range requests {
			sending.Go(func() { errs[i] = s.send(ctx, request) })
		}
		sending.Wait()
		return worst(errs)
	})
	for _, l := range lanes {
		if l.sent {
			s.bytes += int64(len(l.batch))
		}
	}
	return err
}

// topicsOf names the topics of the lanes.
func topicsOf(lanes []*lane) []string {
	topics := make([]string, 0, len(lanes))
	for _, l := range lanes {
		topics = append(topics, l.topic)
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}

// produceTo says what is done with the lanes, for errors.
func produceTo(lanes []*lane) string { return "produce to " + strings.Join(topicsOf(lanes), ", ") }

// worst is the error that decides: one that cannot be tried again before one that can.
func worst(errs []error) error {
	var found error
	for _, err := range errs {
		if err != nil && (found == nil || pipeline.ClassOf(found) == pipeline.Transient) {
			found = err
		}
	}
	return found
}

// byLeader groups the lanes whose batch is not taken yet by their partition's leader, as far as it is known.
func (s *sender) byLeader(ctx context.Context, op string, lanes []*lane) ([][]*lane, error) {
	res, err := s.client.Metadata(ctx, &kafkago.MetadataRequest{Topics: topicsOf(lanes)})
	if err != nil {
		return nil, kafka.Fault(op, err)
	}
	leaders := make(map[topicPartition]int)
	for _, topic := range res.Topics {
		for _, p := range topic.Partitions {
			leaders[topicPartition{topic.Name, int32(p.ID)}] = p.Leader.ID //nolint:gosec // A partition's number.
		}
	}
	groups := make(map[int][]*lane)
	for _, l := range lanes {
		if !l.sent {
			leader, known := leaders[l.topicPartition]
			if !known {
				gone := fmt.Sprintf("produce to %s/%d", l.topic, l.topicPartition.partition)
				return nil, kafka.Fault(gone, kafkago.UnknownTopicOrPartition)
			}
			groups[leader] = append(groups[leader], l)
		}
	}
	return slices.Collect(maps.Values(groups)), nil
}

// send sends one request and takes in what it says of each partition.
func (s *sender) send(ctx context.Context, lanes []*lane) error {
	op := produceTo(lanes)
	ctx, cancel := context.WithTimeout(ctx, s.client.Timeout)
	defer cancel()
	res, err := s.client.Transport.RoundTrip(ctx, s.client.Addr, s.request(lanes))
	if err != nil {
		for _, l := range lanes {
			l.unanswered = true
		}
		return kafka.Fault(op, err)
	}
	answer, ok := res.(*produce.Response)
	if !ok {
		return &pipeline.Fault{Class: pipeline.Abort, Op: op, Err: fmt.Errorf("the answer is a %T (bug)", res)}
	}
	answers := make(map[topicPartition]*produce.ResponsePartition)
	for i := range answer.Topics {
		for j := range answer.Topics[i].Partitions {
			p := &answer.Topics[i].Partitions[j]
			answers[topicPartition{answer.Topics[i].Topic, p.Partition}] = p
		}
	}
	errs := make([]error, 0, len(lanes))
	for _, l := range lanes {
		errs = append(errs, s.takeAnswer(l, answers[l.topicPartition]))
	}
	return worst(errs)
}

// timeoutShare divides a request's time: the result is the time that the brokers may take to replicate it.
const timeoutShare = 2

func (s *sender) request(lanes []*lane) *rawproduce.Request {
	req := &rawproduce.Request{
		TransactionalID: s.producer.transactionalID,
		Acks:            int16(kafkago.RequireAll),
		Timeout:         int32(s.client.Timeout.Milliseconds() / timeoutShare), //nolint:gosec // Seconds.
	}
	byTopic := make(map[string][]rawproduce.RequestPartition)
	for _, l := range lanes {
		byTopic[l.topic] = append(byTopic[l.topic], rawproduce.RequestPartition{
			Partition: l.topicPartition.partition,
			RecordSet: protocol.RawRecordSet{Reader: bytes.NewReader(l.batch)},
		})
	}
	for topic, partitions := range byTopic {
		req.Topics = append(req.Topics, rawproduce.RequestTopic{Topic: topic, Partitions: partitions})
	}
	return req
}

// takeAnswer takes in the answer for one partition.
func (s *sender) takeAnswer(l *lane, answer *produce.ResponsePartition) error {
	op := fmt.Sprintf("produce to %s/%d", l.topic, l.topicPartition.partition)
	switch {
	case answer == nil:
		return &pipeline.Fault{Class: pipeline.Abort, Op: op, Err: errors.New("the broker did not answer for the partition")}
	case answer.ErrorCode != 0:
		return s.sendFault(op, l.topicPartition, brokerError(answer))
	case answer.BaseOffset < 0:
		return &pipeline.Fault{Class: pipeline.Abort, Op: op, Err: errors.New("the broker did not say the offset")}
	}
	n := l.chunks[0].n
	l.sent = true
	l.sequence = next(l.sequence, n)
	l.ranges = append(l.ranges, pipeline.OffsetRange{
		Topic: l.topic, Partition: l.topicPartition.partition, First: answer.BaseOffset, Last: answer.BaseOffset + int64(n) - 1,
	})
	return nil
}

func brokerError(answer *produce.ResponsePartition) error {
	err := kafkago.Error(answer.ErrorCode)
	if answer.ErrorMessage == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, answer.ErrorMessage)
}

// sendFault adds to an error what is known here.
func (s *sender) sendFault(op string, p topicPartition, err error) error {
	fault := kafka.Needs(s.producer.fault(op, err), kafka.Write.On(p.topic)...)
	tooLarge := errors.Is(err, kafkago.MessageSizeTooLarge) || errors.Is(err, kafkago.RecordListTooLarge)
	if f, ok := errors.AsType[*pipeline.Fault](fault); ok && tooLarge && p.topic == s.checkpoints {
		f.Class = pipeline.Permanent
		f.Hint = fmt.Sprintf("raise max.message.bytes of %s to %d: a checkpoint holds the ids near its end", p.topic, checkpointMaxBytes)
	}
	return fault
}

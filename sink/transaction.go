package sink

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/internal/spares"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

const (
	// recordOverhead is more than a record takes besides its key, value and headers. Of an event it has room for the key and its own headers too,
	// but not for its time and conversation.
	recordOverhead = 128
	// batchMargin is kept free of a topic's limit for the batch's header.
	batchMargin = 512
)

// transaction is a writer's open transaction.
type transaction struct {
	began   time.Time
	routing *Routing
	topics  layout
	// numbers are 0 to n-1 for the partitions of any topic, as kafka-go's balancers want them.
	numbers  []int
	cfg      *WriterConfig
	schemas  *schemaIDs
	producer *producer
	sender   *sender
	// room is that of the batch that is being published.
	room *room
	// refusedTime reports an event whose own time its topic does not take.
	refusedTime func(topic string, e *event.Event, at time.Time)
}

// Commit ends the transaction; see [pipeline.Transaction].
func (t *transaction) Commit(ctx context.Context) error {
	ending := time.Now()
	err := t.producer.overdue(t.producer.end(ctx, true))
	t.ended(pipeline.Committed, ending, err)
	return err
}

// Abort ends the transaction; see [pipeline.Transaction].
func (t *transaction) Abort(ctx context.Context) error {
	ending := time.Now()
	err := t.producer.end(ctx, false)
	t.ended(pipeline.Aborted, ending, err)
	return err
}

// ended reports the end of a transaction in which something was written.
func (t *transaction) ended(result pipeline.TransactionResult, ending time.Time, err error) {
	if t.sender.bytes == 0 {
		return
	}
	if err != nil {
		result = pipeline.Failed
	}
	t.cfg.Observer.Tell(pipeline.TransactionEnded{Result: result, Took: time.Since(t.began), End: time.Since(ending), Bytes: t.sender.bytes})
}

// Publish writes a batch; see [pipeline.Transaction].
func (t *transaction) Publish(ctx context.Context, b *pipeline.Batch) (pipeline.Published, error) {
	var published pipeline.Published
	if err := t.schemas.learn(ctx); err != nil {
		return published, err
	}
	t.room = takeRoom()
	defer t.room.giveBack()
	var values [][]byte
	values, published.Rejected = t.values(b)
	ranges, err := t.sender.write(ctx, t.split(b, values, &published))
	if err != nil {
		return published, err
	}
	rejected, err := t.reject(ctx, b, slices.Concat(b.Rejected, published.Rejected))
	published.Offsets = slices.Concat(ranges, rejected)
	return published, err
}

// split lays the events out by partition and batch, in their order, and counts them as published; those without a value are left
// out. What fits into no batch, which for a large event is known only once it is compressed, is rejected.
func (t *transaction) split(b *pipeline.Batch, values [][]byte, published *pipeline.Published) map[topicPartition][]chunk {
	shared := t.cfg.headersOf(b)
	now := time.Now()
	places := t.places()
	var key [20]byte
	for i := range b.Events {
		e, value := &b.Events[i], values[i]
		if value == nil {
			continue
		}
		from := strconv.AppendInt(key[:0], e.MsgID, 10)
		if t.cfg.PartitionBy == ByConversation && len(e.Conversation) > 0 {
			from = e.Conversation
		}
		at := places[e.Target]
		if size := eventSize(e, value, shared); size > at.maxBytes-batchMargin && !t.fits(e, value, shared, at.maxBytes) {
			published.Rejected = append(published.Rejected, rejection(e, event.ReasonTooLarge, fmt.Sprintf(
				"the event has %d bytes, more than the topic's max.message.bytes of %d allows", len(value), at.maxBytes)))
			continue
		}
		n := t.partitionNumber(at.partitions, from)
		if at.events[n] == nil {
			at.events[n] = t.room.list()
		}
		at.events[n] = append(at.events[n], i)
		published.Events[e.Target]++
	}
	lists := make(map[topicPartition][]int)
	for _, at := range places {
		for n, list := range at.events {
			where := topicPartition{at.name, int32(n)}
			if _, again := lists[where]; len(list) > 0 && !again { // Targets may share a place.
				lists[where], t.room.used = list, append(t.room.used, list)
			}
		}
	}
	times := t.times(b, now)
	size := func(i int) int { return eventSize(&b.Events[i], values[i], shared) }
	return layOut(t, lists, size, func(i int, r *record) {
		e := &b.Events[i]
		r.key = strconv.AppendInt(r.digits[:0], e.MsgID, 10)
		r.value = values[i]
		r.shared, r.headers = shared, appendHeadersOf(r.headers, e, r.key)
		r.time = times(i)
	})
}

// room is what a batch is laid out in. It is used by one goroutine at a time.
type room struct {
	values [][]byte
	// lists are free ones of places, used those of the batch.
	lists, used [][]int
}

// rooms are kept for the next batches, as many as a few writers need that are busy.
var rooms = spares.New(2<<20, (*room).size) //nolint:gochecknoglobals // All writers share them.

func takeRoom() *room {
	if kept, ok := rooms.Take(); ok {
		return kept
	}
	return new(room)
}

// giveBack has other batches use it. It keeps nothing of this one.
func (r *room) giveBack() {
	clear(r.values)
	r.lists, r.used = append(r.lists, r.used...), r.used[:0]
	rooms.Give(r)
}

// size is about how many bytes it takes.
func (r *room) size() int {
	const ofSlice, ofInt = 24, 8
	size := ofSlice * cap(r.values)
	for _, list := range r.lists {
		size += ofSlice + ofInt*cap(list)
	}
	return size
}

// valuesFor is room for so many values, all of them nil.
func (r *room) valuesFor(n int) [][]byte {
	r.values = slices.Grow(r.values[:0], n)[:n]
	return r.values
}

// list is an empty list.
func (r *room) list() []int {
	last := len(r.lists) - 1
	if last < 0 {
		return nil
	}
	list := r.lists[last]
	r.lists = r.lists[:last]
	return list[:0]
}

// place is a topic that events go to, and which of a batch's events go to each of its partitions, in their order.
type place struct {
	topic

	name   string
	events [][]int
}

// places are those of each target; targets that go to the same topic have the same one.
func (t *transaction) places() [event.TargetCount]*place {
	var places [event.TargetCount]*place
	for target := range event.TargetCount {
		name := t.routing.Event(target)
		if i := slices.IndexFunc(places[:target], func(p *place) bool { return p.name == name }); i >= 0 {
			places[target] = places[i]
			continue
		}
		of := t.topics.of(name)
		places[target] = &place{of, name, make([][]int, of.partitions)}
	}
	return places
}

// times are the timestamps of a batch's records. An event whose own time its topic does not take, for which the broker would refuse the
// whole batch, gets the time of publishing.
func (t *transaction) times(b *pipeline.Batch, now time.Time) func(i int) time.Time {
	if t.cfg.RecordTime != TimeEvent {
		return func(int) time.Time { return now }
	}
	all := make([]time.Time, len(b.Events))
	for i := range b.Events {
		e := &b.Events[i]
		name := t.routing.Event(e.Target)
		limits := t.topics.of(name)
		if all[i] = t.cfg.timeOf(e, now); limits.takes(all[i], now) {
			continue
		}
		t.refusedTime(name, e, all[i])
		all[i] = now
	}
	return func(i int) time.Time { return all[i] }
}

// partitionOf is where a topic has what is placed by a key.
func (t *transaction) partitionOf(topic string, key []byte) topicPartition {
	return topicPartition{topic, int32(t.partitionNumber(t.topics.of(topic).partitions, key))} //nolint:gosec // A partition's number.
}

// partitionNumber is which of n partitions has what is placed by a key: murmur2 of it, as the Java client has it.
func (t *transaction) partitionNumber(n int, key []byte) int {
	for len(t.numbers) < n {
		t.numbers = append(t.numbers, len(t.numbers))
	}
	return kafkago.Murmur2Balancer{Consistent: true}.Balance(kafkago.Message{Key: key}, t.numbers[:n]...)
}

// layOut divides what goes to each partition into batches that fit into its topic, each of at least one record, which fill makes.
func layOut[T any](
	t *transaction, lists map[topicPartition][]T, sizeOf func(T) int, fill func(T, *record),
) map[topicPartition][]chunk {
	work := make(map[topicPartition][]chunk, len(lists))
	for p, list := range lists {
		limit := t.topics.of(p.topic).maxBytes - batchMargin
		for len(list) > 0 {
			n, size := 1, sizeOf(list[0])
			for n < len(list) && size+sizeOf(list[n]) <= limit {
				size += sizeOf(list[n])
				n++
			}
			some := list[:n]
			work[p] = append(work[p], chunk{n, func(i int, r *record) { fill(some[i], r) }})
			list = list[n:]
		}
	}
	return work
}

// eventSize is no less than what an event takes in a batch that is not compressed.
func eventSize(e *event.Event, value []byte, shared sharedHeaders) int {
	return len(value) + len(e.Conversation) + len(e.Time) + len(shared.encoded) + recordOverhead
}

// fits tries whether a large event is small enough for a batch of its own once it is compressed.
func (t *transaction) fits(e *event.Event, value []byte, shared sharedHeaders, maxBytes int) bool {
	key := strconv.AppendInt(nil, e.MsgID, 10)
	batch, err := encode(nil, chunk{1, func(_ int, r *record) {
		r.key, r.value, r.shared, r.headers = key, value, shared, appendHeadersOf(r.headers, e, key)
	}}, t.sender.compression, t.producer, 0)
	return err == nil && len(batch)-sizePrefix <= maxBytes
}

// rejection turns an event that cannot be published back into its row.
func rejection(e *event.Event, reason event.Reason, detail string) event.Rejection {
	row, err := event.Rebuild(e.Value)
	if err != nil {
		row = e.Value // The event is JSON made here, so this cannot be; its content is what matters.
	}
	return event.Rejection{Row: bytes.Clone(row), Reason: reason, MsgID: e.MsgID, HasMsgID: true, Detail: detail}
}

// reject writes rejected rows, whole. They have no key and go to the partition of their content, so that the same row
// stands in the same one.
func (t *transaction) reject(ctx context.Context, b *pipeline.Batch, rejected []event.Rejection) ([]pipeline.OffsetRange, error) {
	if len(rejected) == 0 {
		return nil, nil
	}
	name, now := t.routing.Own(pipeline.TopicRejected), time.Now()
	work := make(map[topicPartition][]chunk)
	for i := range rejected {
		r := &rejected[i]
		row, cutFrom := r.Row, 0
		if limit := t.topics.of(name).maxBytes - batchMargin - recordOverhead - t.cfg.rejectedHeadersSize(b, r); len(row) > limit {
			row, cutFrom = row[:max(0, limit)], len(row)
		}
		p := t.partitionOf(name, row)
		work[p] = append(work[p], chunk{1, func(_ int, to *record) {
			to.value, to.time = row, now
			to.headers = t.cfg.rejectedHeaders(to.headers, b, r, cutFrom)
		}})
	}
	return t.sender.write(ctx, work)
}

// Append writes records of jmpub's own topics; see [pipeline.Transaction].
func (t *transaction) Append(ctx context.Context, records []pipeline.Record) error {
	now := time.Now() // The same for all: the ledger is read back in the order of its transactions.
	lists := make(map[topicPartition][]*pipeline.Record)
	for i := range records {
		r := &records[i]
		p := topicPartition{t.routing.Own(r.Topic), r.Partition}
		switch {
		case r.Partition >= 0:
		case r.PartitionKey != nil:
			p = t.partitionOf(p.topic, r.PartitionKey)
		default:
			p = t.partitionOf(p.topic, r.Key)
		}
		lists[p] = append(lists[p], r)
	}
	size := func(r *pipeline.Record) int { return len(r.Key) + len(r.Value) + recordOverhead }
	work := layOut(t, lists, size, func(from *pipeline.Record, r *record) { r.key, r.value, r.time = from.Key, from.Value, now })
	_, err := t.sender.write(ctx, work)
	return err
}

package kafkamodel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/rawproduce"
)

// Message is a request on its way to a broker.
type Message struct {
	// User is whose rights count.
	User    string
	Broker  int32
	Request protocol.Message
}

// Loss is which part of an exchange the network loses.
type Loss int

// The losses.
const (
	NoLoss Loss = iota
	// LoseRequest has the request not arrive, so that it has no effect.
	LoseRequest
	// LoseReply has the request arrive, and its reply not.
	LoseReply
)

// Fate is what happens to an exchange. A request that is delayed arrives even if its sender has given up by then.
type Fate struct {
	Delay, ReplyDelay time.Duration
	Loss              Loss
}

// ErrKilled is what the code of a process finds that has been killed.
var ErrKilled = errors.New("the process was killed")

// errLost is what a client sees whose connection breaks.
var errLost = fmt.Errorf("the connection broke: %w", io.ErrUnexpectedEOF)

// ClientOptions of a client; the zero value has all rights, and a network that works.
type ClientOptions struct {
	User string
	// Fate decides over each exchange; nil lets all of them happen at once. It may be called by several goroutines.
	Fate func(*Message) Fate
	// Answered is told of each reply that its sender has waited for; nil tells nobody. It may be called by several goroutines.
	Answered func(m *Message, res protocol.Message)
	// MetadataTTL is for how long a client goes by what it knows of the cluster; 2 s where zero.
	MetadataTTL time.Duration
	// MetadataTopics are the topics that are asked for; all where empty.
	MetadataTopics []string
}

// Client is one process's connection to a cluster. It finds brokers as [kafkago.Transport] does, which goes by what it knows of the cluster
// and asks again from time to time; that takes no time here, and is never lost.
type Client struct {
	cluster *Cluster
	opts    ClientOptions
	killed  atomic.Bool

	// The cluster's lock guards these.
	known *metadata.Response
	// layout is what requests find their broker by, of what is known.
	layout protocol.Cluster
	asked  time.Time
}

var _ kafkago.RoundTripper = (*Client)(nil)

// Client makes a client of the cluster.
func (c *Cluster) Client(o ClientOptions) *Client {
	if o.Fate == nil {
		o.Fate = func(*Message) Fate { return Fate{} }
	}
	if o.Answered == nil {
		o.Answered = func(*Message, protocol.Message) {}
	}
	if o.MetadataTTL == 0 {
		o.MetadataTTL = 2 * time.Second
	}
	return &Client{cluster: c, opts: o}
}

// Kill ends the process: nothing that it sends arrives any more. What it has sent is on its way.
func (c *Client) Kill() { c.killed.Store(true) }

// RoundTrip implements [kafkago.RoundTripper].
func (c *Client) RoundTrip(ctx context.Context, _ net.Addr, req protocol.Message) (protocol.Message, error) {
	if c.killed.Load() {
		return nil, ErrKilled
	}
	known, layout, err := c.metadata()
	if err != nil {
		return nil, err
	}
	switch m := req.(type) {
	case *metadata.Request:
		return filter(known, m), ctx.Err()
	case protocol.Splitter:
		messages, merger, splitErr := m.Split(layout)
		if splitErr != nil {
			return nil, splitErr
		}
		results := make([]any, len(messages))
		for i, part := range messages {
			if results[i], err = c.send(ctx, layout, part); err != nil {
				results[i] = err
			}
		}
		return merger.Merge(messages, results)
	}
	res, err := c.send(ctx, layout, req)
	if _, ok := res.(*createtopics.Response); ok {
		c.forget()
	}
	return res, err
}

// send finds the broker for a request.
func (c *Client) send(ctx context.Context, layout protocol.Cluster, req protocol.Message) (protocol.Message, error) {
	id := int32(-1)
	switch m := req.(type) {
	case protocol.BrokerMessage:
		broker, err := m.Broker(layout)
		if err != nil {
			return nil, err
		}
		id = broker.ID
	case protocol.TransactionalMessage:
		res, err := c.exchange(ctx, -1, &findcoordinator.Request{Key: m.Transaction(), KeyType: int8(kafkago.CoordinatorKeyTypeTransaction)})
		if err != nil {
			return nil, err
		}
		if found, ok := res.(*findcoordinator.Response); ok {
			id = found.NodeID
		}
	}
	if _, ok := layout.Brokers[id]; id >= 0 && !ok {
		return nil, kafkago.BrokerNotAvailable
	}
	return c.exchange(ctx, id, req)
}

// exchange sends a request to a broker, to any where the id is negative, and waits for the reply.
func (c *Client) exchange(ctx context.Context, broker int32, req protocol.Message) (protocol.Message, error) {
	req, err := freeze(req)
	if err != nil {
		return nil, err
	}
	m := &Message{c.opts.User, broker, req}
	fate := c.opts.Fate(m)
	if c.killed.Load() {
		return nil, ErrKilled
	}
	if fate.Loss == LoseRequest {
		return nil, errors.Join(wait(ctx, fate.Delay), errLost)
	}
	var res protocol.Message
	c.cluster.lock()
	c.cluster.after(fate.Delay, func() { res, err = c.cluster.arrive(m) })
	c.cluster.settle()
	c.cluster.mu.Unlock()
	if waitErr := wait(ctx, fate.Delay); waitErr != nil {
		return nil, waitErr
	}
	c.cluster.lock() // By now it has arrived.
	c.cluster.mu.Unlock()
	if req, ok := req.(*fetch.Request); ok && err == nil {
		res, err = c.poll(ctx, m, req, res)
	}
	if waitErr := wait(ctx, fate.ReplyDelay); waitErr != nil {
		return nil, waitErr
	}
	switch {
	case c.killed.Load():
		return nil, ErrKilled
	case fate.Loss == LoseReply:
		return nil, errLost
	default:
		if err == nil {
			c.opts.Answered(m, res)
		}
		return res, err
	}
}

// arrive is what a broker does with a request.
func (c *Cluster) arrive(m *Message) (protocol.Message, error) {
	if m.Broker < 0 {
		m.Broker = c.anyUp(0)
	}
	if !c.isUp(m.Broker) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	return c.handle(m)
}

// poll waits, as long as a fetch asks for, until there is something to read.
func (c *Client) poll(ctx context.Context, m *Message, req *fetch.Request, res protocol.Message) (protocol.Message, error) {
	deadline := time.Now().Add(time.Duration(req.MaxWaitTime) * time.Millisecond)
	for isEmpty(res) && time.Now().Before(deadline) {
		c.cluster.lock()
		var err error
		if res, err = c.cluster.arrive(m); err != nil {
			c.cluster.mu.Unlock()
			return nil, err
		}
		changed, until := c.cluster.changed, deadline
		if due := c.cluster.due; len(due) > 0 && due[0].at.Before(until) {
			until = due[0].at
		}
		c.cluster.mu.Unlock()
		if !isEmpty(res) {
			break
		}
		timer := time.NewTimer(time.Until(until))
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// wait lets time pass.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// freeze reads what the sender may change after it has given up.
func freeze(req protocol.Message) (protocol.Message, error) {
	if records, ok := req.(*produce.Request); ok {
		var err error
		if req, err = encode(records); err != nil {
			return nil, err
		}
	}
	raw, ok := req.(*rawproduce.Request)
	if !ok {
		return req, nil
	}
	frozen := *raw
	frozen.Topics = make([]rawproduce.RequestTopic, len(raw.Topics))
	for i, t := range raw.Topics {
		frozen.Topics[i].Topic = t.Topic
		for _, p := range t.Partitions {
			data, err := io.ReadAll(p.RecordSet.Reader)
			if err != nil {
				return nil, err
			}
			p.RecordSet.Reader = bytes.NewReader(data)
			frozen.Topics[i].Partitions = append(frozen.Topics[i].Partitions, p)
		}
	}
	return &frozen, nil
}

// encode makes a request of batches out of one of records, as kafka-go does on its way to the wire.
func encode(req *produce.Request) (*rawproduce.Request, error) {
	req.Prepare(produceVersion)
	raw := &rawproduce.Request{TransactionalID: req.TransactionalID, Acks: req.Acks, Timeout: req.Timeout}
	for _, t := range req.Topics {
		topic := rawproduce.RequestTopic{Topic: t.Topic}
		for _, p := range t.Partitions {
			var data bytes.Buffer
			if _, err := p.RecordSet.WriteTo(&data); err != nil {
				return nil, err
			}
			topic.Partitions = append(topic.Partitions, rawproduce.RequestPartition{
				Partition: p.Partition, RecordSet: protocol.RawRecordSet{Reader: &data},
			})
		}
		raw.Topics = append(raw.Topics, topic)
	}
	return raw, nil
}

// produceVersion is the newest that kafka-go speaks.
const produceVersion = 8

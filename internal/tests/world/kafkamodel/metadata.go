package kafkamodel

import (
	"cmp"
	"net"
	"slices"
	"syscall"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// metadata is what the client knows of the cluster. It asks again when that is old; where no broker answers, it keeps what it knows.
func (c *Client) metadata() (*metadata.Response, protocol.Cluster, error) {
	c.cluster.lock()
	defer c.cluster.mu.Unlock()
	if c.known != nil && c.cluster.now.Sub(c.asked) < c.opts.MetadataTTL {
		return c.known, c.layout, nil
	}
	if c.cluster.anyUp(0) < 0 {
		if c.known != nil {
			return c.known, c.layout, nil
		}
		return nil, protocol.Cluster{}, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	c.known, c.asked = c.cluster.describe(c.opts.User, c.opts.MetadataTopics), c.cluster.now
	c.layout = layoutOf(c.known)
	return c.known, c.layout, nil
}

// forget has the client ask again.
func (c *Client) forget() {
	c.cluster.lock()
	defer c.cluster.mu.Unlock()
	if c.cluster.anyUp(0) >= 0 {
		c.known = nil
	}
}

// describe answers a request for metadata, of all topics where none is named.
func (c *Cluster) describe(user string, names []string) *metadata.Response {
	res := &metadata.Response{ClusterID: "model", ControllerID: c.anyUp(0)}
	for i, up := range c.up {
		if up {
			res.Brokers = append(res.Brokers, metadata.ResponseBroker{NodeID: int32(i + 1), Host: "model", Port: int32(9091 + i)})
		}
	}
	if len(names) == 0 {
		for name := range c.topics {
			if c.mayDescribe(user, name) { // A topic that must not be seen is not mentioned in a list of all.
				names = append(names, name)
			}
		}
	}
	for _, name := range slices.Sorted(slices.Values(names)) {
		found := metadata.ResponseTopic{Name: name}
		t := c.topics[name]
		switch {
		case !c.mayDescribe(user, name):
			found.ErrorCode = code(kafkago.TopicAuthorizationFailed)
		case t == nil:
			found.ErrorCode = code(kafkago.UnknownTopicOrPartition)
		default:
			for i, p := range t.partitions {
				one := metadata.ResponsePartition{
					PartitionIndex: int32(i), LeaderID: p.leader, ReplicaNodes: slices.Clone(p.replicas), IsrNodes: slices.Clone(p.isr),
				}
				if p.leader < 0 {
					one.ErrorCode = code(kafkago.LeaderNotAvailable)
				}
				found.Partitions = append(found.Partitions, one)
			}
		}
		res.Topics = append(res.Topics, found)
	}
	return res
}

// filter answers a request from what is known, as kafka-go's transport does.
func filter(known *metadata.Response, req *metadata.Request) *metadata.Response {
	res := *known
	if req.TopicNames == nil {
		return &res
	}
	res.Topics = make([]metadata.ResponseTopic, len(req.TopicNames))
	for i, name := range req.TopicNames {
		at, ok := slices.BinarySearchFunc(known.Topics, name, func(t metadata.ResponseTopic, name string) int { return cmp.Compare(t.Name, name) })
		if !ok {
			res.Topics[i] = metadata.ResponseTopic{ErrorCode: code(kafkago.UnknownTopicOrPartition), Name: name}
			continue
		}
		res.Topics[i] = known.Topics[at]
	}
	return &res
}

// layoutOf is what kafka-go's requests find their broker by.
func layoutOf(known *metadata.Response) protocol.Cluster {
	layout := protocol.Cluster{Controller: known.ControllerID, Brokers: make(map[int32]protocol.Broker), Topics: make(map[string]protocol.Topic)}
	for _, b := range known.Brokers {
		layout.Brokers[b.NodeID] = protocol.Broker{ID: b.NodeID, Host: b.Host, Port: b.Port}
	}
	for _, t := range known.Topics {
		topic := protocol.Topic{Name: t.Name, Partitions: make(map[int32]protocol.Partition)}
		for _, p := range t.Partitions {
			topic.Partitions[p.PartitionIndex] = protocol.Partition{ID: p.PartitionIndex, Leader: p.LeaderID}
		}
		layout.Topics[t.Name] = topic
	}
	return layout
}

// code is an error as the protocol has it.
func code(e kafkago.Error) int16 { return int16(e) }

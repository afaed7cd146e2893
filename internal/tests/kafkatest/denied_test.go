package kafkatest_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// right is an operation, as kafka-acls.sh names it, on the topic, or on the transactional id of a writer.
type right struct {
	operation string
	onID      bool
}

// deniedCase is what somebody is answered who has these rights and no others.
type deniedCase struct {
	name   string
	rights []right
	// want are the answers to what is tried, in its order. Nil is none; protocol.ErrNoTopic is kafka-go's own, to whom nobody names the topic.
	want []error
}

func deniedCases() []deniedCase {
	topic, id := kafkago.TopicAuthorizationFailed, kafkago.TransactionalIDAuthorizationFailed
	read, write, writeID := right{operation: "Read"}, right{operation: "Write"}, right{"Write", true}
	return []deniedCase{
		{"nothing", nil, []error{id, id, protocol.ErrNoTopic, protocol.ErrNoTopic, topic, topic, topic, topic}},
		{"the id alone", []right{writeID}, []error{nil, topic, protocol.ErrNoTopic, protocol.ErrNoTopic, topic, topic, topic, topic}},
		{"to be described", []right{{operation: "Describe"}, {"Describe", true}}, []error{id, id, id, topic, nil, topic, topic, topic}},
		{"to read", []right{read, writeID}, []error{nil, topic, topic, nil, nil, topic, topic, topic}},
		{"to write", []right{write, writeID}, []error{nil, nil, nil, topic, nil, topic, topic, topic}},
		{"to write without the id", []right{write}, []error{id, id, id, topic, nil, topic, topic, topic}},
		{"to see the configuration", []right{write, writeID, {operation: "DescribeConfigs"}}, []error{nil, nil, nil, topic, nil, nil, topic, topic}},
		{"to delete", []right{{operation: "Delete"}}, []error{id, id, id, topic, nil, topic, topic, nil}},
	}
}

// denied tries what somebody's rights allow.
func (l *lab) denied(t *testing.T, w *writer, want []error) {
	t.Helper()
	var got []error
	try := func(err error) { got = append(got, err) }
	try(w.init(t, time.Minute, -1, -1))
	if got[0] == nil {
		w.sequence = 0
	}
	added, err := w.AddPartitionsToTxn(t.Context(), &kafkago.AddPartitionsToTxnRequest{
		TransactionalID: w.id, ProducerID: w.pid.ProducerID, ProducerEpoch: w.pid.ProducerEpoch,
		Topics: map[string][]kafkago.AddPartitionToTxn{w.topic: {{Partition: partition}}},
	})
	ok(t, err)
	try(added.Topics[w.topic][0].Error)
	produced, err := w.RawProduce(t.Context(), &kafkago.RawProduceRequest{
		Topic: w.topic, Partition: partition, RequiredAcks: kafkago.RequireAll, TransactionalID: w.id,
		RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(w.batch(t, "x", 0))},
	})
	if err == nil {
		err = produced.Error
	}
	try(err)
	page, err := l.fetchFrom(t, w.topic, 0, kafkago.ReadUncommitted)
	if err == nil && page.ErrorCode != 0 {
		err = kafkago.Error(page.ErrorCode)
	}
	try(err)
	listed, err := w.ListOffsets(t.Context(), &kafkago.ListOffsetsRequest{
		Topics: map[string][]kafkago.OffsetRequest{w.topic: {kafkago.FirstOffsetOf(partition)}},
	})
	if err == nil {
		err = listed.Topics[w.topic][0].Error
	}
	try(err)
	configs, err := w.DescribeConfigs(t.Context(), &kafkago.DescribeConfigsRequest{
		Resources: []kafkago.DescribeConfigRequestResource{{ResourceType: kafkago.ResourceTypeTopic, ResourceName: w.topic}},
	})
	ok(t, err)
	try(configs.Resources[0].Error)
	made, err := w.CreateTopics(t.Context(), &kafkago.CreateTopicsRequest{
		Topics: []kafkago.TopicConfig{{Topic: "another", NumPartitions: 1, ReplicationFactor: -1}},
	})
	ok(t, err)
	try(made.Errors["another"])
	gone, err := w.DeleteTopics(t.Context(), &kafkago.DeleteTopicsRequest{Topics: []string{w.topic}})
	ok(t, err)
	try(gone.Errors[w.topic])
	if !slices.EqualFunc(got, want, errors.Is) {
		t.Errorf("the answers to init, add, produce, fetch, offsets, configuration, create and delete are\n%q, want\n%q", got, want)
	}
}

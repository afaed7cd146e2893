//go:build integration

package compat_test

import (
	"context"
	"iter"
	"strings"
)

// CloudEvent is a record as the CloudEvents SDK for Java sees it; nil is an attribute that it has not.
type CloudEvent struct {
	Topic           string `json:"topic"`
	Partition       int32  `json:"partition"`
	Offset          int64  `json:"offset"`
	SpecVersion     []byte `json:"specversion"`
	ID              []byte `json:"id"`
	Source          []byte `json:"source"`
	Type            []byte `json:"type"`
	Time            []byte `json:"time"`
	Subject         []byte `json:"subject"`
	DataContentType []byte `json:"datacontenttype"`
	// Extensions counts the attributes besides these.
	Extensions int    `json:"extensions"`
	Data       []byte `json:"data"`
}

// CloudEvents reads topics as [JavaReader.Records] does. A record that is no CloudEvent in binary mode is an error.
func (j *Java) CloudEvents(ctx context.Context, brokers []string, topics ...string) iter.Seq2[CloudEvent, error] {
	return lines[CloudEvent](ctx, j, "", "CloudEvents", strings.Join(brokers, ","), strings.Join(topics, ","), "read_committed")
}

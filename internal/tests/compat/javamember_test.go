//go:build integration

package compat_test

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// JavaMember is a Java client in a consumer group, read_committed. It commits its offsets itself, after each step, and then
// stands still until the next one: what its steps returned is what the group has committed, however it ends.
type JavaMember struct {
	p       *process
	started bool
}

// Step is what a member tells of one.
type Step struct {
	// Records is how many it polled and committed.
	Records int `json:"records"`
	// Assigned is how many partitions it has now, End tells that all of them are read to their end.
	Assigned int  `json:"assigned"`
	End      bool `json:"end"`
}

// Join starts a member. protocol is classic or consumer; a step brings most records at most.
func (j *Java) Join(ctx context.Context, brokers []string, group, protocol string, most int, topics ...string) (*JavaMember, error) {
	p, err := j.start(ctx, "Group", strings.Join(brokers, ","), group, strings.Join(topics, ","), protocol, strconv.Itoa(most))
	if err != nil {
		return nil, err
	}
	return &JavaMember{p: p}, nil
}

// Step polls once and commits. The records are the receiver's.
func (m *JavaMember) Step() ([]*kgo.Record, Step, error) {
	if m.started {
		if _, err := io.WriteString(m.p.in, "next\n"); err != nil {
			return nil, Step{}, m.broken(err)
		}
	}
	m.started = true
	var records []*kgo.Record
	for {
		var l line
		if err := m.p.lines.Decode(&l); err != nil {
			return nil, Step{}, m.broken(err)
		}
		if l.Step != nil {
			return records, *l.Step, nil
		}
		records = append(records, l.record())
	}
}

func (m *JavaMember) broken(err error) error {
	_ = m.p.kill() // Its own words follow.
	return fmt.Errorf("group member: %w: %s", err, strings.TrimSpace(m.p.stderr.String()))
}

// Leave lets the member leave the group, as a consumer does that is closed.
func (m *JavaMember) Leave() error {
	if err := m.p.in.Close(); err != nil {
		return fmt.Errorf("group member: %w", err)
	}
	return m.p.wait()
}

// Kill is kill -9: the group finds out when the member's session has timed out.
func (m *JavaMember) Kill() error { return m.p.kill() }

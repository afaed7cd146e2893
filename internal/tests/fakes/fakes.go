// Package fakes has an API and a Kafka in memory, for tests of the core: strict where the ports' contracts are strict, and made to
// fail on demand.
package fakes

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// Seeds are how many seeds a test tries of so many: a third of them, two at least, with -short, as the race detector runs it, which takes ten
// times as long and finds in each of them what it finds in any.
func Seeds(all uint64) uint64 {
	if testing.Short() {
		return max(2, all/3)
	}
	return all
}

// AppKey is that of the tests' app.
const AppKey = "4f7aef34fb361292c566a1cd"

// Kafka is sink, checkpoints and claims in memory: what a transaction holds appears together or not at all.
type Kafka struct {
	// Fail, where set, may fail an operation: open, load, begin, publish, append, commit, abort, save, coverage. It is called under a lock.
	Fail func(ctx context.Context, op string) error

	Mu          sync.Mutex // Guards everything declared below.
	Opened      int
	Committed   []event.Event
	Rejected    []event.Rejection
	Checkpoints map[pipeline.Stream]pipeline.Checkpoint
	Ledger      []pipeline.Ledger
	Notices     []pipeline.Notice
	Records     []pipeline.Record
	Claim       pipeline.Claim
	Run         pipeline.Claim
	Pause       pipeline.Pause
	// Days is the coverage of the days of each stream; DaysRead counts how often one was read back.
	Days     map[DayKey]pipeline.Coverage
	DaysRead int
	// Peak is the largest batch.
	Peak         int
	Transactions int
	// writer numbers those that took the writer's place.
	writer int
	// tx is what the open transaction holds.
	tx struct {
		open     bool
		events   []event.Event
		rejected []event.Rejection
		commits  []*pipeline.Commit
	}
}

// DayKey is a day of a stream, by its first instant.
type DayKey struct {
	Stream pipeline.Stream
	Day    time.Time
}

var (
	_ pipeline.Sink        = (*Kafka)(nil)
	_ pipeline.Transaction = (*transaction)(nil)
	_ pipeline.Checkpoints = (*Store)(nil)
	_ pipeline.Claims      = (*Kafka)(nil)
	_ pipeline.Owners      = (*Kafka)(nil)
	_ pipeline.Pauses      = (*Kafka)(nil)

	_ pipeline.CoverageReader = (*Kafka)(nil)
)

// NewKafka has no records yet.
func NewKafka() *Kafka {
	return &Kafka{Checkpoints: make(map[pipeline.Stream]pipeline.Checkpoint), Days: make(map[DayKey]pipeline.Coverage)}
}

// Store is the Kafka as a store of checkpoints.
type Store struct{ *Kafka }

// Forget does nothing: the fake fences only when its Fail says so.
func (*Kafka) Forget() {}

func (k *Kafka) try(ctx context.Context, op string) error {
	if k.Fail == nil {
		return nil
	}
	return k.Fail(ctx, op)
}

// Open drops what an earlier transaction left.
func (k *Kafka) Open(ctx context.Context) error {
	k.Mu.Lock()
	defer k.Mu.Unlock()
	k.Opened++
	k.drop()
	return k.try(ctx, "open")
}

// drop forgets the open transaction.
func (k *Kafka) drop() {
	k.tx.open, k.tx.events, k.tx.rejected, k.tx.commits = false, nil, nil, nil
}

// Open has nothing to do: the sink's transactions fence.
func (*Store) Open(context.Context) error { return nil }

// Load gives the committed checkpoints.
func (s *Store) Load(ctx context.Context) (map[pipeline.Stream]pipeline.Checkpoint, error) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return maps.Clone(s.Checkpoints), s.try(ctx, "load")
}

// Stage keeps a commit for when the transaction commits.
func (s *Store) Stage(c *pipeline.Commit) ([]pipeline.Record, error) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.tx.commits = append(s.tx.commits, c)
	return nil, nil
}

// Save may fail.
func (s *Store) Save(ctx context.Context, _ *pipeline.Commit) error {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return s.try(ctx, "save")
}

// Announce makes a claim the newest one.
func (k *Kafka) Announce(_ context.Context, c pipeline.Claim) error {
	k.Mu.Lock()
	defer k.Mu.Unlock()
	k.Claim = c
	return nil
}

// Newest is the newest claim.
func (k *Kafka) Newest(context.Context) (pipeline.Claim, error) {
	k.Mu.Lock()
	defer k.Mu.Unlock()
	return k.Claim, nil
}

// Own makes a run the owner.
func (k *Kafka) Own(ctx context.Context, run pipeline.Claim) error {
	k.Mu.Lock()
	defer k.Mu.Unlock()
	if err := k.try(ctx, "own"); err != nil {
		return err
	}
	k.Run = run
	return nil
}

// Owner is the run that became the owner last.
func (k *Kafka) Owner(context.Context) (pipeline.Claim, error) {
	k.Mu.Lock()
	defer k.Mu.Unlock()
	return k.Run, nil
}

// Paused is what is paused.
func (k *Kafka) Paused(context.Context) (pipeline.Pause, error) {
	k.Mu.Lock()
	defer k.Mu.Unlock()
	return k.Pause, nil
}

// Begin starts a transaction. One is open at a time.
func (k *Kafka) Begin(ctx context.Context) (pipeline.Transaction, error) {
	k.Mu.Lock()
	defer k.Mu.Unlock()
	if k.tx.open && len(k.tx.events)+len(k.tx.rejected)+len(k.tx.commits) > 0 {
		return nil, errors.New("a transaction is still open")
	}
	k.tx.open = true
	return &transaction{k, k.writer}, k.try(ctx, "begin")
}

// transaction is the open one of a writer.
type transaction struct {
	*Kafka

	by int
}

// Publish keeps the rows for when the transaction commits.
func (t *transaction) Publish(ctx context.Context, b *pipeline.Batch) (pipeline.Published, error) {
	t.Mu.Lock()
	defer t.Mu.Unlock()
	if err := t.fenced(t.by, pipeline.Abort); err != nil {
		return pipeline.Published{}, err
	}
	if err := t.try(ctx, "publish"); err != nil {
		return pipeline.Published{}, err
	}
	t.Peak = max(t.Peak, b.Bytes)
	first, rejected := int64(len(t.Committed)+len(t.tx.events)), int64(len(t.Rejected)+len(t.tx.rejected))
	for _, e := range b.Events { // The batch's memory is used again.
		e.Value, e.Conversation, e.Time = bytes.Clone(e.Value), bytes.Clone(e.Conversation), bytes.Clone(e.Time)
		t.tx.events = append(t.tx.events, e)
	}
	t.tx.rejected = append(t.tx.rejected, b.Rejected...)
	published := pipeline.Published{}
	published.Events[event.TargetGroup] = len(b.Events)
	if n := int64(len(b.Events)); n > 0 {
		published.Offsets = append(published.Offsets, pipeline.OffsetRange{Topic: "group", First: first, Last: first + n - 1})
	}
	if n := int64(len(b.Rejected)); n > 0 {
		published.Offsets = append(published.Offsets, pipeline.OffsetRange{Topic: TopicRejected, First: rejected, Last: rejected + n - 1})
	}
	return published, nil
}

// Append may fail. The records of a commit are kept with it.
func (t *transaction) Append(ctx context.Context, _ []pipeline.Record) error {
	t.Mu.Lock()
	defer t.Mu.Unlock()
	if err := t.fenced(t.by, pipeline.Abort); err != nil {
		return err
	}
	return t.try(ctx, "append")
}

// Commit makes all of it visible.
func (t *transaction) Commit(ctx context.Context) error {
	t.Mu.Lock()
	defer t.Mu.Unlock()
	if err := t.fenced(t.by, pipeline.Abort); err != nil {
		return err
	}
	if err := t.try(ctx, "commit"); err != nil {
		return err
	}
	t.Apply()
	return nil
}

// Abort drops all of it.
func (t *transaction) Abort(ctx context.Context) error {
	t.Mu.Lock()
	defer t.Mu.Unlock()
	if err := t.fenced(t.by, pipeline.Abort); err != nil {
		return err
	}
	t.drop()
	return t.try(ctx, "abort")
}

// Apply makes the open transaction visible. A Fail that does so before it fails a commit is a lost reply.
func (k *Kafka) Apply() {
	k.Transactions++
	k.Committed = append(k.Committed, k.tx.events...)
	k.Rejected = append(k.Rejected, k.tx.rejected...)
	for _, c := range k.tx.commits {
		for _, cp := range c.Positions {
			k.Checkpoints[cp.Stream] = *cp
		}
		for _, s := range c.Deleted {
			delete(k.Checkpoints, s)
		}
		for _, l := range c.Windows {
			own := *l
			own.Committed = time.Now()
			k.Ledger = append(k.Ledger, own)
		}
		for _, day := range c.Coverage {
			k.Days[DayKey{day.Stream, day.Day}] = *copyOf(day)
		}
		if c.Pause != nil {
			k.Pause = *c.Pause
		}
		k.Notices = append(k.Notices, c.Notices...)
		k.Records = append(k.Records, c.Records...)
	}
	k.drop()
}

// Coverage is the committed coverage of a day; nil if there is none.
func (k *Kafka) Coverage(ctx context.Context, s pipeline.Stream, day time.Time) (*pipeline.Coverage, error) {
	k.Mu.Lock()
	defer k.Mu.Unlock()
	k.DaysRead++
	c, found := k.Days[DayKey{s, day}]
	if err := k.try(ctx, "coverage"); err != nil || !found {
		return nil, err
	}
	return copyOf(&c), nil
}

// copyOf shares no memory with a coverage, as what stands in Kafka shares none.
func copyOf(c *pipeline.Coverage) *pipeline.Coverage {
	own := *c
	own.Read, own.Gaps = slices.Clone(c.Read), slices.Clone(c.Gaps)
	own.Hours, own.Offsets = slices.Clone(c.Hours), slices.Clone(c.Offsets)
	return &own
}

// Position is a stream's committed position.
func (k *Kafka) Position(s pipeline.Stream) pipeline.Checkpoint {
	k.Mu.Lock()
	defer k.Mu.Unlock()
	return k.Checkpoints[s]
}

// IDs are the msgids that a read_committed reader sees, in order.
func (k *Kafka) IDs() []int64 {
	k.Mu.Lock()
	defer k.Mu.Unlock()
	var ids []int64
	for i := range k.Committed {
		ids = append(ids, k.Committed[i].MsgID)
	}
	return ids
}

// WantIDs holds what a reader sees against what it should.
func (k *Kafka) WantIDs(t *testing.T, want []int64) {
	t.Helper()
	if got := k.IDs(); !slices.Equal(got, want) {
		t.Errorf("committed ids\n got %v\nwant %v", got, want)
	}
}

// TopicRejected is where rejected rows stand; events stand in "group".
const TopicRejected = "rejected"

// RecordsAt gives committed events and rejected rows by their offsets.
func (k *Kafka) RecordsAt(ranges []pipeline.OffsetRange, fn func(topic string, key, value []byte) error) error {
	for _, r := range ranges {
		for at := r.First; at <= r.Last; at++ {
			var key, value []byte
			k.Mu.Lock()
			if r.Topic == TopicRejected {
				value = k.Rejected[at].Row
			} else {
				key, value = strconv.AppendInt(nil, k.Committed[at].MsgID, 10), k.Committed[at].Value
			}
			k.Mu.Unlock()
			if err := fn(r.Topic, key, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// Messages is the stream with all of an app's messages.
func Messages() pipeline.Stream { return pipeline.Stream{Kind: pipeline.StreamMessages} }

// ConfigFor reads all messages, from a fixed time on, whatever the fake clock shows.
func ConfigFor(source pipeline.Source, kafka *Kafka, begin time.Time) pipeline.Config {
	return pipeline.Config{
		AppKey: AppKey, Streams: []pipeline.Stream{Messages()},
		Source: source, Sink: kafka, Checkpoints: &Store{kafka}, Claims: kafka, Owners: kafka, Coverage: kafka,
		Start: pipeline.Start{At: begin},
	}
}

// Run is [RunFor] of a pipeline that works until the time is over.
func Run(t *testing.T, cfg pipeline.Config, d time.Duration) {
	t.Helper()
	if err := RunFor(t, cfg, d); err != nil {
		t.Fatalf("run: %v", err)
	}
}

// RunFor runs a pipeline for a while and returns what Run returned.
func RunFor(t *testing.T, cfg pipeline.Config, d time.Duration) error {
	t.Helper()
	p, err := pipeline.New(cfg)
	if err != nil {
		t.Fatalf("new pipeline: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return p.Run(ctx)
}

package checkpoint_test

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
)

// everyKind has a stream of each kind followed.
var everyKind = []pipeline.StreamKind{
	pipeline.StreamMessages, pipeline.StreamUsers, pipeline.StreamGroups, pipeline.StreamChatrooms, pipeline.StreamStatistics,
}

// evidence is about what stands in the store's topics; every stream is followed but for users.
func (s *kafkaStore) evidence(t *testing.T) *checkpoint.Evidence {
	t.Helper()
	topic := s.prefix + string(pipeline.TopicCoverage)
	compact := map[string]*string{"cleanup.policy": new("compact")}
	if _, err := kadm.NewClient(s.client(t)).CreateTopic(t.Context(), int32(s.partitions), -1, compact, topic); err != nil {
		t.Fatal(err)
	}
	conn, err := kafka.Open(kafka.Config{Brokers: s.brokers, ClientID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return &checkpoint.Evidence{
		Archive:    s.archive(t),
		Coverage:   checkpoint.NewCoverage(conn.Client, topic, appKey, func() int { return s.partitions }, s.retry),
		Discovered: []pipeline.StreamKind{pipeline.StreamMessages, pipeline.StreamGroups, pipeline.StreamChatrooms, pipeline.StreamStatistics},
	}
}

// cover writes coverage of a stream that was read for an hour of a day.
func (s *kafkaStore) cover(t *testing.T, app string, of pipeline.Stream, day time.Time) {
	t.Helper()
	c := pipeline.Coverage{AppKey: app, Stream: of, Day: day, Read: []pipeline.Window{{Begin: day, End: day.Add(time.Hour)}}}
	value, err := checkpoint.EncodeCoverage(&c)
	if err != nil {
		t.Fatal(err)
	}
	r := &kgo.Record{
		Topic: s.prefix + string(pipeline.TopicCoverage), Partition: int32(checkpoint.PartitionOf(app, of, s.partitions)),
		Key: checkpoint.CoverageKey(app, of, day), Value: value,
	}
	if err := s.main.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// TestEvidence holds positions against the ledger and the coverage, in which there are other apps, transactions that were aborted, and
// streams that nobody reads.
func TestEvidence(t *testing.T) {
	s := newKafkaStore(t, 4)
	e := s.evidence(t)
	all := streamsIn(4, 1, 1, 3)
	a, b, c := all[0], all[1], all[2]
	user, other := stream(t, "users/a"), "5"+appKey[1:]
	day := dayOf(t)
	for _, batch := range []struct{ first, last int64 }{{1, 1}, {2, 2}, {3, 3}, {4, 6}, {7, 9}} {
		if err := s.main.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for n := batch.first; n <= batch.last; n++ {
			s.ledgerAt(t, s.main, appKey, a, n, 4, writtenAt(batch.last))
			s.ledgerAt(t, s.main, other, a, n+100, 4, writtenAt(batch.last))
			s.ledgerAt(t, s.main, appKey, user, n, 4, writtenAt(batch.last))
		}
		s.cover(t, appKey, b, day)
		s.cover(t, appKey, b, day.Add(24*time.Hour))
		s.cover(t, appKey, user, day)
		s.cover(t, other, c, day)
		end(t, s.main, kgo.TryCommit)
		if err := s.main.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		s.ledgerAt(t, s.main, appKey, a, batch.last+50, 4, writtenAt(batch.last))
		s.cover(t, appKey, c, day)
		end(t, s.main, kgo.TryAbort)
	}
	position := func(of pipeline.Stream, sequence int64) pipeline.Checkpoint {
		return pipeline.Checkpoint{AppKey: appKey, Stream: of, End: writtenAt(sequence), SavedAt: writtenAt(sequence), Sequence: sequence}
	}
	forgotten := position(b, 3)
	forgotten.Forgotten = true
	gone := pipeline.LostPosition{Stream: b, Gone: true, Published: day.Add(25 * time.Hour)}
	older := func(sequence int64) pipeline.LostPosition {
		return pipeline.LostPosition{Stream: a, End: writtenAt(sequence), Published: writtenAt(9)}
	}
	for _, tc := range []struct {
		what        string
		positions   []pipeline.Checkpoint
		atLeastOnce bool
		want        []pipeline.LostPosition
	}{
		{"one is gone", []pipeline.Checkpoint{position(a, 9)}, false, []pipeline.LostPosition{gone}},
		{"one is forgotten", []pipeline.Checkpoint{position(a, 9), forgotten}, false, nil},
		{"one is older by a window", []pipeline.Checkpoint{position(a, 8), forgotten}, false, []pipeline.LostPosition{older(8)}},
		{"one is much older", []pipeline.Checkpoint{position(a, 1), forgotten}, false, []pipeline.LostPosition{older(1)}},
		{"a file was not saved after its commit", []pipeline.Checkpoint{position(a, 6), forgotten}, true, nil},
		{"a file is older by two commits", []pipeline.Checkpoint{position(a, 3), forgotten}, true, []pipeline.LostPosition{older(3)}},
		{"one that nobody reads is older", []pipeline.Checkpoint{position(a, 9), position(user, 1), forgotten}, false, nil},
		{"all are gone", nil, false, []pipeline.LostPosition{gone}},
	} {
		e.AtLeastOnce = tc.atLeastOnce
		positions := make(map[pipeline.Stream]pipeline.Checkpoint)
		for _, cp := range tc.positions {
			positions[cp.Stream] = cp
		}
		lost, err := e.Lost(t.Context(), positions)
		slices.SortFunc(lost, func(a, b pipeline.LostPosition) int { return cmp.Compare(a.Stream.String(), b.Stream.String()) })
		if err != nil || !slices.Equal(lost, tc.want) {
			t.Errorf("%s: found %+v, %v; want %+v", tc.what, lost, err, tc.want)
		}
	}
	sequences, err := e.Sequences(t.Context(), []pipeline.Stream{a, b})
	if err != nil || len(sequences) != 1 || sequences[a] != 9 {
		t.Errorf("the newest records are %v, %v; want 9 of %v", sequences, err, a)
	}
}

// TestEvidenceAtLeastOnce has commits be made again because the positions were not saved, the first ones among them: none of those is lost.
func TestEvidenceAtLeastOnce(t *testing.T) {
	s := newKafkaStore(t, 4)
	e := s.evidence(t)
	e.AtLeastOnce = true
	all := streamsIn(4, 1, 1, 3)
	a, b, c, day := all[0], all[1], all[2], dayOf(t)
	commit := func(of pipeline.Stream, first, last, at int64) {
		if err := s.main.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for n := first; n <= last; n++ {
			s.ledgerAt(t, s.main, appKey, of, n, 4, writtenAt(at))
		}
		s.cover(t, appKey, of, day)
		end(t, s.main, kgo.TryCommit)
	}
	position := func(of pipeline.Stream, sequence int64) pipeline.Checkpoint {
		return pipeline.Checkpoint{AppKey: appKey, Stream: of, End: writtenAt(sequence), SavedAt: writtenAt(sequence), Sequence: sequence}
	}
	lost := func(what string, positions map[pipeline.Stream]pipeline.Checkpoint, want ...pipeline.Stream) {
		t.Helper()
		found, err := e.Lost(t.Context(), positions)
		var streams []pipeline.Stream
		for _, l := range found {
			streams = append(streams, l.Stream)
		}
		if err != nil || !slices.Equal(streams, want) {
			t.Errorf("%s: %v are lost, %v; want %v", what, streams, err, want)
		}
	}
	commit(a, 1, 1, 1)
	lost("the first position was not saved", nil)
	commit(a, 1, 3, 4)
	lost("nor was it when more had come", nil)
	commit(a, 4, 4, 5)
	lost("a second commit follows the first one", nil, a)
	lost("the second one was not saved", map[pipeline.Stream]pipeline.Checkpoint{a: position(a, 3)})
	commit(a, 4, 6, 7)
	lost("nor was it when more had come", map[pipeline.Stream]pipeline.Checkpoint{a: position(a, 3)})
	lost("a position is older than that", map[pipeline.Stream]pipeline.Checkpoint{a: position(a, 2)}, a)
	commit(b, 2, 2, 7)
	lost("a stream has more than its first commit", map[pipeline.Stream]pipeline.Checkpoint{a: position(a, 6)}, b)
	commit(c, 1, 0, 7)
	lost("a stream has no ledger any more", map[pipeline.Stream]pipeline.Checkpoint{a: position(a, 6), b: position(b, 2)}, c)
}

// askedFor counts, by topic, the partitions whose offsets a broker is asked for.
func (s *kafkaStore) askedFor() func(topic pipeline.Topic) int {
	var mu sync.Mutex
	asked := make(map[string]map[int32]bool)
	s.cluster.ControlKey(int16(kmsg.ListOffsets), func(r kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		request, ok := r.(*kmsg.ListOffsetsRequest)
		if !ok {
			return nil, nil, false
		}
		mu.Lock()
		defer mu.Unlock()
		for _, topic := range request.Topics {
			name := strings.TrimPrefix(topic.Topic, s.prefix)
			if asked[name] == nil {
				asked[name] = make(map[int32]bool)
			}
			for _, p := range topic.Partitions {
				asked[name][p.Partition] = true
			}
		}
		return nil, nil, false
	})
	return func(topic pipeline.Topic) int {
		mu.Lock()
		defer mu.Unlock()
		n := len(asked[string(topic)])
		delete(asked, string(topic))
		return n
	}
}

// TestEvidenceReadsOnlyWhatItNeeds has positions at whose ledger records it is enough to look, and others for which everything has to be
// looked through.
func TestEvidenceReadsOnlyWhatItNeeds(t *testing.T) {
	const partitions = 5
	s := newKafkaStore(t, partitions)
	asked := s.askedFor()
	e := s.evidence(t)
	// The ledger of moved began when the topic had one partition.
	all := streamsIn(partitions, 1, 3, 3)
	a, moved, removed := all[0], all[1], all[2]
	if err := s.main.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for n := int64(1); n <= 9; n++ {
		s.ledger(t, s.main, appKey, a, n, partitions)
		s.ledger(t, s.main, appKey, moved, n, 1)
	}
	// Whoever wrote this has a clock that is a day behind.
	s.ledgerAt(t, s.main, appKey, a, 10, partitions, writtenAt(9).Add(-24*time.Hour))
	end(t, s.main, kgo.TryCommit)
	position := func(of pipeline.Stream, sequence int64, saved time.Time) pipeline.Checkpoint {
		return pipeline.Checkpoint{AppKey: appKey, Stream: of, End: saved, SavedAt: saved, Sequence: sequence}
	}
	away := position(removed, 3, writtenAt(1))
	away.Removed = true
	for _, tc := range []struct {
		what      string
		positions []pipeline.Checkpoint
		named     []pipeline.Stream
		kinds     []pipeline.StreamKind
		want      []pipeline.Stream
		// ledger and coverage are of how many partitions the offsets are asked for.
		ledger, coverage int
	}{
		{"the newest one", []pipeline.Checkpoint{position(a, 10, writtenAt(9).Add(-24*time.Hour))}, []pipeline.Stream{a}, nil, nil, 1, 0},
		{"behind it a clock lies", []pipeline.Checkpoint{position(a, 9, writtenAt(9))}, []pipeline.Stream{a}, nil, []pipeline.Stream{a}, 1, 0},
		{
			"its records stand elsewhere",
			[]pipeline.Checkpoint{position(moved, 9, writtenAt(9))},
			[]pipeline.Stream{moved},
			nil, nil,
			partitions, 0,
		},
		{
			"newer ones stand elsewhere",
			[]pipeline.Checkpoint{position(moved, 8, writtenAt(8))},
			[]pipeline.Stream{moved},
			nil,
			[]pipeline.Stream{moved},
			partitions, 0,
		},
		{
			"a command has set it",
			[]pipeline.Checkpoint{position(a, 8, writtenAt(9).Add(50*time.Minute))},
			[]pipeline.Stream{a},
			nil,
			[]pipeline.Stream{a},
			partitions, 0,
		},
		{
			"another one has none",
			[]pipeline.Checkpoint{position(a, 9, writtenAt(9))},
			[]pipeline.Stream{a, moved},
			nil,
			[]pipeline.Stream{a},
			1, partitions,
		},
		{
			"others are discovered",
			[]pipeline.Checkpoint{position(a, 9, writtenAt(9)), away},
			nil,
			[]pipeline.StreamKind{pipeline.StreamGroups},
			[]pipeline.Stream{a},
			2, partitions,
		},
	} {
		e.Named, e.Discovered = tc.named, tc.kinds
		positions := make(map[pipeline.Stream]pipeline.Checkpoint)
		for _, cp := range tc.positions {
			positions[cp.Stream] = cp
		}
		older, err := e.Lost(t.Context(), positions)
		var lost []pipeline.Stream
		for _, l := range older {
			lost = append(lost, l.Stream)
		}
		if err != nil || !slices.Equal(lost, tc.want) {
			t.Errorf("%s: %v are lost, %v; want %v", tc.what, lost, err, tc.want)
		}
		if ledger, coverage := asked(pipeline.TopicWindows), asked(pipeline.TopicCoverage); ledger != tc.ledger || coverage != tc.coverage {
			t.Errorf("%s: %d partitions of the ledger and %d of the coverage are asked for, want %d and %d", tc.what, ledger, coverage, tc.ledger, tc.coverage)
		}
	}
}

package checkpoint_test

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

func (s *kafkaStore) archive(t *testing.T) *checkpoint.Archive {
	t.Helper()
	conn, err := kafka.Open(kafka.Config{Brokers: s.brokers, ClientID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return checkpoint.NewArchive(conn.Client, s.prefix+string(pipeline.TopicWindows), appKey, func() int { return s.partitions }, s.retry)
}

// writtenAt is when the record with a number is written.
func writtenAt(n int64) time.Time { return second(n * 600) }

// ledger writes a ledger record of a stream with a number into the partition that it has among so many.
func (s *kafkaStore) ledger(t *testing.T, w *writer, app string, of pipeline.Stream, n int64, partitions int) {
	t.Helper()
	s.ledgerAt(t, w, app, of, n, partitions, writtenAt(n))
}

// ledgerAt is ledger at a time.
func (s *kafkaStore) ledgerAt(t *testing.T, w *writer, app string, of pipeline.Stream, n int64, partitions int, at time.Time) {
	t.Helper()
	l := pipeline.Ledger{
		AppKey: app, Stream: of, Window: pipeline.Window{Begin: writtenAt(n - 1), End: writtenAt(n)}, Sequence: n,
		MovedFrom: writtenAt(n - 1), MovedTo: writtenAt(n), Started: writtenAt(n),
	}
	value, err := checkpoint.EncodeLedger(&l)
	if err != nil {
		t.Fatal(err)
	}
	r := &kgo.Record{
		Topic: s.prefix + string(pipeline.TopicWindows), Partition: int32(checkpoint.PartitionOf(app, of, partitions)),
		Key: checkpoint.LedgerKey(app, of, l.Window), Value: value, Timestamp: at,
	}
	if err := w.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// read lists the numbers of the records that a query finds, by stream, and where they stand.
func read(t *testing.T, a *checkpoint.Archive, q audit.Query) (map[string][]int64, map[string][]audit.Place, audit.Frontier) {
	t.Helper()
	numbers, places := make(map[string][]int64), make(map[string][]audit.Place)
	frontier, err := a.Ledger(t.Context(), q, func(l *pipeline.Ledger, p audit.Place) error {
		numbers[l.Stream.String()] = append(numbers[l.Stream.String()], l.Sequence)
		places[l.Stream.String()] = append(places[l.Stream.String()], p)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return numbers, places, frontier
}

// streamsIn finds a stream for each of some partitions of so many.
func streamsIn(partitions int, wanted ...int) []pipeline.Stream {
	var found []pipeline.Stream
	for _, partition := range wanted {
		for i := 0; ; i++ {
			s := pipeline.Stream{Kind: pipeline.StreamGroups, Name: strconv.Itoa(i)}
			if checkpoint.PartitionOf(appKey, s, partitions) == partition && !slices.Contains(found, s) {
				found = append(found, s)
				break
			}
		}
	}
	return found
}

// TestLedgerIsReadInItsOrder finds what of the app's streams is committed, in the order of commits, with places at which the
// records can be read again; of given streams from their partitions alone.
func TestLedgerIsReadInItsOrder(t *testing.T) {
	s := newKafkaStore(t, 4)
	all := streamsIn(4, 1, 1, 3)
	begin := func() {
		if err := s.main.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
	}
	for n := int64(1); n <= 20; n++ {
		begin()
		for _, of := range all {
			s.ledger(t, s.main, appKey, of, n, 4)
			s.ledger(t, s.main, "5"+appKey[1:], of, n, 4)
		}
		end(t, s.main, kgo.TryCommit)
		begin()
		s.ledger(t, s.main, appKey, all[0], n, 4)
		end(t, s.main, kgo.TryAbort)
	}
	a := s.archive(t)
	upTo := func(from, to int64) []int64 {
		var list []int64
		for ; from <= to; from++ {
			list = append(list, from)
		}
		return list
	}
	for name, q := range map[string]audit.Query{"all": {}, "named": {Streams: all}} {
		numbers, places, frontier := read(t, a, q)
		want := map[string][]int64{all[0].String(): upTo(1, 20), all[1].String(): upTo(1, 20), all[2].String(): upTo(1, 20)}
		same(t, name, numbers, want)
		if partitions := slices.Sorted(maps.Keys(frontier)); q.Streams != nil && !slices.Equal(partitions, []int32{1, 3}) {
			t.Errorf("%s: partitions %v were read", name, partitions)
		}
		for i, p := range places[all[1].String()] {
			l, err := a.At(t.Context(), p)
			if err != nil || l == nil || l.Stream != all[1] || l.Sequence != int64(i+1) || p.Partition != 1 {
				t.Errorf("%s: at %v stands %+v, %v", name, p, l, err)
			}
		}
	}
	if numbers, _, _ := read(t, a, audit.Query{Streams: streamsIn(4, 2)}); len(numbers) > 0 {
		t.Errorf("of a stream without windows: %v", numbers)
	}
}

// TestOlderRecordsInAnotherPartition finds all records of a stream when the topic was given more partitions, also where only
// some of those that are asked for stand in the old one.
func TestOlderRecordsInAnotherPartition(t *testing.T) {
	s := newKafkaStore(t, 4)
	var moved pipeline.Stream
	for i := 0; moved.Name == "" || checkpoint.PartitionOf(appKey, moved, 2) == checkpoint.PartitionOf(appKey, moved, 4); i++ {
		moved = pipeline.Stream{Kind: pipeline.StreamGroups, Name: strconv.Itoa(i)}
	}
	if err := s.main.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for n := int64(1); n <= 40; n++ {
		partitions := 2
		if n > 20 {
			partitions = 4
		}
		s.ledger(t, s.main, appKey, moved, n, partitions)
	}
	end(t, s.main, kgo.TryCommit)
	a := s.archive(t)
	for since, want := range map[int64]int{0: 40, 15: 40 - 8, 21: 40 - 14, 22: 20, 30: 17} { // The hour before is six of them.
		q := audit.Query{Streams: []pipeline.Stream{moved}}
		if since > 0 {
			q.Since = writtenAt(since)
		}
		numbers, _, frontier := read(t, a, q)
		got := numbers[moved.String()]
		slices.Sort(got)
		if len(slices.Compact(got)) != want || got[len(got)-1] != 40 {
			t.Errorf("since %d: %v, want the last %d", since, got, want)
		}
		if alone := len(frontier) == 1; alone != (since >= 22) {
			t.Errorf("since %d: partitions %v were read", since, frontier)
		}
	}
}

// TestNewerWaits gives what was committed behind a frontier, all of it, also where somebody's transaction is open before it; what
// is known to be committed is read without waiting.
func TestNewerWaits(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s := newKafkaStore(t, 1)
	of := stream(t, "users/a")
	other := s.writer(t, "other")
	commit := func(n int64) {
		if err := s.main.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		s.ledger(t, s.main, appKey, of, n, 1)
		end(t, s.main, kgo.TryCommit)
	}
	waiting := make(chan struct{}, 100)
	s.retry.Notify = func(string, error, time.Duration) {
		select {
		case waiting <- struct{}{}:
		default:
		}
	}
	a := s.archive(t)
	commit(1)
	_, _, frontier := read(t, a, audit.Query{})
	if err := other.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	s.ledger(t, other, appKey, stream(t, "users/b"), 1, 1)
	commit(2)
	commit(3)
	if numbers, _, now := read(t, a, audit.Query{}); len(numbers[of.String()]) != 1 || now[0] != frontier[0] {
		t.Errorf("behind an open transaction %v were read, up to %v", numbers, now)
	}
	if l, err := a.At(ctx, audit.Place{Offset: frontier[0] + 1}); err != nil || l == nil || l.Sequence != 2 {
		t.Errorf("behind an open transaction stands %+v, %v", l, err)
	}
	records := 0
	ranges := []pipeline.OffsetRange{{Topic: s.prefix + string(pipeline.TopicWindows), First: frontier[0] + 1, Last: frontier[0] + 1}}
	err := a.Records(ctx, ranges, func(string, []byte, []byte) error { records++; return nil })
	if err != nil || records != 1 {
		t.Errorf("%d records were read, %v", records, err)
	}
	newer := func() ([]int64, error) {
		var numbers []int64
		err := a.Newer(ctx, of, frontier, func(l *pipeline.Ledger, _ audit.Place) error {
			numbers = append(numbers, l.Sequence)
			return nil
		})
		return numbers, err
	}
	found := make(chan []int64)
	go func() {
		numbers, err := newer()
		if err != nil {
			t.Error(err)
		}
		found <- numbers
	}()
	select {
	case numbers := <-found:
		t.Errorf("read %v while a transaction was open", numbers)
	case <-waiting:
		end(t, other, kgo.TryAbort)
		same(t, "newer", <-found, []int64{2, 3})
	}
}

// TestRecordsThatAreGone gives what is left of ranges, and does not wait for the rest.
func TestRecordsThatAreGone(t *testing.T) {
	s := newKafkaStore(t, 1)
	if err := s.main.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for n := int64(1); n <= 3; n++ {
		s.ledger(t, s.main, appKey, stream(t, "users/a"), n, 1)
	}
	end(t, s.main, kgo.TryCommit)
	records := 0
	ranges := []pipeline.OffsetRange{{Topic: s.prefix + string(pipeline.TopicWindows), First: 1, Last: 1000}}
	err := s.archive(t).Records(t.Context(), ranges, func(string, []byte, []byte) error { records++; return nil })
	if err != nil || records != 2 {
		t.Errorf("%d records, %v", records, err)
	}
}

// TestForeignLedgerRecords reads the ledger between what others write to the app's keys: it is told and passed over.
func TestForeignLedgerRecords(t *testing.T) {
	s := newKafkaStore(t, 1)
	a := stream(t, "users/a")
	w := window(a, 1)
	good := staged(t, s.kafka(t), commitOf(w))[0]
	at := func(key, value string) pipeline.Record {
		return pipeline.Record{Topic: pipeline.TopicWindows, Key: []byte(key), Value: []byte(value)}
	}
	garbage := []pipeline.Record{
		at(string(good.Key), "garbage"), at(string(good.Key), ""), at(string(good.Key), `{"version":2}`),
		at(appKey+"/users/b/2026-01-01T00:00:00Z", string(good.Value)), // It would be found for a stream that was not asked for.
		at(string(good.Key), strings.Replace(string(good.Value), "users/a", "users/b", 1)),
		at(string(good.Key), strings.Replace(string(good.Value), appKey, "4f7aef34fb361292c566a1ce", 1)),
		at(string(good.Key), `{"offsets":[`+strings.Repeat("0,", 400_000)+`0]}`),
	}
	write(t, s.main, append(garbage, good)...)
	end(t, s.main, kgo.TryCommit)
	for _, streams := range [][]pipeline.Stream{nil, {a}, {a, stream(t, "users/b")}} {
		archive := s.archive(t)
		told, found := 0, 0
		archive.Skipped = func(err error) {
			if told++; !strings.Contains(err.Error(), "jmessage.windows/0 at offset") {
				t.Errorf("it does not say where: %v", err)
			}
		}
		_, err := archive.Ledger(t.Context(), audit.Query{Streams: streams}, func(l *pipeline.Ledger, _ audit.Place) error {
			if found++; l.Stream != a {
				t.Errorf("it finds %v", l)
			}
			return nil
		})
		if want := len(garbage) - 1; err != nil || found != 1 || told < want {
			t.Errorf("it finds %d and tells of %d, want %d; %v", found, told, want, err)
		}
	}
	write(t, s.main, at(string(good.Key), strings.Replace(string(good.Value), `"version":1`, `"version":2`, 1)))
	end(t, s.main, kgo.TryCommit)
	_, err := s.archive(t).Ledger(t.Context(), audit.Query{}, func(*pipeline.Ledger, audit.Place) error { return nil })
	fault(t, err, "newer jmpub")
}

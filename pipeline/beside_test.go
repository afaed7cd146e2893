package pipeline_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// lists is a directory that a test may change while it is read.
type lists struct {
	mu    sync.Mutex
	names map[pipeline.StreamKind][]string
}

func (l *lists) List(_ context.Context, kind pipeline.StreamKind) (pipeline.Listing, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	listing := pipeline.Listing{Whole: true}
	for _, name := range l.names[kind] {
		listing.Streams = append(listing.Streams, pipeline.Stream{Kind: kind, Name: name})
	}
	return listing, nil
}

func (l *lists) set(kind pipeline.StreamKind, names ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names[kind] = names
}

// scattered makes n rows of one stream, a few seconds apart, with ids that no other stream has.
func scattered(begin time.Time, stream, n int) []fakeRow {
	rows := make([]fakeRow, n)
	for i := range rows {
		rows[i] = fakeRow{id: int64(stream*1_000_000 + i), at: begin.Add(time.Duration(i*7+stream) * time.Second)}
	}
	return rows
}

// now and then fails a commit, before or after it took place.
func nowAndThen(seed uint64, kafka *fakeKafka) func(context.Context, string) error {
	dice := rand.New(rand.NewPCG(seed, 2))
	return func(_ context.Context, op string) error {
		if op != "commit" || dice.IntN(15) > 0 {
			return nil
		}
		if dice.IntN(2) == 0 {
			kafka.apply()
		}
		return &pipeline.Fault{Class: pipeline.Abort, Op: op, Err: errors.New("injected")}
	}
}

// TestDiscoveredStreamsArePublished follows the lists: users that were there, one that comes, and one that is deleted, beside
// a group that was named, while sessions fail now and then.
func TestDiscoveredStreamsArePublished(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now().UTC().Add(-time.Hour)
			group := pipeline.Stream{Kind: pipeline.StreamGroups, Name: "7"}
			source, kafka := newFakeSource(), newFakeKafka()
			source.of = map[pipeline.Stream][]fakeRow{
				user("ann"): scattered(begin, 1, 600), user("bob"): scattered(begin, 2, 900), group: scattered(begin, 3, 900),
				user("new"): scattered(begin.Add(90*time.Minute), 4, 200),
			}
			if seed > 0 {
				kafka.fail = nowAndThen(seed, kafka)
			}
			gone := make(chan struct{})
			source.open = func(_ int, s pipeline.Stream, _ pipeline.Window) (pipeline.Pages, error) {
				select {
				case <-gone:
					if s == user("ann") {
						return nil, &pipeline.Fault{Class: pipeline.Drop, Op: "get page", Err: errors.New("899002")}
					}
				default:
				}
				return nil, nil //nolint:nilnil // Leaves the answer to the fake.
			}
			app := &lists{names: map[pipeline.StreamKind][]string{pipeline.StreamUsers: {"ann", "bob"}}}
			time.AfterFunc(20*time.Minute, func() { app.set(pipeline.StreamUsers, "bob", "new") })
			time.AfterFunc(25*time.Minute, func() { close(gone) })
			var mu sync.Mutex
			most := 0
			cfg := configFor(source, kafka, begin)
			cfg.Streams = []pipeline.Stream{group}
			cfg.Discovery = &pipeline.DiscoveryConfig{
				Kinds: []pipeline.StreamKind{pipeline.StreamUsers}, Directory: app, Every: 10 * time.Minute, Pace: time.Second,
			}
			cfg.Observer = &pipeline.Observer{Discovered: func(streams int, _ time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				most = max(most, streams)
			}}
			if err := runFor(t, cfg, 2*time.Hour); err != nil {
				t.Fatalf("seed %d: run: %v", seed, err)
			}
			want := idsOf(source.of[user("bob")])
			want = append(want, idsOf(source.of[group])...)
			want = append(want, idsOf(source.of[user("new")])...)
			read := map[int64]bool{}
			for _, id := range kafka.ids() {
				if read[id] {
					t.Errorf("seed %d: %d was published twice", seed, id)
				}
				read[id] = true
			}
			for _, id := range want {
				if !read[id] {
					t.Errorf("seed %d: %d is missing", seed, id)
				}
				delete(read, id)
			}
			// What stood before the deletion was published; all of the rest is hers.
			if n := len(read); n < 500 {
				t.Errorf("seed %d: %d rows of the user who was deleted, want 500 at least", seed, n)
			}
			removed := 0
			for _, n := range kafka.notices {
				if n.Kind == pipeline.NoticeRemoved && n.Stream == user("ann") && n.Begin.After(begin) {
					removed++
				}
			}
			if removed != 1 || len(kafka.notices) != 1 || most < 2 {
				t.Errorf("seed %d: notices %+v, want one that she is gone; at most %d streams", seed, kafka.notices, most)
			}
		})
	}
}

// slowKafka takes a while to commit what begins at some times.
type slowKafka struct {
	*fakeKafka

	takes func() time.Duration
}

func (k *slowKafka) Begin(ctx context.Context) (pipeline.Transaction, error) {
	_, err := k.fakeKafka.Begin(ctx)
	return k, err
}

func (k *slowKafka) Commit(ctx context.Context) error {
	time.Sleep(k.takes())
	return k.fakeKafka.Commit(ctx)
}

// TestRemovedWhileItsWindowIsCommitted takes a user off the list, beside one that is named, while a window is on its way, and
// back onto it: the position stays behind what was published.
func TestRemovedWhileItsWindowIsCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		source, kafka := newFakeSource(), &slowKafka{fakeKafka: newFakeKafka()}
		kafka.takes = func() time.Duration {
			if since := time.Since(begin); since > 4*time.Minute && since < 6*time.Minute {
				return 20 * time.Second
			}
			return 0
		}
		source.of = map[pipeline.Stream][]fakeRow{user("ann"): scattered(begin, 1, 500), user("vip"): scattered(begin, 2, 500)}
		app := &lists{names: map[pipeline.StreamKind][]string{pipeline.StreamUsers: {"ann", "vip"}}}
		time.AfterFunc(3*time.Minute+30*time.Second, func() { app.set(pipeline.StreamUsers) }) // The lists of minutes 4 and 5 lack both.
		time.AfterFunc(8*time.Minute+30*time.Second, func() { app.set(pipeline.StreamUsers, "ann", "vip") })
		cfg := configFor(source, nil, begin)
		cfg.Sink, cfg.Checkpoints, cfg.Streams = kafka, kafka, []pipeline.Stream{user("vip")}
		cfg.Discovery = &pipeline.DiscoveryConfig{Kinds: []pipeline.StreamKind{pipeline.StreamUsers}, Directory: app, Every: time.Minute}
		if err := runFor(t, cfg, 70*time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := runFor(t, cfg, 5*time.Minute); err != nil { // A process that finds both positions.
			t.Fatal(err)
		}
		got := kafka.ids()
		slices.Sort(got)
		if want := slices.Concat(idsOf(source.of[user("ann")]), idsOf(source.of[user("vip")])); !slices.Equal(got, want) {
			t.Errorf("%d rows were published, want %d", len(got), len(want))
		}
		if len(kafka.notices) != 1 || kafka.notices[0].Stream != user("ann") {
			t.Errorf("notices %+v, want one of the user who was found", kafka.notices)
		}
	})
}

// TestManyStreamsDoNotHoldUpTheMessages reads the stream of all messages beside more streams than the quota can keep live.
func TestManyStreamsDoNotHoldUpTheMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rooms = 200
		begin := time.Now().UTC()
		source, kafka := newFakeSource(), newFakeKafka()
		source.span = time.Hour
		source.of = map[pipeline.Stream][]fakeRow{messages(): scattered(begin, 0, 200)}
		app := &lists{names: make(map[pipeline.StreamKind][]string)}
		var names []string
		for i := range rooms {
			names = append(names, strconv.Itoa(i+1))
			s := pipeline.Stream{Kind: pipeline.StreamChatrooms, Name: names[i]}
			source.of[s] = scattered(begin, i+1, 100)
		}
		app.set(pipeline.StreamChatrooms, names...)
		source.open = func(_ int, _ pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
			return emptyPage{w, time.Second}, nil
		}
		var mu sync.Mutex
		asked := make(map[pipeline.Stream][]time.Time)
		sweep := time.Duration(0)
		cfg := configFor(source, kafka, begin)
		cfg.Streams = []pipeline.Stream{messages()}
		cfg.Discovery = &pipeline.DiscoveryConfig{
			Kinds: []pipeline.StreamKind{pipeline.StreamChatrooms}, Directory: app, Every: time.Minute, Pace: 100 * time.Millisecond,
		}
		cfg.Observer = &pipeline.Observer{
			Planned: func(s pipeline.Stream, p pipeline.Plan) {
				mu.Lock()
				defer mu.Unlock()
				if behind := time.Since(p.Window.End); behind > 7*time.Second {
					t.Errorf("%s is asked for %v behind the clock", s, behind)
				}
				asked[s] = append(asked[s], time.Now())
			},
			Discovered: func(_ int, d time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				if sweep == 0 {
					sweep = d
				}
			},
		}
		if err := runFor(t, cfg, 10*time.Minute); err != nil {
			t.Fatal(err)
		}
		// A request takes a second, four at a time: 50 s for all rooms; the messages come every two or three seconds.
		for s, times := range asked {
			n := len(times)
			if s == messages() && n < 200 || s != messages() && (n < 10 || n > 13) {
				t.Errorf("%s was asked for %d times", s, n)
			}
		}
		if len(asked) != rooms+1 || sweep != rooms*100*time.Millisecond {
			t.Errorf("%d streams were read; the sweep is thought to take %v at first", len(asked), sweep)
		}
	})
}

// emptyPage is one page without rows that takes a while.
type emptyPage struct {
	window pipeline.Window
	takes  time.Duration
}

func (p emptyPage) Next(ctx context.Context) (pipeline.Page, error) {
	if err := pipeline.Sleep(ctx, p.takes); err != nil {
		return pipeline.Page{}, err
	}
	return pipeline.Page{}, io.EOF
}

func (emptyPage) Requests() int { return 1 }

// TestStatisticsBesideMessages publishes both in one run whose sessions fail, and what the app has no right to is told once.
func TestStatisticsBesideMessages(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now().UTC().Add(-time.Hour)
			rows := rowsFrom(begin, 6000)
			source, kafka := newFakeSource(rows...), newRecordKafka()
			source.pageSize = 100
			if seed > 0 {
				kafka.fail = nowAndThen(seed, kafka.fakeKafka)
			}
			zone := time.FixedZone("Asia/Shanghai", 8*60*60)
			figures := &fakeFigures{zone: zone, settle: time.Hour}
			refused := &refusedFigures{}
			var mu sync.Mutex
			dropped := make(map[pipeline.Stream]int)
			cfg := configFor(source, nil, begin)
			cfg.Sink, cfg.Checkpoints = kafka, kafka
			cfg.Statistics = []pipeline.StatisticsConfig{
				{AppKey: appKey, Stream: statistics("messages"), Zone: zone, Source: figures},
				{AppKey: appKey, Stream: statistics("users"), Zone: zone, Source: refused},
			}
			cfg.Observer = &pipeline.Observer{Dropped: func(s pipeline.Stream, _ error) {
				mu.Lock()
				defer mu.Unlock()
				dropped[s]++
			}}
			if err := runFor(t, cfg, 3*time.Hour); err != nil {
				t.Fatalf("seed %d: run: %v", seed, err)
			}
			wantIDs(t, kafka.fakeKafka, idsOf(rows))
			last := latest(t, kafka)
			for back := range 60 {
				p := pipeline.PeriodOf(pipeline.Day, time.Now().In(zone)).Add(-back)
				if _, ok := last[appKey+"/"+p.String()]; !ok {
					t.Errorf("seed %d: %s is missing", seed, p)
				}
			}
			if want := map[pipeline.Stream]int{statistics("users"): 1}; !maps.Equal(dropped, want) || refused.asked != 1 {
				t.Errorf("seed %d: dropped %v after %d requests, want %v after one", seed, dropped, refused.asked, want)
			}
			if cp := kafka.checkpoints[statistics("messages")]; cp.Counts.Published < 60 {
				t.Errorf("seed %d: the position of the statistics is %+v", seed, cp)
			}
		})
	}
}

// refusedFigures are those of an app that does not pay for them.
type refusedFigures struct{ asked int }

func (*refusedFigures) Now(context.Context, pipeline.Stream) (time.Time, error) {
	return time.Now(), nil
}

func (f *refusedFigures) Statistics(context.Context, pipeline.Stream, pipeline.Period, int) ([]pipeline.Figures, int, error) {
	f.asked++
	return nil, 1, &pipeline.Fault{Class: pipeline.Drop, Op: "get statistics", Err: errors.New("403")}
}

// TestNothingButStatistics needs no stream of messages, and ends where the app has no right to any.
func TestNothingButStatistics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kafka := newRecordKafka()
		zone := time.FixedZone("Asia/Shanghai", 8*60*60)
		cfg := configFor(newFakeSource(), nil, time.Now())
		cfg.Streams, cfg.Sink, cfg.Checkpoints = nil, kafka, kafka
		cfg.Statistics = []pipeline.StatisticsConfig{{AppKey: appKey, Stream: statistics("groups"), Zone: zone, Source: &fakeFigures{zone: zone}}}
		if err := runFor(t, cfg, time.Hour); err != nil || len(kafka.records) < 60 {
			t.Errorf("%d records, %v", len(kafka.records), err)
		}
		cfg.Statistics[0].Source = &refusedFigures{}
		if err := runFor(t, cfg, time.Hour); err == nil {
			t.Error("nothing is left to read, and the run goes on")
		}
	})
}

package pipeline_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/discovery"
)

// lists is a directory that a test may change while it is read.
type lists struct {
	mu    sync.Mutex
	names map[pipeline.StreamKind][]string
}

func (l *lists) List(_ context.Context, kind pipeline.StreamKind) (discovery.Listing, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	listing := discovery.Listing{Whole: true}
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
func scattered(begin time.Time, stream, n int) []fakes.Row {
	rows := make([]fakes.Row, n)
	for i := range rows {
		rows[i] = fakes.Row{ID: int64(stream*1_000_000 + i), At: begin.Add(time.Duration(i*7+stream) * time.Second)}
	}
	return rows
}

// now and then fails a commit, before or after it took place.
func nowAndThen(seed uint64, kafka *fakes.Kafka) func(context.Context, string) error {
	dice := rand.New(rand.NewPCG(seed, 2))
	return func(_ context.Context, op string) error {
		if op != "commit" || dice.IntN(15) > 0 {
			return nil
		}
		if dice.IntN(2) == 0 {
			kafka.Apply()
		}
		return &pipeline.Fault{Class: pipeline.Abort, Op: op, Err: errors.New("injected")}
	}
}

// TestDiscoveredStreamsArePublished follows the lists: users that were there, one that comes, and one that is deleted, next to
// a group that was named, while sessions fail now and then.
func TestDiscoveredStreamsArePublished(t *testing.T) {
	for seed := range fakes.Seeds(4) {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now().UTC().Add(-time.Hour)
			group := pipeline.Stream{Kind: pipeline.StreamGroups, Name: "7"}
			source, kafka := fakes.NewSource(), fakes.NewKafka()
			source.Of = map[pipeline.Stream][]fakes.Row{
				user("ann"): scattered(begin, 1, 600), user("bob"): scattered(begin, 2, 900), group: scattered(begin, 3, 900),
				user("new"): scattered(begin.Add(90*time.Minute), 4, 200),
			}
			if seed > 0 {
				kafka.Fail = nowAndThen(seed, kafka)
			}
			gone := make(chan struct{})
			source.OpenHook = func(_ int, s pipeline.Stream, _ pipeline.Window) (pipeline.Pages, error) {
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
			cfg := fakes.ConfigFor(source, kafka, begin)
			cfg.Streams = []pipeline.Stream{group}
			cfg.Pace = time.Second
			cfg.Observer = func(o pipeline.Observation) {
				if found, ok := o.(pipeline.StreamsDiscovered); ok {
					mu.Lock()
					defer mu.Unlock()
					most = max(most, found.Streams)
				}
			}
			discover(&cfg, []pipeline.StreamKind{pipeline.StreamUsers}, app, 10*time.Minute)
			if err := fakes.RunFor(t, cfg, 2*time.Hour); err != nil {
				t.Fatalf("seed %d: run: %v", seed, err)
			}
			want := fakes.IDsOf(source.Of[user("bob")])
			want = append(want, fakes.IDsOf(source.Of[group])...)
			want = append(want, fakes.IDsOf(source.Of[user("new")])...)
			read := map[int64]bool{}
			for _, id := range kafka.IDs() {
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
			for _, n := range kafka.Notices {
				if n.Kind == pipeline.NoticeRemoved && n.Stream == user("ann") && n.Begin.After(begin) {
					removed++
				}
			}
			if removed != 1 || len(kafka.Notices) != 1 || most < 2 {
				t.Errorf("seed %d: notices %+v, want one that she is gone; at most %d streams", seed, kafka.Notices, most)
			}
		})
	}
}

// slowKafka takes a while to commit what begins at some times.
type slowKafka struct {
	*fakes.Kafka

	takes func() time.Duration
}

func (k *slowKafka) Begin(ctx context.Context) (pipeline.Transaction, error) {
	tx, err := k.Kafka.Begin(ctx)
	return &slowTransaction{tx, k.takes}, err
}

type slowTransaction struct {
	pipeline.Transaction

	takes func() time.Duration
}

func (t *slowTransaction) Commit(ctx context.Context) error {
	time.Sleep(t.takes())
	return t.Transaction.Commit(ctx)
}

// discover has a pipeline follow the lists of these kinds.
func discover(cfg *pipeline.Config, kinds []pipeline.StreamKind, app discovery.Directory, every time.Duration) {
	cfg.Members = append(cfg.Members, discovery.New(discovery.Config{
		AppKey: cfg.AppKey, Kinds: kinds, Directory: app, Clock: cfg.Source, Named: cfg.Streams, Every: every, Observer: cfg.Observer,
	}))
}

// TestRemovedWhileItsWindowIsCommitted takes a user off the list, next to one that is named, while a window is on its way, and
// back onto it: the position stays behind what was published.
func TestRemovedWhileItsWindowIsCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		source, kafka := fakes.NewSource(), &slowKafka{Kafka: fakes.NewKafka()}
		kafka.takes = func() time.Duration {
			if since := time.Since(begin); since > 4*time.Minute && since < 6*time.Minute {
				return 20 * time.Second
			}
			return 0
		}
		source.Of = map[pipeline.Stream][]fakes.Row{user("ann"): scattered(begin, 1, 500), user("vip"): scattered(begin, 2, 500)}
		app := &lists{names: map[pipeline.StreamKind][]string{pipeline.StreamUsers: {"ann", "vip"}}}
		time.AfterFunc(3*time.Minute+30*time.Second, func() { app.set(pipeline.StreamUsers) }) // The lists of minutes 4 and 5 lack both.
		time.AfterFunc(8*time.Minute+30*time.Second, func() { app.set(pipeline.StreamUsers, "ann", "vip") })
		cfg := fakes.ConfigFor(source, kafka.Kafka, begin)
		cfg.Sink, cfg.Streams = kafka, []pipeline.Stream{user("vip")}
		discover(&cfg, []pipeline.StreamKind{pipeline.StreamUsers}, app, time.Minute)
		fakes.Run(t, cfg, 70*time.Minute)
		fakes.Run(t, cfg, 5*time.Minute) // A process that finds both positions.
		got := kafka.IDs()
		slices.Sort(got)
		if want := slices.Concat(fakes.IDsOf(source.Of[user("ann")]), fakes.IDsOf(source.Of[user("vip")])); !slices.Equal(got, want) {
			t.Errorf("%d rows were published, want %d", len(got), len(want))
		}
		if len(kafka.Notices) != 1 || kafka.Notices[0].Stream != user("ann") {
			t.Errorf("notices %+v, want one of the user who was found", kafka.Notices)
		}
	})
}

// TestManyStreamsDoNotHoldUpTheMessages reads the stream of all messages and more streams than the quota can keep live.
func TestManyStreamsDoNotHoldUpTheMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rooms = 200
		begin := time.Now().UTC()
		source, kafka := fakes.NewSource(), fakes.NewKafka()
		source.Span = time.Hour
		source.Of = map[pipeline.Stream][]fakes.Row{fakes.Messages(): scattered(begin, 0, 200)}
		app := &lists{names: make(map[pipeline.StreamKind][]string)}
		var names []string
		for i := range rooms {
			names = append(names, strconv.Itoa(i+1))
			s := pipeline.Stream{Kind: pipeline.StreamChatrooms, Name: names[i]}
			source.Of[s] = scattered(begin, i+1, 100)
		}
		app.set(pipeline.StreamChatrooms, names...)
		source.OpenHook = func(_ int, _ pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
			return emptyPage{w, time.Second}, nil
		}
		var mu sync.Mutex
		asked := make(map[pipeline.Stream][]time.Time)
		sweep := time.Duration(0)
		cfg := fakes.ConfigFor(source, kafka, begin)
		cfg.Streams = []pipeline.Stream{fakes.Messages()}
		cfg.Pace = 100 * time.Millisecond
		cfg.Observer = func(o pipeline.Observation) {
			mu.Lock()
			defer mu.Unlock()
			switch o := o.(type) {
			case pipeline.WindowPlanned:
				if behind := time.Since(o.Plan.Window.End); behind > 7*time.Second {
					t.Errorf("%s is asked for %v behind the clock", o.Stream, behind)
				}
				asked[o.Stream] = append(asked[o.Stream], time.Now())
			case pipeline.StreamsDiscovered:
				if sweep == 0 {
					sweep = o.Sweep
				}
			default:
			}
		}
		discover(&cfg, []pipeline.StreamKind{pipeline.StreamChatrooms}, app, time.Minute)
		fakes.Run(t, cfg, 10*time.Minute)
		// A request takes a second, four at a time: 50 s for all rooms; the messages come every two or three seconds.
		for s, times := range asked {
			n := len(times)
			if s == fakes.Messages() && n < 200 || s != fakes.Messages() && (n < 10 || n > 13) {
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

func (emptyPage) Free() {}

func user(name string) pipeline.Stream {
	return pipeline.Stream{Kind: pipeline.StreamUsers, Name: name}
}

// TestTheLastCommitThatFailsIsTold stops a run in its last commit, with all of its range read, and has that fail.
func TestTheLastCommitThatFailsIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Add(-time.Hour)
		kafka := fakes.NewKafka()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		wrong := errors.New("injected")
		kafka.Fail = func(_ context.Context, op string) error {
			if op != "commit" {
				return nil
			}
			time.Sleep(time.Second) // Readers have come to their end.
			stop()
			return &pipeline.Fault{Class: pipeline.Permanent, Op: op, Err: wrong}
		}
		cfg := fakes.ConfigFor(fakes.NewSource(fakes.RowsFrom(begin, 10)...), kafka, begin)
		cfg.Until = begin.Add(20 * time.Second)
		p, err := pipeline.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Run(ctx); !errors.Is(err, wrong) {
			t.Errorf("the run ends with %v", err)
		}
	})
}

package pipeline_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
)

// gauge is how many of something there are, and the most there were.
type gauge struct {
	mu        sync.Mutex
	now, most int
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now += n
}

// look takes in how many there are now.
func (g *gauge) look() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.most = max(g.most, g.now)
}

// newBounds has commits wait for nobody.
func newBounds(fetches int, memoryBytes int64, streamed int) *pipeline.Bounds {
	return pipeline.NewBounds(pipeline.Limits{Fetches: fetches, MemoryBytes: memoryBytes, Streamed: streamed, Commits: 1000})
}

// sharedSource is one app's API. Each of its requests takes a while and is counted among those of all apps.
type sharedSource struct {
	*fakes.Source

	wait     time.Duration
	requests *gauge
	// pageBytes is what each page takes.
	pageBytes int
}

func (s *sharedSource) request(ctx context.Context) error {
	s.requests.add(1)
	defer s.requests.add(-1)
	if err := pipeline.Sleep(ctx, time.Nanosecond); err != nil { // By then, those are gone that end with what has failed at this moment.
		return err
	}
	s.requests.look()
	return pipeline.Sleep(ctx, s.wait)
}

func (s *sharedSource) Open(ctx context.Context, stream pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
	if err := s.request(ctx); err != nil {
		return nil, err
	}
	pages, err := s.Source.Open(ctx, stream, w)
	if err != nil {
		return nil, err
	}
	return &sharedPages{pages, s}, nil
}

func (s *sharedSource) Early(ctx context.Context, stream pipeline.Stream, since time.Time) (pipeline.Window, pipeline.Page, error) {
	if err := s.request(ctx); err != nil {
		return pipeline.Window{}, pipeline.Page{}, err
	}
	w, page, err := s.Source.Early(ctx, stream, since)
	page.Bytes = s.pageBytes
	return w, page, err
}

type sharedPages struct {
	pipeline.Pages

	source *sharedSource
}

func (p *sharedPages) Next(ctx context.Context) (pipeline.Page, error) {
	if err := p.source.request(ctx); err != nil {
		return pipeline.Page{}, err
	}
	page, err := p.Pages.Next(ctx)
	page.Span, page.Bytes = p.source.Span, p.source.pageBytes
	return page, err
}

// countStreamed counts the windows that are being streamed: each of their transactions is published to at different times. One to which several
// windows are published that are there is over at once.
func countStreamed(kafka *fakes.Kafka, streamed *gauge) {
	var first time.Time
	counted := false
	fail := kafka.Fail
	kafka.Fail = func(ctx context.Context, op string) error {
		switch op {
		case "publish":
			if first.IsZero() {
				first = time.Now()
			}
			if !counted && time.Now().After(first) {
				counted = true
				streamed.add(1)
				streamed.look()
			}
		case "commit", "abort", "open":
			if counted {
				streamed.add(-1)
			}
			first, counted = time.Time{}, false
		}
		if fail != nil {
			return fail(ctx, op)
		}
		return nil
	}
}

// rowsEach are n rows, one each d.
func rowsEach(begin time.Time, d time.Duration, n int) []fakes.Row {
	rows := make([]fakes.Row, n)
	for i := range rows {
		rows[i] = fakes.Row{ID: int64(i + 1), At: begin.Add(time.Duration(i) * d)}
	}
	return rows
}

// longestLag is how long the slowest of these rows took until it was committed; those that are not yet count up to now.
func longestLag(kafka *fakes.Kafka, rows []fakes.Row) time.Duration {
	var longest time.Duration
	for _, r := range rows {
		committed := time.Now()
		for _, l := range kafka.Ledger {
			if l.Rows > 0 && !l.End.Before(r.At) {
				committed = l.Committed
				break
			}
		}
		if r.At.Before(time.Now()) {
			longest = max(longest, committed.Sub(r.At))
		}
	}
	return longest
}

// TestBacklogLeavesLiveAppsTheirTurns runs fifty apps within small bounds: one has months to publish and could fill all of the bounds by
// itself, the others are live.
func TestBacklogLeavesLiveAppsTheirTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const apps, fetches, streamed, lasts = 50, 4, 1, 5 * time.Minute
		begin := time.Now().UTC().Truncate(time.Second)
		old := rowsEach(begin, 2*time.Second, 40_000)
		time.Sleep(24 * time.Hour)
		start := time.Now().UTC()
		bounds := newBounds(fetches, 3<<20, streamed)
		var requests gauge
		var all sync.WaitGroup
		ctx, stop := context.WithTimeout(t.Context(), lasts)
		defer stop()
		run := func(source *fakes.Source, from time.Time) *fakes.Kafka {
			kafka := fakes.NewKafka()
			cfg := fakes.ConfigFor(&sharedSource{Source: source, wait: 100 * time.Millisecond, requests: &requests}, kafka, from)
			cfg.Bounds = bounds
			p, err := pipeline.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				if err := p.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			return kafka
		}
		source := fakes.NewSource(old...)
		source.PageSize = 100
		behind := run(source, begin)
		var live []*fakes.Kafka
		rows := rowsEach(start, 7*time.Second, 100)
		for range apps - 1 {
			live = append(live, run(fakes.NewSource(rows...), start))
		}
		all.Wait()
		for i, kafka := range live {
			// Settle and poll take 7 s, and a turn of all apps at three requests each 4 s, of which a window meets two.
			if lag := longestLag(kafka, rows); lag > 16*time.Second {
				t.Errorf("live app %d lagged by %v", i, lag)
			}
		}
		// Its turns are a few hundred windows with thirty rows each.
		if got := len(behind.IDs()); got < 2_000 {
			t.Errorf("only %d rows of the backlog were published", got)
		}
		if requests.most > fetches+streamed {
			t.Errorf("%d requests at the same time", requests.most)
		}
		if !bounds.AllFree(fetches, streamed) {
			t.Error("not everything was given back")
		}
	})
}

// safeDice may be thrown by several.
type safeDice struct {
	mu   sync.Mutex
	dice *rand.Rand
}

func (d *safeDice) IntN(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dice.IntN(n)
}

// TestBoundsHoldAndAreGivenBack runs apps whose windows outgrow the memory of all, side by side; their windows fail, their transactions
// fail, and some of them are stopped in the middle. Whoever is left publishes everything once, and nothing stays taken.
func TestBoundsHoldAndAreGivenBack(t *testing.T) {
	for seed := range fakes.Seeds(4) {
		synctest.Test(t, func(t *testing.T) {
			const apps, fetches, streamed = 12, 3, 2
			dice := &safeDice{dice: rand.New(rand.NewPCG(seed, 0))}
			begin := time.Now().UTC().Truncate(time.Second)
			dense, thin := rowsEach(begin, 100*time.Millisecond, 6000), rowsEach(begin, 2*time.Second, 300)
			time.Sleep(time.Hour)
			memory := []int64{200 << 10, 1 << 20, 2 << 20}[seed%3]
			bounds := newBounds(fetches, memory, streamed)
			group := pipeline.Stream{Kind: pipeline.StreamGroups, Name: "1"}
			var requests, streams gauge
			var all sync.WaitGroup
			for i := range apps {
				source, kafka := fakes.NewSource(), fakes.NewKafka()
				source.Of = map[pipeline.Stream][]fakes.Row{fakes.Messages(): dense, group: thin}
				source.PageSize, source.Span = 50, []time.Duration{10 * time.Second, 15 * time.Second, time.Minute}[dice.IntN(3)]
				failures := 8
				source.OpenHook = func(_ int, s pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
					if failures == 0 || dice.IntN(4) > 0 {
						return nil, nil
					}
					failures--
					again := &pipeline.Fault{Class: pipeline.Restart, Op: "read", Err: errors.New("injected")}
					switch dice.IntN(3) {
					case 0:
						again.Span = max(time.Second, w.End.Sub(w.Begin)/3)
						return nil, again
					case 1:
						pages := source.Window(s, w)
						pages.Err = again
						return pages, nil
					}
					return nil, again
				}
				broken := 20
				kafka.Fail = func(ctx context.Context, op string) error {
					if op == "begin" { // Meanwhile, several windows are ready.
						_ = pipeline.Sleep(ctx, 3*time.Second/10*time.Duration(dice.IntN(10)))
					}
					if broken == 0 || op == "open" || op == "load" || op == "abort" || dice.IntN(3) > 0 {
						return nil
					}
					broken--
					return &pipeline.Fault{Class: pipeline.Abort, Op: op, Err: errors.New("injected")}
				}
				countStreamed(kafka, &streams)
				cfg := fakes.ConfigFor(&sharedSource{Source: source, wait: 300 * time.Millisecond, requests: &requests}, kafka, begin)
				cfg.Until, cfg.Bounds, cfg.WindowBytes = begin.Add(10*time.Minute), bounds, 100<<10
				cfg.Streams = append(cfg.Streams, group)
				lives := 24 * time.Hour
				if i%3 == 0 {
					lives = time.Duration(dice.IntN(120)) * time.Second
				}
				all.Go(func() {
					if err := fakes.RunFor(t, cfg, lives); err != nil {
						t.Error(err)
					}
					if ids := kafka.IDs(); lives > time.Hour && len(ids) != len(dense)+len(thin) {
						t.Errorf("seed %d: app %d has published %d rows, want %d", seed, i, len(ids), len(dense)+len(thin))
					}
				})
			}
			all.Wait()
			if requests.most > fetches+streamed || streams.most > streamed || streams.most == 0 {
				t.Errorf("seed %d: %d requests and %d streamed windows at the same time", seed, requests.most, streams.most)
			}
			if !bounds.AllFree(fetches, streamed) {
				t.Errorf("seed %d: not everything was given back", seed)
			}
			if time.Since(begin) > 12*time.Hour {
				t.Errorf("seed %d: they did not end by themselves", seed)
			}
		})
	}
}

// TestStreamedWindowThatIsNotBegun has a window be streamed next when the transaction before it fails: its place is free again.
func TestStreamedWindowThatIsNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const fetches, streamed = 3, 1
		begin := time.Now().UTC().Truncate(time.Second)
		dense, thin := rowsEach(begin, 100*time.Millisecond, 6000), rowsEach(begin, 2*time.Second, 300)
		time.Sleep(time.Hour)
		bounds := newBounds(fetches, 200<<10, streamed)
		source, kafka := fakes.NewSource(), fakes.NewKafka()
		source.Of = map[pipeline.Stream][]fakes.Row{fakes.Messages(): dense}
		source.PageSize, source.Span = 50, time.Minute
		const groups = 4
		cfg := fakes.ConfigFor(source, kafka, begin)
		for i := range groups {
			group := pipeline.Stream{Kind: pipeline.StreamGroups, Name: strconv.Itoa(i)}
			source.Of[group], cfg.Streams = thin, append(cfg.Streams, group)
		}
		commits := 0
		kafka.Fail = func(ctx context.Context, op string) error {
			switch op {
			case "begin": // Meanwhile, windows of both streams are ready.
				_ = pipeline.Sleep(ctx, 30*time.Second)
			case "commit":
				if commits++; commits%2 == 0 && commits < 16 { // The first one of a session is not.
					return &pipeline.Fault{Class: pipeline.Abort, Op: op, Err: errors.New("injected")}
				}
			}
			return nil
		}
		cfg.Until, cfg.Bounds, cfg.WindowBytes = begin.Add(10*time.Minute), bounds, 100<<10
		if err := fakes.RunFor(t, cfg, 24*time.Hour); err != nil {
			t.Error(err)
		}
		if ids, want := len(kafka.IDs()), len(dense)+groups*len(thin); ids != want {
			t.Errorf("it has published %d rows, want %d", ids, want)
		}
		if !bounds.AllFree(fetches, streamed) {
			t.Error("not everything was given back")
		}
	})
}

// TestWindowDoesNotWaitForMemoryOfThoseBehindIt has a window shortened when the one behind it has most of the memory. What stands between them
// is read by a window for which there is not enough, and which must not wait for it: the one behind it gives it back only after that.
func TestWindowDoesNotWaitForMemoryOfThoseBehindIt(t *testing.T) {
	const tries = 20 // Which window has the memory first is up to the scheduler.
	for range tries {
		if shortenedBeforeAnother(t) > 0 {
			return
		}
	}
	t.Error("no window was streamed: there was memory for all of them")
}

// shortenedBeforeAnother reads and publishes everything, and returns how many windows were streamed at the same time.
func shortenedBeforeAnother(t *testing.T) (most int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Truncate(time.Second)
		rows := rowsEach(begin, 20*time.Millisecond, 9000)
		time.Sleep(time.Hour)
		source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
		source.PageSize = 100
		source.OpenHook = func(n int, s pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
			pages := source.Window(s, w)
			if n == 1 {
				pages.Parts = pages.Parts[:1]
				pages.Err = &pipeline.Fault{Class: pipeline.Restart, Op: "page 2", Err: errors.New("injected"), Span: 20 * time.Second}
			}
			return pages, nil
		}
		var streamed gauge
		countStreamed(kafka, &streamed)
		cfg := fakes.ConfigFor(&sharedSource{Source: source, wait: 100 * time.Millisecond, requests: &gauge{}}, kafka, begin.Add(-time.Second))
		cfg.Until, cfg.Bounds = begin.Add(3*time.Minute), newBounds(4, 1900<<10, 1)
		fakes.Run(t, cfg, 20*time.Minute)
		kafka.WantIDs(t, fakes.IDsOf(rows))
		most = streamed.most
	})
	return most
}

// TestStreamedWindowDoesNotWaitForMemoryOfThoseBehindIt has a window fail when it is streamed and those behind it have all of the memory.
func TestStreamedWindowDoesNotWaitForMemoryOfThoseBehindIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC().Truncate(time.Second)
		rows := rowsEach(begin, 20*time.Millisecond, 3000)
		for i := range 2000 {
			rows = append(rows, fakes.Row{ID: int64(len(rows) + 1), At: begin.Add(time.Minute + time.Duration(i)*240*time.Millisecond)})
		}
		time.Sleep(time.Hour)
		source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
		source.PageSize = 100
		source.OpenHook = func(n int, s pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
			pages := source.Window(s, w)
			if n == 1 {
				pages.Err = &pipeline.Fault{Class: pipeline.Restart, Op: "last page", Err: errors.New("injected")}
			}
			return pages, nil
		}
		cfg := fakes.ConfigFor(&sharedSource{Source: source, wait: 100 * time.Millisecond, requests: &gauge{}}, kafka, begin.Add(-time.Second))
		cfg.Until, cfg.WindowBytes, cfg.Bounds = begin.Add(9*time.Minute), 100<<10, newBounds(4, 200<<10, 1)
		fakes.Run(t, cfg, 20*time.Minute)
		kafka.WantIDs(t, fakes.IDsOf(rows))
	})
}

// TestPagesCountAsMemory has an app whose pages take far more than their events: no more windows are read side by side than there is memory
// for two pages of each.
func TestPagesCountAsMemory(t *testing.T) {
	for pageBytes, want := range map[int]int{0: 4, 200 << 10: 2} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now().UTC().Truncate(time.Second)
			rows := rowsEach(begin, time.Second, 6000)
			time.Sleep(24 * time.Hour)
			source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
			source.PageSize = 10
			var requests gauge
			api := &sharedSource{Source: source, wait: 100 * time.Millisecond, requests: &requests, pageBytes: pageBytes}
			cfg := fakes.ConfigFor(api, kafka, begin.Add(-time.Second))
			cfg.Until, cfg.WindowBytes, cfg.MemoryBytes = begin.Add(2*time.Hour), 1<<20, 1<<20
			fakes.Run(t, cfg, 20*time.Hour)
			kafka.WantIDs(t, fakes.IDsOf(rows))
			if requests.most != want {
				t.Errorf("pages of %d bytes: %d windows side by side, want %d", pageBytes, requests.most, want)
			}
		})
	}
}

// TestPageOfALookCountsAsMemory follows streams whose pages take far more than their rows: what one look holds while it is taken in is that of a
// page, up to half of what a window may take, and all of it is given back.
func TestPageOfALookCountsAsMemory(t *testing.T) {
	for pageBytes, want := range map[int]int64{0: 300 << 10, 300 << 10: 300 << 10, 4 << 20: 512 << 10} {
		synctest.Test(t, func(t *testing.T) {
			rows := liveRows(120, 0)
			source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
			source.PageSize = 100
			api := &sharedSource{Source: source, requests: &gauge{}, pageBytes: pageBytes}
			cfg := earlyConfig(api, kafka, time.Now().UTC())
			cfg.WindowBytes, cfg.MemoryBytes = 1<<20, 1<<20
			var held, most int64
			cfg.Observer = func(o pipeline.Observation) {
				if m, ok := o.(pipeline.MemoryHeld); ok && source.Opens() == 0 {
					most = max(most, m.Bytes)
				} else if ok {
					held = m.Bytes
				}
			}
			fakes.Run(t, cfg, 3*time.Minute)
			wantAllOnce(t, kafka, rows)
			if most < min(want, int64(pageBytes)) || most > want+64<<10 {
				t.Errorf("pages of %d bytes: a look holds up to %d bytes, want about %d", pageBytes, most, want)
			}
			if held != 0 {
				t.Errorf("%d bytes are held at the end", held)
			}
		})
	}
}

// TestAppWithoutAnswersHoldsUpNobody has more apps than may fetch at the same time whose API does not answer any more, at the first page or
// within a window that is being streamed, beside one whose API does.
func TestAppWithoutAnswersHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const apps, fetches = 10, 2
		begin := time.Now().UTC().Truncate(time.Second)
		bounds := newBounds(fetches, 64<<20, 1)
		large := make([]fakes.Row, 10_000)
		for i := range large {
			large[i] = fakes.Row{ID: int64(i + 1), At: begin}
		}
		time.Sleep(time.Hour)
		start := time.Now().UTC()
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Minute)
		defer stop()
		var all sync.WaitGroup
		run := func(source pipeline.Source, from time.Time, windowBytes int) *fakes.Kafka {
			kafka := fakes.NewKafka()
			cfg := fakes.ConfigFor(source, kafka, from)
			cfg.Bounds, cfg.WindowBytes = bounds, windowBytes
			p, err := pipeline.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				if err := p.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			return kafka
		}
		for i := range apps {
			source := fakes.NewSource(large...)
			source.PageSize = 100
			source.OpenHook = func(_ int, s pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
				return &silentPages{source.Window(s, w), (i % 2) * 50}, nil
			}
			run(source, begin.Add(-time.Second), 100<<10)
		}
		rows := rowsEach(start, 7*time.Second, 100)
		live := run(fakes.NewSource(rows...), start, 0)
		time.Sleep(2 * time.Second) // The others have come first.
		source := fakes.NewSource(large...)
		source.PageSize = 1000
		whole := run(source, begin.Add(-time.Second), 100<<10)
		all.Wait()
		if lag := longestLag(live, rows); lag > 40*time.Second {
			t.Errorf("the live app lagged by %v", lag)
		}
		if got := len(whole.IDs()); got != len(large) {
			t.Errorf("%d rows of a window that has to be streamed, want %d", got, len(large))
		}
		if !bounds.AllFree(fetches, 1) {
			t.Error("not everything was given back")
		}
	})
}

// TestCommitsTakeTurns has the windows of many apps come at the same time, more than may be committed at once.
func TestCommitsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const apps, commits = 40, 3
		begin := time.Now().UTC().Truncate(time.Second)
		rows := rowsEach(begin, time.Second, 20)
		time.Sleep(time.Hour)
		bounds := pipeline.NewBounds(pipeline.Limits{Fetches: apps, MemoryBytes: 64 << 20, Streamed: 1, Commits: commits})
		var under gauge
		var all sync.WaitGroup
		var published []*fakes.Kafka
		for range apps {
			kafka := fakes.NewKafka()
			kafka.Fail = func(ctx context.Context, op string) error {
				if op != "commit" {
					return nil
				}
				under.add(1)
				defer under.add(-1)
				under.look()
				return pipeline.Sleep(ctx, time.Second)
			}
			cfg := fakes.ConfigFor(fakes.NewSource(rows...), kafka, begin)
			cfg.Until, cfg.Bounds = begin.Add(time.Minute), bounds
			p, err := pipeline.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				if err := p.Run(t.Context()); err != nil {
					t.Error(err)
				}
			})
			published = append(published, kafka)
		}
		all.Wait()
		for _, kafka := range published {
			kafka.WantIDs(t, fakes.IDsOf(rows))
		}
		if under.most != commits {
			t.Errorf("%d commits at the same time, want %d", under.most, commits)
		}
	})
}

// silentPages are not answered any more behind some of them.
type silentPages struct {
	*fakes.Pages

	left int
}

func (p *silentPages) Next(ctx context.Context) (pipeline.Page, error) {
	if p.left--; p.left < 0 {
		<-ctx.Done()
		return pipeline.Page{}, ctx.Err()
	}
	return p.Pages.Next(ctx)
}

package discovery

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
)

// fakeDirectory has what a test puts into it.
type fakeDirectory struct {
	names   map[pipeline.StreamKind]string
	partial bool
	err     map[pipeline.StreamKind]error
	// refused, where set, is the answer to every request behind the first.
	refused error
	asked   int
}

func (f *fakeDirectory) List(_ context.Context, kind pipeline.StreamKind) (Listing, error) {
	if f.asked++; f.asked > 1 && f.refused != nil {
		return Listing{}, f.refused
	}
	if err := f.err[kind]; err != nil {
		return Listing{}, err
	}
	listing := Listing{Whole: !f.partial}
	for name := range strings.FieldsSeq(f.names[kind]) {
		listing.Streams = append(listing.Streams, pipeline.Stream{Kind: kind, Name: name})
	}
	return listing, nil
}

func texts(streams []pipeline.Stream) string {
	var all []string
	for _, s := range streams {
		all = append(all, s.String())
	}
	return strings.Join(all, " ")
}

// changed is what the next reading says, or nothing if there is none within the time.
func changed(t *testing.T, l *lists, within time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	c, err := l.next(ctx)
	if ctx.Err() != nil {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(c.removed, func(a, b pipeline.Stream) int { return strings.Compare(a.Name, b.Name) })
	return "+" + texts(c.added) + " -" + texts(c.removed)
}

func TestDiscoveryFollowsTheLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		app := &fakeDirectory{names: map[pipeline.StreamKind]string{pipeline.StreamUsers: "a b c", pipeline.StreamGroups: "1"}}
		l := newLists(&Config{
			Kinds: []pipeline.StreamKind{pipeline.StreamUsers, pipeline.StreamGroups}, Directory: app, Every: time.Minute,
		}, nil)
		expect := func(want string, at time.Duration) {
			t.Helper()
			if got := changed(t, l, 30*time.Minute); got != want || time.Since(start) != at {
				t.Fatalf("%q after %v, want %q after %v", got, time.Since(start), want, at)
			}
		}
		expect("+users/a groups/1 users/b users/c -", 0) // A kind after the other.
		app.names[pipeline.StreamUsers] = "b c d"
		expect("+users/d -", time.Minute)
		expect("+ -users/a", 2*time.Minute) // Missed twice.
		app.names[pipeline.StreamUsers] = "a b c d"
		expect("+users/a -", 3*time.Minute)
		// Once is not enough, nor is a list that moved.
		app.names[pipeline.StreamUsers] = "a b c"
		if got := changed(t, l, 90*time.Second); got != "" {
			t.Errorf("%q after one list without it", got)
		}
		app.partial = true
		app.names[pipeline.StreamGroups] = ""
		if got := changed(t, l, 10*time.Minute); got != "" {
			t.Errorf("%q after lists that moved", got)
		}
		if len(l.known) != 5 {
			t.Errorf("%d streams are known, want 5", len(l.known))
		}
	})
}

// TestDiscoveryBelievesTheAPI hears of a reader that a user is gone while the list still has it.
func TestDiscoveryBelievesTheAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := &fakeDirectory{names: map[pipeline.StreamKind]string{pipeline.StreamUsers: "a b"}}
		l := newLists(&Config{Kinds: []pipeline.StreamKind{pipeline.StreamUsers}, Directory: app, Every: time.Minute}, nil)
		if got := changed(t, l, time.Hour); got != "+users/a users/b -" {
			t.Fatal(got)
		}
		l.gone(pipeline.Stream{Kind: pipeline.StreamUsers, Name: "a"})
		if got := changed(t, l, 10*time.Minute); got != "" {
			t.Errorf("%q, want nothing: it is listed still, but gone", got)
		}
		app.names[pipeline.StreamUsers] = "b"
		if got := changed(t, l, 10*time.Minute); got != "" {
			t.Errorf("%q, want nothing: it was removed before", got)
		}
		app.names[pipeline.StreamUsers] = "a b"
		if got := changed(t, l, 10*time.Minute); got != "+users/a -" {
			t.Errorf("%q, want it back: another of that name was made", got)
		}
	})
}

func TestDiscoveryWithoutTheRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := &pipeline.Fault{Class: pipeline.Drop, Op: "list", Err: errors.New("for the test")}
		app := &fakeDirectory{
			names: map[pipeline.StreamKind]string{pipeline.StreamGroups: "1"},
			err:   map[pipeline.StreamKind]error{pipeline.StreamUsers: refused},
		}
		var dropped []string
		l := newLists(&Config{
			Kinds: []pipeline.StreamKind{pipeline.StreamUsers, pipeline.StreamGroups}, Directory: app, Every: time.Minute,
			Observer: func(o pipeline.Observation) {
				if d, ok := o.(pipeline.StreamDropped); ok {
					dropped = append(dropped, d.Stream.String())
				}
			},
		}, nil)
		if got := changed(t, l, time.Hour); got != "+groups/1 -" {
			t.Error(got)
		}
		if got := changed(t, l, 10*time.Minute); got != "" || !slices.Equal(dropped, []string{"users/*"}) {
			t.Errorf("%q, dropped %q; want users/* once", got, dropped)
		}
		app.err[pipeline.StreamGroups] = refused
		if _, err := l.next(t.Context()); !errors.Is(err, refused) {
			t.Errorf("%v, want the refusal: no list is left", err)
		}
	})
}

// TestListThatCannotBeUnderstood has a list come in another form for a while, as from a proxy that is broken: it is told, the other list goes on,
// and what it has is found when it comes right again.
func TestListThatCannotBeUnderstood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := &fakeDirectory{
			names: map[pipeline.StreamKind]string{pipeline.StreamUsers: "a", pipeline.StreamGroups: "1"},
			err: map[pipeline.StreamKind]error{
				pipeline.StreamUsers: &pipeline.Fault{Class: pipeline.Restart, Op: "list", Err: errors.New("for the test")},
			},
		}
		told := 0
		l := newLists(&Config{
			Kinds: []pipeline.StreamKind{pipeline.StreamUsers, pipeline.StreamGroups}, Directory: app, Every: time.Minute,
			Observer: func(o pipeline.Observation) {
				if retry, ok := o.(pipeline.RetryScheduled); ok && retry.Wait == time.Minute {
					told++
				}
			},
		}, nil)
		if got := changed(t, l, time.Hour); got != "+groups/1 -" {
			t.Error(got)
		}
		if got := changed(t, l, 10*time.Minute); got != "" || told < 10 {
			t.Errorf("%q, told %d times", got, told)
		}
		delete(app.err, pipeline.StreamUsers)
		if got := changed(t, l, 10*time.Minute); got != "+users/a -" {
			t.Errorf("%q, want the user", got)
		}
	})
}

// fakeSession commits by exclusive writes of their own, and follows streams as a test says.
type fakeSession struct {
	*pipeline.Exclusive

	kafka  *fakes.Kafka
	follow func(ctx context.Context, s pipeline.Stream) error
}

func newSession(kafka *fakes.Kafka, follow func(ctx context.Context, s pipeline.Stream) error) *fakeSession {
	return &fakeSession{
		&pipeline.Exclusive{Command: "test", Sink: kafka, Checkpoints: &fakes.Store{Kafka: kafka}, Claims: kafka}, kafka, follow,
	}
}

func (s *fakeSession) Positions() map[pipeline.Stream]pipeline.Checkpoint {
	s.kafka.Mu.Lock()
	defer s.kafka.Mu.Unlock()
	return maps.Clone(s.kafka.Checkpoints)
}

func (s *fakeSession) Follow(ctx context.Context, stream pipeline.Stream) error {
	return s.follow(ctx, stream)
}

func (*fakeSession) Sweep(int) time.Duration { return 0 }

// fixedClock is a server's clock that stands.
type fixedClock time.Time

func (c fixedClock) Now(context.Context, pipeline.Stream) (time.Time, error) {
	return time.Time(c), nil
}

// TestRemovedIsToldOnce has the API know a stream no longer that was read before: one notice says so, with the time since it was
// last read, its position stays where it is, and another session neither reads it nor tells of it again.
func TestRemovedIsToldOnce(t *testing.T) {
	end := time.Date(2026, 11, 1, 10, 0, 0, 0, time.FixedZone("", 8*60*60))
	s := pipeline.Stream{Kind: pipeline.StreamGroups, Name: "1"}
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{end.Add(90*time.Second + 5), "[2026-11-01T02:00:00Z, 2026-11-01T02:01:30Z]"},
		{end.Add(-time.Hour), "[2026-11-01T02:00:00Z, 2026-11-01T02:00:00Z]"}, // Its clock is behind.
	} {
		synctest.Test(t, func(t *testing.T) {
			kafka := fakes.NewKafka()
			kafka.Checkpoints[s] = pipeline.Checkpoint{AppKey: fakes.AppKey, Stream: s, End: end, OverlapIDs: []int64{7}}
			followed := 0
			session := newSession(kafka, func(context.Context, pipeline.Stream) error {
				followed++
				return &pipeline.Fault{Class: pipeline.Drop, Op: "get page", Err: errors.New("899002")}
			})
			d := New(Config{
				AppKey: fakes.AppKey, Kinds: []pipeline.StreamKind{pipeline.StreamGroups}, Clock: fixedClock(c.at),
				Directory: &fakeDirectory{names: map[pipeline.StreamKind]string{}},
			})
			for range 2 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				if err := d.Run(ctx, session); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the session ended with %v", err)
				}
				cancel()
			}
			if saved := kafka.Position(s); !saved.Removed || !saved.End.Equal(end) || len(saved.OverlapIDs) != 1 {
				t.Errorf("its position is %+v", saved)
			}
			if len(kafka.Notices) != 1 || followed != 1 {
				t.Fatalf("read %d times, notices %+v; want one of each", followed, kafka.Notices)
			}
			if n := kafka.Notices[0]; n.Kind != "removed" || n.Stream != s || n.String() != c.want {
				t.Errorf("got %+v, want %s", n, c.want)
			}
		})
	}
}

// TestFoundStreamsOutliveTheLists reads on what was found when the app loses the right to its lists; the refusal ends the member
// once nothing is read any more.
func TestFoundStreamsOutliveTheLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := &pipeline.Fault{Class: pipeline.Drop, Op: "list", Err: errors.New("for the test")}
		app := &fakeDirectory{names: map[pipeline.StreamKind]string{pipeline.StreamUsers: "a"}, refused: refused}
		kafka, start := fakes.NewKafka(), time.Now()
		session := newSession(kafka, func(ctx context.Context, _ pipeline.Stream) error {
			return pipeline.Sleep(ctx, time.Hour)
		})
		d := New(Config{AppKey: fakes.AppKey, Kinds: []pipeline.StreamKind{pipeline.StreamUsers}, Directory: app, Clock: fixedClock(start)})
		if err := d.Run(t.Context(), session); !errors.Is(err, refused) || time.Since(start) != time.Hour || app.asked != 2 {
			t.Errorf("%v after %v and %d lists, want the refusal after an hour and two", err, time.Since(start), app.asked)
		}
		if len(kafka.Notices) > 0 {
			t.Errorf("notices %+v", kafka.Notices)
		}
	})
}

// TestStreamsThatAreLeftOutAreToldAtTheStart knows all that there is room for from an earlier run.
func TestStreamsThatAreLeftOutAreToldAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		directory := &fakeDirectory{names: map[pipeline.StreamKind]string{pipeline.StreamUsers: "a b c"}}
		l := newLists(&Config{Kinds: []pipeline.StreamKind{pipeline.StreamUsers}, Directory: directory, Every: time.Minute, Most: 1},
			[]pipeline.Stream{{Kind: pipeline.StreamUsers, Name: "a"}})
		if first, err := l.next(t.Context()); err != nil || len(first.added) > 0 || first.leftOut != 2 {
			t.Errorf("%s are new, %d left out, %v", texts(first.added), first.leftOut, err)
		}
		if got := changed(t, l, 5*time.Minute); got != "" {
			t.Errorf("then %s, want nothing new", got)
		}
	})
}

// TestTooManyStreams reads as many as there may be, of each kind, and takes in others when there is room again.
func TestTooManyStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		directory := &fakeDirectory{names: map[pipeline.StreamKind]string{pipeline.StreamUsers: "a b c d", pipeline.StreamGroups: "1 2"}}
		l := newLists(&Config{
			Kinds: []pipeline.StreamKind{pipeline.StreamUsers, pipeline.StreamGroups}, Directory: directory, Every: time.Minute, Most: 4,
		}, nil)
		first, err := l.next(t.Context())
		if got := texts(first.added); err != nil || got != "users/a groups/1 users/b groups/2" || first.leftOut != 2 {
			t.Errorf("%s are read, %d left out, %v", got, first.leftOut, err)
		}
		directory.names[pipeline.StreamGroups] = "2"
		if got := changed(t, l, 5*time.Minute); got != "+users/c -groups/1" {
			t.Errorf("when there is room, %q", got)
		}
	})
}

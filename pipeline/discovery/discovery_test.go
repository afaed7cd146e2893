package discovery_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// fakeDirectory has what a test puts into it.
type fakeDirectory struct {
	names   map[pipeline.StreamKind]string
	partial bool
	err     map[pipeline.StreamKind]error
	asked   int
}

func (f *fakeDirectory) List(_ context.Context, kind pipeline.StreamKind) (pipeline.Listing, error) {
	f.asked++
	if err := f.err[kind]; err != nil {
		return pipeline.Listing{}, err
	}
	listing := pipeline.Listing{Whole: !f.partial}
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

// change is what the next reading says, or nothing if there is none within the time.
func change(t *testing.T, d *pipeline.Discovery, within time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	c, err := d.Next(ctx)
	if ctx.Err() != nil {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(c.Removed, func(a, b pipeline.Stream) int { return strings.Compare(a.Name, b.Name) })
	return "+" + texts(c.Added) + " -" + texts(c.Removed)
}

func TestDiscoveryFollowsTheLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		lists := &fakeDirectory{names: map[pipeline.StreamKind]string{pipeline.StreamUsers: "a b c", pipeline.StreamGroups: "1"}}
		d := pipeline.NewDiscovery(pipeline.DiscoveryConfig{
			Kinds: []pipeline.StreamKind{pipeline.StreamUsers, pipeline.StreamGroups}, Directory: lists, Every: time.Minute,
		})
		expect := func(want string, at time.Duration) {
			t.Helper()
			if got := change(t, d, 30*time.Minute); got != want || time.Since(start) != at {
				t.Fatalf("%q after %v, want %q after %v", got, time.Since(start), want, at)
			}
		}
		expect("+users/a groups/1 users/b users/c -", 0) // A kind after the other.
		lists.names[pipeline.StreamUsers] = "b c d"
		expect("+users/d -", time.Minute)
		expect("+ -users/a", 2*time.Minute) // Missed twice.
		lists.names[pipeline.StreamUsers] = "a b c d"
		expect("+users/a -", 3*time.Minute)
		// Once is not enough, nor is a list that moved.
		lists.names[pipeline.StreamUsers] = "a b c"
		if got := change(t, d, 90*time.Second); got != "" {
			t.Errorf("%q after one list without it", got)
		}
		lists.partial = true
		lists.names[pipeline.StreamGroups] = ""
		if got := change(t, d, 10*time.Minute); got != "" {
			t.Errorf("%q after lists that moved", got)
		}
		if d.Streams() != 5 {
			t.Errorf("%d streams are known, want 5", d.Streams())
		}
	})
}

// TestDiscoveryBelievesTheAPI hears of a reader that a user is gone while the list still has it.
func TestDiscoveryBelievesTheAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lists := &fakeDirectory{names: map[pipeline.StreamKind]string{pipeline.StreamUsers: "a b"}}
		d := pipeline.NewDiscovery(pipeline.DiscoveryConfig{Kinds: []pipeline.StreamKind{pipeline.StreamUsers}, Directory: lists, Every: time.Minute})
		if got := change(t, d, time.Hour); got != "+users/a users/b -" {
			t.Fatal(got)
		}
		d.Gone(pipeline.Stream{Kind: pipeline.StreamUsers, Name: "a"})
		if got := change(t, d, 10*time.Minute); got != "" {
			t.Errorf("%q, want nothing: it is listed still, but gone", got)
		}
		lists.names[pipeline.StreamUsers] = "b"
		if got := change(t, d, 10*time.Minute); got != "" {
			t.Errorf("%q, want nothing: it was removed before", got)
		}
		lists.names[pipeline.StreamUsers] = "a b"
		if got := change(t, d, 10*time.Minute); got != "+users/a -" {
			t.Errorf("%q, want it back: another of that name was made", got)
		}
	})
}

func TestDiscoveryWithoutTheRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := &pipeline.Fault{Class: pipeline.Drop, Op: "list", Err: errors.New("for the test")}
		lists := &fakeDirectory{
			names: map[pipeline.StreamKind]string{pipeline.StreamGroups: "1"},
			err:   map[pipeline.StreamKind]error{pipeline.StreamUsers: refused},
		}
		var dropped []string
		d := pipeline.NewDiscovery(pipeline.DiscoveryConfig{
			Kinds: []pipeline.StreamKind{pipeline.StreamUsers, pipeline.StreamGroups}, Directory: lists, Every: time.Minute,
			Observer: &pipeline.Observer{Dropped: func(s pipeline.Stream, _ error) { dropped = append(dropped, s.String()) }},
		})
		if got := change(t, d, time.Hour); got != "+groups/1 -" {
			t.Error(got)
		}
		if got := change(t, d, 10*time.Minute); got != "" || !slices.Equal(dropped, []string{"users/*"}) {
			t.Errorf("%q, told of %q; want users/* once", got, dropped)
		}
		lists.err[pipeline.StreamGroups] = refused
		if _, err := d.Next(t.Context()); !errors.Is(err, refused) {
			t.Errorf("%v, want the refusal: no list is left", err)
		}
	})
}

func TestRemovedUpdate(t *testing.T) {
	end := time.Date(2026, 11, 1, 10, 0, 0, 0, zone())
	s := pipeline.Stream{Kind: pipeline.StreamGroups, Name: "1"}
	kafka := newRecordKafka()
	for _, at := range []time.Time{end.Add(90*time.Second + 5), end.Add(-time.Hour)} {
		cp := pipeline.Checkpoint{AppKey: fakes.AppKey, Stream: s, End: end, Seen: []int64{7}}
		if err := pipeline.RemovedUpdate(&cp, at).Commit(t.Context(), kafka, kafka); err != nil || cp.Removed {
			t.Fatalf("%+v, %v", cp, err)
		}
		if saved := kafka.Checkpoints[s]; !saved.Removed || !saved.End.Equal(end) || len(saved.Seen) != 1 {
			t.Errorf("its position is %+v", saved)
		}
	}
	if n := kafka.Notices[0]; n.Kind != "removed" || n.Stream != s || n.String() != "[2026-11-01T02:00:00Z, 2026-11-01T02:01:30Z]" {
		t.Errorf("got %+v", n)
	}
	if n := kafka.Notices[1]; n.End.Before(n.Begin) {
		t.Errorf("got %+v", n)
	}
}

package checkpoint_test

import (
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

const appKey = "4f7aef34fb361292c566a1cd"

// store is an implementation under test. What it keeps outlives what open returns.
type store interface {
	// open begins anew, as a process does that starts to publish. another is another process, while that one goes on.
	open(t *testing.T) keeper
	another(t *testing.T) keeper
	// commit publishes as the pipeline does; abort gets as far as it can without it.
	commit(t *testing.T, c pipeline.Checkpoints, commit *pipeline.Commit)
	abort(t *testing.T, c pipeline.Checkpoints, commit *pipeline.Commit)
}

// keeper keeps what a store is for.
type keeper interface {
	pipeline.Checkpoints
	pipeline.Claims
	pipeline.Owners
}

// stores makes each implementation.
func stores() map[string]func(*testing.T) store {
	return map[string]func(*testing.T) store{
		"kafka": func(t *testing.T) store { t.Helper(); return newKafkaStore(t, 3) },
		"files": func(t *testing.T) store { t.Helper(); return &fileStore{dir: t.TempDir()} },
	}
}

func load(t *testing.T, c pipeline.Checkpoints) map[pipeline.Stream]pipeline.Checkpoint {
	t.Helper()
	found, err := c.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got\n%+v\nwant\n%+v", what, got, want)
	}
}

// stream reads a stream's name.
func stream(t *testing.T, name string) pipeline.Stream {
	t.Helper()
	s, err := pipeline.ParseStream(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func second(n int64) time.Time { return time.Unix(1_700_000_000+n, 0).UTC() }

// closed is a window with what commits with it.
type closed struct {
	Ledger     pipeline.Ledger
	Checkpoint pipeline.Checkpoint
	Notices    []pipeline.Notice
}

// commitOf is the commit of windows, in their order: of each stream the last position counts.
func commitOf(windows ...*closed) *pipeline.Commit {
	c := &pipeline.Commit{}
	for _, w := range windows {
		c.Windows = append(c.Windows, &w.Ledger)
		c.Notices = append(c.Notices, w.Notices...)
		c.Positions = slices.DeleteFunc(c.Positions, func(cp *pipeline.Checkpoint) bool { return cp.Stream == w.Checkpoint.Stream })
		c.Positions = append(c.Positions, &w.Checkpoint)
	}
	return c
}

// window is the n-th window of a stream, with something in every field.
func window(s pipeline.Stream, n int64) *closed {
	w := pipeline.Window{Begin: second(10 * n), End: second(10*n + 12)}
	return &closed{
		Ledger: pipeline.Ledger{
			AppKey: appKey, Stream: s, Window: w, Sequence: n + 1, MovedFrom: second(10*n + 2), MovedTo: w.End, Total: 9, Rows: 8, Repeated: 1, Skipped: 2, Published: 4, Rejected: 1,
			Pages: 2, Requests: 3, Restarts: 1, Mismatch: true, Backlog: true, Started: second(10*n + 20).Add(123456789),
			Duration: 1234567891, Offsets: []pipeline.OffsetRange{{Topic: "jmessage.group", Partition: 3, First: 17, Last: 21}},
		},
		Checkpoint: pipeline.Checkpoint{
			AppKey: appKey, Stream: s, End: w.End, Span: 90 * time.Second,
			OverlapIDs: []int64{n + 1, n + 2, math.MaxInt64}, OverlapHashes: []int64{math.MinInt64, -n - 1, math.MaxInt64},
			Backlog: []pipeline.Backlog{
				{End: second(10*n - 7210), Until: second(10*n - 3610), Span: time.Minute, OverlapIDs: []int64{n}, LiveIDs: []int64{7, n + 8}},
				{End: second(10*n - 3609), Until: w.End, OverlapHashes: []int64{-n}, LiveHashes: []int64{-7}},
			},
			Sequence: n + 1,
			Counts: pipeline.Counts{
				Windows: n + 1, Rows: 8, Published: 4, Skipped: 2, Rejected: 1, Mismatches: 1, GapSeconds: 7,
			},
			SavedAt: second(10*n + 30).Add(987654321),
		},
		Notices: []pipeline.Notice{{
			Kind: pipeline.NoticeMismatch, AppKey: appKey, Stream: s, Window: w, Detail: "a window", Total: 9, Rows: 8,
			At: second(10*n + 21),
		}},
	}
}

func TestEmpty(t *testing.T) {
	for name, newStore := range stores() {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			same(t, "what nobody saved", load(t, s.open(t)), map[pipeline.Stream]pipeline.Checkpoint{})
		})
	}
}

func TestReopen(t *testing.T) {
	for name, newStore := range stores() {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			messages := pipeline.Stream{Kind: pipeline.StreamMessages}
			first := window(messages, 1)
			c := s.open(t)
			s.commit(t, c, commitOf(first))
			want := map[pipeline.Stream]pipeline.Checkpoint{messages: first.Checkpoint}
			same(t, "in the same process", load(t, c), want)
			same(t, "after a restart", load(t, s.open(t)), want)
		})
	}
}

func TestLaterWins(t *testing.T) {
	for name, newStore := range stores() {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			messages := pipeline.Stream{Kind: pipeline.StreamMessages}
			group := stream(t, "groups/10055201")
			c := s.open(t)
			s.commit(t, c, commitOf(window(messages, 1), window(group, 1), window(messages, 2)))
			s.commit(t, c, commitOf(window(messages, 3)))
			want := map[pipeline.Stream]pipeline.Checkpoint{
				messages: window(messages, 3).Checkpoint, group: window(group, 1).Checkpoint,
			}
			same(t, "after a restart", load(t, s.open(t)), want)
		})
	}
}

func TestNothingCommitted(t *testing.T) {
	for name, newStore := range stores() {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			messages := pipeline.Stream{Kind: pipeline.StreamMessages}
			c := s.open(t)
			s.abort(t, c, commitOf(window(messages, 1)))
			same(t, "after an abort", load(t, s.open(t)), map[pipeline.Stream]pipeline.Checkpoint{})
			c = s.open(t)
			s.commit(t, c, commitOf(window(messages, 2)))
			s.abort(t, c, commitOf(window(messages, 3)))
			want := map[pipeline.Stream]pipeline.Checkpoint{messages: window(messages, 2).Checkpoint}
			same(t, "after a commit and an abort", load(t, s.open(t)), want)
		})
	}
}

// TestNames keeps names apart that some file system could take for one, or not take at all.
func TestNames(t *testing.T) {
	names := []string{
		"messages", "groups/1", "chatrooms/1", "statistics/users", "statistics/messages", "statistics/groups",
		"users/bob", "users/Bob", "users/BOB", "users/bob.", "users/bob ", "users/con", "users/...", "users/..a", "users/..../etc",
		"users/a/b", "users/a%2Fb", "users/a%2fb", `users/a\b`, "users/a:b", "users/a*b?\"<>|", "users/-", "users/~",
		"users/[a]", "users/caf\u00e9", "users/cafe\u0301", "users/名字", "users/" + strings.Repeat("名", 42),
		"users/" + strings.Repeat("Z", 128), "users/" + strings.Repeat("Z", 127) + "z",
		"users/lock", "users/x.checkpoint.json", "users/x.checkpoint.json.partial",
	}
	for name, newStore := range stores() {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			c := s.open(t)
			want := make(map[pipeline.Stream]pipeline.Checkpoint)
			var all []*closed
			for i, name := range names {
				w := window(stream(t, name), int64(i))
				want[w.Checkpoint.Stream] = w.Checkpoint
				all = append(all, w)
			}
			s.commit(t, c, commitOf(all...))
			same(t, "after a restart", load(t, s.open(t)), want)
		})
	}
}

// TestModel commits, aborts and restarts at random, and holds what is loaded against a map.
func TestModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for name, newStore := range stores() {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			r := rand.New(rand.NewPCG(seed, 0))
			streams := []pipeline.Stream{stream(t, "messages"), stream(t, "users/a"), stream(t, "users/A"), stream(t, "groups/7")}
			model := make(map[pipeline.Stream]pipeline.Checkpoint)
			c := s.open(t)
			for step := range int64(30) {
				var windows []*closed
				for range 1 + r.IntN(4) {
					windows = append(windows, window(streams[r.IntN(len(streams))], step))
				}
				switch r.IntN(6) {
				case 0:
					s.abort(t, c, commitOf(windows...))
					c = s.open(t)
				case 1:
					same(t, "in between", load(t, c), model)
				default:
					s.commit(t, c, commitOf(windows...))
					for _, w := range windows {
						model[w.Checkpoint.Stream] = w.Checkpoint
					}
				}
			}
			same(t, "in the end", load(t, s.open(t)), model)
		})
	}
}

// TestStage finds the records that commit with a window, whatever keeps the checkpoints.
func TestStage(t *testing.T) {
	for name, newStore := range stores() {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			group := stream(t, "groups/10055201")
			records, err := s.open(t).Stage(commitOf(window(group, 1), window(group, 2)))
			if err != nil {
				t.Fatal(err)
			}
			keys := make(map[pipeline.Topic][]string)
			for _, r := range records {
				keys[r.Topic] = append(keys[r.Topic], string(r.Key))
				if fixed := r.Topic == pipeline.TopicCheckpoints; fixed != (r.Partition >= 0) {
					t.Errorf("a record of %s has the partition %d", r.Topic, r.Partition)
				}
				if want := appKey + "/groups/10055201"; r.Topic == pipeline.TopicWindows && string(r.PartitionKey) != want {
					t.Errorf("the partition of a ledger record is that of %q, want that of %q", r.PartitionKey, want)
				}
			}
			same(t, "keys of the ledger", keys[pipeline.TopicWindows], []string{
				appKey + "/groups/10055201/2023-11-14T22:13:30Z", appKey + "/groups/10055201/2023-11-14T22:13:40Z",
			})
			same(t, "keys of notices", keys[pipeline.TopicNotices], slices.Repeat([]string{appKey + "/groups/10055201"}, 2))
			if kept := keys[pipeline.TopicCheckpoints]; len(kept) > 1 {
				t.Errorf("%d checkpoints of one stream in one transaction: %v", len(kept), kept)
			}
			if unknown := slices.Sorted(maps.Keys(keys)); len(unknown) > 3 {
				t.Errorf("topics %v", unknown)
			}
		})
	}
}

// TestNoticeAlone commits a notice that belongs to no window: it leaves no trace in the ledger and no checkpoint.
func TestNoticeAlone(t *testing.T) {
	for name, newStore := range stores() {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			c := s.open(t)
			w := window(stream(t, "users/a"), 1)
			alone := &pipeline.Commit{Notices: []pipeline.Notice{{
				Kind: pipeline.NoticeRemoved, AppKey: appKey, Stream: stream(t, "users/b"), Window: w.Ledger.Window, Detail: "d", At: second(3),
			}}}
			records, err := c.Stage(alone)
			if err != nil || len(records) != 1 || records[0].Topic != pipeline.TopicNotices || string(records[0].Key) != appKey+"/users/b" {
				t.Errorf("%v, %v; want the notice", records, err)
			}
			both := commitOf(w)
			both.Notices = append(slices.Clone(alone.Notices), both.Notices...)
			s.commit(t, c, both)
			s.commit(t, c, alone)
			same(t, "after a restart", load(t, s.open(t)), map[pipeline.Stream]pipeline.Checkpoint{w.Checkpoint.Stream: w.Checkpoint})
		})
	}
}

// TestDeleted forgets positions, also ones that are not there, and leaves the others.
func TestDeleted(t *testing.T) {
	for name, newStore := range stores() {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			a, b, never := stream(t, "users/a"), stream(t, "users/b"), stream(t, "users/c")
			c := s.open(t)
			s.commit(t, c, commitOf(window(a, 1), window(b, 1)))
			s.abort(t, c, &pipeline.Commit{Deleted: []pipeline.Stream{b}})
			for range 2 {
				c = s.open(t)
				s.commit(t, c, &pipeline.Commit{Deleted: []pipeline.Stream{a, never}})
				want := map[pipeline.Stream]pipeline.Checkpoint{b: window(b, 1).Checkpoint}
				same(t, "in the same process", load(t, c), want)
				same(t, "after a restart", load(t, s.open(t)), want)
			}
			c = s.open(t)
			both := commitOf(window(a, 2))
			both.Deleted = []pipeline.Stream{b}
			s.commit(t, c, both)
			same(t, "one set, one forgotten", load(t, s.open(t)), map[pipeline.Stream]pipeline.Checkpoint{a: window(a, 2).Checkpoint})
		})
	}
}

// TestClaims finds the claim that was announced last, whoever announced it, and takes none for a position.
func TestClaims(t *testing.T) {
	for name, newStore := range stores() {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			run, command := s.open(t), s.another(t)
			expect := func(want pipeline.Claim) {
				t.Helper()
				for who, c := range map[string]keeper{"the run": run, "the command": command, "one that starts": s.another(t)} {
					if got, err := c.Newest(t.Context()); err != nil || got != want {
						t.Errorf("%s found %+v, %v; want %+v", who, got, err, want)
					}
				}
			}
			expect(pipeline.Claim{})
			user := stream(t, "users/a")
			s.commit(t, run, commitOf(window(user, 1)))
			for _, claim := range []pipeline.Claim{
				{ID: "1", Command: "checkpoint reset"},
				{ID: "2", Command: "replay"},
				{ID: "1", Command: "checkpoint reset", Done: true},
				{ID: "2", Command: "replay", Done: true},
			} {
				if err := command.Announce(t.Context(), claim); err != nil {
					t.Fatal(err)
				}
				expect(claim)
			}
			s.commit(t, run, commitOf(window(user, 2))) // To announce is not yet to take the place.
			want := map[pipeline.Stream]pipeline.Checkpoint{user: window(user, 2).Checkpoint}
			same(t, "with claims", load(t, command), want)
			same(t, "after a restart", load(t, s.open(t)), want)
			expect(pipeline.Claim{ID: "2", Command: "replay", Done: true})
		})
	}
}

// TestOwners finds the run that said last that it has the place, whatever commands have announced, and takes none for a position.
func TestOwners(t *testing.T) {
	for name, newStore := range stores() {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			run, other := s.open(t), s.another(t)
			user := stream(t, "users/a")
			s.commit(t, run, commitOf(window(user, 1)))
			if none, err := other.Owner(t.Context()); err != nil || none != (pipeline.Claim{}) {
				t.Errorf("before any run: %+v, %v", none, err)
			}
			claim := pipeline.Claim{ID: "1", Command: "checkpoint reset"}
			first, second := pipeline.Claim{ID: "2", Command: "process 1 on a"}, pipeline.Claim{ID: "3", Command: "process 2 on b"}
			for _, err := range []error{run.Own(t.Context(), first), other.Announce(t.Context(), claim), other.Own(t.Context(), second)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			for who, c := range map[string]keeper{"the run": run, "the other": other, "one that starts": s.another(t)} {
				owner, err := c.Owner(t.Context())
				newest, claimErr := c.Newest(t.Context())
				if err != nil || claimErr != nil || owner != second || newest != claim {
					t.Errorf("%s found %+v and %+v, %v, %v", who, owner, newest, err, claimErr)
				}
			}
			same(t, "with owners", load(t, s.open(t)), map[pipeline.Stream]pipeline.Checkpoint{user: window(user, 1).Checkpoint})
		})
	}
}

package operate

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/status"
)

// seats are the places of the apps in a process. Safe for concurrent use.
type seats struct {
	// turn guards what follows. Whoever has it may wait for apps to come to their end, so it is no mutex: to wait for one holds up simulated time.
	turn chan struct{}

	list []*seat
	// known is what [seats.about] says, and shown the list for who waits for nobody.
	known atomic.Pointer[string]
	shown atomic.Pointer[[]*seat]
	// shards are those that this process has.
	shards []int
}

// seat is an app's place: the app is published while the process has its shard.
type seat struct {
	cfg    *settings.Config
	shard  int
	status *status.Status
	owner  *owner
	pulse  *pulse
}

func newSeats() *seats { return &seats{turn: make(chan struct{}, 1)} }

func (s *seats) enter() { s.turn <- struct{}{} }
func (s *seats) leave() { <-s.turn }

// take is what [JoinGroup] wants.
func (s *seats) take(shards []int) {
	s.enter()
	defer s.leave()
	s.shards = slices.Clone(shards)
	s.share()
}

// set has these seats from now on. It is the caller's turn, or nothing runs yet.
func (s *seats) set(list []*seat) {
	s.list = list
	s.shown.Store(&list)
	keys := make([]string, 0, len(list))
	for _, one := range list {
		keys = append(keys, one.cfg.Source.AppKey)
	}
	slices.Sort(keys)
	sum := sha256.Sum256([]byte(strings.Join(keys, "/"))) // No key can contain a slash.
	about := hex.EncodeToString(sum[:8])
	s.known.Store(&about)
}

// about is the same of two processes that have the same apps. It waits for nobody: a member that is asked for it must join soon.
func (s *seats) about() string {
	if known := s.known.Load(); known != nil {
		return *known
	}
	return ""
}

// all are the seats. It waits for nobody, as about.
func (s *seats) all() []*seat {
	if shown := s.shown.Load(); shown != nil {
		return *shown
	}
	return nil
}

// count is how many apps belong to shards.
func (s *seats) count(shards []int) (n int) {
	s.enter()
	defer s.leave()
	for _, one := range s.list {
		if slices.Contains(shards, one.shard) {
			n++
		}
	}
	return n
}

// share has the apps published whose shards the process has, and no others. Those that it lets go come to their end at the same time.
func (s *seats) share() {
	var ours, others []*seat
	for _, one := range s.list {
		if slices.Contains(s.shards, one.shard) {
			ours = append(ours, one)
		} else {
			others = append(others, one)
		}
	}
	dismiss(others)
	for _, one := range ours {
		one.owner.take(true)
	}
}

// dismiss has apps come to their end at the same time, and returns when they have.
func dismiss(list []*seat) {
	var ending sync.WaitGroup
	for _, one := range list {
		ending.Go(func() { one.owner.take(false) })
	}
	ending.Wait()
}

// change has these apps in the file's order from now on: new ones are given a seat, those that are gone or have changed come to their end
// first, and the others do not notice. It returns how many are new, and the seats that are gone.
func (s *seats) change(apps []*settings.Config, newSeat func(*settings.Config) *seat) (begun int, gone []*seat) {
	s.enter()
	defer s.leave()
	before := make(map[*settings.Config]*seat, len(s.list))
	for _, one := range s.list {
		before[one.cfg] = one
	}
	list := make([]*seat, len(apps))
	for i, cfg := range apps {
		list[i] = before[cfg]
		delete(before, cfg)
	}
	gone = slices.Collect(maps.Values(before))
	dismiss(gone)
	for i, cfg := range apps {
		if list[i] == nil {
			list[i] = newSeat(cfg)
			begun++
		}
	}
	s.set(list)
	s.share()
	return begun, gone
}

package world

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/pipeline"
)

// roster is the group of an app's processes, as the members of a consumer group see it: one has the app, and keeps it for as long as it is heard
// of. What members hear is late, and sometimes comes twice. Safe for concurrent use.
type roster struct {
	mu   sync.Mutex
	dice *dice
	// members are in the order in which they came; the first one has the app, once the one before it has let go.
	members []*member
}

// member is a process in a group.
type member struct {
	roster *roster
	link   *link
	take   func(shards []int)
	// heard is when the coordinator heard of it last; has tells that it believes that it has the app.
	heard time.Time
	has   bool
}

const (
	// beat is how often a member says that it is there, silence after how long it is out.
	beat    = 500 * time.Millisecond
	silence = 6 * time.Second
)

// join implements [operate.JoinGroup] for a process.
func (r *roster) join(l *link) operate.JoinGroup {
	return func(take func(shards []int)) operate.Membership {
		return &member{roster: r, link: l, take: take}
	}
}

// Run implements [operate.Membership].
func (m *member) Run(ctx context.Context) error {
	m.say(false)
	for pipeline.Sleep(ctx, beat) == nil {
		if m.link.killed.Load() || m.link.isOut() {
			continue // Nothing arrives, and so it believes what it was told last.
		}
		has, late, twice := m.roster.hear(m)
		_ = pipeline.Sleep(ctx, late)
		m.say(has)
		if twice {
			m.say(has)
		}
	}
	m.take(nil) // Of a process that was killed, nothing arrives that it does then.
	m.roster.leave(m)
	return nil
}

// say tells the process whether it has the app.
func (m *member) say(has bool) {
	if m.link.killed.Load() {
		return
	}
	var shards []int
	if has {
		shards = []int{0}
	}
	m.take(shards)
	m.roster.mu.Lock()
	defer m.roster.mu.Unlock()
	m.has = has
}

// hear takes in that a member is there, and says whether it has the app, after how long it hears of that, and whether it hears it twice.
func (r *roster) hear(m *member) (has bool, late time.Duration, twice bool) {
	const latest, rarely = 3 * time.Second, 0.05
	r.mu.Lock()
	defer r.mu.Unlock()
	m.heard = time.Now()
	if !slices.Contains(r.members, m) {
		r.members = append(r.members, m)
	}
	r.members = slices.DeleteFunc(r.members, func(m *member) bool { return time.Since(m.heard) > silence })
	first := r.members[0]
	for _, other := range r.members { // Who is heard of and has it keeps it.
		if other.has {
			first = other
			break
		}
	}
	has = first == m
	if has != m.has && r.dice.chance(0.5) {
		late = r.dice.upTo(latest)
	}
	return has, late, r.dice.chance(rarely)
}

func (r *roster) leave(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !m.link.killed.Load() {
		r.members = slices.DeleteFunc(r.members, func(other *member) bool { return other == m })
	}
}

package world

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/pipeline"
)

// roster is the group of a fleet's processes, as the members of a consumer group see it: each shard is with one, and stays there for as long as
// that is heard of and has no more than its share. What members hear is late, and sometimes comes twice. Safe for concurrent use.
type roster struct {
	mu     sync.Mutex
	dice   *dice
	shards int
	// members are in the order in which they came.
	members []*member
	// given are the members who have each shard, until they have let it go; none of a shard that is free.
	given map[int]*member
}

// member is a process in a group.
type member struct {
	roster *roster
	link   *link
	take   func(shards []int)
	// heard is when the coordinator heard of it last; has is what it was told last.
	heard time.Time
	has   []int
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
	m.say(nil)
	for pipeline.Sleep(ctx, beat) == nil {
		if m.link.killed.Load() || m.link.isOut() {
			continue // Nothing arrives, and so it believes what it was told last.
		}
		has, late, twice := m.roster.hear(m)
		_ = pipeline.Sleep(ctx, late)
		if twice {
			m.say(has)
		}
		if twice || !slices.Equal(has, m.has) {
			m.say(has)
		}
	}
	m.take(nil) // Of a process that was killed, nothing arrives that it does then.
	m.roster.leave(m)
	return nil
}

// say tells the process which shards it has. What it has no more is free once it has let go.
func (m *member) say(has []int) {
	if m.link.killed.Load() {
		return
	}
	m.take(slices.Clone(has))
	r := m.roster
	r.mu.Lock()
	defer r.mu.Unlock()
	m.has = has
	for shard, owner := range r.given {
		if owner == m && !slices.Contains(has, shard) {
			delete(r.given, shard)
		}
	}
}

// hear takes in that a member is there, and says which shards it has, after how long it hears of that, and whether it hears it twice.
func (r *roster) hear(m *member) (has []int, late time.Duration, twice bool) {
	const latest, rarely = 3 * time.Second, 0.05
	r.mu.Lock()
	defer r.mu.Unlock()
	m.heard = time.Now()
	if !slices.Contains(r.members, m) {
		r.members = append(r.members, m)
	}
	r.members = slices.DeleteFunc(r.members, func(m *member) bool { return time.Since(m.heard) > silence })
	counts := make(map[*member]int)
	for shard, owner := range r.given {
		if !slices.Contains(r.members, owner) {
			delete(r.given, shard)
			continue
		}
		counts[owner]++
	}
	share := r.share(m, counts)
	for shard := range r.shards {
		if r.given[shard] == m && len(has) < share {
			has = append(has, shard)
		}
	}
	for shard := range r.shards {
		if r.given[shard] == nil && len(has) < share {
			r.give(shard, m)
			has = append(has, shard)
		}
	}
	slices.Sort(has)
	if !slices.Equal(has, m.has) && r.dice.chance(0.5) {
		late = r.dice.upTo(latest)
	}
	return has, late, r.dice.chance(rarely)
}

// share is how many shards a member may have, where they have so many: who has most keeps one more than the others, where they cannot have
// the same.
func (r *roster) share(m *member, counts map[*member]int) int {
	order := slices.SortedStableFunc(slices.Values(r.members), func(a, b *member) int { return counts[b] - counts[a] })
	share := r.shards / len(order)
	if slices.Index(order, m) < r.shards%len(order) {
		share++
	}
	return share
}

func (r *roster) give(shard int, m *member) {
	if r.given == nil {
		r.given = make(map[int]*member)
	}
	r.given[shard] = m
}

func (r *roster) leave(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.link.killed.Load() {
		return
	}
	r.members = slices.DeleteFunc(r.members, func(other *member) bool { return other == m })
	for shard, owner := range r.given {
		if owner == m {
			delete(r.given, shard)
		}
	}
}

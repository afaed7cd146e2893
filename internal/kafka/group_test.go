package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
)

// party is a group of members in one process, and what each has.
type party struct {
	brokers []string
	shards  []int

	mu      sync.Mutex
	has     map[int][]int
	changed chan struct{}
	// twice is where a shard was begun by one while another one had it.
	twice []string
	// expelled tells that a member was silent for longer than its session, as on a machine that is very busy.
	expelled bool
}

func newParty(brokers []string, shards int) *party {
	p := &party{brokers: brokers, has: make(map[int][]int), changed: make(chan struct{})}
	for i := range shards {
		p.shards = append(p.shards, i)
	}
	return p
}

// join adds a member, and returns what ends it. slow is how long it takes to let go.
func (p *party) join(t *testing.T, number int, slow time.Duration) (leave func()) {
	t.Helper()
	g := NewGroup(Config{Brokers: p.brokers}, func(shards []int) { p.take(number, shards, slow) })
	g.ID, g.Topic, g.Name, g.Shards = "group", "shards", fmt.Sprint("member ", number), p.shards
	g.Notify = func(op string, err error, _ time.Duration) {
		t.Log(op, err)
		if errors.Is(err, kafkago.UnknownMemberId) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.expelled = true
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	leave = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(leave)
	return leave
}

func (p *party) take(number int, shards []int, slow time.Duration) {
	p.mu.Lock()
	before := p.has[number]
	p.mu.Unlock()
	if slices.ContainsFunc(before, func(s int) bool { return !slices.Contains(shards, s) }) {
		time.Sleep(slow)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range shards {
		for other, has := range p.has {
			if other != number && slices.Contains(has, s) {
				p.twice = append(p.twice, fmt.Sprintf("shard %d of %d and %d", s, other, number))
			}
		}
	}
	p.has[number] = shards
	close(p.changed)
	p.changed = make(chan struct{})
}

// await waits until the members have so many shards each, of which none is with two, and returns them.
func (p *party) await(t *testing.T, want map[int]int) map[int][]int {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		p.mu.Lock()
		fits, has := true, make(map[int][]int)
		shared := make(map[int]bool)
		for number, n := range want {
			has[number] = p.has[number]
			fits = fits && len(p.has[number]) == n
			for _, s := range p.has[number] {
				shared[s] = true
			}
		}
		fits = fits && len(shared) == len(p.shards)
		changed := p.changed
		p.mu.Unlock()
		if fits {
			return has
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("the members have %v, want %v", has, want)
		}
	}
}

// TestGroup has members join and leave on the embedded broker.
func TestGroup(t *testing.T) {
	t.Parallel()
	const shards = 6
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(shards, "shards"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	comeAndGo(t, newParty(c.ListenAddrs(), shards))
}

// comeAndGo has three members join, and the first one leave. It expects six shards to be shared out each time and, as long as no member is
// expelled, none to be with two at any time, and none to move that need not. Members 2 and 3 stay.
func comeAndGo(t *testing.T, p *party) {
	t.Helper()
	leave := p.join(t, 1, 0)
	first := p.await(t, map[int]int{1: 6})
	p.join(t, 2, 300*time.Millisecond)
	second := p.await(t, map[int]int{1: 3, 2: 3})
	p.join(t, 3, 0)
	third := p.await(t, map[int]int{1: 2, 2: 2, 3: 2})
	leave()
	last := p.await(t, map[int]int{1: 0, 2: 3, 3: 3})
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.expelled {
		return
	}
	if len(p.twice) > 0 {
		t.Errorf("with two at the same time: %v", p.twice)
	}
	if !subset(second[1], first[1]) || !subset(third[1], second[1]) || !subset(third[2], second[2]) || !subset(third[2], last[2]) ||
		!subset(third[3], last[3]) {
		t.Errorf("the members have had %v, %v, %v and %v", first, second, third, last)
	}
}

func subset(some, all []int) bool {
	return !slices.ContainsFunc(some, func(s int) bool { return !slices.Contains(all, s) })
}

// TestMembersThatFindSomethingElseAreNamed tells the one that shares shards out who else has other apps.
func TestMembersThatFindSomethingElseAreNamed(t *testing.T) {
	about := "ours"
	var named []string
	g := &Group{Name: "first", Topic: "shards", Shards: []int{0, 1}, About: func() string { return about }, Differ: func(names []string) { named = names }}
	member := func(name, finds string) kafkago.GroupMember {
		data, err := balancer{&Group{Name: name, About: func() string { return finds }}}.UserData()
		if err != nil {
			t.Fatal(err)
		}
		return kafkago.GroupMember{ID: name, UserData: data}
	}
	partitions := []kafkago.Partition{{Topic: "shards", ID: 0}, {Topic: "shards", ID: 1}}
	for _, c := range []struct {
		second, third string
		want          []string
	}{
		{"ours", "ours", nil},
		{"ours", "others", []string{"third"}},
		{"", "others", []string{"second", "third"}},
	} {
		named = nil
		balancer{g}.AssignGroups([]kafkago.GroupMember{member("first", "ours"), member("second", c.second), member("third", c.third)}, partitions)
		if !slices.Equal(named, c.want) {
			t.Errorf("%+v: %v are named", c, named)
		}
	}
}

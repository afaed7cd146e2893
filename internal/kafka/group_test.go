package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/consumer"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// party is a group of members in one process, and what each has.
type party struct {
	brokers []string
	shards  []int
	// dial, where set, connects them.
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu      sync.Mutex
	has     map[int][]int
	changed chan struct{}
	// twice is where a shard was begun by one while another one had it.
	twice []string
	// members is how many the one knew of that shared out last, joins how often members have joined.
	members, joins int
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
	g.ID, g.Topic, g.Name, g.Shards, g.dial = "group", "shards", fmt.Sprint("member ", number), p.shards, p.dial
	g.Notify = func(op string, err error, _ time.Duration) {
		t.Log(op, err)
		if errors.Is(err, kafkago.UnknownMemberId) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.expelled = true
		}
	}
	g.Joined = func(members int) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.joins++
		if members > 0 {
			p.members = members
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
			t.Errorf("the members have %v, want %v", has, want)
			return has
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
	leave := p.join(t, 1, 1200*time.Millisecond) // It lets go for longer than it takes the others to hear that somebody has left.
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
	if p.members != 2 || p.joins < 6 {
		t.Errorf("members have joined %d times, and the one that shared out last knew of %d", p.joins, p.members)
	}
	if len(p.twice) > 0 {
		t.Errorf("with two at the same time: %v", p.twice)
	}
	if !subset(second[1], first[1]) || !subset(third[1], second[1]) || !subset(third[2], second[2]) || !subset(third[2], last[2]) ||
		!subset(third[3], last[3]) {
		t.Errorf("the members have had %v, %v, %v and %v", first, second, third, last)
	}
}

// TestGroupWhereMessagesAreLost has the connections of members break, one after another at each place: before a request is sent, or before its reply
// is read. Nobody is taken for dead for it: nothing is shared out anew but for who comes and leaves.
func TestGroupWhereMessagesAreLost(t *testing.T) {
	t.Parallel()
	const shards, places = 6, 24
	var parties sync.WaitGroup // They wait most of the time.
	for nth := range int64(places) {
		for _, reply := range []bool{false, true} {
			c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(shards, "shards"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Close)
			parties.Go(func() {
				p := newParty(c.ListenAddrs(), shards)
				var messages atomic.Int64
				fails := func() bool { return messages.Add(1) == nth+1 }
				plain := newDialer(nil)
				p.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					conn, err := plain.dial(ctx, network, address)
					return &breaking{conn, reply, fails}, err
				}
				comeAndGo(t, p)
				if messages.Load() <= nth || p.expelled {
					t.Errorf("message %d was to be lost, reply: %t; expelled: %t", nth, reply, p.expelled)
				}
			})
		}
	}
	parties.Wait()
}

// breaking is a connection that breaks, before or after a request is answered.
type breaking struct {
	net.Conn

	reply bool
	fails func() bool
}

func (b *breaking) Write(p []byte) (int, error) {
	if !b.reply && b.fails() {
		return 0, errors.Join(io.ErrClosedPipe, b.Close())
	}
	return b.Conn.Write(p)
}

func (b *breaking) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if b.reply && err == nil && b.fails() {
		return 0, errors.Join(io.ErrUnexpectedEOF, b.Close())
	}
	return n, err
}

// TestLeavingWhileTheCoordinatorMoves has the coordinator refuse to take that a member leaves, as one does that is no coordinator any more, or
// not yet: it is told again, so that the others have all at once, and not when the member's session has ended.
func TestLeavingWhileTheCoordinatorMoves(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(2))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	p := newParty(cluster.ListenAddrs(), 4)
	leave := p.join(t, 1, 0)
	p.join(t, 2, 0)
	p.await(t, map[int]int{1: 2, 2: 2})
	refusals := []int16{int16(kafkago.NotCoordinatorForGroup), int16(kafkago.GroupLoadInProgress), int16(kafkago.GroupCoordinatorNotAvailable)}
	var left atomic.Int32
	cluster.ControlKey(int16(protocol.LeaveGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		n := int(left.Add(1)) - 1
		if n >= len(refusals) {
			return nil, nil, false
		}
		refused, ok := r.ResponseKind().(*kmsg.LeaveGroupResponse)
		if ok {
			refused.ErrorCode = refusals[n]
		}
		return refused, nil, true
	})
	leave()
	began := time.Now()
	p.await(t, map[int]int{2: 4})
	if n := int(left.Load()); n != len(refusals)+1 {
		t.Errorf("it left %d times; the other one had all after %s", n, time.Since(began))
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
	member := func(name, finds string) claim {
		one := (&Group{Name: name, About: func() string { return finds }}).claim()
		one.id = name
		return one
	}
	for _, c := range []struct {
		second, third string
		want          []string
	}{
		{"ours", "ours", nil},
		{"ours", "others", []string{"third"}},
		{"", "others", []string{"second", "third"}},
	} {
		named = nil
		g.share([]claim{member("first", "ours"), member("second", c.second), member("third", c.third)})
		if !slices.Equal(named, c.want) {
			t.Errorf("%+v: %v are named", c, named)
		}
	}
}

// FuzzGroup decodes what other members and the leader of a group may say. None of it may end the process or take more memory than a reply may.
func FuzzGroup(f *testing.F) {
	marshal := func(value any) []byte {
		data, err := protocol.Marshal(consumer.MaxVersionSupported, value)
		if err != nil {
			f.Fatal(err)
		}
		return data
	}
	f.Add(marshal(consumer.Subscription{Version: 1, Topics: []string{"shards"}, UserData: []byte(`{"held":[1,2],"generation":3}`)}))
	f.Add(marshal(consumer.Assignment{Version: 1, AssignedPartitions: []consumer.TopicPartition{{Topic: "shards", Partitions: []int32{0, 1}}}}))
	f.Add([]byte("\x00\x01\x7f\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		said := claimIn(data)
		shards, err := shardsIn(data)
		if len(said.Held) > len(data) || len(shards) > len(data) || err != nil && len(shards) > 0 {
			t.Errorf("%d bytes are %d and %d shards, %v", len(data), len(said.Held), len(shards), err)
		}
		if owners := balance([]claim{said, {id: "other"}}, []int{0, 1}); len(owners) > 2 {
			t.Errorf("shared out among %d", len(owners))
		}
	})
}

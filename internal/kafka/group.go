package kafka

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// Group keeps a process a member of a consumer group (Kafka's classic group protocol, KIP-62), whose members share out shards: partitions of
// a topic, each of which one member has at a time. A rebalance stops nothing that stays where it is, and a shard that moves is given to its
// next member only once the one that has it has let go and joined again without it, as in KIP-429. One that is dead, paused or cut off is out
// after its session, and what it still does then only fencing can stop.
type Group struct {
	// ID is the group's, Topic that of the shards, Name what this process is called among the members.
	ID, Topic, Name string
	// Shards are the partitions that there is something to do in, by this process's settings. What the leader's say counts.
	Shards []int
	// About, if set, says what this process finds in the shards, and Differ is told the names of the members who find something else. It is told
	// by the member that shares the shards out, whenever it does.
	About  func() string
	Differ func(names []string)
	// Joined, if set, is called each time that the group was joined: with how many members it has, as the one that shares the shards out knows,
	// and 0 elsewhere.
	Joined func(members int)
	// Notify, if set, is called when the group cannot be joined for now, with how long it is until the next try.
	Notify func(op string, err error, wait time.Duration)

	config Config
	// dial opens connections to brokers.
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	// take is called with what this process has from now on: wanted. taking gets what it was called with when it returns, and is nil where it is
	// not at work. ended is set when it was called for the last time.
	take   func(shards []int)
	wanted []int
	taking chan []int
	ended  bool
	// rejoin has the group joined again, so that others get what was let go.
	rejoin chan struct{}

	mu sync.Mutex
	// held are the shards that were taken and not let go yet, since a generation.
	held       []int
	generation int
}

const (
	// session is how long a member may be silent until the others take over: the least that brokers allow (group.min.session.timeout.ms).
	session = 6 * time.Second
	// heartbeatEvery is how often a member says that it is there, and so how soon it hears that the group is to be joined again.
	heartbeatEvery = 500 * time.Millisecond
	// rebalanceTime is how long the coordinator waits for members that are alive to join again.
	rebalanceTime = 10 * time.Second
	// joinPause is the wait after a join that failed.
	joinPause = 500 * time.Millisecond
	// leaveTime is how long a process that ends tries to say so. Where nobody answers, its session ends by itself.
	leaveTime = 2 * time.Second
	// leavePause is the wait until it tries again.
	leavePause = 100 * time.Millisecond
)

// NewGroup makes a member that has not joined. take begins what is new among the shards that the process has from now on, and returns once what
// is missing has come to its end. It is called one call at a time.
func NewGroup(cfg Config, take func(shards []int)) *Group {
	return &Group{config: cfg, take: take, rejoin: make(chan struct{}, 1)}
}

// Run is a member until ctx is done, and has take called with all shards that this process has, whenever they change. When ctx is done, take
// is called with none; then the process leaves, and the others take over at once. Errors are *[pipeline.Fault]; what passes is tried again.
func (g *Group) Run(ctx context.Context) error {
	m, err := newMember(g)
	if err != nil {
		return err
	}
	present, leave := context.WithCancel(context.WithoutCancel(ctx)) // It is a member until all is let go.
	defer leave()
	generations, failed := make(chan *generation), make(chan error, 1)
	go func(result chan<- error) { result <- m.run(present, generations) }(failed)
	stopped := ctx.Done()
	for !g.ended || g.taking != nil {
		select {
		case given := <-generations:
			if !g.ended {
				g.want(g.assigned(given))
			}
		case taken := <-g.taking:
			g.took(taken)
		case <-stopped:
			stopped = nil
			g.end()
		case err = <-failed:
			failed = nil
			g.end()
		}
	}
	leave()
	if failed != nil {
		err = <-failed
	}
	return err
}

// end has take called for the last time, with no shards.
func (g *Group) end() {
	if !g.ended {
		g.ended = true
		g.want(nil)
	}
}

// want has take called with the shards, in the background: now, or behind the call that is at work.
func (g *Group) want(shards []int) {
	g.wanted = shards
	if g.taking == nil {
		g.begin()
	}
}

func (g *Group) begin() {
	shards, taking := g.wanted, make(chan []int, 1)
	g.taking = taking
	go func() {
		g.take(slices.Clone(shards))
		taking <- shards
	}()
}

// took takes in that take has returned.
func (g *Group) took(shards []int) {
	g.taking = nil
	if !slices.Equal(shards, g.wanted) {
		g.begin()
		return
	}
	g.mu.Lock()
	fewer := len(g.held) > len(shards)
	g.held = slices.Clone(shards)
	g.mu.Unlock()
	if fewer && !g.ended {
		select {
		case g.rejoin <- struct{}{}:
		default: // It will be.
		}
	}
}

// IsGroupDenied tells whether an error says that the right Read on the group is missing.
func IsGroupDenied(err error) bool { return errors.Is(err, kafkago.GroupAuthorizationFailed) }

// generation is what a member is given when the group was joined anew.
type generation struct {
	id     int
	shards []int
}

// assigned are the shards that a generation gives this process.
func (g *Group) assigned(given *generation) []int {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.generation = given.id
	for _, s := range given.shards {
		if !slices.Contains(g.held, s) {
			g.held = append(g.held, s)
		}
	}
	return given.shards
}

// claim is what a member says of itself when it joins.
type claim struct {
	Name string `json:"name"`
	// Held are the shards that it has, since a generation.
	Held       []int `json:"held"`
	Generation int   `json:"generation"`
	// About is what it finds in the shards.
	About string `json:"about,omitempty"`

	id string
}

// claim says what this process has. What it lets go from now on has the group joined again.
func (g *Group) claim() claim {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.rejoin:
	default:
	}
	return claim{Name: g.Name, Held: slices.Clone(g.held), Generation: g.generation, About: g.about()}
}

func (g *Group) about() string {
	if g.About == nil {
		return ""
	}
	return g.About()
}

// compare tells of members who find something else in the shards.
func (g *Group) compare(claims []claim) {
	if g.Differ == nil {
		return
	}
	own := g.about()
	var others []string
	for i := range claims {
		if claims[i].About != own {
			others = append(others, claims[i].Name)
		}
	}
	if len(others) > 0 {
		g.Differ(others)
	}
}

// share shares the shards out among all members; see [balance].
func (g *Group) share(claims []claim) map[string][]int {
	g.compare(claims)
	return balance(claims, g.Shards)
}

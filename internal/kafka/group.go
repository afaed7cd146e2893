package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/pipeline"
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
	// Notify, if set, is called when the group cannot be joined for now, with how long it is until the next try.
	Notify func(op string, err error, wait time.Duration)

	config Config
	// take is called with what this process has from now on: wanted. taking gets what it was called with when it returns, and is nil where it is
	// not at work; letGo is closed when others can have what is not wanted any more.
	take   func(shards []int)
	wanted []int
	taking chan []int
	letGo  chan struct{}

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
	// leaveTime is how long a process that ends tries to say so.
	leaveTime = 2 * time.Second
)

// NewGroup makes a member that has not joined. take begins what is new among the shards that the process has from now on, and returns once what
// is missing has come to its end. It is called one call at a time.
func NewGroup(cfg Config, take func(shards []int)) *Group { return &Group{config: cfg, take: take} }

// Run is a member until ctx is done, and has take called with all shards that this process has, whenever they change. When ctx is done, take
// is called with none; then the process leaves, and the others take over at once. Errors are *[pipeline.Fault]; what passes is tried again.
func (g *Group) Run(ctx context.Context) error {
	group, err := g.connect()
	if err != nil {
		return err
	}
	defer leave(group)
	generations, failed := make(chan *kafkago.Generation), make(chan error, 1)
	members, stop := context.WithCancel(ctx)
	defer stop()
	go func() { failed <- g.follow(members, group, generations) }()
	for ended := false; !ended; {
		select {
		case generation := <-generations:
			g.want(g.assigned(generation))
			letGo := g.letGo
			generation.Start(func(ctx context.Context) {
				select {
				case <-letGo: // When this returns, the group is joined again.
				case <-ctx.Done():
				}
			})
		case taken := <-g.taking:
			g.took(taken)
		case err = <-failed:
			ended = true
		}
	}
	g.want(nil)
	for g.taking != nil {
		g.took(<-g.taking)
	}
	return err
}

// leave leaves the group, and gives up where nobody answers: then the session ends by itself.
func leave(group *kafkago.ConsumerGroup) {
	left := make(chan struct{})
	go func() {
		defer close(left)
		_ = group.Close() // It has no error.
	}()
	timer := time.NewTimer(leaveTime)
	defer timer.Stop()
	select {
	case <-left:
	case <-timer.C:
	}
}

// follow passes the group's generations on until ctx is done.
func (g *Group) follow(ctx context.Context, group *kafkago.ConsumerGroup, generations chan<- *kafkago.Generation) error {
	for {
		generation, err := group.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // That is how it ends.
		case err != nil:
			if err = g.failed(err); err != nil {
				return err
			}
			continue
		}
		select {
		case generations <- generation:
		case <-ctx.Done():
			return nil
		}
	}
}

// want has take called with the shards, in the background: now, or behind the call that is at work.
func (g *Group) want(shards []int) {
	g.wanted, g.letGo = shards, make(chan struct{})
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
	if fewer {
		close(g.letGo)
		g.letGo = make(chan struct{})
	}
}

func (g *Group) connect() (*kafkago.ConsumerGroup, error) {
	conf, err := g.config.tls()
	if err != nil {
		return nil, err
	}
	mechanism, err := g.config.mechanism()
	if err != nil {
		return nil, err
	}
	by := &rotation{dial: newDialer(conf).dial, brokers: g.config.Brokers}
	return kafkago.NewConsumerGroup(kafkago.ConsumerGroupConfig{
		ID: g.ID, Topics: []string{g.Topic}, Brokers: []string{anyBroker}, GroupBalancers: []kafkago.GroupBalancer{balancer{g}},
		Dialer:         &kafkago.Dialer{ClientID: g.config.ClientID, DialFunc: by.next, Timeout: dialTimeout, SASLMechanism: mechanism},
		SessionTimeout: session, HeartbeatInterval: heartbeatEvery, RebalanceTimeout: rebalanceTime, JoinGroupBackoff: joinPause,
	})
}

// anyBroker stands for the brokers that are named by the settings.
const anyBroker = "any:9"

// rotation dials the named brokers in turn: kafka-go's group asks the first one for ever that takes a connection, whether it answers or not.
type rotation struct {
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	brokers []string
	turn    atomic.Uint64
}

func (r *rotation) next(ctx context.Context, network, address string) (net.Conn, error) {
	if address == anyBroker {
		address = r.brokers[r.turn.Add(1)%uint64(len(r.brokers))]
	}
	return r.dial(ctx, network, address)
}

// failed returns an error that does not pass.
func (g *Group) failed(err error) error {
	op := "join the group " + g.ID
	if errors.Is(err, kafkago.RebalanceInProgress) { // Another one joined at the same time.
		return nil
	}
	fault := Fault(op, g.config.redactor().Error(err))
	switch {
	case errors.Is(err, kafkago.UnknownMemberId), errors.Is(err, kafkago.IllegalGeneration), pipeline.ClassOf(fault) == pipeline.Transient:
		if g.Notify != nil {
			g.Notify(op, fault, joinPause)
		}
		return nil
	default:
		return fault
	}
}

// IsGroupDenied tells whether an error says that the right Read on the group is missing.
func IsGroupDenied(err error) bool { return errors.Is(err, kafkago.GroupAuthorizationFailed) }

// assigned are the shards that a generation gives this process.
func (g *Group) assigned(generation *kafkago.Generation) []int {
	var shards []int
	for _, p := range generation.Assignments[g.Topic] {
		shards = append(shards, p.ID)
	}
	slices.Sort(shards)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.generation = int(generation.ID)
	for _, s := range shards {
		if !slices.Contains(g.held, s) {
			g.held = append(g.held, s)
		}
	}
	return shards
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

// balancer is how a group shares its shards out; see [balance].
type balancer struct{ group *Group }

var _ kafkago.GroupBalancer = balancer{}

// ProtocolName implements [kafkago.GroupBalancer].
func (balancer) ProtocolName() string { return "jmpub-sticky-1" }

// UserData implements [kafkago.GroupBalancer].
func (b balancer) UserData() ([]byte, error) {
	b.group.mu.Lock()
	defer b.group.mu.Unlock()
	return json.Marshal(claim{Name: b.group.Name, Held: b.group.held, Generation: b.group.generation, About: b.group.about()})
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

// AssignGroups implements [kafkago.GroupBalancer].
func (b balancer) AssignGroups(members []kafkago.GroupMember, partitions []kafkago.Partition) kafkago.GroupMemberAssignments {
	claims := make([]claim, len(members))
	for i, m := range members {
		_ = json.Unmarshal(m.UserData, &claims[i]) // One that says nothing holds nothing.
		claims[i].id = m.ID
	}
	b.group.compare(claims)
	shards := slices.DeleteFunc(slices.Clone(b.group.Shards), func(s int) bool {
		return !slices.ContainsFunc(partitions, func(p kafkago.Partition) bool { return p.Topic == b.group.Topic && p.ID == s })
	})
	all := make(kafkago.GroupMemberAssignments)
	for id, own := range balance(claims, shards) {
		all[id] = map[string][]int{b.group.Topic: own}
	}
	return all
}

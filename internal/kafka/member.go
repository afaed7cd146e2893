package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/consumer"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/heartbeat"
	"github.com/segmentio/kafka-go/protocol/joingroup"
	"github.com/segmentio/kafka-go/protocol/leavegroup"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/protocol/syncgroup"
	"github.com/segmentio/kafka-go/sasl"

	"github.com/jmpub/jmpub/pipeline"
)

// member speaks with the coordinator of a group. It stays the same member when the coordinator moves to another broker, or does not answer for
// less than the session: nothing is shared out anew then. (kafka-go's ConsumerGroup leaves with each error and joins as somebody else, and
// its Client sends heartbeats to any broker.) It is used by one goroutine.
type member struct {
	group     *Group
	mechanism sasl.Mechanism
	// conn is the connection to the coordinator; nil where there is none. asked counts the brokers that were asked where it is.
	conn  *protocol.Conn
	asked int
	// id is what the coordinator calls the member; empty before it has joined.
	id         string
	generation int32
}

const (
	// protocolType and protocolName tell members that share shards out in this way from all others.
	protocolType = "consumer"
	protocolName = "jmpub-sticky-1"
	// joinTime bounds a request that waits for other members.
	joinTime = rebalanceTime + session
	// beatTime bounds all others.
	beatTime = session / 2
)

// memberVersions are those of the requests. Of what kafka-go v0.4.51 can encode, some newer ones are wrong: of heartbeats and leaving those
// that tell of throttling, and most with tagged fields (KIP-482). Kafka 2.2 and all later releases know these (KIP-896).
func memberVersions() map[protocol.ApiKey]int16 {
	return map[protocol.ApiKey]int16{
		protocol.FindCoordinator: 2, protocol.JoinGroup: 4, protocol.SyncGroup: 2, protocol.Heartbeat: 0, protocol.LeaveGroup: 0,
		protocol.SaslHandshake: 1, protocol.SaslAuthenticate: 1,
	}
}

func newMember(g *Group) (*member, error) {
	conf, err := g.config.tls()
	if err != nil {
		return nil, err
	}
	mechanism, err := g.config.mechanism()
	if err != nil {
		return nil, err
	}
	if g.dial == nil {
		g.dial = newDialer(conf).dial
	}
	return &member{group: g, mechanism: mechanism}, nil
}

// run is a member until ctx is done, and tells of each generation. It leaves when it returns.
func (m *member) run(ctx context.Context, generations chan<- *generation) error {
	defer m.leave(ctx)
	for ctx.Err() == nil {
		given, err := m.join(ctx)
		if err == nil {
			select {
			case generations <- given:
				err = m.stay(ctx)
			case <-ctx.Done():
			}
		}
		if err = m.passed(ctx, err, joinPause); err != nil {
			return err
		}
	}
	return nil
}

// passed takes in an error, and returns what does not pass. It waits before what failed is tried again.
func (m *member) passed(ctx context.Context, err error, pause time.Duration) error {
	if err == nil || ctx.Err() != nil || errors.Is(err, kafkago.RebalanceInProgress) || errors.Is(err, kafkago.IllegalGeneration) {
		return nil //nolint:nilerr // The group is joined again, or left.
	}
	g := m.group
	fault := Fault("be a member of the group "+g.ID, g.config.redactor().Error(err))
	switch {
	case errors.Is(err, kafkago.UnknownMemberId): // It was silent for too long.
		m.id = ""
	case pipeline.ClassOf(fault) != pipeline.Transient:
		return fault
	}
	m.hangUp()
	if g.Notify != nil {
		g.Notify("be a member of the group "+g.ID, fault, pause)
	}
	_ = pipeline.Sleep(ctx, pause)
	return nil
}

// join joins the group, or joins it again, and returns what the member is given.
func (m *member) join(ctx context.Context) (*generation, error) {
	g := m.group
	data, err := json.Marshal(g.claim())
	if err != nil {
		return nil, err
	}
	metadata, err := protocol.Marshal(consumer.MaxVersionSupported, consumer.Subscription{
		Version: consumer.MaxVersionSupported, Topics: []string{g.Topic}, UserData: data,
	})
	if err != nil {
		return nil, err
	}
	var joined *joingroup.Response
	for again := true; again; {
		named := m.id != ""
		joined, err = ask[*joingroup.Response](ctx, m, joinTime, &joingroup.Request{
			GroupID: g.ID, MemberID: m.id, SessionTimeoutMS: int32(session / time.Millisecond), RebalanceTimeoutMS: int32(rebalanceTime / time.Millisecond),
			ProtocolType: protocolType, Protocols: []joingroup.RequestProtocol{{Name: protocolName, Metadata: metadata}},
		})
		if err != nil {
			return nil, err
		}
		// Who joins for the first time gets a name, and joins with that (KIP-394).
		if again = !named && kafkago.Error(joined.ErrorCode) == kafkago.MemberIDRequired; again {
			m.id = joined.MemberID
		}
	}
	if err = codeOf(joined.ErrorCode); err != nil {
		return nil, err
	}
	m.id, m.generation = joined.MemberID, joined.GenerationID
	request := &syncgroup.Request{GroupID: g.ID, GenerationID: m.generation, MemberID: m.id}
	if joined.LeaderID == m.id {
		if request.Assignments, err = m.assign(joined.Members); err != nil {
			return nil, err
		}
	}
	synced, err := ask[*syncgroup.Response](ctx, m, joinTime, request)
	if err == nil {
		err = codeOf(synced.ErrorCode)
	}
	if err != nil {
		return nil, err
	}
	shards, err := shardsIn(synced.Assignments)
	if err == nil && g.Joined != nil {
		g.Joined(len(joined.Members)) // Those who do not share out are told of no members.
	}
	return &generation{int(m.generation), shards}, err
}

// assign shares the shards out, as the leader does.
func (m *member) assign(members []joingroup.ResponseMember) (all []syncgroup.RequestAssignment, err error) {
	claims := make([]claim, len(members))
	for i, one := range members {
		claims[i] = claimIn(one.Metadata)
		claims[i].id = one.MemberID
	}
	for id, shards := range m.group.share(claims) {
		partitions := make([]int32, len(shards))
		for i, s := range shards {
			partitions[i] = int32(s) //nolint:gosec // It is a partition.
		}
		value, err := protocol.Marshal(consumer.MaxVersionSupported, consumer.Assignment{
			Version: consumer.MaxVersionSupported, AssignedPartitions: []consumer.TopicPartition{{Topic: m.group.Topic, Partitions: partitions}},
		})
		if err != nil {
			return nil, err
		}
		all = append(all, syncgroup.RequestAssignment{MemberID: id, Assignment: value})
	}
	return all, nil
}

// claimIn is what a member says of itself. One that says nothing holds nothing.
func claimIn(metadata []byte) (said claim) {
	var subscription consumer.Subscription
	if decode(metadata, consumer.MaxVersionSupported, &subscription) == nil {
		_ = json.Unmarshal(subscription.UserData, &said) // As above.
	}
	return said
}

// shardsIn are the shards in an assignment.
func shardsIn(assignment []byte) (shards []int, err error) {
	if len(assignment) == 0 { // The leader did not know of this member.
		return nil, nil
	}
	var given consumer.Assignment
	if err := decode(assignment, consumer.MaxVersionSupported, &given); err != nil {
		return nil, fmt.Errorf("what the group has given this member cannot be read: %w", err)
	}
	for _, topic := range given.AssignedPartitions {
		for _, p := range topic.Partitions {
			shards = append(shards, int(p))
		}
	}
	slices.Sort(shards)
	return shards, nil
}

// stay says that the member is there until the group is to be joined again, or ctx is done.
func (m *member) stay(ctx context.Context) error {
	ticker := time.NewTicker(heartbeatEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.group.rejoin:
			return nil
		case <-ticker.C:
		}
		reply, err := ask[*heartbeat.Response](ctx, m, beatTime, &heartbeat.Request{GroupID: m.group.ID, GenerationID: m.generation, MemberID: m.id})
		if err == nil {
			err = codeOf(reply.ErrorCode)
		}
		if errors.Is(err, kafkago.RebalanceInProgress) || errors.Is(err, kafkago.IllegalGeneration) || errors.Is(err, kafkago.UnknownMemberId) {
			return err
		}
		if err = m.passed(ctx, err, heartbeatEvery); err != nil {
			return err
		}
	}
}

// leave tells the others that they can have everything. A coordinator that is on its way from one broker to another is asked again; what cannot
// be said in time, the end of the session says.
func (m *member) leave(ctx context.Context) {
	m.hangUp() // A reply may still be on its way.
	if m.id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	for {
		reply, err := ask[*leavegroup.Response](ctx, m, leaveTime, &leavegroup.Request{GroupID: m.group.ID, MemberID: m.id})
		if err == nil {
			err = codeOf(reply.ErrorCode)
		}
		m.hangUp()
		if err == nil || errors.Is(err, kafkago.UnknownMemberId) || pipeline.ClassOf(Fault("leave the group", err)) != pipeline.Transient {
			return
		}
		if pipeline.Sleep(ctx, leavePause) != nil {
			return
		}
	}
}

// ask sends the coordinator a request.
func ask[R protocol.Message](ctx context.Context, m *member, within time.Duration, request protocol.Message) (reply R, err error) {
	if m.conn == nil {
		if m.conn, err = m.find(ctx); err != nil {
			return reply, err
		}
	}
	return exchange[R](ctx, m.conn, within, request)
}

// exchange sends a request. The connection is of no more use when it fails.
func exchange[R protocol.Message](ctx context.Context, conn *protocol.Conn, within time.Duration, request protocol.Message) (reply R, err error) {
	_ = conn.SetDeadline(time.Now().Add(within)) // One that is closed fails below.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	got, err := conn.RoundTrip(request)
	if err != nil {
		return reply, errors.Join(ctx.Err(), err)
	}
	reply, _ = got.(R)
	return reply, nil
}

func codeOf(code int16) error {
	if code == 0 {
		return nil
	}
	return kafkago.Error(code)
}

func (m *member) hangUp() {
	if m.conn != nil {
		_ = m.conn.Close() // What was to be said was said.
		m.conn = nil
	}
}

// find asks one of the named brokers where the coordinator is, each time another one, and connects to it.
func (m *member) find(ctx context.Context) (*protocol.Conn, error) {
	m.asked++
	first, err := m.open(ctx, m.group.config.Brokers[m.asked%len(m.group.config.Brokers)])
	if err != nil {
		return nil, err
	}
	found, err := exchange[*findcoordinator.Response](ctx, first, dialTimeout, &findcoordinator.Request{Key: m.group.ID})
	_ = first.Close() // As in hangUp.
	if err == nil {
		err = codeOf(found.ErrorCode)
	}
	if err != nil {
		return nil, fmt.Errorf("find the coordinator: %w", err)
	}
	return m.open(ctx, net.JoinHostPort(found.Host, strconv.Itoa(int(found.Port))))
}

// open connects to a broker, and logs in.
func (m *member) open(ctx context.Context, broker string) (*protocol.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	plain, err := m.group.dial(ctx, "tcp", broker)
	if err != nil {
		return nil, err
	}
	conn := protocol.NewConn(plain, m.group.config.ClientID)
	conn.SetVersions(memberVersions())
	if m.mechanism != nil {
		if err = m.logIn(ctx, conn); err != nil {
			_ = conn.Close() // What went wrong is said.
			return nil, err
		}
	}
	return conn, nil
}

// logIn authenticates with SASL, as KIP-152 has it.
func (m *member) logIn(ctx context.Context, conn *protocol.Conn) error {
	shaken, err := exchange[*saslhandshake.Response](ctx, conn, dialTimeout, &saslhandshake.Request{Mechanism: m.mechanism.Name()})
	if err == nil {
		err = codeOf(shaken.ErrorCode)
	}
	if err != nil {
		return err
	}
	machine, said, err := m.mechanism.Start(ctx)
	for done := false; err == nil && !done; {
		var answer *saslauthenticate.Response
		if answer, err = exchange[*saslauthenticate.Response](ctx, conn, dialTimeout, &saslauthenticate.Request{AuthBytes: said}); err != nil {
			return err
		}
		if err = codeOf(answer.ErrorCode); err != nil {
			return fmt.Errorf("%w: %s", err, answer.ErrorMessage)
		}
		done, said, err = machine.Next(ctx, answer.AuthBytes)
	}
	return err
}

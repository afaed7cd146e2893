package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/segmentio/kafka-go/protocol/heartbeat"

	"github.com/jmpub/jmpub/pipeline"
)

// Right is an operation on something that Kafka guards by its access control lists.
type Right struct {
	Operation Operation
	Resource  Resource
	Name      string
}

// Operation is what is done, as kafka-acls.sh names it.
type Operation string

// Resource is the kind of thing that it is done to.
type Resource string

// The operations and resources that jmpub needs rights for.
const (
	Write    Operation = "Write"
	Read     Operation = "Read"
	Describe Operation = "Describe"
	Create   Operation = "Create"

	Topic           Resource = "topic"
	TransactionalID Resource = "transactional id"
	ConsumerGroup   Resource = "group"
)

// On makes rights to do the same to several topics.
func (o Operation) On(topics ...string) []Right {
	rights := make([]Right, len(topics))
	for i, name := range topics {
		rights[i] = Right{o, Topic, name}
	}
	return rights
}

// OnID is the right to use a transactional id.
func (o Operation) OnID(id string) Right { return Right{o, TransactionalID, id} }

// OnGroup is the right to do something with a consumer group.
func (o Operation) OnGroup(id string) Right { return Right{o, ConsumerGroup, id} }

// Grant names rights, and says how to give them.
func Grant(rights ...Right) string { return hint(rights) }

// String is the right in words: WRITE on topic jmessage.single.
func (r Right) String() string {
	return strings.ToUpper(string(r.Operation)) + " on " + string(r.Resource) + " " + r.Name
}

// option is the right as kafka-acls.sh takes it.
func (r Right) option() string {
	return fmt.Sprintf("--operation %s --%s %s", r.Operation, strings.ReplaceAll(string(r.Resource), " ", "-"), r.Name)
}

// Needs names, in an error that says that a right is missing, which of the rights that the request needs it can be. Every
// other error stays as it is.
func Needs(err error, rights ...Right) error {
	fault, ok := errors.AsType[*pipeline.Fault](err)
	if !ok {
		return err
	}
	var resource Resource
	switch {
	case errors.Is(err, kafkago.TopicAuthorizationFailed):
		resource = Topic
	case errors.Is(err, kafkago.TransactionalIDAuthorizationFailed):
		resource = TransactionalID
	default:
		return err
	}
	rights = slices.DeleteFunc(slices.Clone(rights), func(r Right) bool { return r.Resource != resource })
	if len(rights) > 0 {
		fault.Hint = hint(rights)
	}
	return err
}

// hint names rights and how to give them.
func hint(rights []Right) string {
	var names, commands []string
	for _, r := range rights {
		names = append(names, r.String())
		commands = append(commands, "\n  kafka-acls.sh --bootstrap-server BROKER --add --allow-principal User:U "+r.option())
	}
	text := "jmpub needs " + strings.Join(names, ", ") + "; for its user U:" + strings.Join(commands, "")
	if rights[0].Operation == Create {
		text += "\nor create the topics and set JMPUB_TOPICS_CREATE=false"
	}
	return text
}

// missingFault names all missing rights at once.
func missingFault(rights []Right) error {
	if len(rights) == 0 {
		return nil
	}
	slices.SortFunc(rights, func(a, b Right) int {
		return cmp.Or(cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Operation, b.Operation))
	})
	err := error(kafkago.TopicAuthorizationFailed)
	if rights[0].Resource == TransactionalID {
		err = kafkago.TransactionalIDAuthorizationFailed
	}
	return &pipeline.Fault{Class: pipeline.Permanent, Op: "check the rights on the cluster", Err: err, Hint: hint(rights)}
}

// CheckDescribe finds topics that the user may not see. A broker mentions such a topic only where it is asked for by its
// name; in a list of all topics it is left out, as if it were not there. Other errors are left to those who will meet them.
func CheckDescribe(ctx context.Context, cfg Config, topics []string) error {
	missing, err := MissingDescribe(ctx, cfg, topics)
	if err != nil {
		return err
	}
	return missingFault(missing)
}

// MissingDescribe are the rights that [CheckDescribe] misses.
func MissingDescribe(ctx context.Context, cfg Config, topics []string) ([]Right, error) {
	conn, err := Open(cfg)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.transport.MetadataTopics = topics
	res, err := conn.Metadata(ctx, &kafkago.MetadataRequest{Topics: topics})
	var missing []Right
	if err == nil { // Otherwise, whoever needs the topics asks again, and waits.
		for _, t := range res.Topics {
			if errors.Is(t.Error, kafkago.TopicAuthorizationFailed) {
				missing = append(missing, Describe.On(t.Name)...)
			}
		}
	}
	return missing, nil
}

// nowhere is a partition that no topic has.
const nowhere = math.MaxInt32

// CheckWrite finds what of topics and transactional id the user may not write to, without writing and without taking the id
// from whoever has it: it asks for partitions that do not exist to be added to a transaction, which a broker refuses after
// it has looked at the rights. Other errors than missing rights are left to those who will meet them.
func (c *Conn) CheckWrite(ctx context.Context, retry pipeline.Retry, id string, topics []string) error {
	missing, err := c.MissingWrite(ctx, retry, id, topics)
	if err != nil {
		return err
	}
	return missingFault(missing)
}

// MissingWrite are the rights that [Conn.CheckWrite] misses. Where that on the id is one of them, nothing is known of the others.
func (c *Conn) MissingWrite(ctx context.Context, retry pipeline.Retry, id string, topics []string) ([]Right, error) {
	var missing []Right
	asked := make(map[string][]kafkago.AddPartitionToTxn, len(topics))
	for _, name := range topics {
		asked[name] = []kafkago.AddPartitionToTxn{{Partition: nowhere}}
	}
	op := "check the rights on the transactional id " + id
	failed := retry.Do(ctx, op, func(ctx context.Context) error {
		missing = nil
		res, err := c.AddPartitionsToTxn(ctx, &kafkago.AddPartitionsToTxnRequest{
			TransactionalID: id, ProducerID: -1, ProducerEpoch: -1, Topics: asked,
		})
		if errors.Is(err, kafkago.TransactionalIDAuthorizationFailed) { // Of the coordinator, who is looked for first.
			missing = []Right{Write.OnID(id)}
			return nil
		}
		if err != nil {
			return Fault(op, err)
		}
		for name, partitions := range res.Topics {
			for _, partition := range partitions {
				switch {
				case errors.Is(partition.Error, kafkago.TopicAuthorizationFailed):
					missing = append(missing, Write.On(name)...)
				case errors.Is(partition.Error, kafkago.TransactionalIDAuthorizationFailed):
					missing = []Right{Write.OnID(id)}
					return nil
				}
			}
		}
		return nil
	})
	return missing, failed
}

// checkTimeout bounds a check that asks every leader: one that does not answer is waited for where it is needed.
const checkTimeout = 10 * time.Second

// CheckRead finds topics that the user may not read. It reads nothing: what it asks for lies behind the end of any
// partition. Other errors than missing rights are left to those who will meet them.
func (c *Conn) CheckRead(ctx context.Context, topics []string) error {
	return missingFault(c.MissingRead(ctx, topics))
}

// MissingRead are the rights that [Conn.CheckRead] misses.
func (c *Conn) MissingRead(ctx context.Context, topics []string) []Right {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	denied := make([]bool, len(topics))
	var asking sync.WaitGroup
	for i, name := range topics {
		asking.Go(func() { denied[i] = c.mayNotRead(ctx, name) })
	}
	asking.Wait()
	var missing []Right
	for i, name := range topics {
		if denied[i] {
			missing = append(missing, Read.On(name)...)
		}
	}
	return missing
}

// MissingGroup is the right to be a member of a consumer group, where it is missing. Nobody joins: it asks as a member that the group does
// not have.
func MissingGroup(ctx context.Context, cfg Config, retry pipeline.Retry, group string) ([]Right, error) {
	m, err := newMember(&Group{ID: group, config: cfg})
	if err != nil {
		return nil, err
	}
	defer m.hangUp()
	var missing []Right
	op := "check the rights on the group " + group
	failed := retry.Do(ctx, op, func(ctx context.Context) error {
		missing = nil
		reply, err := ask[*heartbeat.Response](ctx, m, beatTime, &heartbeat.Request{GroupID: group, GenerationID: -1, MemberID: "none"})
		if err == nil {
			err = codeOf(reply.ErrorCode)
		}
		switch {
		case errors.Is(err, kafkago.GroupAuthorizationFailed):
			missing = []Right{Read.OnGroup(group)}
			return nil
		case errors.Is(err, kafkago.UnknownMemberId), errors.Is(err, kafkago.IllegalGeneration), errors.Is(err, kafkago.GroupIdNotFound):
			return nil // It was let in, and found not to be a member.
		default:
			m.hangUp() // The coordinator may be another one next time.
			return Fault(op, cfg.redactor().Error(err))
		}
	})
	return missing, failed
}

func (c *Conn) mayNotRead(ctx context.Context, topic string) bool {
	reply, err := c.Transport.RoundTrip(ctx, c.Addr, &fetch.Request{
		ReplicaID: -1, SessionEpoch: -1,
		Topics: []fetch.RequestTopic{{Topic: topic, Partitions: []fetch.RequestPartition{
			{CurrentLeaderEpoch: -1, FetchOffset: math.MaxInt64, LogStartOffset: -1},
		}}},
	})
	page, ok := reply.(*fetch.Response)
	return err == nil && ok && len(page.Topics) == 1 && len(page.Topics[0].Partitions) == 1 &&
		kafkago.Error(page.Topics[0].Partitions[0].ErrorCode) == kafkago.TopicAuthorizationFailed
}

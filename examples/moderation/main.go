// Moderation flags messages by rules: a consumer of jmpub's events that reads committed events only, in the order of each
// conversation, and commits its offsets after its work. Several of it share the work.
//
//	moderation -brokers 127.0.0.1:9092 -rules rules.json
//
// For the order of conversations jmpub runs with JMPUB_PARTITION_BY=conversation. After a crash some events are looked at
// again; their flags are the same, and have the msgid as key.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "moderation:", err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "moderation:", err)
		os.Exit(1)
	}
}

// errUsage marks wrong arguments.
var errUsage = errors.New("see moderation -help")

func run(ctx context.Context, args []string, stderr io.Writer) error {
	set := flag.NewFlagSet("moderation", flag.ContinueOnError)
	set.SetOutput(stderr)
	brokers := set.String("brokers", "127.0.0.1:9092", "Kafka's addresses, host:port, comma-separated")
	prefix := set.String("prefix", "jmessage", "prefix of jmpub's topics")
	name := set.String("group", "moderation", "consumer group")
	file := set.String("rules", "rules.json", "file of rules")
	to := set.String("to", "moderation.flags", "topic that flags go to; it is made if it is missing")
	session := set.Duration("session", 10*time.Second, "time after which the others take over from a member that is gone, 6s at least")
	if err := set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%w (%w)", err, errUsage)
	}
	switch {
	case set.NArg() > 0:
		return fmt.Errorf("unexpected argument %q (%w)", set.Arg(0), errUsage)
	case *session < 6*time.Second:
		return fmt.Errorf("-session: %v is less than 6s, the least that brokers take (%w)", *session, errUsage)
	}
	rules, err := readRules(*file)
	if err != nil {
		return fmt.Errorf("-rules: %w (%w)", err, errUsage)
	}
	seeds := strings.Split(*brokers, ",")
	client := &kafkago.Client{
		Addr: kafkago.TCP(seeds...),
		// Encryption and a password would go here, and into the dialer below.
		Transport: &kafkago.Transport{ClientID: clientID, MetadataTTL: metadataTTL},
	}
	if err := makeTopic(ctx, client, *to); err != nil {
		return err
	}
	var topics []string
	for _, target := range []string{"single", "group", "chatroom", "other"} {
		topics = append(topics, *prefix+"."+target)
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	moderator := &moderator{rules: rules, flags: newFlags(client, *to), log: log}
	m := &member{client: client, group: group(seeds, *name, *session, topics...), work: moderator.work, log: log}
	return m.run(ctx)
}

const (
	clientID = "moderation"
	// metadataTTL bounds for how long a request can go to a partition's old leader.
	metadataTTL = 2 * time.Second
	dialTimeout = 5 * time.Second
)

// group is how a member reads: from the beginning where nothing was committed yet.
func group(brokers []string, name string, session time.Duration, topics ...string) kafkago.ConsumerGroupConfig {
	return kafkago.ConsumerGroupConfig{
		ID: name, Brokers: brokers, Topics: topics, StartOffset: kafkago.FirstOffset,
		Dialer:         &kafkago.Dialer{ClientID: clientID, Timeout: dialTimeout, DualStack: true},
		SessionTimeout: session, HeartbeatInterval: session / 5, WatchPartitionChanges: true,
	}
}

// makeTopic makes the topic of flags unless it is there.
func makeTopic(ctx context.Context, client *kafkago.Client, name string) error {
	const partitions, replication = 6, -1 // The broker's default.
	reply, err := client.CreateTopics(ctx, &kafkago.CreateTopicsRequest{
		Topics: []kafkago.TopicConfig{{Topic: name, NumPartitions: partitions, ReplicationFactor: replication}},
	})
	if err == nil {
		err = reply.Errors[name]
	}
	if err != nil && !errors.Is(err, kafkago.TopicAlreadyExists) {
		return fmt.Errorf("make the topic %s: %w (or make it by hand)", name, err)
	}
	return nil
}

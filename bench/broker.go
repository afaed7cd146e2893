package main

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/pipeline"
)

// The brokers that there are, by name.
const (
	embedded = "embedded"
	apache   = "apache"
)

// startBroker starts a broker that holds nothing yet.
func (b *bench) startBroker(ctx context.Context, kind string) (address string, stop func(), err error) {
	if kind == apache {
		return b.startApache(ctx)
	}
	p, err := start(ctx, b.folder, "broker", nil, b.jmpub, "broker", "--listen", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	stop = func() { _, _ = p.stop() } // It holds nothing that is needed.
	if address, err = p.printed(ctx, "embedded broker at "); err != nil {
		stop()
		return "", nil, err
	}
	return address, stop, nil
}

// hasEngine tells whether containers can be run here.
func hasEngine(ctx context.Context) bool {
	_, err := output(ctx, "docker", "version")
	return err == nil
}

// startApache runs one node of Apache Kafka in a container, as it is set by default but for what a single node needs.
func (b *bench) startApache(ctx context.Context) (address string, stop func(), err error) {
	if address, err = freeAddress(ctx); err != nil {
		return "", nil, err
	}
	_, port, _ := net.SplitHostPort(address)
	args := []string{"run", "--detach", "--label", "jmpub.run=bench", "--publish", address + ":" + port}
	for _, setting := range []string{
		"NODE_ID=1", "PROCESS_ROLES=broker,controller",
		"LISTENERS=CONTROLLER://:9093,EXTERNAL://:" + port, "ADVERTISED_LISTENERS=EXTERNAL://" + address,
		"LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,EXTERNAL:PLAINTEXT", "INTER_BROKER_LISTENER_NAME=EXTERNAL",
		"CONTROLLER_LISTENER_NAMES=CONTROLLER", "CONTROLLER_QUORUM_VOTERS=1@localhost:9093",
		"OFFSETS_TOPIC_REPLICATION_FACTOR=1", "TRANSACTION_STATE_LOG_REPLICATION_FACTOR=1", "TRANSACTION_STATE_LOG_MIN_ISR=1",
		"GROUP_INITIAL_REBALANCE_DELAY_MS=0", "HEAP_OPTS=-Xmx1g -Xms1g",
	} {
		args = append(args, "--env", "KAFKA_"+setting)
	}
	id, err := output(ctx, "docker", append(args, b.image)...)
	if err != nil {
		return "", nil, fmt.Errorf("start Apache Kafka: %w (deploy/kafka-image/build.sh builds an image, -image names it)", err)
	}
	stop = func() { _, _ = output(context.WithoutCancel(ctx), "docker", "rm", "--force", "--volumes", id) } // It leaves nothing behind.
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err == nil {
		defer client.Close()
		err = ready(ctx, kadm.NewClient(client))
	}
	if err != nil {
		said, _ := output(context.WithoutCancel(ctx), "docker", "logs", "--tail", "20", id)
		stop()
		return "", nil, fmt.Errorf("wait for Apache Kafka: %w\n%s", err, strings.TrimSpace(said))
	}
	return address, stop, nil
}

// ready waits until a broker is there, and groups and transactions have a coordinator.
func ready(ctx context.Context, admin *kadm.Client) error {
	for {
		_, err := admin.FetchOffsets(ctx, "bench")
		if err == nil {
			return nil
		}
		if sleep := pipeline.Sleep(ctx, interval); sleep != nil {
			return fmt.Errorf("%w: %w", sleep, err)
		}
	}
}

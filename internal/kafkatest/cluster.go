// Package kafkatest runs Apache Kafka in containers, for the tests that prove what jmpub promises about Kafka.
//
// The image is JMPUB_TEST_KAFKA_IMAGE, by default the public apache/kafka image. A container engine is needed; without one
// the tests fail.
package kafkatest

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	mobynetwork "github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/network"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// defaultImage is the release that the tests are written against.
const defaultImage = "apache/kafka:4.1.0"

const (
	startTimeout = 3 * time.Minute
	stopTimeout  = 30 * time.Second
)

// Options of a cluster; the zero value is one broker.
type Options struct {
	// Brokers is the number of nodes, each of them broker and controller; 1 where zero.
	Brokers int
	// Env is added to every broker's environment, KAFKA_SOME_KEY for some.key.
	Env map[string]string
}

// Cluster is a running cluster.
type Cluster struct {
	// Addrs are the brokers' addresses on this machine.
	Addrs []string
	nodes []*testcontainers.DockerContainer
}

// Start runs a cluster for the length of the test and returns when all of its brokers are there.
func Start(tb testing.TB, o Options) *Cluster {
	tb.Helper()
	n := max(1, o.Brokers)
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	subnet, err := network.New(ctx)
	if err != nil {
		tb.Fatalf("make a container network: %v (a container engine is needed)", err)
	}
	testcontainers.CleanupNetwork(tb, subnet)
	c := &Cluster{}
	ports := freePorts(tb, n)
	for i := range n {
		alias := nodeName(i)
		port := strconv.Itoa(ports[i])
		env := nodeEnv(i, n, port)
		maps.Copy(env, o.Env)
		node, err := testcontainers.Run(ctx, image(),
			testcontainers.WithEnv(env),
			testcontainers.WithExposedPorts(port+"/tcp"),
			testcontainers.WithHostConfigModifier(publish(port)),
			network.WithNetwork([]string{alias}, subnet),
		)
		if node != nil {
			testcontainers.CleanupContainer(tb, node)
		}
		if err != nil {
			tb.Fatalf("start broker %d from image %s: %v", i, image(), err)
		}
		c.nodes = append(c.nodes, node)
		c.Addrs = append(c.Addrs, "127.0.0.1:"+port)
	}
	c.WaitReady(tb, n)
	return c
}

// publish gives a container's port the same number on this machine: the broker tells it to its clients.
func publish(port string) func(*container.HostConfig) {
	return func(host *container.HostConfig) {
		host.PortBindings = mobynetwork.PortMap{
			mobynetwork.MustParsePort(port + "/tcp"): {{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: port}},
		}
	}
}

func image() string {
	if name := os.Getenv("JMPUB_TEST_KAFKA_IMAGE"); name != "" { //nolint:forbidigo // Tests choose their image by it.
		return name
	}
	return defaultImage
}

func nodeName(i int) string { return fmt.Sprintf("kafka-%d", i+1) }

// nodeEnv configures a node: one listener for the other nodes, by their names in the network, one for this machine, by the
// published port.
func nodeEnv(i, n int, port string) map[string]string {
	var voters []string
	for j := range n {
		voters = append(voters, fmt.Sprintf("%d@%s:9093", j+1, nodeName(j)))
	}
	replicas := strconv.Itoa(min(3, n))
	return map[string]string{
		"CLUSTER_ID":                                     "5L6g3nShT-eMCtK--X86sw",
		"KAFKA_NODE_ID":                                  strconv.Itoa(i + 1),
		"KAFKA_PROCESS_ROLES":                            "broker,controller",
		"KAFKA_LISTENERS":                                "INTERNAL://:9094,CONTROLLER://:9093,EXTERNAL://:" + port,
		"KAFKA_ADVERTISED_LISTENERS":                     "INTERNAL://" + nodeName(i) + ":9094,EXTERNAL://127.0.0.1:" + port,
		"KAFKA_INTER_BROKER_LISTENER_NAME":               "INTERNAL",
		"KAFKA_CONTROLLER_LISTENER_NAMES":                "CONTROLLER",
		"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP":           "INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT,EXTERNAL:PLAINTEXT",
		"KAFKA_CONTROLLER_QUORUM_VOTERS":                 strings.Join(voters, ","),
		"KAFKA_DEFAULT_REPLICATION_FACTOR":               replicas,
		"KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR":         replicas,
		"KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": replicas,
		"KAFKA_TRANSACTION_STATE_LOG_MIN_ISR":            strconv.Itoa(max(1, min(3, n)-1)),
		"KAFKA_MIN_INSYNC_REPLICAS":                      strconv.Itoa(max(1, min(3, n)-1)),
		"KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS":         "0",
		// A transaction that timed out is ended soon, not within the default of ten seconds.
		"KAFKA_TRANSACTION_ABORT_TIMED_OUT_TRANSACTION_CLEANUP_INTERVAL_MS": "500",
		"KAFKA_HEAP_OPTS": "-Xmx512m -Xms256m",
	}
}

// freePorts finds ports that nobody uses now. The brokers must know theirs before they start, so they cannot be drawn then.
func freePorts(tb testing.TB, n int) []int {
	tb.Helper()
	var ports []int
	var held []net.Listener // Until all are drawn, so that they differ.
	defer func() {
		for _, l := range held {
			_ = l.Close() // It was only held.
		}
	}()
	for range n {
		var lc net.ListenConfig
		l, err := lc.Listen(tb.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		held = append(held, l)
		addr, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			tb.Fatalf("%v is no TCP address", l.Addr())
		}
		ports = append(ports, addr.Port)
	}
	return ports
}

// WaitReady waits until n brokers are there and a topic can be made.
func (c *Cluster) WaitReady(tb testing.TB, n int) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs...), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		tb.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	for {
		brokers, err := admin.ListBrokers(ctx)
		if err == nil && len(brokers) >= n {
			return
		}
		select {
		case <-ctx.Done():
			tb.Fatalf("wait for %d brokers: have %d: %v", n, len(brokers), err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Kill ends a broker as kill -9 does; its data stays.
func (c *Cluster) Kill(tb testing.TB, i int) {
	tb.Helper()
	none := time.Duration(0)
	ctx, cancel := context.WithTimeout(tb.Context(), stopTimeout)
	defer cancel()
	if err := c.nodes[i].Stop(ctx, &none); err != nil {
		tb.Fatalf("kill broker %d: %v", i, err)
	}
}

// Restart starts a killed broker again on its data.
func (c *Cluster) Restart(tb testing.TB, i int) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	if err := c.nodes[i].Start(ctx); err != nil {
		tb.Fatalf("start broker %d again: %v", i, err)
	}
}

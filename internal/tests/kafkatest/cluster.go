// Package kafkatest runs Apache Kafka in containers, for the tests that prove what jmpub promises about Kafka.
//
// The image is JMPUB_TEST_KAFKA_IMAGE, by default the public apache/kafka image. A container engine is needed; without one
// the tests fail.
package kafkatest

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	mobynetwork "github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	tcexec "github.com/testcontainers/testcontainers-go/exec"
	"github.com/testcontainers/testcontainers-go/network"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// defaultImage is the release that the tests are written against.
const defaultImage = "apache/kafka:4.1.0"

// Bounds, so that a mistake ends the test; a busy machine stays far below them.
const (
	startTimeout = 5 * time.Minute
	stopTimeout  = time.Minute
	// patience is how long a broker may take until it is started again.
	patience = time.Minute
)

// Options of a cluster; the zero value is one broker.
type Options struct {
	// Brokers is the number of nodes, each of them broker and controller; 1 where zero.
	Brokers int
	// Detour gives each broker a listener that it announces at another address than its own, so that a proxy can stand in
	// between; see [Cluster.Detours].
	Detour bool
	// Volume, where it is not empty, is the name of a container volume for each broker's data, with the node's number
	// appended; see [SmallVolumes].
	Volume string
	// Env is added to every broker's environment, KAFKA_SOME_KEY for some.key.
	Env map[string]string
}

// Cluster is a running cluster.
type Cluster struct {
	// Addrs are the brokers' addresses on this machine.
	Addrs []string
	// Detours are where each broker says it is, and where it is; nobody listens at the former yet.
	Detours []Detour
	nodes   []*testcontainers.DockerContainer
}

// Detour is one broker's way through a proxy.
type Detour struct{ Announced, Real string }

// Start runs a cluster for the length of the test and returns when all of its brokers are there.
func Start(tb testing.TB, o Options) *Cluster {
	tb.Helper()
	n := max(1, o.Brokers)
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	c := &Cluster{}
	subnet := newNetwork(ctx, tb)
	ports := FreePorts(tb, 3*n)
	for i := range n {
		port := strconv.Itoa(ports[3*i])
		exposed := []string{port}
		env := nodeEnv(i, n, port)
		if o.Detour {
			announced, inside := strconv.Itoa(ports[3*i+1]), strconv.Itoa(ports[3*i+2])
			exposed = append(exposed, inside)
			detour(env, announced, inside)
			c.Detours = append(c.Detours, Detour{Announced: "127.0.0.1:" + announced, Real: "127.0.0.1:" + inside})
		}
		maps.Copy(env, o.Env)
		var disk []testcontainers.ContainerCustomizer
		if o.Volume != "" {
			env["KAFKA_LOG_DIRS"] = dataFolder + "/logs"
			disk = append(disk, mounted(volumeName(o.Volume, i)))
		}
		c.run(ctx, tb, subnet, env, exposed, disk...)
	}
	c.WaitReady(tb, n)
	if n > 1 {
		c.waitForGroups(tb)
	}
	return c
}

// waitForGroups waits until there are groups: brokers make the topic of their positions when they are asked for one for the first time. When two
// of three died in the middle of that, the group's coordinator was seen to refuse it for three minutes, with all of them back. That is about a
// cluster which nobody has used yet, and hides what clients meet whose group has lost its coordinator for longer.
func (c *Cluster) waitForGroups(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs...), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		tb.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	await(ctx, tb, func() string {
		if _, err := admin.FetchOffsets(ctx, "the first one"); err != nil {
			return fmt.Sprintf("wait for groups: %v", err)
		}
		return ""
	})
}

func newNetwork(ctx context.Context, tb testing.TB) *testcontainers.DockerNetwork {
	tb.Helper()
	subnet, err := network.New(ctx, network.WithLabels(labels()))
	if err != nil {
		tb.Fatalf("make a container network: %v (a container engine is needed)", err)
	}
	testcontainers.CleanupNetwork(tb, subnet)
	return subnet
}

// run starts the next node. The first of the exposed ports is that of the listener for this machine.
func (c *Cluster) run(
	ctx context.Context, tb testing.TB, subnet *testcontainers.DockerNetwork, env map[string]string, exposed []string,
	more ...testcontainers.ContainerCustomizer,
) {
	tb.Helper()
	i := len(c.nodes)
	node, err := testcontainers.Run(ctx, image(), append(more,
		testcontainers.WithEnv(env), testcontainers.WithLabels(labels()),
		testcontainers.WithExposedPorts(exposed...),
		testcontainers.WithHostConfigModifier(publish(exposed...)),
		network.WithNetwork([]string{nodeName(i)}, subnet),
	)...)
	if node != nil {
		testcontainers.CleanupContainer(tb, node)
	}
	if err != nil {
		tb.Fatalf("start broker %d from image %s: %v", i, image(), err)
	}
	c.nodes = append(c.nodes, node)
	c.Addrs = append(c.Addrs, "127.0.0.1:"+exposed[0])
}

// publish gives a container's port the same number on this machine: the broker tells it to its clients.
func publish(ports ...string) func(*container.HostConfig) {
	return func(host *container.HostConfig) {
		host.PortBindings = mobynetwork.PortMap{}
		for _, port := range ports {
			at := mobynetwork.MustParsePort(port + "/tcp")
			host.PortBindings[at] = []mobynetwork.PortBinding{{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: port}}
		}
	}
}

// detour adds a listener that is announced at another port than its own.
func detour(env map[string]string, announced, inside string) {
	env["KAFKA_LISTENERS"] += ",DETOUR://:" + inside
	env["KAFKA_ADVERTISED_LISTENERS"] += ",DETOUR://127.0.0.1:" + announced
	env["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"] += ",DETOUR:PLAINTEXT"
}

func image() string {
	if name := os.Getenv("JMPUB_TEST_KAFKA_IMAGE"); name != "" { //nolint:forbidigo // Tests choose their image by it.
		return name
	}
	return defaultImage
}

// labels name the run that containers, networks and volumes belong to, where JMPUB_TEST_RUN names it: whoever ends a run with the tests
// in the middle of something can find what they could not remove.
func labels() map[string]string {
	return map[string]string{"jmpub.run": os.Getenv("JMPUB_TEST_RUN")} //nolint:forbidigo // Whoever runs the tests names it.
}

// Release is the major number of the image's release, by its tag; that of the default image where the tag has none.
func Release() int {
	_, tag, _ := strings.Cut(image(), ":")
	major, _, _ := strings.Cut(tag, ".")
	if n, err := strconv.Atoi(major); err == nil {
		return n
	}
	const newest = 4
	return newest
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
		// One compiler: a broker starts with two thirds of the work, and tests share few processors.
		"KAFKA_OPTS": "-XX:TieredStopAtLevel=1",
	}
}

// drawn are the ports that were found, which are not given again: nobody may listen there yet.
//
//nolint:gochecknoglobals // Ports are the machine's.
var drawn struct {
	sync.Mutex

	ports map[int]bool
}

// FreePorts finds ports that nobody uses now. Whoever must know its port before it starts cannot draw it then. They lie below those that
// systems give to clients (from 32768 on in Linux, ip_local_port_range), or a connection could take one until it is listened at, or while
// its listener is closed for a moment. Processes that run side by side have ranges of their own, most likely.
func FreePorts(tb testing.TB, n int) []int {
	tb.Helper()
	var ports []int
	var held []net.Listener // Until all are drawn, so that they differ.
	defer func() {
		for _, l := range held {
			_ = l.Close() // It was only held.
		}
	}()
	const lowest, ranges, width, attempts = 15_000, 17, 1000, 100
	first := lowest + os.Getpid()%ranges*width
	drawn.Lock()
	defer drawn.Unlock()
	if drawn.ports == nil {
		drawn.ports = make(map[int]bool)
	}
	var err error
	for range attempts * n {
		if len(ports) == n {
			return ports
		}
		port := first + rand.IntN(width) //nolint:gosec // Not for secrets.
		if drawn.ports[port] {
			continue
		}
		var l net.Listener
		if l, err = new(net.ListenConfig).Listen(tb.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			held, ports, drawn.ports[port] = append(held, l), append(ports, port), true
		}
	}
	tb.Fatalf("there are no %d free ports from %d to %d: %v", n, first, first+width, err)
	return nil
}

// WaitReady waits until n brokers are there. One that the controllers do not know after a minute is killed and started again, as an operator
// would: after two of three nodes have died, Apache Kafka 4.1 now and then leaves one fenced for good, be it one that stayed up.
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
	asked := time.Now()
	await(ctx, tb, func() string {
		brokers, err := admin.ListBrokers(ctx)
		switch {
		case err == nil && len(brokers) >= n:
			return ""
		case err == nil && len(brokers) > 0 && time.Since(asked) > patience:
			c.revive(tb, brokers.NodeIDs()) //nolint:contextcheck // What starts brokers has bounds of its own.
			asked = time.Now()
		}
		return fmt.Sprintf("wait for %d brokers: have %v: %v", n, brokers.NodeIDs(), err)
	})
}

// revive starts the brokers again that are not among those that are known.
func (c *Cluster) revive(tb testing.TB, known []int32) {
	tb.Helper()
	for i := range c.nodes {
		if !slices.Contains(known, int32(i+1)) {
			c.logTail(tb, i)
			c.Kill(tb, i)
			c.Restart(tb, i)
		}
	}
}

// logTail logs what a broker has said last.
func (c *Cluster) logTail(tb testing.TB, i int) {
	tb.Helper()
	const lines = "30"
	ctx, cancel := context.WithTimeout(tb.Context(), stopTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, "docker", "logs", "--tail", lines, c.nodes[i].GetContainerID()).CombinedOutput() //nolint:gosec // Ours.
	tb.Logf("broker %d (%v):\n%s", i+1, err, out)
}

// await waits until nothing is lacking any more.
func await(ctx context.Context, tb testing.TB, lacking func() string) {
	tb.Helper()
	for {
		text := lacking()
		if text == "" {
			return
		}
		select {
		case <-ctx.Done():
			tb.Fatal(text)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Pause stops a broker's processes where they are, as a machine that hangs does; its connections stay open.
func (c *Cluster) Pause(tb testing.TB, i int) { tb.Helper(); c.docker(tb, "pause", i) }

// Resume lets a paused broker go on.
func (c *Cluster) Resume(tb testing.TB, i int) { tb.Helper(); c.docker(tb, "unpause", i) }

// docker is for what testcontainers has no call for.
func (c *Cluster) docker(tb testing.TB, verb string, i int) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), stopTimeout)
	defer cancel()
	await(ctx, tb, func() string { // A busy kernel may need more than one try to freeze all threads of a broker.
		out, err := exec.CommandContext(ctx, "docker", verb, c.nodes[i].GetContainerID()).CombinedOutput() //nolint:gosec // Ours.
		if err != nil {
			return fmt.Sprintf("%s broker %d: %v: %s", verb, i, err, out)
		}
		return ""
	})
}

// Exec runs a command in a broker's container and returns what it prints.
func (c *Cluster) Exec(ctx context.Context, i int, command ...string) (string, error) {
	code, out, err := c.nodes[i].Exec(ctx, command, tcexec.Multiplexed())
	if err != nil {
		return "", fmt.Errorf("run %s in broker %d: %w", command[0], i, err)
	}
	text, err := io.ReadAll(out)
	if err == nil && code != 0 {
		err = fmt.Errorf("%s in broker %d: exit code %d: %s", command[0], i, code, text)
	}
	return string(text), err
}

// Kill ends a broker as kill -9 does; its data stays.
func (c *Cluster) Kill(tb testing.TB, i int) { tb.Helper(); c.stop(tb, i, 0) }

// Stop ends a broker as a rolling restart does: it hands on what it leads first.
func (c *Cluster) Stop(tb testing.TB, i int) { tb.Helper(); c.stop(tb, i, stopTimeout/2) }

// stop kills a broker that has not ended by itself after a while.
func (c *Cluster) stop(tb testing.TB, i int, patience time.Duration) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), stopTimeout)
	defer cancel()
	if err := c.nodes[i].Stop(ctx, &patience); err != nil {
		tb.Fatalf("stop broker %d: %v", i, err)
	}
}

// AwaitExit waits until a broker has ended itself.
func (c *Cluster) AwaitExit(tb testing.TB, i int) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	await(ctx, tb, func() string {
		state, err := c.nodes[i].State(ctx)
		if err != nil || state.Running {
			return fmt.Sprintf("broker %d did not end: %v", i, err)
		}
		return ""
	})
}

// Restart starts a broker again that was stopped or killed, on its data.
func (c *Cluster) Restart(tb testing.TB, i int) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	if err := c.nodes[i].Start(ctx); err != nil {
		tb.Fatalf("start broker %d again: %v", i, err)
	}
}

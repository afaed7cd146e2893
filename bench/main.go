// Command bench measures how far jmpub is from the least that its work takes. `make bench` runs it.
//
// An API whose pages were rendered before answers from memory, so that it costs next to nothing. In each round, each in a process of its own
// and one after another: jmpub publishes the history exactly once; the same pages are fetched and thrown away; the same records are sent in
// transactions by franz-go. The sum of the last two is the limit. Bento does the same work if there is a program of that name, at least once, since
// it has no transactions: without a checkpoint, and in windows with one. What was published is read by a read_committed consumer, which expects each
// row once, as it was.
package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/lab/verify"
)

//go:embed bento
var bentoFiles embed.FS

// The prefixes of what each variant publishes.
const (
	jmpubPrefix   = "jmpub"
	limitPrefix   = "limit"
	bentoPrefix   = "bento"
	windowsPrefix = "windows"
)

// bench is what is measured, and with what.
type bench struct {
	rows, rowSize, rounds, together int
	compression, image              string
	// folder holds the binaries and the logs while it runs.
	folder      string
	self, jmpub string
	out         io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	b := &bench{out: out}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&b.rows, "rows", 1_000_000, "rows of the history")
	f.IntVar(&b.rowSize, "rowsize", 446, "bytes of a row")
	f.IntVar(&b.rounds, "rounds", 5, "rounds; a table has their medians")
	f.IntVar(&b.together, "transaction", 10_000, "records of a transaction of the limit")
	f.StringVar(&b.compression, "compression", "zstd", "zstd or lz4")
	broker := f.String("broker", "", embedded+" or "+apache+"; both if it is empty, the latter only where containers can be run")
	f.StringVar(&b.image, "image", "apache/kafka:4.1.0", "image of Apache Kafka")
	role := f.String("role", "", "what a process that this one starts does")
	address := f.String("address", "", "for such a process: whom it asks")
	end := f.Int64("end", 0, "for such a process: when the history ends")
	if err := f.Parse(args); err != nil {
		return err
	}
	switch *role {
	case "api":
		return serve(ctx, b.rows, b.rowSize, time.Unix(*end, 0), out)
	case "fetch":
		return fetch(ctx, out, *address)
	case "produce":
		return produce(ctx, out, *address, jmpubPrefix, limitPrefix, b.compression, b.rows, b.together)
	}
	if _, err := newHistory(b.rows, b.rowSize, time.Now()); err != nil {
		return err
	}
	if _, known := codec(b.compression); !known {
		return fmt.Errorf("-compression %q: want zstd or lz4", b.compression)
	}
	switch *broker {
	case embedded, apache:
		return b.measure(ctx, *broker)
	case "":
		if hasEngine(ctx) {
			return b.measure(ctx, embedded, apache)
		}
		fmt.Fprintln(out, "Apache Kafka is left out: `docker version` fails, so no containers can be run here.")
		return b.measure(ctx, embedded)
	}
	return fmt.Errorf("-broker %q: want %s or %s", *broker, embedded, apache)
}

// serve is the API's process.
func serve(ctx context.Context, rows, rowSize int, end time.Time, out io.Writer) error {
	h, err := newHistory(rows, rowSize, end)
	if err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: newAPI(h), ReadHeaderTimeout: patience}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	fmt.Fprintf(out, "API at http://%s \n", l.Addr())
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// measure runs all rounds with each of the brokers, and prints a table for each.
func (b *bench) measure(ctx context.Context, brokers ...string) (err error) {
	if b.folder, err = os.MkdirTemp("", "jmpub-bench-*"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.folder) }()
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	b.jmpub = filepath.Join(b.folder, "jmpub")
	if _, err = output(ctx, "go", "build", "-o", b.jmpub, "./cmd/jmpub"); err != nil {
		return err
	}
	bentoPath, err := exec.LookPath("bento")
	if err != nil {
		fmt.Fprintln(b.out, "Bento is left out: there is no program `bento` on the PATH.")
	}
	for _, broker := range brokers {
		fmt.Fprintf(b.out, "\n%d rows of %d bytes, %s, the %s broker, medians of %d rounds, %d processors, %s:\n\n",
			b.rows, b.rowSize, b.compression, broker, b.rounds, runtime.NumCPU(), runtime.Version())
		var rounds []round
		for n := range b.rounds {
			fmt.Fprintf(os.Stderr, "%s broker, round %d of %d\n", broker, n+1, b.rounds)
			r, err := b.round(ctx, broker, bentoPath)
			if err != nil {
				return err
			}
			rounds = append(rounds, r)
		}
		writeTable(b.out, b.rows, rounds)
	}
	return nil
}

// round runs all variants, one after another, with an API and a broker that nobody has used yet.
func (b *bench) round(ctx context.Context, kind, bentoPath string) (round, error) {
	// The API's newest rows are not much older than now, as where an app is at work.
	const age = 30 * time.Second
	h, err := newHistory(b.rows, b.rowSize, time.Now().Add(-age).Truncate(time.Second))
	if err != nil {
		return nil, err
	}
	end := strconv.FormatInt(h.begin.Add(time.Duration(h.n)*step).Unix(), 10)
	served, err := start(ctx, b.folder, "api", nil, b.self, "-role", "api",
		"-rows", strconv.Itoa(b.rows), "-rowsize", strconv.Itoa(b.rowSize), "-end", end)
	if err != nil {
		return nil, err
	}
	defer func() { _, _ = served.stop() }()
	base, err := served.printed(ctx, "API at ")
	if err != nil {
		return nil, err
	}
	broker, stop, err := b.startBroker(ctx, kind)
	if err != nil {
		return nil, err
	}
	defer stop()

	r := make(round)
	if r[ofJmpub], err = b.runJmpub(ctx, h, base, broker); err != nil {
		return nil, err
	}
	if err = verified(ctx, h, broker, jmpubPrefix); err != nil {
		return nil, err
	}
	if r[ofFetch], err = b.part(ctx, "fetch", base); err != nil {
		return nil, err
	}
	r[ofJmpub].Requests = r[ofFetch].Requests
	if r[ofProduce], err = b.part(ctx, "produce", broker); err != nil {
		return nil, err
	}
	if err = verified(ctx, h, broker, limitPrefix); err != nil {
		return nil, err
	}
	r.addLimit()
	if bentoPath == "" {
		return r, nil
	}
	for variant, of := range map[string]struct{ prefix, config string }{
		ofBento: {bentoPrefix, "plain.yaml"}, ofWindows: {windowsPrefix, "windows.yaml"},
	} {
		if r[variant], err = b.runBento(ctx, h, bentoPath, base, broker, of.prefix, of.config); err != nil {
			return nil, err
		}
		if err = verified(ctx, h, broker, of.prefix); err != nil {
			return nil, err
		}
	}
	return r, b.savedPosition(h)
}

// verified expects each row once, as it was, where a read_committed consumer finds what stands under a prefix.
func verified(ctx context.Context, h *history, broker, prefix string) error {
	found, err := verify.Read(ctx, []string{broker}, prefix)
	if err != nil {
		return err
	}
	if report := verify.Compare(h.truth(), found); !report.OK() {
		return fmt.Errorf("what %s has published is not what the API holds: %s", prefix, report.String())
	}
	return nil
}

// runJmpub takes the time until all of the history is committed, by what jmpub says of it, and what the process takes from its start to its end.
func (b *bench) runJmpub(ctx context.Context, h *history, base, broker string) (*usage, error) {
	listen, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	p, err := start(ctx, b.folder, "run", []string{
		"JMPUB_APP_KEY=" + appKey, "JMPUB_MASTER_SECRET=" + masterSecret, "JMPUB_API_URL=" + base + "/v2", "JMPUB_KAFKA_BROKERS=" + broker,
		"JMPUB_START=" + h.begin.UTC().Format(time.RFC3339), "JMPUB_API_RATE=10000000/m", "JMPUB_KAFKA_COMPRESSION=" + b.compression,
		"JMPUB_TOPIC_PREFIX=" + jmpubPrefix, "JMPUB_LISTEN=" + listen,
	}, b.jmpub, "run")
	if err != nil {
		return nil, err
	}
	// What it takes to answer counts as jmpub's, so it is asked seldom, and compresses nothing.
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableCompression: true}}
	const seldom = 250 * time.Millisecond
	err = p.until(ctx, seldom, func() bool { return committed(ctx, client, listen) >= float64(h.last().Unix()) })
	wall := time.Since(p.began)
	u, stopped := p.stop()
	u.Wall = wall
	return &u, errors.Join(err, stopped)
}

// committed is the end_time up to which jmpub has committed the messages; 0 where it does not say.
func committed(ctx context.Context, client *http.Client, address string) float64 {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", http.NoBody)
	if err != nil {
		return 0
	}
	res, err := client.Do(r)
	if err != nil {
		return 0 // It has not begun to listen.
	}
	defer func() { _ = res.Body.Close() }()
	text, _ := io.ReadAll(res.Body)
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, "} "); strings.HasPrefix(name, "jmpub_end_time_timestamp_seconds{") {
			seconds, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return seconds
		}
	}
	return 0
}

// part runs a part of the limit, which measures itself.
func (b *bench) part(ctx context.Context, role, address string) (*usage, error) {
	said, err := output(ctx, b.self, "-role", role, "-address", address, "-rows", strconv.Itoa(b.rows), "-compression", b.compression,
		"-transaction", strconv.Itoa(b.together))
	if err != nil {
		return nil, err
	}
	var u usage
	if err := json.Unmarshal([]byte(said), &u); err != nil {
		return nil, fmt.Errorf("%s says %q: %w", role, said, err)
	}
	return &u, nil
}

// The windows that Bento reads with a checkpoint are as long as those of jmpub, and what it saves stands in a file.
const (
	windowSeconds = int64(4 * 1000 * step / time.Second)
	positionFile  = "position"
)

// savedPosition expects that Bento has saved where it has come to: behind the last second.
func (b *bench) savedPosition(h *history) error {
	saved, err := os.ReadFile(filepath.Join(b.folder, positionFile))
	if want := strconv.FormatInt(h.last().Unix()+1, 10); err == nil && string(saved) != want {
		err = fmt.Errorf("what Bento has saved as its position is %q, want %s", saved, want)
	}
	return err
}

// runBento has Bento publish the history under a prefix, by one of its configurations.
func (b *bench) runBento(ctx context.Context, h *history, program, base, broker, prefix, config string) (*usage, error) {
	if err := os.CopyFS(b.folder, bentoFiles); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := os.Remove(filepath.Join(b.folder, positionFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if err = createTopics(ctx, kadm.NewClient(client), prefix); err != nil {
		return nil, err
	}
	zone := time.FixedZone("Asia/Shanghai", 8*60*60)
	local := func(t time.Time) string { return strings.ReplaceAll(t.In(zone).Format(time.DateTime), " ", "%20") }
	begin, end := h.begin.Unix(), h.last().Unix()
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	p, err := start(ctx, b.folder, "bento", []string{
		"BENCH_API=" + base, "BENCH_BEGIN=" + local(h.begin), "BENCH_END=" + local(h.last()), "BENCH_BROKER=" + broker,
		"BENCH_PREFIX=" + prefix, "BENCH_COMPRESSION=" + b.compression, "BENCH_APP_KEY=" + appKey, "BENCH_SECRET=" + masterSecret,
		"BENCH_FOLDER=" + b.folder, "BENCH_POSITION=" + positionFile, "BENCH_BEGIN_UNIX=" + number(begin), "BENCH_END_UNIX=" + number(end),
		"BENCH_WINDOW_SECONDS=" + number(windowSeconds), "BENCH_WINDOWS=" + number((end-begin)/windowSeconds+1),
	}, program, "-r", filepath.Join(b.folder, "bento", "resources.yaml"), "-c", filepath.Join(b.folder, "bento", config))
	if err != nil {
		return nil, err
	}
	u, err := p.wait()
	return &u, err
}

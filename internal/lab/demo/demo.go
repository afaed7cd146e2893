// Package demo shows jmpub at work in one process: a simulated Report API with a history and with faults, an embedded broker,
// the pipeline between them, and an independent reader that judges the outcome.
package demo

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmpub/jmpub/internal/lab/broker"
	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/view"
	"github.com/jmpub/jmpub/pipeline"
)

// Options are what can be chosen.
type Options struct {
	// Length ends the demo after this time; zero goes on until the context is done.
	Length time.Duration
	// History is how far back the simulated history begins.
	History time.Duration
	// Rate is in messages a second.
	Rate float64
	// Seed makes the history: another seed is another history.
	Seed uint64
	// Faults lets the API misbehave now and then.
	Faults bool
	// Version is jmpub's.
	Version string
}

// Defaults are the options of a demo that is started without any.
func Defaults() Options {
	return Options{History: 8 * time.Hour, Rate: 10, Seed: 1, Faults: true}
}

func (o *Options) check() error {
	if o.History < time.Minute || o.History > 59*24*time.Hour {
		return usage.Errorf("--history: %s is not between 1m and 1416h", o.History)
	}
	if o.Length < 0 || o.Length > 0 && o.Length < 5*time.Second {
		return usage.Errorf("--for: %s is not at least 5s", o.Length)
	}
	return nil
}

// demo is a running demo.
type demo struct {
	opts   *Options
	screen io.Writer
	api    *sim.Server
	broker *broker.Broker
	live   *operate.Live
	prefix string
	begin  time.Time
	close  []func()
	// head is how far the streams are read.
	head atomic.Pointer[time.Time]
}

// Run shows a demo on a screen, then reads all topics back and compares them with what the API held. Where the context ends
// the demo, the summary comes all the same.
func Run(ctx context.Context, o Options, screen io.Writer) (*Summary, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	d := &demo{opts: &o, screen: screen}
	d.head.Store(new(time.Time))
	defer d.Close()
	if err := d.start(ctx); err != nil {
		return nil, err
	}
	started := time.Now()
	if err := d.publish(ctx); err != nil {
		return nil, err
	}
	took := time.Since(started)
	fmt.Fprintln(screen, "\nreading every topic back, read_committed, with an independent client ...")
	return d.summarize(ctx, took)
}

// Close ends what the demo started, last things first.
func (d *demo) Close() {
	for _, end := range slices.Backward(d.close) {
		end()
	}
}

// start brings up the simulated API and the broker, and wires the app to them as `jmpub run` would.
func (d *demo) start(ctx context.Context) error {
	s := settings.Defaults()
	d.begin = time.Now().Add(-d.opts.History).UTC().Truncate(time.Second)
	s.AppKey, s.MasterSecret = "4f7aef34fb361292c566a1cd", secret.New(rand.Text())
	url, err := d.serveAPI(ctx, s.AppKey, s.MasterSecret.Reveal())
	if err != nil {
		return err
	}
	if d.broker, err = broker.Start(broker.Options{Brokers: 3}); err != nil {
		return err
	}
	d.close = append(d.close, func() { _ = d.broker.Close() }) // It kept nothing.

	s.API.URL, s.API.Rate = url, "1000000/m"
	s.Kafka.Brokers = strings.Join(d.broker.Addrs(), ",")
	s.Start, s.Listen = d.begin.Add(-time.Second).Format(time.RFC3339), "127.0.0.1:0"
	cfg, err := s.Parse()
	if err != nil {
		return err
	}
	d.prefix = cfg.Topics.Prefix
	fmt.Fprintf(d.screen, "simulated API at %s, embedded brokers at %s\n", s.API.URL, s.Kafka.Brokers)
	quiet := slog.New(slog.DiscardHandler)
	if d.live, err = operate.NewLive(ctx, cfg, quiet, d.opts.Version, d.observe); err != nil {
		return err
	}
	d.close = append(d.close, d.live.Close)
	fmt.Fprintf(d.screen, "status page at %s, delivery: %s\n\n", d.live.StatusURL(), cfg.Delivery())
	return nil
}

func (d *demo) observe(o pipeline.Observation) {
	if read, ok := o.(pipeline.HeadRead); ok {
		d.head.Store(&read.End)
	}
}

// serveAPI starts the simulated API and returns its address.
func (d *demo) serveAPI(ctx context.Context, appKey, masterSecret string) (url string, err error) {
	api := sim.Defaults()
	api.AppKey, api.MasterSecret, api.Seed, api.Rate, api.Begin = appKey, masterSecret, d.opts.Seed, d.opts.Rate, d.begin
	api.OddRows = 0.001
	if d.opts.Faults {
		api.Faults = sim.Faults{
			RateLimitedBare: 0.005, ServerError: 0.01, HTMLError: 0.005, Truncated: 0.01, DroppedMidway: 0.005,
			Repeated: 0.01, Displaced: 0.005, WrongTotal: 0.01, ExpiredEarly: 0.01,
		}
	}
	if d.api, err = sim.New(api); err != nil {
		return "", usage.Wrap(err)
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("start the simulated API: %w", err)
	}
	server := &http.Server{Handler: d.api, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go func() { _ = server.Serve(listener) }() // It ends with Close.
	d.close = append(d.close, func() { _ = server.Close() })
	return "http://" + listener.Addr().String() + "/v2", nil
}

// publish publishes until the time is over or the context is done, and shows what goes on.
func (d *demo) publish(ctx context.Context) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	follow, err := newFollower(d.broker.Addrs(), d.live.Routing().Events())
	if err != nil {
		return err
	}
	if d.opts.Length > 0 {
		defer time.AfterFunc(d.opts.Length, stop).Stop()
	}
	var showing sync.WaitGroup
	showing.Go(func() { d.show(running, follow) })
	err = d.live.Run(running)
	stop()
	showing.Wait()
	return err
}

const (
	drawEvery = 500 * time.Millisecond
	lineEvery = 3 * time.Second
)

// show draws the state of things until ctx is done, and once more then.
func (d *demo) show(ctx context.Context, follow *follower) {
	defer follow.reader.Close()
	screen := view.NewScreen(d.screen)
	every := lineEvery
	if screen.Terminal {
		every = drawEvery
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for running := true; running; {
		select {
		case <-ctx.Done():
			running = false
		case <-ticker.C:
		}
		if screen.Terminal {
			follow.collect(ctx)
		}
		state := d.live.Status().Snapshot()
		screen.Draw(&state, follow.latest)
	}
}

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
	live   *operate.Process
	prefix string
	zone   *time.Location
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
	last, err := d.publish(ctx)
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(screen, "\nreading every topic back with another client ...")
	return d.summarize(ctx, last)
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
	d.prefix, d.zone = cfg.Topics.Prefix, cfg.Source.TimeZone
	fmt.Fprintf(d.screen, "API      %s, simulated\nKafka    %s, embedded\n", s.API.URL, s.Kafka.Brokers)
	quiet := slog.New(slog.DiscardHandler)
	if d.live, err = operate.NewProcess(ctx, cfg, quiet, operate.RunOptions{Version: d.opts.Version, Observers: []pipeline.Observer{d.observe}}); err != nil {
		return err
	}
	d.close = append(d.close, d.live.Close)
	fmt.Fprintf(d.screen, "status   %s\ndelivery %s\n\n", d.live.StatusURL(), cfg.Delivery())
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
	api.IrregularRows = 0.001
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

// publish publishes until the time is over or the context is done, shows what goes on, and returns the last that is shown.
func (d *demo) publish(ctx context.Context) (*view.State, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	follow, err := newFollower(d.broker.Addrs(), d.live.Routing().Events())
	if err != nil {
		return nil, err
	}
	if d.opts.Length > 0 {
		defer time.AfterFunc(d.opts.Length, stop).Stop()
	}
	shown := &show{demo: d, follow: follow, screen: view.NewScreen(d.screen, stop), started: time.Now()}
	watching, rest := context.WithCancel(context.WithoutCancel(ctx))
	var watchers sync.WaitGroup
	watchers.Go(func() { follow.follow(watching) })
	watchers.Go(func() { shown.run(ctx, watching) })
	err = d.live.Run(ctx)
	rest()
	watchers.Wait()
	last := shown.state()
	last.Ended = true
	shown.screen.Close(last)
	return last, err
}

// show keeps a screen up to date.
type show struct {
	demo    *demo
	follow  *follower
	screen  *view.Screen
	started time.Time
	rates   []float64
}

// run shows what goes on, once a state may be replaced, until watching is done; the pipeline ends with running.
func (s *show) run(running, watching context.Context) {
	redraw, second := time.NewTicker(s.screen.Pause()), time.NewTicker(time.Second)
	defer redraw.Stop()
	defer second.Stop()
	read := int64(0)
	for {
		select {
		case <-watching.Done():
			return
		case <-second.C:
			before := read
			read = s.demo.live.Status().Snapshot().Rows
			const seconds = 300 // More than a screen is wide.
			s.rates = append(s.rates[max(0, len(s.rates)+1-seconds):], float64(read-before))
		case <-redraw.C:
			state := s.state()
			state.Stopping = running.Err() != nil
			s.screen.Show(state)
		}
	}
}

func (s *show) state() *view.State {
	d := s.demo
	return &view.State{
		Snapshot: d.live.Status().Snapshot(), Begin: d.begin, Started: s.started, Now: time.Now(), Length: d.opts.Length, Zone: d.zone,
		Rates: slices.Clone(s.rates), Latest: s.follow.newest(), StatusURL: d.live.StatusURL(),
	}
}

package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/lab/broker"
	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/pipeline"
)

const demoHelp = `Show jmpub at work in one process, without settings, network or free standard ports: a simulated Report API with
a history and with faults, an embedded broker, and the pipeline between them. It first catches up with the history and
then follows live.

With --for it ends by itself, reads every topic back with an independent read_committed client, and compares what it
finds with every row that the API held. Any difference makes the exit code 1.`

const demoExamples = `  jmpub demo
  jmpub demo --for 30s
  jmpub demo --for 30s --history 24h --rate 20 --json`

// demoOptions are the demo's flags.
type demoOptions struct {
	length  time.Duration
	history time.Duration
	rate    float64
	seed    uint64
	faults  bool
	asJSON  bool
}

func newDemo() *cobra.Command {
	o := demoOptions{history: 8 * time.Hour, rate: 10, seed: 1, faults: true}
	cmd := &cobra.Command{
		Use: "demo", Short: "Show all of it at work, in one process", Long: demoHelp, Example: demoExamples, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd, &o) },
	}
	cmd.Flags().DurationVar(&o.length, "for", 0, "end after this time with a summary; without it, Ctrl-C ends the demo")
	cmd.Flags().DurationVar(&o.history, "history", o.history, "length of the history to catch up with")
	cmd.Flags().Float64Var(&o.rate, "rate", o.rate, "messages a second")
	cmd.Flags().Uint64Var(&o.seed, "seed", o.seed, "another seed is another history")
	cmd.Flags().BoolVar(&o.faults, "faults", o.faults, "let the API misbehave now and then")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print the summary as JSON, and nothing else on standard output")
	return cmd
}

// demo is a running demo.
type demo struct {
	opts   *demoOptions
	api    *sim.Server
	broker *broker.Broker
	app    *app
	begin  time.Time
	heads  demoHeads
	close  []func()
}

// demoHeads keeps how far the streams are read.
type demoHeads struct {
	mu  sync.Mutex
	end time.Time
}

func (h *demoHeads) see(_ pipeline.Stream, end time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end = end
}

func (h *demoHeads) last() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.end
}

func runDemo(cmd *cobra.Command, o *demoOptions) error {
	if o.history < time.Minute || o.history > 59*24*time.Hour {
		return usage("--history: %s is not between 1m and 1416h", o.history)
	}
	if o.length < 0 || o.length > 0 && o.length < 5*time.Second {
		return usage("--for: %s is not at least 5s", o.length)
	}
	d := &demo{opts: o}
	defer d.Close()
	screen := cmd.OutOrStdout()
	if o.asJSON {
		screen = io.Discard
	}
	if err := d.start(cmd.Context(), screen); err != nil {
		return err
	}
	if err := d.run(cmd.Context(), screen); err != nil {
		return err
	}
	if o.length == 0 && cmd.Context().Err() == nil {
		return nil
	}
	return d.summarize(cmd, screen)
}

// Close ends what the demo started, last things first.
func (d *demo) Close() {
	for _, end := range slices.Backward(d.close) {
		end()
	}
}

// start brings up the simulated API and the broker, and wires the app to them as `jmpub run` would.
func (d *demo) start(ctx context.Context, screen io.Writer) error {
	s := &settings{}
	s.fillDefaults()
	d.begin = time.Now().Add(-d.opts.history).UTC().Truncate(time.Second)
	s.AppKey, s.MasterSecret = "4f7aef34fb361292c566a1cd", secret.New(rand.Text())
	api := sim.Defaults()
	api.AppKey, api.MasterSecret, api.Seed, api.Rate, api.Begin = s.AppKey, s.MasterSecret.Reveal(), d.opts.seed, d.opts.rate, d.begin
	api.OddRows = 0.001
	if d.opts.faults {
		api.Faults = sim.Faults{
			RateLimitedBare: 0.005, ServerError: 0.01, HTMLError: 0.005, Truncated: 0.01, DroppedMidway: 0.005,
			Repeated: 0.01, Displaced: 0.005, WrongTotal: 0.01, ExpiredEarly: 0.01,
		}
	}
	var err error
	if d.api, err = sim.New(api); err != nil {
		return usageError{err}
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start the simulated API: %w", err)
	}
	server := &http.Server{Handler: d.api, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go func() { _ = server.Serve(listener) }() // It ends with Close.
	d.close = append(d.close, func() { _ = server.Close() })
	if d.broker, err = broker.Start(broker.Options{Brokers: 3}); err != nil {
		return err
	}
	d.close = append(d.close, func() { _ = d.broker.Close() }) // It kept nothing.

	s.API.URL, s.API.Rate = "http://"+listener.Addr().String()+"/v2", "1000000/m"
	s.Kafka.Brokers = strings.Join(d.broker.Addrs(), ",")
	s.Start, s.Listen = d.begin.Add(-time.Second).Format(time.RFC3339), "127.0.0.1:0"
	cfg, err := s.parse()
	if err != nil {
		return err
	}
	fmt.Fprintf(screen, "simulated API at %s, embedded brokers at %s\n", s.API.URL, s.Kafka.Brokers)
	quiet := slog.New(slog.DiscardHandler)
	if d.app, err = newApp(ctx, cfg, quiet, &pipeline.Observer{Head: d.heads.see}); err != nil {
		return err
	}
	d.close = append(d.close, d.app.Close)
	fmt.Fprintf(screen, "status page at http://%s, delivery: %s\n\n", d.app.listener.Addr(), cfg.delivery())
	return nil
}

// run publishes until the time is over or the context is done, and shows what goes on.
func (d *demo) run(ctx context.Context, screen io.Writer) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	view, err := newView(screen, d.app.status, d.broker.Addrs(), d.app.topics.Routing().Events())
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- d.app.Run(running) }()
	var over <-chan time.Time
	if d.opts.length > 0 {
		timer := time.NewTimer(d.opts.length)
		defer timer.Stop()
		over = timer.C
	}
	showing := make(chan struct{})
	go func() { defer close(showing); view.run(running) }()
	select {
	case err = <-done:
		stop()
	case <-over:
		stop()
		err = <-done
	case <-ctx.Done():
		err = <-done
	}
	<-showing
	return err
}

// demoSummary is the end of a demo.
type demoSummary struct {
	verify.Report

	Seconds     float64   `json:"seconds"`
	CaughtUp    bool      `json:"caught_up"`
	PublishedTo time.Time `json:"published_to"`
	API         sim.Stats `json:"api"`
}

// summarize reads everything back and compares it with the truth. Rows that the pipeline had no need to have read by the
// time it was stopped may be missing.
func (d *demo) summarize(cmd *cobra.Command, screen io.Writer) error {
	fmt.Fprintln(screen, "\nreading every topic back, read_committed, with an independent client ...")
	// The command's context may be done: Ctrl-C ends the demo, not its summary.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), 2*time.Minute)
	defer cancel()
	layout := verify.Layout{Prefix: d.app.cfg.topicConfig.Prefix, Topic: d.app.topics.Routing().Event}
	found, err := layout.Read(ctx, d.broker.Addrs())
	if err != nil {
		return err
	}
	head := d.heads.last()
	report := verify.Compare(d.truth(head), found)
	if d.opts.asJSON {
		out := json.NewEncoder(cmd.OutOrStdout())
		out.SetIndent("", "  ")
		err = out.Encode(demoSummary{
			Report: report, PublishedTo: head, API: d.api.Stats(),
			CaughtUp: time.Since(head) < time.Minute,
		})
	} else {
		d.print(screen, &report, head)
	}
	if err == nil && !report.OK() {
		return errors.Join(errReported, errors.New("the topics differ from what the API held"))
	}
	return err
}

// truth lists what the API held. Everything before the head had to be published.
func (d *demo) truth(head time.Time) iter.Seq[verify.TruthRow] {
	return func(yield func(verify.TruthRow) bool) {
		for r := range d.api.Truth(sim.Range{Begin: d.begin, End: time.Now()}) {
			row := verify.TruthRow{
				MsgID: r.MsgID, HasMsgID: r.HasMsgID, Target: r.Target, Row: r.Raw, Optional: !r.Time.Before(head),
			}
			if !yield(row) {
				return
			}
		}
	}
}

func (d *demo) print(screen io.Writer, report *verify.Report, head time.Time) {
	stats := d.api.Stats()
	faults := int64(0)
	for _, n := range stats.Faults {
		faults += n
	}
	fmt.Fprintf(screen, "the API answered %d requests, %d of them with a fault, and was read up to %s\n",
		stats.Requests, faults, head.Format(time.RFC3339))
	verdict := "every row is there exactly once"
	if !report.OK() {
		verdict = "NOT as it should be"
	}
	fmt.Fprintf(screen, "%s\n%s\n", report.String(), verdict)
}

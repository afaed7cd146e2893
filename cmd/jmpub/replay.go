package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
	"github.com/jmpub/jmpub/source"
)

const replayHelp = `Publish a range of time again, beside the live run and without touching its position.

Every event carries the replay's id in the header jmpub_replay. The replay has a position and a transactional id of its
own: interrupted, the same command goes on where it was, and each row of the range is published once. Notices tell
consumers when it begins and ends. It asks at half the configured rate, and leaves a fifth of what the API still allows to
the live run.`

const replayExamples = `  jmpub replay --from '2026-11-01 00:00:00' --to '2026-11-02 00:00:00' --dry-run
  jmpub replay --from 2026-11-01T00:00:00+08:00 --to 2026-11-02T00:00:00+08:00
  jmpub replay --from 36h --to 12h --id after-the-outage --stream groups/10055201 --to-topic-prefix replayed`

// replayOptions are the command's flags.
type replayOptions struct {
	from, to, id, prefix, rate string
	streams                    []string
	dryRun, asJSON             bool
}

func newReplay() *cobra.Command {
	var o replayOptions
	cmd := &cobra.Command{
		Use: "replay", Aliases: []string{"backfill"}, Short: "Publish a range of time again, marked as such",
		Long: replayHelp, Example: replayExamples, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&o.from, "from", "", "begin: RFC 3339, a local time in the app's zone, or how long ago (36h, 7d)")
	f.StringVar(&o.to, "to", "", "end, in the same forms")
	f.StringVar(&o.id, "id", "", "the replay's name; by default it is made of range, streams and topics")
	f.StringSliceVar(&o.streams, "stream", nil, "stream to replay, repeatable; default JMPUB_STREAMS")
	f.StringVar(&o.prefix, "to-topic-prefix", "", "publish to these topics instead of those of JMPUB_TOPIC_PREFIX")
	f.StringVar(&o.rate, "rate", "", "requests, as in JMPUB_API_RATE; default half of that")
	f.BoolVar(&o.dryRun, "dry-run", false, "tell what it would take, and publish nothing")
	f.BoolVar(&o.asJSON, "json", false, "print the result as JSON")
	return cmd
}

// liveShare is the part of the API's quota that a replay leaves to the live run.
const liveShare = 0.2

// settings reads the environment and lets the flags change it.
func (o *replayOptions) settings(now time.Time) (*config, error) {
	s, err := readSettings()
	if err != nil {
		return nil, err
	}
	if len(o.streams) > 0 {
		s.Streams = strings.Join(o.streams, ",")
	}
	if o.prefix != "" {
		if !strings.Contains(s.TopicTemplate, "{prefix}") {
			return nil, usage("--to-topic-prefix: the events' topics have no prefix, because JMPUB_TOPIC_TEMPLATE is %q", s.TopicTemplate)
		}
		s.TopicPrefix = o.prefix
	}
	s.Listen, s.Recheck = "off", "off"
	cfg, err := s.parse()
	if err != nil {
		return nil, err
	}
	from, err := parseWhen("--from", o.from, now, cfg.source.TimeZone)
	if err != nil {
		return nil, err
	}
	until, err := parseWhen("--to", o.to, now, cfg.source.TimeZone)
	if err != nil {
		return nil, err
	}
	cfg.start, cfg.until = pipeline.Start{At: from}, until
	oldest := now.Add(-pipeline.History)
	switch {
	case !from.Before(until):
		return nil, usage("--from %s is not before --to %s", pipeline.FormatTime(from), pipeline.FormatTime(until))
	case until.After(now.Add(-cfg.source.Settle)):
		return nil, usage("--to %s is not over yet; the latest is %s", pipeline.FormatTime(until),
			pipeline.FormatTime(now.Add(-cfg.source.Settle).Truncate(time.Second)))
	case from.Before(oldest):
		return nil, usage("--from %s is before what the API still holds; the oldest is %s", pipeline.FormatTime(from), pipeline.FormatTime(oldest))
	}
	cfg.statistics = nil // They have no past that could be published again.
	if len(cfg.selected()) == 0 {
		return nil, usage("--stream: JMPUB_STREAMS names statistics alone, of which there is nothing to replay; name a stream of messages")
	}
	cfg.source.Rate.Requests = max(1, cfg.source.Rate.Requests/2)
	if o.rate != "" {
		if cfg.source.Rate, err = source.ParseRate(o.rate); err != nil {
			return nil, usage("--rate: %q is not a rate such as 600/m or 10/s", o.rate)
		}
	}
	cfg.source.Reserve = liveShare
	if cfg.replay = o.id; o.id == "" {
		cfg.replay = replayID(cfg)
	}
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	if len(cfg.replay) > 100 || strings.Trim(cfg.replay, allowed) != "" {
		return nil, usage("--id: %q is no name of up to 100 letters, digits, '.', '_' and '-'", cfg.replay)
	}
	return cfg, nil
}

// replayID is the same for the same replay, so that the same command goes on with it.
func replayID(cfg *config) string {
	what := sha256.Sum256([]byte(strings.Join(cfg.selected(), ",") + "\n" + cfg.topicConfig.Prefix))
	const form, short = "20060102T150405Z", 3
	return cfg.start.At.UTC().Format(form) + "-" + cfg.until.UTC().Format(form) + "-" + hex.EncodeToString(what[:short])
}

func (o *replayOptions) run(cmd *cobra.Command) error {
	cfg, err := o.settings(time.Now())
	if err != nil {
		return err
	}
	limitMemory(cfg.parallel)
	ctx := cmd.Context()
	bar := &progress{screen: cmd.ErrOrStderr(), zone: cfg.source.TimeZone}
	p := newParts(cfg, newLogger(bar, cfg.logLevel, bar.form(cfg.logFormat)))
	defer p.Close()
	count := &replayCount{}
	p.observe(logObserver(p.log), count.observer(), bar.observer())
	if err = p.openSource(ctx); err != nil {
		return startError(err)
	}
	if err = p.expand(ctx); err != nil {
		return startError(err)
	}
	plan, err := estimate(ctx, p, pipeline.Window{Begin: cfg.start.At, End: cfg.until})
	if err != nil {
		return startError(err)
	}
	if o.dryRun {
		return plan.print(cmd.OutOrStdout(), cfg, o.asJSON)
	}
	if err = p.connect(ctx); err != nil {
		return startError(err)
	}
	if err = p.openSink(ctx); err != nil {
		return startError(err)
	}
	if err = p.checkRights(ctx); err != nil {
		return startError(err)
	}
	if err = p.greetRegistry(ctx); err != nil {
		return startError(err)
	}
	before, err := p.store.Load(ctx)
	if err != nil {
		return startError(err)
	}
	if replayed(cfg, before) {
		return fmt.Errorf("the replay %s has been completed before, and every row of it is published; "+
			"to publish the range once more, give it another name with --id", cfg.replay)
	}
	c := p.pipelineConfig()
	c.Until, c.Replay = cfg.until, cfg.replay
	line, err := pipeline.New(c)
	if err != nil {
		return err
	}
	started := time.Now()
	bar.begin(max(0, plan.Rows-publishedBefore(before)))
	err = line.Run(ctx)
	bar.end()
	if err != nil {
		return p.runError(err)
	}
	after, err := p.store.Load(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	if err := count.print(cmd.OutOrStdout(), cfg, after, time.Since(started), o.asJSON); err != nil {
		return err
	}
	if !replayed(cfg, after) {
		fmt.Fprintf(cmd.ErrOrStderr(), "to go on with it: %s\n", o.command(cfg))
	}
	if !replayed(cfg, after) && ctx.Err() != nil {
		return errors.Join(errReported, ctx.Err())
	}
	return nil
}

// publishedBefore is how many rows earlier runs of a replay have published.
func publishedBefore(positions map[pipeline.Stream]pipeline.Checkpoint) int64 {
	rows := int64(0)
	for _, cp := range positions {
		rows += cp.Counts.Published + cp.Counts.Rejected
	}
	return rows
}

// command is the command line that goes on with a replay.
func (o *replayOptions) command(cfg *config) string {
	words := []string{"jmpub replay --from", pipeline.FormatTime(cfg.start.At), "--to", pipeline.FormatTime(cfg.until), "--id", cfg.replay}
	for _, s := range o.streams {
		words = append(words, "--stream '"+s+"'")
	}
	if o.prefix != "" {
		words = append(words, "--to-topic-prefix", o.prefix)
	}
	return strings.Join(words, " ")
}

// replayed tells whether a replay has come to its end.
func replayed(cfg *config, positions map[pipeline.Stream]pipeline.Checkpoint) bool {
	for _, s := range cfg.streams {
		if positions[s].End.Before(cfg.until) {
			return false
		}
	}
	return true
}

// replayCount sums up what this run of a replay committed.
type replayCount struct {
	windows, published, rejected, requests int64
}

func (r *replayCount) observer() *pipeline.Observer {
	return &pipeline.Observer{Committed: func(c *pipeline.Closed, _ [event.TargetCount]int) { // By one goroutine at a time.
		r.windows++
		r.published += c.Ledger.Published
		r.rejected += c.Ledger.Rejected
		r.requests += int64(c.Ledger.Requests)
	}}
}

// replayResult is how a replay ended.
type replayResult struct {
	Replay   string `json:"replay"`
	Complete bool   `json:"complete"`
	// Published and Rejected are sums over all runs of the replay; ThisRun is what the last one published.
	Published int64            `json:"published"`
	Rejected  int64            `json:"rejected"`
	ThisRun   int64            `json:"published_by_this_run"`
	Windows   int64            `json:"windows"`
	Requests  int64            `json:"requests"`
	Seconds   float64          `json:"seconds"`
	Streams   []replayedStream `json:"streams"`
	Topics    string           `json:"topic_prefix"`
}

type replayedStream struct {
	Stream string    `json:"stream"`
	End    time.Time `json:"end_time"`
}

func (r *replayCount) print(w io.Writer, cfg *config, after map[pipeline.Stream]pipeline.Checkpoint, took time.Duration, asJSON bool) error {
	result := replayResult{
		Replay: cfg.replay, Complete: replayed(cfg, after), ThisRun: r.published, Windows: r.windows, Requests: r.requests,
		Seconds: took.Seconds(), Topics: cfg.topicConfig.Prefix,
	}
	for _, s := range cfg.streams {
		cp := after[s]
		result.Published += cp.Counts.Published
		result.Rejected += cp.Counts.Rejected
		result.Streams = append(result.Streams, replayedStream{s.String(), cp.End})
	}
	if asJSON {
		return json.NewEncoder(w).Encode(result)
	}
	state := "complete"
	if !result.Complete {
		state = "interrupted"
	}
	_, err := fmt.Fprintf(w, "replay %s: %s\n%d events and %d rejected rows in %s\nthis run: %d events in %d windows and %d requests, %s\n",
		result.Replay, state, result.Published, result.Rejected, cfg.topics(), r.published, r.windows, r.requests, took.Round(10*time.Millisecond))
	return err
}

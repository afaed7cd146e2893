package operate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/source"
)

// liveShare is the fraction of the API's quota that a replay or an audit leaves to the live run.
const liveShare = 0.2

// ReplayOptions say what is published again. The streams are those of the configuration.
type ReplayOptions struct {
	Span
	// ID names the replay; the default is made of range, streams and topics.
	ID string
	// Rate limits the requests; the default is half of the configured rate.
	Rate source.Rate
}

// Replay publishes a range of time again. Call Estimate first, then Open, then Run.
type Replay struct {
	cfg    *settings.Config // A copy, with what the options change.
	id     string
	window pipeline.Window
	wiring *wiring
	source *source.Client
	out    *output
	line   *pipeline.Pipeline
	result ReplayResult // Counted by one goroutine at a time.
}

// NewReplay checks what is asked for, and opens nothing yet.
func NewReplay(cfg *settings.Config, log *slog.Logger, o ReplayOptions, observers ...pipeline.Observer) (*Replay, error) {
	own := *cfg
	r := &Replay{cfg: &own, id: o.ID}
	if err := r.setRange(o, time.Now()); err != nil {
		return nil, err
	}
	own.Statistics = nil // They have no history that could be published again.
	own.Recheck = nil
	if len(own.Selected()) == 0 {
		return nil, usage.Errorf("--stream: JMPUB_STREAMS names statistics alone, of which there is nothing to replay; name a stream of messages")
	}
	own.Source.Reserve, own.Source.Rate.Requests = liveShare, max(1, own.Source.Rate.Requests/2)
	if o.Rate.Requests > 0 {
		own.Source.Rate = o.Rate
	}
	if r.id == "" {
		r.id = r.defaultID()
	}
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	if len(r.id) > 100 || strings.Trim(r.id, allowed) != "" {
		return nil, usage.Errorf("--id: %q is no name of up to 100 letters, digits, '.', '_' and '-'", r.id)
	}
	r.wiring = newWiring(r.cfg, log, append(slices.Clone(observers), r.observer())...)
	r.wiring.replay = r.id
	return r, nil
}

func (r *Replay) setRange(o ReplayOptions, now time.Time) error {
	var err error
	if r.window, err = o.window(now); err != nil {
		return err
	}
	oldest, newest := now.Add(-pipeline.History), now.Add(-r.cfg.Source.Settle)
	if r.window.End.After(newest) {
		return usage.Errorf("--to %s is not over yet; the latest is %s", pipeline.FormatTime(r.window.End),
			pipeline.FormatTime(newest.Truncate(time.Second)))
	}
	if r.window.Begin.Before(oldest) {
		return usage.Errorf("--from %s is before what the API still holds; the oldest is %s",
			pipeline.FormatTime(r.window.Begin), pipeline.FormatTime(oldest))
	}
	r.cfg.Start = pipeline.Start{At: r.window.Begin}
	return nil
}

// defaultID is the same for the same replay, so that the same command goes on with it.
func (r *Replay) defaultID() string {
	what := sha256.Sum256([]byte(strings.Join(r.cfg.Selected(), ",") + "\n" + r.cfg.Topics.Prefix))
	const form, short = "20060102T150405Z", 3
	return r.window.Begin.UTC().Format(form) + "-" + r.window.End.UTC().Format(form) + "-" + hex.EncodeToString(what[:short])
}

// ID names the replay.
func (r *Replay) ID() string { return r.id }

// Window is the range that is published again.
func (r *Replay) Window() pipeline.Window { return r.window }

// Close lets go of what is held.
func (r *Replay) Close() { r.wiring.Close() }

// Estimate asks the API what the replay would take.
func (r *Replay) Estimate(ctx context.Context) (*Cost, error) {
	var err error
	if r.source, err = r.wiring.openSource(ctx, r.cfg.Source); err != nil {
		return nil, err
	}
	if err = r.expand(ctx); err != nil {
		return nil, startError(err)
	}
	cost, err := estimate(ctx, r.cfg, r.source, r.cfg.Streams, r.window)
	return cost, startError(err)
}

// expand reads the lists once and names every stream that they have, because a replay comes to an end.
func (r *Replay) expand(ctx context.Context) error {
	streams := slices.Clone(r.cfg.Streams)
	for _, kind := range r.cfg.Discover {
		listing, err := r.source.List(ctx, kind)
		if err != nil {
			return err
		}
		for _, s := range listing.Streams {
			if !slices.Contains(streams, s) {
				streams = append(streams, s)
			}
		}
	}
	r.cfg.Streams, r.cfg.Discover = streams, nil
	if len(streams) == 0 {
		return errors.New("the lists have no streams, so there is nothing to read")
	}
	return nil
}

// Open opens Kafka, and returns how many rows earlier runs of the replay have published. Nothing has been published yet.
func (r *Replay) Open(ctx context.Context) (before int64, err error) {
	out, err := r.wiring.openOutput(ctx)
	if err != nil {
		return 0, err
	}
	if err = r.wiring.checkRights(ctx, out); err != nil {
		return 0, err
	}
	if err = greetRegistry(ctx, out.sink); err != nil {
		return 0, err
	}
	positions, err := out.store.Load(ctx)
	if err != nil {
		return 0, startError(err)
	}
	if r.complete(positions) {
		return 0, fmt.Errorf("the replay %s has been completed before, and every row of it is published; "+
			"to publish the range once more, give it another name with --id", r.id)
	}
	for _, cp := range positions {
		before += cp.Counts.Published + cp.Counts.Rejected
	}
	if err = out.lock(); err != nil {
		return 0, err
	}
	c := r.wiring.pipelineConfig(r.source, out)
	c.Until, c.Replay = r.window.End, r.id
	r.out = out
	r.line, err = pipeline.New(c)
	return before, err
}

// Run publishes until the range is through or ctx is done. The latter is no error: the result is not complete.
func (r *Replay) Run(ctx context.Context) (*ReplayResult, error) {
	started := time.Now()
	if err := r.line.Run(ctx); err != nil {
		return nil, r.wiring.runError(err)
	}
	after, err := r.out.store.Load(context.WithoutCancel(ctx)) // What was published is reported after an interrupt too.
	if err != nil {
		return nil, err
	}
	result := &r.result
	result.Replay, result.TopicPrefix = r.id, r.cfg.Topics.Prefix
	result.Complete, result.Seconds = r.complete(after), time.Since(started).Seconds()
	for _, s := range r.cfg.Streams {
		cp := after[s]
		result.Published += cp.Counts.Published
		result.Rejected += cp.Counts.Rejected
		result.Streams = append(result.Streams, ReplayedStream{s.String(), cp.End})
	}
	return result, nil
}

// complete tells whether the replay has come to its end.
func (r *Replay) complete(positions map[pipeline.Stream]pipeline.Checkpoint) bool {
	for _, s := range r.cfg.Streams {
		if positions[s].End.Before(r.window.End) {
			return false
		}
	}
	return true
}

// observer sums up what this run commits.
func (r *Replay) observer() pipeline.Observer {
	return func(o pipeline.Observation) {
		if c, ok := o.(pipeline.WindowCommitted); ok {
			r.result.Windows++
			r.result.ThisRun += c.Ledger.Published
			r.result.Requests += int64(c.Ledger.Requests)
		}
	}
}

// ReplayResult is how a replay ended.
type ReplayResult struct {
	Replay   string `json:"replay"`
	Complete bool   `json:"complete"`
	// Published and Rejected are sums over all runs of the replay; ThisRun is what the last one published.
	Published   int64            `json:"published"`
	Rejected    int64            `json:"rejected"`
	ThisRun     int64            `json:"published_by_this_run"`
	Windows     int64            `json:"windows"`
	Requests    int64            `json:"requests"`
	Seconds     float64          `json:"seconds"`
	Streams     []ReplayedStream `json:"streams"`
	TopicPrefix string           `json:"topic_prefix"`
}

// ReplayedStream is how far one stream is published again.
type ReplayedStream struct {
	Stream string    `json:"stream"`
	End    time.Time `json:"end_time"`
}

package operate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
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

// Replay publishes a range of time again. Call Connect first, then Resume, Estimate, Open and Run.
type Replay struct {
	cfg    *settings.Config // A copy, with what the options change.
	log    *slog.Logger
	id     string
	window pipeline.Window
	// span is what was asked for, named whether with an id.
	span  Span
	named bool
	// request is a hash of what the same command asks for each time, which ends the default id.
	request string
	wiring  *wiring
	source  *source.Client
	out     *output
	line    *pipeline.Pipeline
	result  ReplayResult // Counted by one goroutine at a time.
}

// NewReplay checks what is asked for, and opens nothing yet.
func NewReplay(cfg *settings.Config, log *slog.Logger, o ReplayOptions, observers ...pipeline.Observer) (*Replay, error) {
	own := *cfg
	r := &Replay{cfg: &own, log: log, id: o.ID, span: o.Span, named: o.ID != ""}
	if r.named {
		if err := checkReplay("--id", o.ID); err != nil {
			return nil, err
		}
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
	r.request = r.hashRequest()
	r.wiring = newWiring(r.cfg, log, append(slices.Clone(observers), r.observer())...)
	return r, nil
}

// checkReplay refuses what cannot name a replay. It stands in ids, keys and the names of folders.
func checkReplay(flag, id string) error {
	if !settings.IsName(id) {
		return usage.Errorf("%s: %q is no name of up to 100 letters, digits, '.', '_' and '-'", flag, id)
	}
	if id == trialID {
		return usage.Errorf("%s: %q stands for `jmpub check`; choose another name", flag, id)
	}
	return nil
}

// setRange makes the range of what was asked for, as seen from the API's clock, and the id of both.
func (r *Replay) setRange(now time.Time) error {
	var err error
	if r.window, err = r.span.window(r.cfg, now); err != nil {
		return err
	}
	oldest, newest := now.Add(-pipeline.History), now.Add(-r.cfg.Source.Settle)
	if r.window.End.After(newest) {
		return usage.Errorf("--to %s is not over yet; the latest is %s", r.cfg.Time(r.window.End),
			r.cfg.Time(newest.Truncate(time.Second)))
	}
	if r.window.Begin.Before(oldest) {
		return usage.Errorf("--from %s is before what the API still holds; the oldest is %s",
			r.cfg.Time(r.window.Begin), r.cfg.Time(oldest))
	}
	if !r.named {
		r.id = r.defaultID()
	}
	r.fix(r.id, r.window)
	return nil
}

// fix has the replay be one of an id and a range.
func (r *Replay) fix(id string, w pipeline.Window) {
	r.id, r.window = id, w
	r.wiring.replay, r.cfg.Start = id, pipeline.Start{At: w.Begin}
}

// hashRequest is the same for the same command. Relative times are part of it as they were given: the range is another one each time.
func (r *Replay) hashRequest() string {
	text := strings.Join(r.cfg.Selected(), ",") + "\n" + r.cfg.Topics.Prefix
	if r.span.relative() {
		text += fmt.Sprintf("\n%v\n%v", r.span.From, r.span.To)
	}
	what := sha256.Sum256([]byte(text))
	const short = 4
	return hex.EncodeToString(what[:short])
}

// idTime is how the default id has times.
const idTime = "20060102T150405Z"

// defaultID is made of range and request, so that the same command finds what it has begun.
func (r *Replay) defaultID() string {
	return r.window.Begin.UTC().Format(idTime) + "-" + r.window.End.UTC().Format(idTime) + "-" + r.request
}

// rangeOf is the range of a replay that the same command has begun; ok is false for every other one.
func (r *Replay) rangeOf(id string) (w pipeline.Window, ok bool) {
	parts := strings.Split(id, "-")
	if len(parts) != 3 || parts[2] != r.request {
		return w, false
	}
	begin, err := time.Parse(idTime, parts[0])
	end, err2 := time.Parse(idTime, parts[1])
	return pipeline.Window{Begin: begin, End: end}, err == nil && err2 == nil
}

// Resume makes the replay, where its times are relative, the one that the same command has begun before, with the range that it had
// then, unless that one is complete. It returns whether there is one. Shortly after one was complete it asks whether nearly the same
// rows are published once more.
func (r *Replay) Resume(ctx context.Context, again Confirm) (resumed bool, err error) {
	if r.named || !r.span.relative() {
		return false, nil
	}
	all, err := Positions(ctx, r.cfg, r.log)
	if err != nil {
		return false, err
	}
	replays := make(map[string]map[pipeline.Stream]pipeline.Checkpoint)
	for i := range all {
		if _, same := r.rangeOf(all[i].Replay); same {
			if replays[all[i].Replay] == nil {
				replays[all[i].Replay] = make(map[pipeline.Stream]pipeline.Checkpoint)
			}
			replays[all[i].Replay][all[i].Stream] = all[i]
		}
	}
	asked := r.window
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(replays))) { // The newest first.
		w, _ := r.rangeOf(id)
		switch {
		case w.Begin.Before(time.Now().Add(-pipeline.History)): // What is left of it is gone.
		case !r.complete(replays[id], w):
			r.fix(id, w)
			return true, nil
		case asked.Begin.Sub(w.Begin) < min(w.End.Sub(w.Begin)/2, repeatAfter):
			if again(fmt.Sprintf("The same command was given a short while ago, and its replay %s has published\n  %s.\n"+
				"Another one publishes most of it once more:\n  %s.", id, r.cfg.Span(w), r.cfg.Span(asked))) {
				return false, nil
			}
			return false, errors.New("nothing was published: answer yes, or give --yes or another name with --id where nobody can answer")
		}
	}
	return false, nil
}

// repeatAfter is the longest after which a command with relative times asks for another replay. It is half the range where that is
// shorter: whoever repeats it sooner asks for nearly the same rows.
const repeatAfter = 12 * time.Hour

// ID names the replay.
func (r *Replay) ID() string { return r.id }

// Window is the range that is published again.
func (r *Replay) Window() pipeline.Window { return r.window }

// Close lets go of what is held.
func (r *Replay) Close() { r.wiring.Close() }

// Connect makes the first contact with the API, resolves times that are relative to now, and learns which streams there are.
func (r *Replay) Connect(ctx context.Context) error {
	var err error
	if r.source, err = r.wiring.openSource(ctx, r.cfg.Source); err != nil {
		return err
	}
	now, err := r.source.Now(ctx, r.cfg.Contact())
	if err != nil {
		return startError(err)
	}
	if err = r.setRange(now); err != nil {
		return err
	}
	return startError(r.expand(ctx))
}

// Estimate asks the API what the replay would take.
func (r *Replay) Estimate(ctx context.Context) (*Cost, error) {
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
	if len(positions) > 0 && r.named && r.span.relative() {
		return 0, usage.Errorf("the replay %s has begun before, and --from and --to name another range each time; go on with it with the times "+
			"that it showed when it began, or give this one another name with --id", r.id)
	}
	if r.complete(positions, r.window) {
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

// lastLook is how long an answer is waited for when a replay has ended.
const lastLook = 10 * time.Second

// Run publishes until the range is through or ctx is done. The latter is no error: the result is not complete.
func (r *Replay) Run(ctx context.Context) (*ReplayResult, error) {
	started := time.Now()
	if err := r.line.Run(ctx); err != nil {
		return nil, r.wiring.runError(err)
	}
	// What was published is reported after an interrupt too, if Kafka says it soon.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
	defer cancel()
	after, err := r.out.store.Load(last)
	if err != nil {
		return nil, fmt.Errorf("how much of the replay %s is published is not known (%w); the same command goes on with it", r.id, err)
	}
	result := &r.result
	result.Replay, result.TopicPrefix = r.id, r.cfg.Topics.Prefix
	result.Complete, result.Seconds = r.complete(after, r.window), time.Since(started).Seconds()
	for _, s := range r.cfg.Streams {
		cp := after[s]
		result.Published += cp.Counts.Published
		result.Rejected += cp.Counts.Rejected
		result.Streams = append(result.Streams, ReplayedStream{s.String(), cp.End})
	}
	return result, nil
}

// complete tells whether a replay of a range has come to its end.
func (r *Replay) complete(positions map[pipeline.Stream]pipeline.Checkpoint, w pipeline.Window) bool {
	for _, s := range r.cfg.Streams {
		if positions[s].End.Before(w.End) {
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

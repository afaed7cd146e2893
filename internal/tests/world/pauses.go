package world

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/tests/world/kafkamodel"
	"github.com/jmpub/jmpub/pipeline"
)

// theApp stands for the whole app among streams.
const theApp = ""

// pauseCommand is an operator's pause or resume.
type pauseCommand struct {
	by     string
	resume bool
	// stream is the one that it is about, or theApp.
	stream string
	// changed tells that it has succeeded, and was what has changed something.
	changed bool
}

// pause pauses or resumes a stream, or the app. A command that dies may have done so.
func (c *command) pause(ctx context.Context) error {
	cfg, err := c.configure(c.name, c.link, nil)
	if err != nil {
		return err
	}
	given := &pauseCommand{by: c.name, resume: c.event.Kind == ResumeStream, stream: theApp}
	o := operate.PauseOptions{Resume: given.resume, By: c.name, Remote: "the world"}
	if !c.event.Whole {
		streams := c.streams()
		o.Streams = []pipeline.Stream{streams[c.event.Stream%len(streams)]}
		given.stream = o.Streams[0].String()
	}
	c.app.mu.Lock()
	c.pauses = append(c.pauses, given)
	c.app.mu.Unlock()
	next, err := operate.Pause(ctx, cfg, c.log(), o)
	c.app.mu.Lock()
	defer c.app.mu.Unlock()
	given.changed = err == nil && next.By == c.name
	return err
}

// resumeTries is how often an operator tries again what took too long: a process that was killed may have left a transaction open, which ends three
// minutes later, and until then commands that want to read behind it give up after 45 s.
const resumeTries = 6

// resume has an operator resume everything, where something can be paused.
func (a *app) resume(ctx context.Context) {
	if !a.has(PauseStream) {
		return
	}
	name := a.name("the last operator")
	c := &command{app: a, link: a.connect(name, a.api), name: name, event: &Event{Kind: ResumeStream, Whole: true}}
	err := c.pause(ctx)
	for try := 1; err != nil && try < resumeTries; try++ {
		err = c.pause(ctx)
	}
	if err != nil {
		a.found("nothing can be resumed when everything is healed: %v", err)
	}
}

// pauseNotice is a notice of a pause or a resume.
type pauseNotice struct {
	written time.Time
	by      string
	resume  bool
	stream  string
}

// paused are the streams that are paused, theApp among them.
type paused map[string]bool

// apply takes in a notice, and tells whether it has changed something.
func (p paused) apply(n *pauseNotice) bool {
	before := maps.Clone(p)
	switch {
	case !n.resume:
		p[n.stream] = true
	case n.stream == theApp:
		clear(p)
	default:
		delete(p, n.stream)
	}
	return !maps.Equal(before, p)
}

func (p paused) has(stream string) bool { return p[theApp] || p[stream] }

// pausedBy is what was paused when all was committed that was written up to a time, or before it.
func pausedBy(notices []pauseNotice, to time.Time, included bool) paused {
	p := make(paused)
	for i := range notices {
		if n := &notices[i]; n.written.Before(to) || included && n.written.Equal(to) {
			p.apply(n)
		}
	}
	return p
}

// checkPauses expects a notice of each pause and each resume that has changed something, in the end nothing that is paused, and meanwhile no window of
// what is. By time alone: whoever publishes behind a pause has taken the place after it was committed, and before, nothing is committed that
// was written after its fence.
func (r *reports) checkPauses() {
	notices := r.pauseNotices()
	r.checkPauseNotices(notices)
	if r.plan.Files { // What was written when its writer was fenced is there all the same.
		return
	}
	for record := range r.records(r.prefix + ".checkpoints") {
		if !strings.HasSuffix(string(record.Key), "!pause") {
			continue
		}
		if told, want := decodePause(record), pausedBy(notices, record.Time, true); !maps.Equal(told, want) {
			r.found("at %s, %v is said to be paused, by the notices it is %v", record.Time, told, want)
		}
	}
	for i := range r.ledger {
		l := &r.ledger[i]
		if l.Replay != "" || l.Late && r.has(Audit) { // Operators may publish what is paused.
			continue
		}
		before, after := pausedBy(notices, l.written, false), pausedBy(notices, l.written, true)
		if before.has(l.Stream) && after.has(l.Stream) {
			r.found("%s to %s of %s is published after %s, when it is paused", l.Begin, l.End, l.Stream, l.written.Sub(r.began))
		}
	}
}

// pauseNotices are the notices of pauses and resumes, in their order.
func (r *reports) pauseNotices() (all []pauseNotice) {
	r.decode("notices", func(record *kafkamodel.Record) error {
		var n struct {
			Stream string          `json:"stream"`
			Admin  *pipeline.Admin `json:"admin"`
		}
		err := json.Unmarshal(record.Value, &n)
		if n.Admin == nil {
			return err
		}
		if n.Admin.App {
			n.Stream = theApp
		}
		all = append(all, pauseNotice{record.Time, n.Admin.By, n.Admin.Action == "resume", n.Stream})
		return err
	})
	slices.SortStableFunc(all, func(a, b pauseNotice) int { return a.written.Compare(b.written) })
	return all
}

// checkPauseNotices holds notices against what operators have done.
func (r *reports) checkPauseNotices(notices []pauseNotice) {
	state, by := make(paused), make(map[string]int)
	for i := range notices {
		n := &notices[i]
		by[n.by]++
		if !state.apply(n) && !r.plan.Files {
			r.found("the notice %+v tells of nothing that has changed", *n)
		}
		if !slices.ContainsFunc(r.pauses, func(c *pauseCommand) bool { return c.by == n.by && c.resume == n.resume && c.stream == n.stream }) {
			r.found("the notice %+v is of no command", *n)
		}
	}
	if len(state) > 0 && !r.plan.Files { // There, a command can die that has told of it and not done it.
		r.found("in the end %v is paused", state)
	}
	for _, c := range r.pauses {
		if n := by[c.by]; n == 0 && c.changed || n > 1 && !r.plan.Files {
			r.found("%+v has %d notices", *c, n)
		}
	}
}

// decodePause is what a record says is paused.
func decodePause(record *kafkamodel.Record) paused {
	var value struct {
		App     bool     `json:"app"`
		Streams []string `json:"streams"`
	}
	_ = json.Unmarshal(record.Value, &value) // One without a value has everything go on.
	p := make(paused)
	for _, s := range value.Streams {
		p[s] = true
	}
	if value.App {
		p[theApp] = true
	}
	return p
}

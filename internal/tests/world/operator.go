package world

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

// elsewhere is the prefix of a replay's own topics.
const elsewhere = "elsewhere"

// licence is what a command may have had published once more.
type licence struct {
	what string
	// stream is the one that it is about; none where it is about all.
	stream pipeline.Stream
	// from and to are the times of the rows, both included; head is that of the newest one that was published when it began.
	from, to, head time.Time
	// sets tells that it sets the position to from.
	sets bool
	// replay is the id of the replay that brings them, and prefix where; empty for what the run publishes again.
	replay, prefix string
	// sure tells that it was done, all of it, and healed that it was done when everything had healed.
	sure, healed bool
}

// operator does what an event says, and notes what readers may see for it.
func (a *app) operator(ctx context.Context, number int, e *Event) {
	name := a.name("operator " + itoa(number))
	l := a.connect(name, a.api)
	if e.Network != "" {
		const beginning = 2 * time.Minute
		l.fault(e.Network, beginning)
	}
	if e.AtCommit {
		const long = 2 * time.Minute
		l.failAtCommit(func() { l.fault(CutKafka, long) })
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if e.Dies > 0 {
		timer := time.AfterFunc(e.Dies, func() {
			a.trace.add("%s: kill -9", name)
			l.kill()
			cancel()
		})
		defer timer.Stop()
	}
	o := &command{app: a, link: l, name: name, event: e, begun: time.Now()}
	a.trace.add("%s: %s", name, e)
	err := o.do(ctx)
	if l.killed.Load() {
		return
	}
	a.trace.add("%s: ended with %v", name, err)
}

// bothAtOnce has two operators publish ranges of a stream again in the same moment, when everything has healed: both get what they want.
func (a *app) bothAtOnce(ctx context.Context) {
	var both sync.WaitGroup
	for i, back := range []time.Duration{10 * time.Minute, 15 * time.Minute} {
		e := &Event{Kind: ResetRange, App: a.number, From: back + 2*time.Minute, To: back, For: 5 * time.Second}
		both.Go(func() {
			name := a.name("last operator " + itoa(i))
			c := &command{app: a, link: a.connect(name, a.api), name: name, event: e, begun: time.Now(), healed: true}
			a.trace.add("%s: %s", name, e)
			if err := c.do(ctx); err != nil {
				a.found("two at once, when everything is healed: %s fails: %v", e, err)
			}
		})
	}
	both.Wait()
}

// command is one at work.
type command struct {
	*app
	*link

	name  string
	event *Event
	begun time.Time
	// healed tells that nothing disturbs it.
	healed bool
	// holes are those that an audit has found.
	holes []audit.Hole
	// missing is where the oldest range ends in which an audit misses rows.
	missing time.Time
}

func (c *command) log() *slog.Logger {
	return slog.New(&logged{trace: c.trace, who: c.name, link: c.link})
}

// confirm is an operator who thinks about a question.
func (c *command) confirm(ctx context.Context) operate.Confirm {
	return func(string) bool { return pipeline.Sleep(ctx, c.event.For) == nil }
}

// span is the range that is asked for.
func (c *command) span() (from, to time.Time) {
	from, to = c.begun.Add(-c.event.From).Truncate(time.Second), c.begun.Add(-c.event.To).Truncate(time.Second)
	if from.Before(c.first) {
		from = c.first
	}
	return from, to
}

func (c *command) do(ctx context.Context) error {
	if c.event.Kind == PauseStream || c.event.Kind == ResumeStream {
		return c.pause(ctx)
	}
	from, to := c.span()
	if !from.Before(to) {
		return nil // There is no such time.
	}
	streams := c.streams()
	stream := streams[c.event.Stream%len(streams)]
	cfg, err := c.configure(c.name, c.link, func(s *settings.Settings) {
		if c.event.Kind == Replay {
			s.Recheck = "off"
			if c.event.Elsewhere {
				s.TopicPrefix = elsewhere
			}
		}
	})
	if err != nil {
		return err
	}
	head := c.head(stream)
	span := operate.Span{From: settings.Moment{At: from}, To: settings.Moment{At: to}}
	switch c.event.Kind {
	case Reset:
		if to.After(head) {
			return nil // It would skip what was not published yet.
		}
		granted := c.grant(licence{what: c.event.String(), stream: stream, from: to, head: head, sets: true})
		_, err = operate.Reset(ctx, cfg, c.log(), operate.ResetOptions{Stream: stream, To: span.To, Confirm: func(question string) bool {
			// It would skip what another reset has just asked for.
			return c.confirm(ctx)(question) && !to.After(c.position(stream, to))
		}})
		return c.done(granted, err)
	case ResetRange:
		granted := c.grant(licence{what: c.event.String(), stream: stream, from: from, to: to, head: head, healed: c.healed})
		_, err = operate.Reset(ctx, cfg, c.log(), operate.ResetOptions{Stream: stream, From: &span.From, To: span.To, Confirm: c.confirm(ctx)})
		return c.done(granted, err)
	case Delete:
		granted := c.grant(licence{what: c.event.String(), stream: stream, from: c.first, head: head})
		return c.done(granted, operate.Delete(ctx, cfg, c.log(), operate.DeleteOptions{Stream: stream, Confirm: c.confirm(ctx)}))
	case Replay:
		return c.replay(ctx, cfg, span)
	case Audit:
		_, err = operate.Audit(ctx, cfg, c.log(), operate.AuditOptions{
			Range: operate.Range{Span: span}, Step: time.Hour, Repair: true, Report: c,
			Confirm: func(operate.AuditCost) bool { return pipeline.Sleep(ctx, c.event.For) == nil },
		})
		return err
	default:
		_, _, err = operate.SumWindows(ctx, cfg, c.log(), operate.Range{Span: span}, time.Hour)
		return err
	}
}

// position is where a stream stands by its newest checkpoint; fallback where there is none.
func (a *app) position(stream pipeline.Stream, fallback time.Time) time.Time {
	end := fallback
	for record := range a.records(prefix + ".checkpoints") {
		var p struct {
			Stream string    `json:"stream"`
			Replay string    `json:"replay"`
			End    time.Time `json:"end_time"`
		}
		if json.Unmarshal(record.Value, &p) == nil && p.Stream == stream.String() && p.Replay == "" {
			end = p.End
		}
	}
	return end
}

// grant allows rows to be seen once more, from now on: a command that dies may have done everything.
func (a *app) grant(l licence) *licence {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.licences = append(a.licences, &l)
	return &l
}

// done closes a licence that has no end: what came to be read after the command was not read before it. A command that has failed, and says so,
// has left nothing behind, unless it says that it does not know.
func (c *command) done(l *licence, err error) error {
	c.app.mu.Lock()
	defer c.app.mu.Unlock()
	if l.to.IsZero() {
		l.to = time.Now()
	}
	l.sure = err == nil
	if err != nil && !c.killed.Load() && !errors.Is(err, pipeline.ErrInDoubt) {
		c.licences = slices.DeleteFunc(c.licences, func(other *licence) bool { return other == l })
	}
	return err
}

func (c *command) replay(ctx context.Context, cfg *settings.Config, span operate.Span) error {
	r, err := operate.NewReplay(cfg, c.log(), operate.ReplayOptions{Span: span})
	if err != nil {
		return err
	}
	defer r.Close()
	if err = r.Connect(ctx); err != nil {
		return err
	}
	if _, err = r.Resume(ctx, c.confirm(ctx)); err != nil {
		return err
	}
	granted := c.grant(licence{
		what: c.event.String(), from: span.From.At, to: span.To.At, replay: r.ID(), prefix: cfg.Topics.Prefix,
	})
	if _, err = r.Estimate(ctx); err != nil {
		return err
	}
	if _, err = r.Open(ctx); err != nil {
		return err
	}
	result, err := r.Run(ctx)
	if err != nil {
		return err
	}
	c.app.mu.Lock()
	defer c.app.mu.Unlock()
	granted.sure = result.Complete
	return nil
}

// Note implements [operate.AuditReport].
func (c *command) Note(text string) { c.trace.add("%s: %s", c.name, text) }

// Difference implements [operate.AuditReport].
func (c *command) Difference(d *audit.Difference) error {
	if len(d.Missing) > 0 && d.End.Before(c.missing) {
		c.missing = d.End
	}
	c.trace.add("%s: %s known %d of %d, missing %+v, gone %v, extra %d", c.name, d.Window, d.Known, d.Total, d.Missing, d.Gone, d.Extra)
	return nil
}

// Holes implements [operate.AuditReport].
func (c *command) Holes(holes []audit.Hole) error {
	c.trace.add("%s: holes %v", c.name, holes)
	c.holes = holes
	return nil
}

// Statistics implements [operate.AuditReport].
func (*command) Statistics([]operate.DayCounts) error { return nil }

package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// Where the clocks disagree, nothing is planned that only one of them allows. Waiting costs nothing in the days that the API holds,
// so a stream waits until the clocks have made up, and that is told.

const (
	// gapAfter is for how long the clocks have to have been steady before time is given up as gone.
	gapAfter = 5 * time.Minute
	// doubtWait is how often the server is asked for its clock while a stream waits.
	doubtWait = 10 * time.Second
	// futureSlack is how far in the future a position may lie, for the clocks may have been set since it was made.
	futureSlack = time.Minute
	// longestLook is the longest window in which rows are looked for.
	longestLook = pipeline.LongestWindow - time.Second
)

// ErrInFuture is a position that lies in the future by both clocks. It may be they that are wrong, so a later start may succeed.
var ErrInFuture = errors.New("the checkpoint is in the future")

// refuse is the error of a position that lies in the future by both clocks, nil otherwise. A stream that begins may begin later.
func (r *reading) refuse(s pipeline.Stream, p pipeline.Position) error {
	if r.server.IsZero() || p.Span <= 0 || !p.End.After(r.latest().Add(futureSlack)) {
		return nil
	}
	return &pipeline.Fault{
		Class: pipeline.Permanent, Op: "go on with " + s.String(),
		Err: fmt.Errorf("%w: its end_time is %s, %s", ErrInFuture, pipeline.FormatTime(p.End), r.both()),
		Hint: fmt.Sprintf("a clock was wrong when it was made. Rows since then may not be published: set it to a time before that with "+
			"`jmpub checkpoint reset %s --to TIME`", s),
	}
}

// doubt is why a plan cannot be trusted yet; nil where it can. A server whose clock is so far ahead that all which is proven to have
// come would have left its history says nothing of it: had it been right, its newest row would have shown that.
func (c *Client) doubt(r *reading, p pipeline.Position, plan pipeline.Plan) error {
	oldest := r.server.Add(-c.planner.retention)
	switch {
	case p.End.After(r.now().Add(futureSlack)):
		return fmt.Errorf("its position %s has not come yet: %s", pipeline.FormatTime(p.End), r.both())
	case oldest.Sub(plan.Window.Begin) > clockSlack && oldest.Before(r.proven):
		return fmt.Errorf("%s has left the API's history by its own clock alone: %s", pipeline.FormatTime(plan.Window.Begin), r.both())
	case plan.Gap != nil && r.steady < c.cfg.GapAfter:
		return fmt.Errorf("%s has left the API's history, which is certain once the clocks have been steady for %s: %s",
			plan.Gap, c.cfg.GapAfter, r.both())
	default:
		return nil
	}
}

// waitInDoubt tells why a stream waits, and asks for the server's clock after a while.
func (c *Client) waitInDoubt(ctx context.Context, s pipeline.Stream, doubt error) error {
	wait := min(doubtWait, c.cfg.GapAfter)
	c.cfg.Observer.Retry("plan the next window ["+s.String()+"]", doubt, wait)
	if err := pipeline.Sleep(ctx, wait); err != nil {
		return err
	}
	return c.learnClock(ctx, s, func() bool { return c.clock.heardSince(time.Now().Add(-wait)) })
}

// askClock asks for one row of a stream, for the sake of the reply's Date.
func (c *Client) askClock(ctx context.Context, s pipeline.Stream) error {
	ask := func(now time.Time) error {
		// The middle of the history is inside it even if the clock is days off.
		end := now.UTC().Add(-pipeline.History / 2).Truncate(time.Second)
		w := pipeline.Window{Begin: end.Add(-time.Second), End: end}
		_, err := c.ask(ctx, c.windowRequest(s, w, 1, "ask the API for its clock with "+s.String()))
		return err
	}
	local := c.clock.read().local
	err := ask(local)
	if err == nil || ctx.Err() != nil || pipeline.ClassOf(err) != pipeline.Permanent {
		return err
	}
	// A refusal has a Date too: if the local clock is months off, the window was.
	if server := c.clock.read().server; !server.IsZero() && server.Sub(local).Abs() > pipeline.History/2 {
		return ask(server)
	}
	return err
}

// proveClock looks for rows in the time that only the server says has come: they show that it is right, and that the local clock is
// behind. A server whose clock is ahead has none there. That they cannot be asked for shows nothing.
func (c *Client) proveClock(ctx context.Context, s pipeline.Stream) error {
	from, to, ok := c.clock.unproven()
	if !ok {
		return nil
	}
	from, to = from.Truncate(time.Second), to.Truncate(time.Second)
	oldest := to.Add(retentionMargin - c.planner.retention)
	spans := []pipeline.Window{{Begin: later(from, oldest), End: to}}
	if oldest.After(from) { // The server is ahead, or the local clock far behind.
		spans = append(spans, pipeline.Window{Begin: from, End: earlier(oldest, from.Add(longestLook))})
	}
	for _, span := range spans {
		for end := span.End; end.After(span.Begin); {
			w := pipeline.Window{Begin: later(span.Begin, end.Add(-longestLook)), End: end}
			rows, err := c.newestRows(ctx, s, &w, time.Second)
			if err != nil {
				return ctx.Err()
			}
			if newest, ok := newestOf(rows, w.End); ok {
				c.clock.observeRow(newest)
				return nil
			}
			end = w.Begin
		}
	}
	return nil
}

// newestOf is the newest time at which the server stored one of some rows. One that is later than it can be is damaged.
func newestOf(rows [][]byte, end time.Time) (newest time.Time, ok bool) {
	normalizer := event.NewNormalizer("")
	for _, row := range rows {
		e, rejection := normalizer.Normalize(row)
		if rejection != nil || e.ServerTime <= 0 {
			continue
		}
		if at := time.UnixMilli(e.ServerTime); at.After(newest) && at.Before(end.Add(time.Second)) {
			newest, ok = at, true
		}
	}
	return newest, ok
}

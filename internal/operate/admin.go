package operate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/web"
	"github.com/jmpub/jmpub/pipeline"
)

// administrator changes what the API is asked to: by the functions that commands call, with the app's configuration.
type administrator struct{ process *Process }

var _ web.Operator = (*administrator)(nil)

// The actions, as notices name them.
const (
	actionReset      = "reset"
	actionReplay     = "replay"
	actionReplayStop = "replay_stop"
	actionAudit      = "audit"
	actionPause      = "pause"
	actionResume     = "resume"
)

// notice says who has changed what. The whole app is meant where the stream has no kind.
func notice(cfg *settings.Config, c *web.Call, action string, s pipeline.Stream, detail string) pipeline.Notice {
	now := time.Now().UTC()
	whole := s.Kind == ""
	if whole {
		s = cfg.Contact()
	}
	return pipeline.Notice{
		Kind: pipeline.NoticeAdmin, AppKey: cfg.Source.AppKey, Stream: s, Detail: detail, At: now,
		Window: pipeline.Window{Begin: now.Truncate(time.Second), End: now.Truncate(time.Second)},
		Admin:  &pipeline.Admin{Action: action, App: whole, By: c.By, Remote: c.Remote},
	}
}

// noticeWriter is the name of the writer of notices that come with nothing else. No replay can have it.
const noticeWriter = "~notices"

// noticeTries is how often a notice is tried: another process may write one at the same moment.
const noticeTries = 5

// notify publishes a notice that comes with nothing else, in a transaction of its own. It fences nobody who publishes.
func notify(ctx context.Context, w *wiring, n *pipeline.Notice) error {
	w.writer = noticeWriter
	out, err := w.openOutput(ctx)
	if err != nil {
		return err
	}
	if err = w.checkWrite(ctx, out); err != nil {
		return err
	}
	records, err := out.store.Stage(&pipeline.Commit{Notices: []pipeline.Notice{*n}})
	if err != nil {
		return err
	}
	for range noticeTries {
		if err = publishAlone(ctx, out, records); err == nil {
			logNotice(w.log, n)
			return nil
		}
		if class := pipeline.ClassOf(err); class != pipeline.Abort && class != pipeline.Fenced || errors.Is(err, pipeline.ErrInDoubt) {
			break
		}
	}
	return fmt.Errorf("publish the notice of it: %w", startError(err))
}

// publishAlone writes records in a transaction of their own.
func publishAlone(ctx context.Context, out *output, records []pipeline.Record) error {
	out.sink.Forget()
	if err := out.sink.Open(ctx); err != nil {
		return err
	}
	tx, err := out.sink.Begin(ctx)
	if err != nil {
		return err
	}
	if err = tx.Append(ctx, records); err != nil {
		return errors.Join(err, tx.Abort(context.WithoutCancel(ctx))) // Nobody waits for what is not ended.
	}
	return tx.Commit(ctx)
}

// Reset implements [web.Operator].
func (a *administrator) Reset(ctx context.Context, c web.Call, r web.ResetRequest) (*web.ResetAnswer, error) {
	cfg, log, err := a.process.find(c.App)
	if err != nil {
		return nil, err
	}
	stream, err := pipeline.ParseStream(r.Stream)
	if err != nil {
		return nil, usage.Errorf("stream: %w", err)
	}
	found := &web.ResetAnswer{DryRun: r.DryRun}
	o := ResetOptions{Stream: stream, Confirm: func(question string) bool {
		found.Question = question
		return !r.DryRun
	}}
	if o.To, err = settings.ParseMoment("to", r.To, cfg.Source.TimeZone); err != nil {
		return nil, err
	}
	detail := "its position was set to " + r.To
	if r.From != "" {
		o.From = new(settings.Moment)
		if *o.From, err = settings.ParseMoment("from", r.From, cfg.Source.TimeZone); err != nil {
			return nil, err
		}
		detail = "this time is published once more"
	}
	o.Notice = new(notice(cfg, &c, actionReset, stream, detail))
	cp, err := Reset(ctx, cfg, log, o)
	switch {
	case r.DryRun && found.Question != "" && cp == nil:
		return found, nil
	case err != nil:
		return nil, err
	}
	found.Position = new(web.NewPosition(cp))
	return found, nil
}

// Pause implements [web.Operator].
func (a *administrator) Pause(ctx context.Context, c web.Call, r web.PauseRequest, paused bool) (*web.PauseAnswer, error) {
	cfg, log, err := a.process.find(c.App)
	if err != nil {
		return nil, err
	}
	o := PauseOptions{Resume: !paused, By: c.By, Remote: c.Remote}
	if r.Stream != "" {
		stream, failed := pipeline.ParseStream(r.Stream)
		if failed != nil {
			return nil, usage.Errorf("stream: %w", failed)
		}
		o.Streams = []pipeline.Stream{stream}
	}
	next, err := Pause(ctx, cfg, log, o)
	if err != nil {
		return nil, err
	}
	return pauseAnswer(next), nil
}

// pauseAnswer is what is paused, and what that means.
func pauseAnswer(p *pipeline.Pause) *web.PauseAnswer {
	found := &web.PauseAnswer{App: p.App, Streams: []string{}}
	for _, s := range p.Streams {
		found.Streams = append(found.Streams, s.String())
	}
	switch {
	case p.App:
		found.Text = "nothing of the app is published, by whichever process has it, until it is resumed; the API keeps 60 days"
	case p.Any():
		found.Text = "nothing of these streams is published, by whichever process has the app, until they are resumed; the API keeps 60 days"
	default:
		found.Text = "nothing is paused; what was goes on within some seconds, from where it stood"
	}
	return found
}

package operate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jmpub/jmpub/internal/check"
	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/words"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/source"
)

// CheckOptions say what is checked besides the settings that all have in common.
type CheckOptions struct {
	// Version is this release.
	Version string
	// Apps are those of a file; without a file, the one that the settings name. There is at least one.
	Apps []*settings.Config
	// Told is called with each finding, in order, by one goroutine.
	Told func(*check.Finding)
}

const (
	// probesAtOnce is how many probes look at the same time. Most of them wait for an answer.
	probesAtOnce = 16
	// lookTime bounds a probe that asks once or twice, longLook one that asks more often.
	lookTime = connectTimeout + time.Second
	longLook = time.Minute
	// mostStreams is how many named streams of an app are asked for.
	mostStreams = 50
	// mostZones is of how many apps the messages are held against the time zone, if those of others have not proved it for all.
	mostZones = 20
)

// Check looks at everything that `jmpub run` needs, with the words and the requests of `jmpub run` as far as it has them, and changes nothing:
// nobody is fenced, no topic and no schema is made, and the one transaction that is begun is aborted. cfg is what the apps have in common.
func Check(ctx context.Context, cfg *settings.Config, o CheckOptions) *check.Report {
	c := &checking{
		cfg: cfg, version: o.Version, apps: o.Apps, shared: &shared{transport: source.NewTransport()}, pace: source.NewPace(cfg.Source.Rate),
		redactor: cfg.Redactor,
	}
	defer c.shared.transport.CloseIdleConnections()
	defer func() {
		if c.conn != nil {
			c.conn.Close()
		}
	}()
	c.add(&check.Probe{Subject: "settings", Within: lookTime, Look: c.lookAtSettings})
	if len(o.Apps) == 1 {
		c.addAPI()
		c.addKafka()
	} else {
		c.addKafka()
		c.addAPI()
	}
	return check.Run(ctx, c.probes, probesAtOnce, o.Told)
}

// checking makes the probes of a check.
type checking struct {
	cfg      *settings.Config
	version  string
	apps     []*settings.Config
	probes   []*check.Probe
	redactor secret.Redactor
	// shared is what the apps' clients share, pace how often apps are asked for.
	shared *shared
	pace   *source.Pace
	// conn is set by the probe of the brokers, for those that need it.
	conn *kafka.Conn
}

// add adds a probe whose findings show no credentials, and returns it.
func (c *checking) add(p *check.Probe) *check.Probe {
	look := p.Look
	p.Look = func(ctx context.Context) []check.Finding {
		const most = 8 << 10
		found := look(ctx)
		for i := range found {
			found[i].Text, found[i].Fix = c.redactor.Begin(found[i].Text, most), c.redactor.Begin(found[i].Fix, most)
		}
		return found
	}
	c.probes = append(c.probes, p)
	return p
}

// appKey names an app where there are several.
func (c *checking) appKey(app *settings.Config) string {
	if len(c.apps) == 1 {
		return ""
	}
	return app.Source.AppKey
}

func (c *checking) lookAtSettings(context.Context) []check.Finding {
	text := "delivery is " + c.cfg.Delivery() + ", to " + c.cfg.TopicNames()
	if len(c.apps) > 1 {
		text = words.Count(len(c.apps), "app", "apps") + "; " + text
	}
	if c.cfg.ExactlyOnce() {
		text += ", group " + c.cfg.Group
	}
	found := []check.Finding{check.Fine(text)}
	known := make(map[settings.Warning]bool)
	warn := func(app string, all []settings.Warning) {
		for _, w := range all {
			if !known[w] {
				known[w] = true
				found = append(found, check.Finding{App: app, Level: check.Warning, Text: w.Setting + ": " + w.Detail, Fix: w.Hint})
			}
		}
	}
	warn("", c.cfg.Warnings)
	for _, app := range c.apps {
		warn(c.appKey(app), app.Warnings)
	}
	return found
}

// warnings take in what would be a warning in the log, for the findings of a probe. Safe for concurrent use.
type warnings struct {
	mu    sync.Mutex
	found []check.Finding
}

// warn is a warning as the adapters tell it.
func (w *warnings) warn(message string, attrs ...slog.Attr) {
	f := check.Finding{Level: check.Warning}
	f.Text, f.Fix = sentence(message, attrs)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.found = append(w.found, f)
}

// take returns what came since it was called last.
func (w *warnings) take() []check.Finding {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.found
	w.found = nil
	return taken
}

// sentence is a line of the log as people read it, and its hint.
func sentence(message string, attrs []slog.Attr) (text, hint string) {
	var about []string
	for _, a := range attrs {
		if a.Key == "hint" {
			hint = a.Value.String()
			continue
		}
		about = append(about, a.Key+" "+a.Value.String())
	}
	if len(about) > 0 {
		message += " (" + strings.Join(about, ", ") + ")"
	}
	return message, hint
}

// probeWiring is the wiring of a probe, which tells nothing but what its findings are.
func probeWiring(cfg *settings.Config, observers ...pipeline.Observer) *wiring {
	w := newWiring(cfg, slog.New(slog.DiscardHandler), observers...)
	w.retry.Notify = nil
	return w
}

// mostTries is how often a request is tried that fails: a run would go on.
const mostTries = 4

// fewTries give a request up that a run would go on with. It is used by one goroutine at a time.
type fewTries struct {
	// last is what the request has failed with, count how often.
	last   error
	count  int
	giveUp func()
}

// retry is the policy of requests that try sends.
func (f *fewTries) retry() pipeline.Retry {
	return pipeline.Retry{Notify: func(_ string, err error, _ time.Duration) {
		f.last = err
		if f.count++; f.count >= mostTries {
			f.giveUp()
		}
	}}
}

// try does something that sends requests, and returns what they failed with rather than that they were given up.
func (f *fewTries) try(ctx context.Context, send func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.last, f.count, f.giveUp = nil, 0, cancel
	err := send(ctx)
	if fault, ok := errors.AsType[*pipeline.Fault](f.last); ok && isContextDone(err) {
		return &pipeline.Fault{
			Class: fault.Class, Op: fmt.Sprintf("given up after %s: %s", words.Count(f.count, "try", "tries"), fault.Op), Err: fault.Err, Hint: fault.Hint,
		}
	}
	return err
}

func isContextDone(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// lookedUp makes findings of an error that a run would leave with, or wait for.
func lookedUp(err error) []check.Finding {
	if err == nil {
		return nil
	}
	if fault, ok := errors.AsType[*pipeline.Fault](err); ok && errors.Is(err, context.DeadlineExceeded) { // It waited for what the fault says.
		f := check.Failed(fault)
		f.Text = context.DeadlineExceeded.Error() + ": " + f.Text
		return check.Blocking(f)
	}
	return check.Blocking(check.Failed(err))
}

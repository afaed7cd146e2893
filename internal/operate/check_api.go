package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jmpub/jmpub/internal/check"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/words"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/source"
)

// appCheck is what the probes of an app know of the API.
type appCheck struct {
	c        *checking
	cfg      *settings.Config
	wiring   *wiring
	client   *source.Client
	warnings warnings
	// tolerated and failed are what the first contact has brought, unauthorized whether the API refused the credentials.
	tolerated, failed error
	unauthorized      atomic.Bool
	clocks            atomic.Pointer[pipeline.ClocksCompared]
	quota             atomic.Pointer[pipeline.QuotaTold]
	// few are the tries of a request, of which one is under way at a time.
	few fewTries
}

// addAPI adds what is asked of the API. Where it cannot be reached by the first app, the others do not try.
func (c *checking) addAPI() {
	first := c.newAppCheck(c.apps[0])
	api := c.add(&check.Probe{Subject: "API", Within: lookTime, Look: first.lookAtAPI})
	c.add(&check.Probe{Subject: "clock", Within: lookTime, Needs: []*check.Probe{api}, Look: first.lookAtClock})
	queue := time.Duration(len(c.apps)) * c.cfg.Source.Rate.Per / time.Duration(c.cfg.Source.Rate.Requests)
	for i, cfg := range c.apps {
		a := first
		if i > 0 {
			a = c.newAppCheck(cfg)
		}
		add := func(subject string, within time.Duration, look func(context.Context) []check.Finding, needs ...*check.Probe) *check.Probe {
			return c.add(&check.Probe{Subject: subject, App: c.appKey(cfg), Within: within + queue, Needs: needs, Look: look})
		}
		contact := add("credentials", lookTime, a.lookAtCredentials, api)
		add("quota", lookTime, a.lookAtQuota, contact)
		if i < mostZones {
			contact = add("time zone", longLook, a.lookAtZone, contact)
		}
		add("streams", longLook, a.lookAtStreams, contact)
	}
}

func (c *checking) newAppCheck(cfg *settings.Config) *appCheck {
	a := &appCheck{c: c, cfg: cfg}
	a.wiring = probeWiring(cfg, func(o pipeline.Observation) {
		switch o := o.(type) {
		case pipeline.RequestAnswered:
			a.unauthorized.Store(o.Class == "unauthorized")
		case pipeline.ClocksCompared:
			a.clocks.Store(&o)
		case pipeline.QuotaTold:
			a.quota.Store(&o)
		default:
		}
	})
	a.wiring.retry = a.few.retry()
	return a
}

// meet makes the first contact, once.
func (a *appCheck) meet(ctx context.Context) {
	src := a.cfg.Source
	src.Observer, src.Warn, src.Zones, src.Transport = a.wiring.observer, a.warnings.warn, &a.c.shared.zones, a.c.shared.transport
	src.Retry = a.wiring.retry
	if a.client, a.failed = source.New(src); a.failed != nil {
		return
	}
	a.failed = a.few.try(ctx, func(ctx context.Context) (err error) {
		a.few.giveUp = func() { a.wiring.giveUp() }
		a.tolerated, err = a.wiring.meet(ctx, a.client)
		return err
	})
	if a.failed != nil && !a.unauthorized.Load() && !errors.As(a.failed, &usage.Error{}) {
		a.failed = checkAddress(ctx, "JMPUB_API_URL", a.cfg.Source.BaseURL, a.failed)
	}
	if isContextDone(a.tolerated) {
		a.tolerated = a.few.last
	}
}

// lookAtAPI tells whether there is an API, whatever it says to the app.
func (a *appCheck) lookAtAPI(ctx context.Context) []check.Finding {
	began := time.Now()
	a.meet(ctx)
	found := a.warnings.take()
	switch {
	case a.failed != nil && !a.unauthorized.Load():
		return append(found, lookedUp(a.failed)...)
	case a.tolerated != nil && pipeline.ClassOf(a.tolerated) != pipeline.Drop:
		f := check.Of(check.Warning, a.tolerated)
		f.Text, f.Fix = "it is there, and does not answer as it should; `jmpub run` waits for that: "+f.Text, ""
		return append(found, check.Blocking(f)...)
	default:
		return append([]check.Finding{check.Fine(a.cfg.Source.BaseURL + " answers within " + roundly(time.Since(began)))}, found...)
	}
}

// roundly is a time without digits that nobody reads.
func roundly(d time.Duration) string {
	if d < time.Second {
		return max(time.Millisecond, d.Round(time.Millisecond)).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

func (a *appCheck) lookAtClock(context.Context) []check.Finding {
	clocks := a.clocks.Load()
	if clocks == nil {
		return []check.Finding{{Level: check.Skipped, Text: "not checked, because no reply of the API had a Date"}}
	}
	ahead := clocks.Local.Sub(clocks.Server)
	if ahead.Abs() <= source.ClockSlack {
		return []check.Finding{check.Fine("this machine's and the API's agree")}
	}
	side := "ahead of"
	if ahead < 0 {
		side = "behind"
	}
	f := check.Finding{
		Level: check.Warning,
		Text: fmt.Sprintf("this machine's clock says %s, which is %s %s the API's; nothing is read that only one of them says is over",
			a.cfg.Time(clocks.Local), ahead.Abs().Round(time.Second), side),
		Fix: clocksHint,
	}
	if clocks.Disagree {
		f.Level = check.Error
	}
	return []check.Finding{f}
}

func (a *appCheck) lookAtCredentials(ctx context.Context) []check.Finding {
	if a.client == nil && a.failed == nil {
		if err := a.c.pace.Wait(ctx); err != nil {
			return lookedUp(err)
		}
		a.meet(ctx)
	}
	found := a.warnings.take()
	switch {
	case a.failed != nil:
		return append(found, lookedUp(a.failed)...)
	case a.tolerated != nil && pipeline.ClassOf(a.tolerated) != pipeline.Drop:
		return append(found, check.Blocking(check.Of(check.Warning, a.tolerated))...)
	default:
		return append([]check.Finding{check.Fine("the API takes them")}, found...)
	}
}

func (a *appCheck) lookAtQuota(context.Context) []check.Finding {
	told := a.quota.Load()
	if told == nil {
		return []check.Finding{check.Fine(fmt.Sprintf("the API says nothing of one; jmpub asks %s at most (JMPUB_API_RATE)", a.cfg.Source.Rate))}
	}
	rate := a.cfg.Source.Rate
	perMinute := int(float64(rate.Requests) * float64(time.Minute) / float64(rate.Per))
	const small = 10 // A tenth.
	switch {
	case told.Limit > 0 && perMinute > told.Limit:
		return []check.Finding{{
			Level: check.Warning, Text: fmt.Sprintf("the API allows %s a minute, and JMPUB_API_RATE is %s", words.Requests(told.Limit), rate),
			Fix: fmt.Sprintf("set JMPUB_API_RATE=%d/m, or less where others use the same app", told.Limit),
		}}
	case told.Limit > 0 && told.Remaining < told.Limit/small:
		return []check.Finding{{
			Level: check.Warning, Text: fmt.Sprintf("of %s a minute, %d are left: somebody uses them", words.Requests(told.Limit), told.Remaining),
			Fix: "find out who else asks with this app's credentials; a `jmpub run` that catches up is no reason to worry",
		}}
	default:
		return []check.Finding{check.Fine(fmt.Sprintf("%d of %s a minute are left; jmpub asks %s at most", told.Remaining, words.Requests(told.Limit), rate))}
	}
}

func (a *appCheck) lookAtZone(ctx context.Context) []check.Finding {
	stream := a.cfg.Contact()
	if a.tolerated != nil { // That one is gone.
		stream = pipeline.Stream{Kind: pipeline.StreamMessages}
	}
	proved := false
	err := a.few.try(ctx, func(ctx context.Context) (err error) {
		proved, err = a.client.CheckZone(ctx, stream)
		return err
	})
	zone := a.cfg.Source.TimeZone.String() + " (UTC" + time.Now().In(a.cfg.Source.TimeZone).Format("-07:00") + ")"
	switch {
	case err != nil && pipeline.ClassOf(err) == pipeline.Drop:
		return []check.Finding{check.Of(check.Skipped, fmt.Errorf("not checked, because there are no messages to hold it against: %w", err))}
	case err != nil:
		return lookedUp(err)
	case proved:
		return []check.Finding{check.Fine("messages prove that the API's times are of " + zone)}
	default:
		return []check.Finding{{Level: check.Skipped, Text: "not checked, because the API has no message that would prove " + zone}}
	}
}

// lookAtStreams asks for each stream that the settings name, and for the beginning of each list and each kind of statistics.
func (a *appCheck) lookAtStreams(ctx context.Context) []check.Finding {
	var found []check.Finding
	add := func(name, fine string, err error) {
		f := check.Fine(fine)
		if err != nil {
			f = lookedUp(err)[0]
		}
		f.Subject, f.Blocks = "stream "+name, false
		found = append(found, f)
	}
	ask := func(send func(context.Context) error) error {
		if err := a.c.pace.Wait(ctx); err != nil {
			return err
		}
		return a.few.try(ctx, send)
	}
	now := time.Now()
	if clocks := a.clocks.Load(); clocks != nil && clocks.Server.Before(now) { // What neither clock says has come is not asked for.
		now = clocks.Server
	}
	end := now.Add(-a.cfg.Source.Settle).Truncate(time.Second).UTC()
	day := pipeline.Window{Begin: end.Add(-24 * time.Hour), End: end}
	for i, stream := range a.cfg.Streams[:min(len(a.cfg.Streams), mostStreams)] {
		if i == 0 && len(a.c.apps) > 1 { // The first contact has asked for it.
			add(stream.String(), "the API answers for it", a.tolerated)
			continue
		}
		total := int64(0)
		err := ask(func(ctx context.Context) (err error) {
			total, err = a.client.Total(ctx, stream, day)
			return err
		})
		add(stream.String(), messagesOf(total), err)
	}
	if left := len(a.cfg.Streams) - mostStreams; left > 0 {
		found = append(found, check.Finding{
			Level: check.Skipped, Text: fmt.Sprintf("%d more are not checked, because each takes a request", left),
		})
	}
	for _, stream := range a.cfg.Statistics {
		err := ask(func(ctx context.Context) error {
			_, _, err := a.client.Statistics(ctx, stream, pipeline.PeriodOf(pipeline.Day, now.In(a.cfg.Source.TimeZone)), 1)
			return err
		})
		add(stream.String(), "the app may read them", err)
	}
	for _, kind := range a.cfg.Discover {
		entries := int64(-1)
		err := ask(func(ctx context.Context) (err error) {
			entries, err = a.client.Peek(ctx, kind)
			return err
		})
		add(string(kind)+"/*", entriesOf(entries), err)
	}
	return slices.Concat(found, a.warnings.take())
}

func messagesOf(total int64) string {
	if total < 0 {
		return "there are messages of the last 24 hours"
	}
	return words.Count(total, "message", "messages") + " of the last 24 hours"
}

func entriesOf(total int64) string {
	if total < 0 {
		return "the app may read the list"
	}
	return "the list has " + words.Count(total, "entry", "entries")
}

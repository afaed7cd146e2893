package source

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// The API takes its times without a zone. With a wrong one it is asked for other hours than is thought, and where those are in the
// future it answers, without an error, that there are no messages. So before the first window is planned, the newest messages
// that it has are looked for and held against the time that they were asked for: one of a message's clocks is the one that the
// API goes by.

const (
	// zoneWindow is the length of the windows in which messages are held against the time: with the slack on both sides it is
	// shorter than the least difference between two zones, which is a quarter of an hour.
	zoneWindow = 10 * time.Minute
	zoneSlack  = time.Minute
	zoneStep   = 15 * time.Minute
	// zoneMost is the greatest difference between two zones: UTC-12 and UTC+14.
	zoneMost = 26 * time.Hour
	// zoneAgree is how many messages that are off by the same difference tell that the zone is wrong, and of how many apps the messages tell all
	// others that it is right; zoneSeen is after how many that are off by different ones nothing is known.
	zoneAgree = 3
	zoneSeen  = 20
)

// Zones are those that the messages of apps have proved, each of the API at an address. Clients that are given the same ones look for messages
// only until those of zoneAgree apps have: the API at an address has one zone, whichever app it is asked for, and the senders' clocks of one
// app may be wrong in the same way. Safe for concurrent use; the zero value is ready.
type Zones struct {
	mu sync.Mutex
	// apps are those whose messages have proved a zone.
	apps map[provedZone]map[string]bool
}

// provedZone is what was proved: that the times of the API at an address are so many seconds east of UTC.
type provedZone struct {
	address string
	offset  int
}

// proved tells whether a zone is proved for all apps.
func (z *Zones) proved(zone provedZone) bool {
	if z == nil {
		return false
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	return len(z.apps[zone]) >= zoneAgree
}

// prove takes in that the messages of an app have proved a zone.
func (z *Zones) prove(zone provedZone, app string) {
	if z == nil {
		return
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.apps == nil {
		z.apps = make(map[provedZone]map[string]bool)
	}
	if z.apps[zone] == nil {
		z.apps[zone] = make(map[string]bool)
	}
	if len(z.apps[zone]) < zoneAgree {
		z.apps[zone][app] = true
	}
}

// toProve is the zone that the settings say.
func (c *Client) toProve() provedZone {
	_, offset := time.Now().In(c.cfg.TimeZone).Zone() // It does not change; see [Config.Validate].
	return provedZone{c.cfg.BaseURL, offset}
}

// zoneProof is whether the time zone was proved. It is used by whoever has the turn.
type zoneProof struct {
	turn chan struct{}
	done bool
}

func newZoneProof() zoneProof { return zoneProof{turn: make(chan struct{}, 1)} }

// proveZone returns once it is known that the zone is right, or that the history has nothing that would tell. A wrong zone is an
// error of class [pipeline.Permanent].
func (c *Client) proveZone(ctx context.Context, s pipeline.Stream) error {
	if !c.cfg.ProveZone {
		return nil
	}
	select {
	case c.zone.turn <- struct{}{}:
		defer func() { <-c.zone.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for !c.zone.done {
		_, wrong, err := c.compareZone(ctx, s)
		switch known := c.clock.read(); {
		case wrong != nil:
			return wrong
		case err == nil:
			c.zone.done = true
		case pipeline.ClassOf(err) == pipeline.Permanent && known.disputed():
			if err = c.waitInDoubt(ctx, s, err); err != nil { // It was asked for a history that the API has not.
				return err
			}
		default:
			return err
		}
	}
	return nil
}

// CheckZone holds the zone against messages now. It is proved where one of them shows that it is right, and nothing is known where there is
// neither that nor an error. Of class [pipeline.Permanent] is a zone that is wrong.
func (c *Client) CheckZone(ctx context.Context, s pipeline.Stream) (proved bool, err error) {
	proved, wrong, err := c.compareZone(ctx, s)
	if wrong != nil {
		return false, wrong
	}
	return proved, err
}

// compareZone holds the newest messages against the time; wrong says that the zone is, proved that it is right.
func (c *Client) compareZone(ctx context.Context, s pipeline.Stream) (proved bool, wrong, err error) {
	now, err := c.Now(ctx, s)
	if err != nil {
		return false, nil, err
	}
	end := now.Add(-c.cfg.Settle).Truncate(time.Second).UTC()
	oldest := now.Add(-pipeline.History + time.Minute).Truncate(time.Second).UTC()
	seen := zoneSamples{shifts: make(map[time.Duration]int)}
	for span := zoneWindow; !seen.enough() && !c.cfg.Zones.proved(c.toProve()) && end.After(oldest); span = min(6*span, pipeline.LongestWindow-time.Second) {
		w := pipeline.Window{Begin: end.Add(-span), End: end}
		if w.Begin.Before(oldest) {
			w.Begin = oldest
		}
		rows, err := c.newestRows(ctx, s, &w, zoneWindow)
		if err != nil {
			return false, nil, err
		}
		if end = w.Begin; len(rows) > 0 {
			span = zoneWindow // From here on, messages are near.
		}
		if shift := seen.add(rows, w); shift != 0 {
			return false, c.wrongZone(w, shift), nil
		}
	}
	if seen.inside {
		c.cfg.Zones.prove(c.toProve(), c.cfg.AppKey)
	}
	return seen.inside || c.cfg.Zones.proved(c.toProve()), nil, nil
}

// zoneSamples are messages that were held against the time.
type zoneSamples struct {
	// shifts counts those that are off by each difference; rows is how many were seen; inside tells that one was not off.
	shifts map[time.Duration]int
	rows   int
	inside bool
}

// enough tells that the zone is right, or that more messages would tell no more.
func (z *zoneSamples) enough() bool { return z.inside || z.rows >= zoneSeen }

// add takes in rows of a window, and returns by how much the zone is wrong once enough of them agree; 0 otherwise.
func (z *zoneSamples) add(rows [][]byte, w pipeline.Window) time.Duration {
	for _, row := range rows {
		z.rows++
		shift, known := shiftOf(row, w)
		switch {
		case known && shift == 0:
			z.inside = true
			return 0
		case known:
			z.shifts[shift]++
		}
		if z.shifts[shift] == zoneAgree {
			return shift
		}
	}
	return 0
}

// newestRows gives some rows of the newest part of a window that has any, no longer than shortest, and makes the window that part;
// without rows, the window stays as it is.
func (c *Client) newestRows(ctx context.Context, s pipeline.Stream, w *pipeline.Window, shortest time.Duration) ([][]byte, error) {
	part := *w
	long := func() bool { return part.End.Sub(part.Begin) > shortest }
	if long() {
		if total, err := c.Total(ctx, s, part); err != nil || total == 0 {
			return nil, err
		}
	}
	for long() {
		middle := part.Begin.Add(part.End.Sub(part.Begin) / 2).Truncate(time.Second)
		total, err := c.Total(ctx, s, pipeline.Window{Begin: middle, End: part.End})
		switch {
		case err != nil:
			return nil, err
		case total != 0:
			part.Begin = middle
		default:
			part.End = middle
		}
	}
	r := c.windowRequest(s, part, min(zoneSeen, c.cfg.PageSize), "look for the newest messages in "+part.String())
	if _, err := c.ask(ctx, r); err != nil {
		return nil, err
	}
	if len(r.page.rows) > 0 {
		*w = part
	}
	return r.page.rows, nil
}

// shiftOf is by how much a row is off the window that it was asked for with, in steps of a quarter of an hour; 0 if one of its clocks
// lies in it. It is not known of a row without a clock, or whose clocks are off by something else.
func shiftOf(row []byte, w pipeline.Window) (shift time.Duration, known bool) {
	e, rejection := event.NewNormalizer("").Normalize(row)
	if rejection != nil {
		return 0, false
	}
	for _, clock := range []int64{e.ServerTime, e.ClientTime} {
		if clock <= 0 {
			continue
		}
		off := time.UnixMilli(clock).Sub(w.Begin.Add(w.End.Sub(w.Begin) / 2))
		steps := off.Round(zoneStep)
		if steps.Abs() > zoneMost || (off-steps).Abs() > (w.End.Sub(w.Begin)+time.Second)/2+zoneSlack {
			continue
		}
		if steps == 0 {
			return 0, true
		}
		if !known { // The server's clock, where there is one.
			shift, known = steps, true
		}
	}
	return shift, known
}

// wrongZone says which zone it seems to be.
func (c *Client) wrongZone(w pipeline.Window, shift time.Duration) error {
	_, configured := w.Begin.In(c.cfg.TimeZone).Zone()
	actual := time.FixedZone("", configured-int(shift/time.Second))
	return &pipeline.Fault{
		Class: pipeline.Permanent, Op: "prove the API's time zone",
		Err: errors.New("messages that were asked for by " + w.Begin.In(c.cfg.TimeZone).Format(timeForm) + " in " +
			c.cfg.TimeZone.String() + " are of " + w.Begin.Add(shift).In(c.cfg.TimeZone).Format(timeForm)),
		Hint: fmt.Sprintf("the API's times seem to be UTC%s: set JMPUB_API_TIME_ZONE accordingly; JMessage's is Asia/Shanghai",
			w.Begin.In(actual).Format("-07:00")),
	}
}

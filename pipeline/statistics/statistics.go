// Package statistics publishes an app's statistics as they change. Each stream of them is a [pipeline.Member].
package statistics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// Config is what a stream of statistics is made of. AppKey, Stream, Zone and Source are required; the rest works
// when zero.
type Config struct {
	AppKey string
	// Stream is statistics/users, statistics/messages or statistics/groups.
	Stream pipeline.Stream
	// Units are what messages are summed up by; default all. Users and groups have days alone.
	Units []pipeline.Unit
	// Zone is the time zone of the API.
	Zone   *time.Location
	Source Source
	// Every is how often they are read; default 10 min.
	Every time.Duration
	// Recent is how many periods before the present one are read again each time, because they still change; default 3.
	Recent int
	// Observer takes what happens; may be nil.
	Observer pipeline.Observer
}

// The defaults of Config, and how far back the API has them (API document, statistics): the hours of the
// present day, 60 days, two months.
const (
	defaultEvery  = 10 * time.Minute
	defaultRecent = 3
	allDays       = 60
	allMonths     = 2
	// lastLook is how long before a day ends its hours are read once more: afterwards the API has them no longer.
	lastLook = time.Minute
	// futureSlack is how far in the future the last reading may lie, for clocks may have been set since.
	futureSlack = time.Minute
	// attempts is how often a reading begins anew at once because the day moved on, before it waits for the next one's time.
	attempts = 3
)

// Statistics publishes one stream of statistics: at first all that the API has, then, at each interval, the present period and
// those before it. What is published of each period is marked in the checkpoint, so that only what is new or changed is
// published, also after a restart.
type Statistics struct {
	cfg Config
	// refused is why the app gets none: that is reported once.
	refused error
}

var _ pipeline.Member = (*Statistics)(nil)

// New makes a member that publishes a stream of statistics.
func New(cfg Config) *Statistics {
	if cfg.Every <= 0 {
		cfg.Every = defaultEvery
	}
	if cfg.Recent <= 0 {
		cfg.Recent = defaultRecent
	}
	switch {
	case cfg.Stream.Name != string(pipeline.StreamMessages):
		cfg.Units = []pipeline.Unit{pipeline.Day}
	case len(cfg.Units) == 0:
		cfg.Units = []pipeline.Unit{pipeline.Hour, pipeline.Day, pipeline.Month}
	}
	return &Statistics{cfg: cfg}
}

// Run publishes what is new or changed until ctx is done; see [pipeline.Member].
func (s *Statistics) Run(ctx context.Context, session pipeline.Session) error {
	if s.refused != nil {
		return s.refused
	}
	cp := session.Positions()[s.cfg.Stream]
	r := &reader{cfg: &s.cfg, read: cp.End, marks: marksOf(cp.Marks)}
	for {
		news, err := r.refresh(ctx)
		if pipeline.ClassOf(err) == pipeline.Drop { // It is reported now, even if the session is about to end: no other asks again.
			s.refused = err
			s.cfg.Observer.Tell(pipeline.StreamDropped{Stream: s.cfg.Stream, Err: err})
		}
		if err != nil {
			return err
		}
		if news == nil {
			s.cfg.Observer.Tell(pipeline.HeadRead{Stream: s.cfg.Stream, End: r.read})
			continue
		}
		if err := session.Commit(ctx, news); err != nil {
			if errors.Is(err, pipeline.ErrUnreadable) {
				s.cfg.Observer.Tell(pipeline.StreamDropped{Stream: s.cfg.Stream, Err: err})
			}
			return err
		}
	}
}

// reader reads a stream of statistics in one session.
type reader struct {
	cfg *Config
	// read is when they were last read, by the server's clock; zero is never.
	read  time.Time
	marks marks
}

// news puts what is new or changed into a commit: the events, and the ledger record and position that commit with them.
type news = func(ctx context.Context, d *pipeline.Draft) error

// refresh waits until the next reading is due and reads once. Nothing is returned where nothing changed. What is has to be
// committed before anything that a later call returns; if it is not, another session begins at the checkpoint. An error of
// class [pipeline.Drop] ends this stream alone.
func (s *reader) refresh(ctx context.Context) (news, error) {
	for attempt := 1; ; attempt++ {
		now, err := s.wait(ctx)
		if err != nil {
			return nil, err
		}
		started := time.Now()
		rows, requests, err := s.readAll(ctx, now)
		if err == nil {
			return s.compare(now, rows, pipeline.Ledger{Requests: requests, Started: started, Restarts: attempt - 1})
		}
		if pipeline.ClassOf(err) != pipeline.Restart || ctx.Err() != nil {
			return nil, err
		}
		if attempt%attempts == 0 { // The clocks may disagree about which day it is; that passes.
			s.cfg.Observer.Retry("read "+s.cfg.Stream.String(), err, s.cfg.Every)
			if err := pipeline.Sleep(ctx, s.cfg.Every); err != nil {
				return nil, err
			}
		}
	}
}

// wait returns when the next reading is due, with the server's clock in the API's zone.
func (s *reader) wait(ctx context.Context) (time.Time, error) {
	for {
		now, err := s.cfg.Source.Now(ctx, s.cfg.Stream)
		if err != nil {
			return time.Time{}, err
		}
		now = now.In(s.cfg.Zone)
		if s.read.After(now.Add(futureSlack)) { // A clock was wrong then: what was read is not known to be what there was.
			s.read = time.Time{}
		}
		wait := s.due().Sub(now)
		if wait <= 0 {
			return now, nil
		}
		if err := pipeline.Sleep(ctx, wait); err != nil {
			return time.Time{}, err
		}
	}
}

// due is when the next reading is: an interval after the last one, and, because hours of a day that is over cannot be had,
// just before the day ends.
func (s *reader) due() time.Time {
	if s.read.IsZero() {
		return s.read
	}
	due := s.read.Add(s.cfg.Every)
	look := pipeline.PeriodOf(pipeline.Day, s.read.In(s.cfg.Zone)).End().Add(-lastLook)
	if slices.Contains(s.cfg.Units, pipeline.Hour) && s.read.Before(look) && look.Before(due) {
		return look
	}
	return due
}

// plan is what to read of a unit at a time, n periods from first on: all that the API has, or what may have changed since the last reading.
func (s *reader) plan(u pipeline.Unit, now time.Time) (first pipeline.Period, n int) {
	whole := allDays
	switch u {
	case pipeline.Hour:
		whole = now.Hour() + 1
	case pipeline.Month:
		whole = allMonths
	default:
	}
	present := pipeline.PeriodOf(u, now)
	if s.read.IsZero() || !s.marks.have(u) {
		return present.Add(1 - whole), whole
	}
	last := pipeline.PeriodOf(u, s.read.In(s.cfg.Zone)).Add(-s.cfg.Recent)
	for n = 1; n < whole && last.Begin.Before(present.Add(1-n).Begin); {
		n++
	}
	return present.Add(1 - n), n
}

// readAll reads every unit.
func (s *reader) readAll(ctx context.Context, now time.Time) (all []Row, requests int, err error) {
	for _, unit := range s.cfg.Units {
		first, n := s.plan(unit, now)
		rows, sent, err := s.cfg.Source.Statistics(ctx, s.cfg.Stream, first, n)
		if err != nil {
			return nil, 0, err
		}
		requests += sent
		all = append(all, rows...)
	}
	return all, requests, nil
}

// compare finds what is new or changed, and remembers it.
func (s *reader) compare(now time.Time, rows []Row, ledger pipeline.Ledger) (news, error) {
	var records []pipeline.Record
	next := maps.Clone(s.marks)
	for i := range rows {
		row := &rows[i]
		value, err := encodeRow(s.cfg.AppKey, s.cfg.Stream, row)
		if err != nil {
			return nil, &pipeline.Fault{Class: pipeline.Drop, Op: fmt.Sprintf("encode %s of %s", s.cfg.Stream, row.Period), Err: err}
		}
		if !next.set(row.Period, value) {
			continue
		}
		records = append(records, pipeline.Record{
			Topic: pipeline.StatisticsTopic(s.cfg.Stream), Partition: -1,
			Key: []byte(s.cfg.AppKey + "/" + row.Period.String()), Value: value,
		})
		ledger.Published++
	}
	s.read = now
	if len(records) == 0 {
		return nil, nil //nolint:nilnil // Nothing is new, and that is no error.
	}
	next.forget(now)
	s.marks = next
	ledger.AppKey, ledger.Stream = s.cfg.AppKey, s.cfg.Stream
	ledger.Window = windowOf(rows, now)
	ledger.Rows = int64(len(rows))
	ledger.Total = ledger.Rows
	ledger.Skipped = ledger.Rows - ledger.Published
	ledger.Pages = ledger.Requests
	ledger.Duration = time.Since(ledger.Started)
	marks, end, savedAt := next.sorted(), now.UTC().Truncate(time.Second), time.Now()
	return func(ctx context.Context, d *pipeline.Draft) error {
		cp, _ := d.Position(ledger.Stream)
		cp.AppKey, cp.Stream, cp.End, cp.Marks, cp.SavedAt = ledger.AppKey, ledger.Stream, end, marks, savedAt
		d.Append(records...)
		return d.CloseWindow(ctx, ledger, cp)
	}, nil
}

// windowOf is the time that statistics are about, up to now.
func windowOf(rows []Row, now time.Time) pipeline.Window {
	w := pipeline.Window{End: now.UTC().Truncate(time.Second)}
	for _, row := range rows {
		if begin := row.Period.Begin.UTC(); w.Begin.IsZero() || begin.Before(w.Begin) {
			w.Begin = begin
		}
	}
	if w.End.Before(w.Begin) {
		w.End = w.Begin
	}
	return w
}

package pipeline

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// StatisticsConfig is what a stream of statistics is made of. AppKey, Stream, Zone and Source are required; the rest works
// when zero.
type StatisticsConfig struct {
	AppKey string
	// Stream is statistics/users, statistics/messages or statistics/groups.
	Stream Stream
	// Units are what messages are summed up by; default all. Users and groups have days alone.
	Units []Unit
	// Zone is the time zone of the API.
	Zone   *time.Location
	Source StatisticsSource
	// Every is how often they are read; default 10 min.
	Every time.Duration
	// Recent is how many periods before the present one are read again each time, because they still change; default 3.
	Recent int
	// Observer is told what happens; may be nil.
	Observer *Observer
	// Now is the local clock, for records; default time.Now.
	Now Clock
}

// The defaults of StatisticsConfig, and how much of the past the API has (API document, statistics): the hours of the
// present day, 60 days, two months.
const (
	defaultStatisticsEvery  = 10 * time.Minute
	defaultStatisticsRecent = 3
	allDays                 = 60
	allMonths               = 2
	// lastLook is how long before a day ends its hours are read once more: afterwards the API has them no longer.
	lastLook = time.Minute
	// statisticsAttempts is how often a reading begins anew because the day moved on.
	statisticsAttempts = 3
)

// Statistics reads one stream of statistics: at first all that the API has, then, at each interval, the present period and
// those before it. What is published of each period is marked in the checkpoint, so that only what is new or changed is
// published, also after a restart. Not safe for concurrent use.
type Statistics struct {
	cfg StatisticsConfig
	// read is when they were last read, by the server's clock; zero is never.
	read   time.Time
	marks  marks
	counts Counts
	// sequence is that of the newest ledger record.
	sequence int64
}

// NewStatistics begins where a checkpoint says; the zero one is the beginning.
func NewStatistics(cfg StatisticsConfig, cp Checkpoint) *Statistics {
	setDefault(&cfg.Every, defaultStatisticsEvery)
	setDefault(&cfg.Recent, defaultStatisticsRecent)
	cfg.Observer = cfg.Observer.Complete()
	switch {
	case cfg.Stream.Name != string(StreamMessages):
		cfg.Units = []Unit{Day}
	case len(cfg.Units) == 0:
		cfg.Units = []Unit{Hour, Day, Month}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Statistics{cfg: cfg, read: cp.End, marks: marksOf(cp.Seen), counts: cp.Counts, sequence: cp.Sequence}
}

// Next waits for the time of the next reading and reads, again and again, until something is new or changed. What it returns
// has to be committed before anything that a later call returns; if it is not, a new Statistics begins at the checkpoint.
// An error of class [Drop] ends this stream alone.
func (s *Statistics) Next(ctx context.Context) (*Update, error) {
	for {
		update, err := s.refresh(ctx)
		if update != nil || err != nil {
			return update, err
		}
		s.cfg.Observer.Head(s.cfg.Stream, s.read)
	}
}

// refresh waits until the next reading is due and reads once. Nothing is returned where nothing changed.
func (s *Statistics) refresh(ctx context.Context) (*Update, error) {
	for attempt := 1; ; attempt++ {
		now, err := s.wait(ctx)
		if err != nil {
			return nil, err
		}
		started := s.cfg.Now()
		figures, requests, err := s.readAll(ctx, now)
		if err == nil {
			return s.compare(now, figures, Ledger{Requests: requests, Started: started, Restarts: attempt - 1})
		}
		if ClassOf(err) != Restart || ctx.Err() != nil {
			return nil, err
		}
		if attempt == statisticsAttempts {
			return nil, &Fault{Class: Drop, Op: "read " + s.cfg.Stream.String(), Err: err}
		}
	}
}

// wait returns when the next reading is due, with the server's clock in the API's zone.
func (s *Statistics) wait(ctx context.Context) (time.Time, error) {
	for {
		now, err := s.cfg.Source.Now(ctx, s.cfg.Stream)
		if err != nil {
			return time.Time{}, err
		}
		now = now.In(s.cfg.Zone)
		wait := s.due().Sub(now)
		if wait <= 0 {
			return now, nil
		}
		if err := Sleep(ctx, wait); err != nil {
			return time.Time{}, err
		}
	}
}

// due is when the next reading is: an interval after the last one, and, because hours of a day that is over cannot be had,
// just before the day ends.
func (s *Statistics) due() time.Time {
	if s.read.IsZero() {
		return s.read
	}
	due := s.read.Add(s.cfg.Every)
	look := PeriodOf(Day, s.read.In(s.cfg.Zone)).End().Add(-lastLook)
	if slices.Contains(s.cfg.Units, Hour) && s.read.Before(look) && look.Before(due) {
		return look
	}
	return due
}

// stretch is n periods from first on.
type stretch struct {
	first Period
	n     int
}

// plan is what to read of a unit at a time: all that the API has, or what may have changed since the last reading.
func (s *Statistics) plan(u Unit, now time.Time) stretch {
	whole := allDays
	switch u {
	case Hour:
		whole = now.Hour() + 1
	case Month:
		whole = allMonths
	default:
	}
	present := PeriodOf(u, now)
	if s.read.IsZero() || !s.marks.have(u) {
		return stretch{present.Add(1 - whole), whole}
	}
	last := PeriodOf(u, s.read.In(s.cfg.Zone)).Add(-s.cfg.Recent)
	n := 1
	for n < whole && last.Begin.Before(present.Add(1-n).Begin) {
		n++
	}
	return stretch{present.Add(1 - n), n}
}

// readAll reads every unit.
func (s *Statistics) readAll(ctx context.Context, now time.Time) (all []Figures, requests int, err error) {
	for _, unit := range s.cfg.Units {
		part := s.plan(unit, now)
		figures, sent, err := s.cfg.Source.Statistics(ctx, s.cfg.Stream, part.first, part.n)
		if err != nil {
			return nil, 0, err
		}
		requests += sent
		all = append(all, figures...)
	}
	return all, requests, nil
}

// compare makes an update of what is new or changed, and remembers it.
func (s *Statistics) compare(now time.Time, figures []Figures, ledger Ledger) (*Update, error) {
	update := &Update{}
	next := s.marks.clone()
	for i := range figures {
		f := &figures[i]
		value, err := encodeFigures(s.cfg.AppKey, s.cfg.Stream, f)
		if err != nil {
			return nil, &Fault{Class: Drop, Op: fmt.Sprintf("encode %s of %s", s.cfg.Stream, f.Period), Err: err}
		}
		if !next.set(f.Period, value) {
			continue
		}
		update.Records = append(update.Records, Record{
			Topic: StatisticsTopic(s.cfg.Stream), Partition: -1,
			Key: []byte(s.cfg.AppKey + "/" + f.Period.String()), Value: value,
		})
		ledger.Published++
	}
	s.read = now
	if len(update.Records) == 0 {
		return nil, nil //nolint:nilnil // Nothing is new, and that is no error.
	}
	next.forget(now)
	s.marks = next
	ledger.AppKey, ledger.Stream = s.cfg.AppKey, s.cfg.Stream
	ledger.Window = windowOf(figures, now)
	ledger.Rows = int64(len(figures))
	ledger.Total = ledger.Rows
	ledger.Skipped = ledger.Rows - ledger.Published
	ledger.Pages = ledger.Requests
	ledger.Duration = s.cfg.Now().Sub(ledger.Started)
	s.counts.Windows++
	s.sequence++
	ledger.Sequence = s.sequence
	s.counts.Rows += ledger.Rows
	s.counts.Published += ledger.Published
	s.counts.Skipped += ledger.Skipped
	update.Closed = &Closed{Ledger: ledger, Checkpoint: Checkpoint{
		AppKey: s.cfg.AppKey, Stream: s.cfg.Stream, End: now.UTC().Truncate(time.Second),
		Seen: next.sorted(), Sequence: s.sequence, Counts: s.counts, SavedAt: s.cfg.Now(),
	}}
	return update, nil
}

// windowOf is the time that figures are about, up to now.
func windowOf(figures []Figures, now time.Time) Window {
	w := Window{End: now.UTC().Truncate(time.Second)}
	for _, f := range figures {
		if begin := f.Period.Begin.UTC(); w.Begin.IsZero() || begin.Before(w.Begin) {
			w.Begin = begin
		}
	}
	if w.End.Before(w.Begin) {
		w.End = w.Begin
	}
	return w
}

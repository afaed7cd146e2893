package operate

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/web"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

// reader answers what the API asks of the apps that a process has in its settings, whoever publishes them. Each answer opens its own
// connection, so that whoever asks holds up nothing that is published.
type reader struct{ process *Process }

var _ web.Reader = (*reader)(nil)

// find is the configuration and the log of an app; an empty prefix is whatever prefix it has.
func (p *Process) find(name status.AppName) (*settings.Config, *slog.Logger, error) {
	for _, one := range p.seats.all() {
		cfg := one.cfg
		if cfg.Source.AppKey != name.AppKey || name.TopicPrefix != "" && cfg.Topics.Prefix != name.TopicPrefix {
			continue
		}
		if p.opts.Apps != nil {
			return cfg, p.opts.Apps.Log(cfg), nil
		}
		return cfg, p.log, nil
	}
	return nil, nil, web.ErrNoApp
}

// open makes a wiring that reads, and what it reads from.
func (r *reader) open(ctx context.Context, name status.AppName) (*wiring, *output, error) {
	cfg, log, err := r.process.find(name)
	if err != nil {
		return nil, nil, err
	}
	w := newReading(cfg, log)
	out, err := w.openOutput(ctx)
	if err != nil {
		w.Close()
		return nil, nil, err
	}
	return w, out, nil
}

// Positions implements [web.Reader].
func (r *reader) Positions(ctx context.Context, name status.AppName) ([]pipeline.Checkpoint, pipeline.Pause, error) {
	cfg, log, err := r.process.find(name)
	if err != nil {
		return nil, pipeline.Pause{}, err
	}
	return PositionsAndPause(ctx, cfg, log)
}

// span is the range of a question; without a begin it begins so long ago.
func span(cfg *settings.Config, q *web.Question, back time.Duration, now time.Time) (pipeline.Window, error) {
	asked := Span{From: settings.Moment{Back: back}}
	var err error
	if q.From != "" {
		if asked.From, err = settings.ParseMoment("from", q.From, cfg.Source.TimeZone); err != nil {
			return pipeline.Window{}, err
		}
	}
	if q.To != "" {
		if asked.To, err = settings.ParseMoment("to", q.To, cfg.Source.TimeZone); err != nil {
			return pipeline.Window{}, err
		}
	}
	return asked.window(cfg, now)
}

// streams are those that a question names: one, or nil for all.
func streams(q *web.Question) ([]pipeline.Stream, error) {
	if q.Stream == "" {
		return nil, nil
	}
	s, err := pipeline.ParseStream(q.Stream)
	if err != nil {
		return nil, usage.Errorf("stream: %w", err)
	}
	return []pipeline.Stream{s}, nil
}

// question is one that can be answered: of which streams (nil is all), of which time, and where that is read.
type question struct {
	wiring  *wiring
	out     *output
	streams []pipeline.Stream
	within  pipeline.Window
}

// ask opens what a question is answered from, which the caller closes. Without a begin its range begins so long ago.
func (r *reader) ask(ctx context.Context, name status.AppName, q *web.Question, back time.Duration) (*question, error) {
	w, out, err := r.open(ctx, name)
	if err != nil {
		return nil, err
	}
	a := &question{wiring: w, out: out}
	if a.streams, err = streams(q); err == nil {
		a.within, err = span(w.cfg, q, back, time.Now())
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	return a, nil
}

const (
	// windowsBack, coverageBack and noticesBack are how far questions reach back that do not say so.
	windowsBack  = 24 * time.Hour
	coverageBack = 7 * 24 * time.Hour
	noticesBack  = 60 * 24 * time.Hour
	// noticesOfAllBack is that for the notices of all apps.
	noticesOfAllBack = 7 * 24 * time.Hour
	// longestCoverage is the longest range of which coverage is answered, maxCovered of how many streams at once.
	longestCoverage = 61 * 24 * time.Hour
	maxCovered      = 20
	// maxOffsets is of how many ranges of offsets ledger records are answered; a record that has more is the last one of its answer.
	maxOffsets = 20_000
)

// Windows implements [web.Reader]. The ledger is read from the begin of the range on, and the newest records are kept: as many as are asked for.
func (r *reader) Windows(ctx context.Context, name status.AppName, q web.Question) (*web.Windows, error) {
	a, err := r.ask(ctx, name, &q, windowsBack)
	if err != nil {
		return nil, err
	}
	defer a.wiring.Close()
	newest, err := newNewest(q.Cursor, q.Limit)
	if err != nil {
		return nil, err
	}
	_, err = a.out.archive.Ledger(ctx, audit.Query{Streams: a.streams, Since: a.within.Begin}, func(l *pipeline.Ledger, at audit.Place) error {
		if overlap(l.Window, a.within) {
			newest.add(l, at)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return newest.answer(), nil
}

// place is where a ledger record stands among those of all partitions: in the order of their times, and at the same time in that of the log.
type place struct {
	committed int64 // In milliseconds since 1970, as Kafka has it.
	audit.Place
}

// compare has the newer one first.
func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(q.committed, p.committed), cmp.Compare(q.Partition, p.Partition), cmp.Compare(q.Offset, p.Offset))
}

// String is the place as a cursor.
func (p place) String() string { return fmt.Sprintf("%d-%d-%d", p.committed, p.Partition, p.Offset) }

// newest are the newest ledger records of all that are added, behind a cursor. It holds so many, and so many ranges of offsets.
type newest struct {
	before  place
	limit   int
	offsets int
	kept    []placed
	// left tells that older ones were left out.
	left bool
}

type placed struct {
	at place
	l  *pipeline.Ledger
}

func newNewest(cursor string, limit int) (*newest, error) {
	n := &newest{limit: limit}
	if cursor == "" {
		return n, nil
	}
	b := &n.before
	if _, err := fmt.Sscanf(cursor, "%d-%d-%d", &b.committed, &b.Partition, &b.Offset); err != nil || b.String() != cursor {
		return nil, usage.Errorf("cursor: %q is none that was answered", cursor)
	}
	return n, nil
}

// add takes in a record, which is valid during the call.
func (n *newest) add(l *pipeline.Ledger, at audit.Place) {
	p := place{l.Committed.UnixMilli(), at}
	if n.before != (place{}) && n.before.compare(p) >= 0 {
		return
	}
	i, _ := slices.BinarySearchFunc(n.kept, p, func(k placed, p place) int { return k.at.compare(p) })
	if i == n.limit {
		n.left = true
		return
	}
	own := *l
	own.Offsets = slices.Clone(l.Offsets)
	n.kept = slices.Insert(n.kept, i, placed{p, &own})
	n.offsets += len(own.Offsets)
	for len(n.kept) > n.limit || n.offsets > maxOffsets && len(n.kept) > 1 {
		last := len(n.kept) - 1
		n.offsets -= len(n.kept[last].l.Offsets)
		n.kept, n.left = n.kept[:last], true
		n.limit = min(n.limit, max(1, last)) // What is older than what was dropped would be out of place.
	}
}

func (n *newest) answer() *web.Windows {
	found := &web.Windows{Windows: []web.LedgerRecord{}}
	for _, k := range n.kept {
		if k.l.Offsets == nil {
			k.l.Offsets = []pipeline.OffsetRange{}
		}
		found.Windows = append(found.Windows, web.LedgerRecord{Ledger: *k.l, DurationSeconds: k.l.Duration.Seconds(), Committed: k.l.Committed.UTC()})
	}
	if n.left && len(n.kept) > 0 {
		found.Next = n.kept[len(n.kept)-1].at.String()
	}
	return found
}

// Notices implements [web.Reader].
func (r *reader) Notices(ctx context.Context, name status.AppName, q web.Question) (*web.Notices, error) {
	found := &web.Notices{Notices: []pipeline.Notice{}}
	if name.AppKey != "" {
		a, err := r.ask(ctx, name, &q, noticesBack)
		if err != nil {
			return nil, err
		}
		defer a.wiring.Close()
		return found, a.addNotices(ctx, found, q.Limit, a.out.notices, nil)
	}
	for prefix, apps := range r.process.byPrefix() {
		if name.TopicPrefix != "" && name.TopicPrefix != prefix {
			continue
		}
		if err := r.noticesOf(ctx, found, &q, prefix, apps); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// noticesOf adds those of apps that have the same topics.
func (r *reader) noticesOf(ctx context.Context, found *web.Notices, q *web.Question, prefix string, apps map[string]bool) error {
	first := slices.Min(slices.Collect(maps.Keys(apps))) // Any of them can read the topic.
	a, err := r.ask(ctx, status.AppName{AppKey: first, TopicPrefix: prefix}, q, noticesOfAllBack)
	if err != nil {
		return err
	}
	defer a.wiring.Close()
	all := a.wiring.notices(a.out, "") //nolint:contextcheck // It logs, whoever reads.
	return a.addNotices(ctx, found, q.Limit, all, apps)
}

// byPrefix are the keys of the apps in the settings, by the prefixes of their topics.
func (p *Process) byPrefix() map[string]map[string]bool {
	all := make(map[string]map[string]bool)
	for _, one := range p.seats.all() {
		prefix := one.cfg.Topics.Prefix
		if all[prefix] == nil {
			all[prefix] = make(map[string]bool)
		}
		all[prefix][one.cfg.Source.AppKey] = true
	}
	return all
}

// addNotices keeps the newest ones of those that were found, of these apps, if any are named.
func (a *question) addNotices(ctx context.Context, found *web.Notices, limit int, all *checkpoint.Notices, apps map[string]bool) error {
	return all.Each(ctx, a.within.Begin, func(n *pipeline.Notice) error {
		if n.At.After(a.within.End.Add(time.Second)) || a.streams != nil && n.Stream != a.streams[0] || apps != nil && !apps[n.AppKey] {
			return nil
		}
		i, _ := slices.BinarySearchFunc(found.Notices, n.At, func(m pipeline.Notice, at time.Time) int { return at.Compare(m.At) })
		if i == limit {
			return nil
		}
		found.Notices = slices.Insert(found.Notices, i, *n)
		found.Notices = found.Notices[:min(len(found.Notices), limit)]
		return nil
	})
}

// Coverage implements [web.Reader].
func (r *reader) Coverage(ctx context.Context, name status.AppName, q web.Question) (*web.Coverage, error) {
	a, err := r.ask(ctx, name, &q, coverageBack)
	if err != nil {
		return nil, err
	}
	defer a.wiring.Close()
	w, out, within, asked, now := a.wiring, a.out, a.within, a.streams, time.Now()
	if within.End.Sub(within.Begin) > longestCoverage {
		return nil, usage.Errorf("from, to: the range is longer than %d days", int(longestCoverage.Hours()/24))
	}
	within = pipeline.Window{Begin: within.Begin.Truncate(time.Hour), End: within.End.Add(time.Hour - time.Second).Truncate(time.Hour)}
	positions, err := w.positions(ctx, out)
	if err != nil {
		return nil, err
	}
	if asked == nil {
		if asked = covered(w.cfg, positions); len(asked) > maxCovered {
			return nil, usage.Errorf("stream: the app has %d streams; name one of them", len(asked))
		}
	}
	found := &web.Coverage{
		AppKey: w.cfg.Source.AppKey, TopicPrefix: w.cfg.Topics.Prefix, From: within.Begin, To: within.End,
		TimeZone: w.cfg.Source.TimeZone.String(), Streams: []web.StreamCoverage{},
	}
	if found.Replays, err = replayed(ctx, out, within); err != nil {
		return nil, err
	}
	for _, s := range asked {
		one, err := coverageOf(ctx, out, s, within, positions, found.Replays, now)
		if err != nil {
			return nil, err
		}
		found.Streams = append(found.Streams, *one)
	}
	return found, nil
}

// covered are the streams that have hours: those that are named, and those of lists that have a position.
func covered(cfg *settings.Config, positions []pipeline.Checkpoint) []pipeline.Stream {
	all := slices.Clone(cfg.Streams)
	for i := range positions {
		s := positions[i].Stream
		if positions[i].Replay == "" && s.Kind != pipeline.StreamStatistics && slices.Contains(cfg.Discover, s.Kind) && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

// replayed are the replays of a range, as the notices tell of them.
func replayed(ctx context.Context, out *output, within pipeline.Window) ([]web.ReplayedRange, error) {
	type key struct {
		replay string
		stream pipeline.Stream
	}
	all := make(map[key]*web.ReplayedRange)
	err := out.notices.Each(ctx, within.Begin, func(n *pipeline.Notice) error { // A replay comes after the time that it publishes.
		of := key{n.Replay, n.Stream}
		switch {
		case n.Replay == "" || !overlap(n.Window, within):
		case n.Kind == pipeline.NoticeReplayStarted && all[of] == nil:
			all[of] = &web.ReplayedRange{Replay: n.Replay, Stream: n.Stream.String(), From: n.Begin, To: n.End}
		case n.Kind == pipeline.NoticeReplayFinished:
			all[of] = &web.ReplayedRange{Replay: n.Replay, Stream: n.Stream.String(), From: n.Begin, To: n.End, Finished: true, Rows: n.Rows}
		}
		return nil
	})
	list := make([]web.ReplayedRange, 0, len(all))
	for one := range maps.Values(all) {
		list = append(list, *one)
	}
	slices.SortFunc(list, func(a, b web.ReplayedRange) int {
		return cmp.Or(a.From.Compare(b.From), strings.Compare(a.Replay, b.Replay), strings.Compare(a.Stream, b.Stream))
	})
	return list, err
}

// coverageOf is that of a stream, hour by hour.
func coverageOf(
	ctx context.Context, out *output, s pipeline.Stream, within pipeline.Window, positions []pipeline.Checkpoint, replays []web.ReplayedRange,
	now time.Time,
) (*web.StreamCoverage, error) {
	found := &web.StreamCoverage{Stream: s.String(), Hours: []web.HourCoverage{}}
	position := liveOf(positions, s)
	if position != nil {
		found.Committed = position.End.UTC()
	}
	var day *pipeline.Coverage
	for hour := within.Begin; hour.Before(within.End) && !hour.After(now); hour = hour.Add(time.Hour) {
		if of := pipeline.DayOf(hour); day == nil || !day.Day.Equal(of) {
			var err error
			if day, err = out.coverage.Coverage(ctx, s, of); err != nil {
				return nil, err
			}
			if day == nil {
				day = &pipeline.Coverage{Day: of}
			}
		}
		h := hourOf(day, hour)
		for i := range replays {
			if r := &replays[i]; r.Stream == found.Stream && r.From.Before(hour.Add(time.Hour)) && r.To.After(hour) {
				h.Replays++
			}
		}
		h.State = hourState(&h, day, position)
		found.Hours = append(found.Hours, h)
	}
	return found, nil
}

// liveOf is the live position of a stream; nil where there is none that can be read.
func liveOf(positions []pipeline.Checkpoint, s pipeline.Stream) *pipeline.Checkpoint {
	i := slices.IndexFunc(positions, func(cp pipeline.Checkpoint) bool { return cp.Stream == s && cp.Replay == "" && cp.Damage == nil })
	if i < 0 {
		return nil
	}
	return &positions[i]
}

// hourOf are the sums of an hour of a day.
func hourOf(day *pipeline.Coverage, hour time.Time) web.HourCoverage {
	h := web.HourCoverage{Hour: hour}
	for _, counts := range day.Hours {
		if counts.Hour == hour.Hour() {
			h.Rows, h.Published, h.Rejected, h.Late, h.GapSeconds = counts.Rows, counts.Published, counts.Rejected, counts.Late, counts.GapSeconds
		}
	}
	return h
}

// hourState is what became of an hour; position is nil where the stream has none.
func hourState(h *web.HourCoverage, day *pipeline.Coverage, position *pipeline.Checkpoint) web.HourState {
	end := h.Hour.Add(time.Hour)
	switch whole := day.HourWhole(h.Hour.Hour()); {
	case h.GapSeconds > 0:
		return web.HourGap
	case position != nil && slices.ContainsFunc(position.Backlog, func(b pipeline.Backlog) bool { return b.End.Before(end) && b.Until.After(h.Hour) }):
		return web.HourBacklog
	case whole && h.Rows > 0:
		return web.HourRead
	case whole:
		return web.HourEmpty
	case position != nil && position.End.Before(end):
		return web.HourReading
	default:
		return web.HourUnread
	}
}

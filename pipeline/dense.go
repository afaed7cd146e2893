package pipeline

import (
	"context"
	"errors"
	"io"
	"maps"
	"math"
	"slices"
	"time"
)

// Where a page does not hold what comes within a poll, a look takes several, from where the last one ended to the last second that is over, so that
// no second is read twice. The settled time behind such looks is not read once more either. All of them lie within it, so what they
// brought is a part of what it holds, whichever clock the API goes by and whatever its bounds include; and where its total says that it holds as many
// rows, that is all of it. Where the total says anything else, the window is read.
//
// A total that is wrong by as many rows as are missing would lose them, so none should be missing: looks join without a gap, and one that does not add up
// to its own total counts for nothing.
//
// Like a window, the time whose total is asked for begins before the position, by the overlap at least. So a look that was answered by a replica that is
// behind, as was the total that agreed with it, is found out by the next total, and the window that is read then brings what was missing.

const (
	// mostLookPages bounds the pages of a look, mostEarlyRows the rows whose ids a position has because they were published early. lookShare is
	// the part of that which a look is planned to take, quotaShare the part of the quota that looks may. mostSeenRows is how many rows a window has
	// at most that is known with its looks.
	mostLookPages = 10
	mostEarlyRows = 20_000
	lookShare     = 0.8
	quotaShare    = 0.4
	mostSeenRows  = 100_000
	// mostBehind is how far behind the present second looks end at most: rows may take a while to appear. One more second for each total that
	// says that more had come, and one less when so many in a row have agreed.
	mostBehind  = 4 * time.Second
	agreedAgain = 200
	// mostDenied is after how many looks in a row that do not add up, or are denied by a total, windows alone are read for a while, failedLooks after
	// how many that fail; that is a long one where a row has vanished, for what vanishes could hide what is missing.
	mostDenied    = 3
	failedLooks   = 2
	vanishedAgain = time.Hour
)

// denseReading is what a reader knows of a stream that is looked at in several pages. It belongs to the reader's goroutine.
type denseReading struct {
	// page is how many rows a page has; zero where the stream is no dense one, which it becomes behind not at the earliest. rate is how many rows a
	// second come, least how many do so that it stays one.
	page, rate, least float64
	not               time.Time
	// next is where the rows begin that the next look is for, behind how far behind the present second it ends; looked is when the last one began.
	next, looked time.Time
	behind       time.Duration
	// edges are what windows and looks have shown of the API's since the reader began.
	edges edgeProof
	// seen is what came of the time from before the position on, in the order of time.
	seen []seenRange
	// asked tells that a total was asked for since the last look; readNext that the window is to be read, as its total did not agree. denied and
	// agreed count totals in a row that did not and did, with denied also looks that did not add up; failed those that failed.
	asked, readNext        bool
	denied, agreed, failed int
}

// seenRange is what a look or a window brought of a range of time: a part of what each longer one holds.
type seenRange struct {
	Window

	// rows are events, by their msgid, and rejected rows.
	rows []RowKey
	// near are those that a look's position has to carry, with the later of their clocks. Of a window's the position has them.
	near map[RowKey]int64
	// look tells that a look brought it, lastSecond that all of its last second came.
	look, lastSecond bool
}

func newSeenRange(c *rowCollector) seenRange {
	s := seenRange{Window: c.window, rows: make([]RowKey, 0, c.ids.Len()+len(c.hashes)), lastSecond: c.edges.lastSecond}
	for id := range c.ids.Keys() {
		s.rows = append(s.rows, RowKey{Value: int64(id)}) //nolint:gosec // A bit pattern.
	}
	for hash := range c.hashes {
		s.rows = append(s.rows, RowKey{hash, true})
	}
	return s
}

// on tells that the stream is dense.
func (d *denseReading) on() bool { return d.page > 0 }

// begin takes a stream for a dense one, of which a look did not bring all; one that was not narrow, where nothing shorter would have. Looks begin at
// the position.
func (d *denseReading) begin(l *look, narrow bool, now time.Time) bool {
	const least, usual, less = 2, 4, 2 // Seconds of a narrow look; and it is no dense one any more when so much less comes.
	page, rate := float64(l.rows.ledger.Rows), perSecond(l.rows.ledger.Total, l.rows.window)
	if d.not.After(now) || page == 0 || !narrow && rate*least <= page {
		return false
	}
	d.page, d.rate, d.least = page, rate, page/usual/less
	if narrow {
		d.least = perSecond(l.rows.ledger.Rows, l.rows.window) / less
	}
	d.next, d.behind = time.Time{}, max(d.behind, time.Second)
	return true
}

func (d *denseReading) end() { d.page, d.seen, d.readNext, d.denied = 0, nil, false, 0 }

func perSecond(rows int64, w Window) float64 {
	return float64(rows) / (w.End.Sub(w.Begin) + time.Second).Seconds()
}

// longest is how many seconds the next look may have, by the rows that come and the room for their ids.
func (d *denseReading) longest(room int) time.Duration {
	return time.Duration(min(lookShare*min(mostLookPages*d.page, float64(room))/d.rate, longestMerge.Seconds())) * time.Second
}

// fits tells whether looks may take what comes: two seconds in a few pages, as the second may have to be asked for again, and a part of the
// requests that the quota allows.
func (d *denseReading) fits(pace time.Duration) bool {
	return d.longest(math.MaxInt) >= 2*time.Second+d.edges.join() && d.rate/d.page*pace.Seconds() <= quotaShare
}

// behindOf is where the rows begin that follow a range. To bring all of them, what is asked for begins earlier, by the edges' join.
func (d *denseReading) behindOf(s *seenRange) time.Time {
	if s.lastSecond && d.edges.begin {
		return s.End.Add(time.Second)
	}
	return s.End
}

// reach is up to where what came has no gap, from begin on, as far as it ends by a time.
func (d *denseReading) reach(begin, by time.Time) (end time.Time) {
	for i := range d.seen {
		s := &d.seen[i]
		if s.Begin.After(begin) || s.End.After(by) {
			break
		}
		end = later(end, s.End)
		begin = later(begin, d.behindOf(s).Add(-d.edges.join()))
	}
	return end
}

// task is what to do next of a stream that is dense, at the head.
func (d *denseReading) task(begin, position, head time.Time) task {
	ends := d.reach(begin, head).After(position)
	switch {
	case d.readNext:
		return readWindow
	case ends && !d.asked: // By turns, so that neither waits for the other.
		return askTotal
	case ends, head.Sub(position) < closeAfter, !d.reach(begin, head.Add(longestMerge)).Before(head):
		return lookEarly
	default:
		return readWindow
	}
}

// untilLook is how long it takes until a second more is over.
func (d *denseReading) untilLook(now time.Time) time.Duration {
	if !d.on() {
		return 0
	}
	return d.looked.Add(time.Second).Sub(now)
}

// look takes in what a look brought. It tells whether the stream is still dense.
func (d *denseReading) look(l *look) bool {
	s := newSeenRange(l.rows)
	s.near, s.look = l.rows.near, true
	d.next = d.behindOf(&s)
	if l.rows.different() == l.rows.ledger.Total {
		d.seen = append(d.seen, s)
	} else {
		d.deny() // The gap has a window read.
	}
	d.rate, d.failed = (d.rate+perSecond(l.rows.ledger.Rows, s.Window))/2, 0 // A second may have many more than another.
	return d.rate > d.least
}

// deny takes in that a look has missed rows, or that a total says so: they may take longer to appear.
func (d *denseReading) deny() {
	d.behind, d.agreed = min(d.behind+time.Second, mostBehind), 0
	d.denied++
}

// window takes in a window that was read. It tells whether rows have vanished that looks brought.
func (d *denseReading) window(c *rowCollector) (vanished bool) {
	d.readNext = false
	w := newSeenRange(c)
	if d.seen = slices.DeleteFunc(d.seen, func(s seenRange) bool { return s.Begin.Before(w.Begin) }); len(d.seen) == 0 {
		d.next = w.End
	}
	if len(w.rows) > mostSeenRows {
		return false
	}
	there := make(map[RowKey]struct{}, len(w.rows))
	for _, key := range w.rows {
		there[key] = struct{}{}
	}
	for i := range d.seen {
		s := &d.seen[i]
		vanished = vanished || !s.End.After(w.End) && slices.ContainsFunc(s.rows, func(key RowKey) bool {
			_, is := there[key]
			return !is
		})
	}
	d.seen = slices.Insert(d.seen, 0, w)
	return vanished
}

// seenRows is what came of a window, by the ranges that lie within it.
type seenRows struct {
	// rows is how many different rows came, early how many of them were published early.
	rows, early int64
	// near are those that the position has to carry behind the window, wereEarly all keys of the early ones.
	near      map[RowKey]int64
	wereEarly []RowKey
}

// count adds up what came of a window; known are the overlap ids before it.
func (d *denseReading) count(w Window, known *overlapIDs) (c seenRows) {
	different := make(map[RowKey]struct{})
	c.near = make(map[RowKey]int64)
	for i := range d.seen {
		s := &d.seen[i]
		if s.Begin.Before(w.Begin) || s.End.After(w.End) {
			continue
		}
		for _, key := range s.rows {
			if _, again := different[key]; !again && known.isEarly(key) {
				c.early++
			}
			different[key] = struct{}{}
		}
		maps.Copy(c.near, s.near)
	}
	c.rows = int64(len(different))
	for key, clock := range c.near {
		if known.isEarly(key) {
			c.wereEarly = append(c.wereEarly, key)
		}
		if !nearEnd(w.End, known.overlap, clock) {
			delete(c.near, key)
		}
	}
	return c
}

// forget drops what no total behind a position counts. What a window found stays as long as a look that lacks it.
func (d *denseReading) forget(begin time.Time) {
	for i := len(d.seen) - 1; i > 0; i-- {
		at := d.seen[i].Begin
		if !at.After(begin) && !slices.ContainsFunc(d.seen[:i], func(s seenRange) bool { return !s.look && s.End.After(at) }) {
			d.seen = slices.Delete(d.seen, 0, i)
			return
		}
	}
}

// errTooDense is a look that would take too much.
var errTooDense = errors.New("the stream is too dense to be looked at")

// lookAtPages asks for all pages from where the last look ended on. Nothing of the reader's that changes is used.
func (r *reader) lookAtPages(ctx context.Context, l *look, position time.Time) error {
	started := r.res.now()
	now, err := r.res.source.Now(ctx, r.stream)
	if err != nil {
		return err
	}
	w := Window{l.since.Add(-l.join), now.UTC().Truncate(time.Second).Add(-l.behind)}
	if end := l.since.Add(l.longest - time.Second); end.Before(w.End) {
		w.End, l.more = end, end.After(l.since)
	}
	if w.End.Before(l.since) {
		return nil // No further second is over, or there is no room.
	}
	rows := newRowCollector(w, r.overlap+w.End.Sub(position), r.appKey, r.stream)
	pages, err := r.res.source.OpenEarly(ctx, r.stream, w)
	if err != nil {
		return err
	}
	defer pages.Free()
	for {
		page, err := pages.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch most := min(mostLookPages*max(1, len(page.Rows)), l.room); {
		case rows.ledger.Pages == mostLookPages, page.Total < 0: // Without totals, windows have to be read in any case.
			return errTooDense
		case rows.ledger.Pages > 0 || page.Total <= int64(most):
		case l.since.Before(w.End):
			l.rate, l.more = perSecond(page.Total, w), true
			return nil
		default:
			return errTooDense
		}
		rows.addPage(page)
		if err := r.accountLook(l, int64(rows.batch.Bytes), 2*page.Bytes); err != nil {
			return err
		}
	}
	l.rows = rows
	r.shrinkLook(l, int64(rows.batch.Bytes))
	l.rows.ledger.Early, l.rows.ledger.Started, l.rows.ledger.Requests = true, started, pages.Requests()
	return nil
}

// keepDense has windows alone read for a while, if looks would take too much, or are often denied.
func (r *reader) keepDense() {
	if r.dense.on() && (r.dense.denied >= mostDenied || !r.dense.fits(r.res.pace)) {
		r.stopLooks(0)
	}
}

// failLook has windows alone read for a while, where no look can be had, or one in pages once more has failed.
func (r *reader) failLook(err error) {
	r.dense.failed++
	if !r.dense.on() || errors.Is(err, errTooDense) || errors.Is(err, errNoRoom) || r.dense.failed == failedLooks {
		r.stopLooks(0)
	}
}

// stopLooks has windows alone read for a while, and at least for so long if the stream is still dense then; zero is no longer than that while.
func (r *reader) stopLooks(dense time.Duration) {
	r.dense.end()
	r.dense.agreed, r.dense.failed = 0, 0
	r.early.stop(r.res.now())
	r.dense.not = later(r.dense.not, r.res.now().Add(dense))
}

// askTotal asks how many rows the time holds that looks have brought.
func (r *reader) askTotal(ctx context.Context, head time.Time, from Position, held int64, slot *fetchSlot) {
	r.dense.asked = true
	end := r.dense.reach(from.End.Add(-r.overlap), head)
	l := &look{closes: Window{r.dense.seen[0].Begin, end}, held: held, started: r.res.now()}
	r.dropLook(l)
	r.begin(ctx, l, slot, func(ctx context.Context) (err error) {
		l.total, err = r.res.source.SettledTotal(ctx, r.stream, l.closes)
		return err
	})
}

// handleTotal closes a window without reading it, if its total is what has come.
func (r *reader) handleTotal(l *look) {
	d := &r.dense
	came := d.count(l.closes, r.overlapIDs)
	switch {
	case l.err != nil: // The window's reading tells what is wrong.
		d.readNext = true
	case l.total == came.rows:
		d.denied = 0
		if d.agreed++; d.agreed == agreedAgain {
			d.behind, d.agreed = max(d.behind-time.Second, time.Second), 0
		}
		r.closeUnread(l, &came)
		d.forget(r.pos.End.Add(-r.overlap))
	case l.total < came.rows:
		r.stopLooks(vanishedAgain)
	default:
		d.readNext = true
		d.deny()
		r.keepDense()
	}
}

// closeUnread closes a window of which nothing is left to publish.
func (r *reader) closeUnread(l *look, came *seenRows) {
	ledger := Ledger{
		AppKey: r.appKey, Stream: r.stream, Window: l.closes, Total: l.total, Rows: came.rows, EarlyRows: came.early,
		Skipped: came.rows - came.early, Requests: 1, Started: l.started,
	}
	known := r.overlapIDs.advance(ledger.End, came.near, came.wereEarly)
	r.early.closed = &windowProposal{
		stream: r.stream, window: ledger.Window, observer: r.res.observer, batch: &Batch{}, release: func() { r.dropLook(l) },
		closing: r.closing(ledger, r.pos.Span, known, r.res.now()),
	}
	r.overlapIDs = known
	r.pos = Position{End: ledger.End, Span: r.pos.Span}
}

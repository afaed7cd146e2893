package audit

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// Totals asks how many rows the API says a window holds, in one request; -1 where it does not say. The window is at most 7 days
// less a second long.
type Totals interface {
	Total(ctx context.Context, s pipeline.Stream, w pipeline.Window) (int64, error)
}

// longestTotal is the longest window that can be asked for (API page, request params: 7 days).
const longestTotal = pipeline.LongestWindow - time.Second

// Audit holds what was published against what the API has. It is used by one goroutine at a time.
type Audit struct {
	AppKey  string
	Rows    *pipeline.RowReader
	Totals  Totals
	Archive Archive
	// Frontier is up to where the ledger was read that the chains are made of, and Since the time from which on all records of a stream are
	// among them whose windows reach to it or behind it; zero where all are.
	Frontier Frontier
	Since    time.Time
	// Step is the longest range that is compared as one; 7 days less a second where zero. A row that is missing and one that is
	// there too much cancel out only within it.
	Step time.Duration
	// Asked counts the requests for totals.
	Asked int

	// found are the rows of earlier differences: windows overlap, and each row is found once.
	found pipeline.RowSet
}

// Difference is a window in which the API has other rows than were published.
type Difference struct {
	Stream pipeline.Stream `json:"stream"`
	pipeline.Window
	// Total is what the API says the window holds, -1 where it does not say; Known is what is published of it.
	Total int64 `json:"total"`
	Known int64 `json:"known"`
	// Missing are rows that the API has and that were not published; Extra is how many more were published than it has, and
	// Gone are the msgids of those that it does not have any more.
	Missing []Missing `json:"missing,omitempty"`
	Extra   int64     `json:"extra,omitempty"`
	Gone    []int64   `json:"gone,omitempty"`
	// Deleted is how many of the records that were published of this time Kafka does not have any more. Nobody can tell then
	// which rows are missing, so that none is named and none can be published.
	Deleted int64 `json:"deleted,omitempty"`

	batch    *pipeline.Batch
	frontier Frontier
}

// Missing is a row that is not published.
type Missing struct {
	// MsgID is 0 where the row has none.
	MsgID int64 `json:"msgid,omitempty"`
	// Time is the message's time, of the server or else of the sender; zero where it has none.
	Time time.Time `json:"time,omitzero"`
}

// Repairable tells whether rows are missing that can be published.
func (d *Difference) Repairable() bool { return d.batch != nil }

// Bytes is about how much memory it holds to be published.
func (d *Difference) Bytes() int {
	if d.batch == nil {
		return 0
	}
	return d.batch.Bytes
}

// Cost is how many requests a check of a chain takes if nothing differs.
func (a *Audit) Cost(c *Chain) int {
	n := 0
	for range c.steps(a.step()) {
		n++
	}
	return n
}

// step is the longest range that is compared as one, in seconds.
func (a *Audit) step() uint32 {
	step := longestTotal
	if a.Step > 0 {
		step = min(a.Step, longestTotal)
	}
	return count(int64(step / time.Second))
}

// Check asks for the totals of a chain, step by step; one that differs is halved until single windows are left, whose rows
// are read and compared by id with what stands at the ledger's offsets. Where the API states no totals, rows are compared before that, as
// many windows at a time as [comparedRows] allows. found is called with each difference.
func (a *Audit) Check(ctx context.Context, c *Chain, found func(*Difference) error) error {
	for part := range c.steps(a.step()) {
		if err := a.narrow(ctx, &part, found); err != nil {
			return err
		}
	}
	return nil
}

func (a *Audit) narrow(ctx context.Context, part *Chain, found func(*Difference) error) error {
	total, err := a.total(ctx, part)
	if err != nil || total == part.Rows() {
		return err
	}
	if part.Len() > 1 {
		if total < 0 && part.Rows() <= comparedRows {
			var same bool
			if same, err = a.same(ctx, part); err != nil || same {
				return err
			}
		}
		for _, half := range part.halves() {
			if err = a.narrow(ctx, &half, found); err != nil {
				return err
			}
		}
		return nil
	}
	d, err := a.compare(ctx, part, total)
	if err != nil || d == nil {
		return err
	}
	return found(d)
}

// total asks twice where the first answer differs: an API that errs now and then costs a request, not a difference.
func (a *Audit) total(ctx context.Context, part *Chain) (total int64, err error) {
	for range 2 {
		a.Asked++
		if total, err = a.Totals.Total(ctx, part.Stream, part.Window()); err != nil || total == part.Rows() {
			break
		}
	}
	return total, err
}

// comparedRows is how many rows are compared at a time at most, if no total says where they differ: about 2 MB of their ids.
const comparedRows = 20_000

// same reads a part, and tells whether all of it is published and nothing else is.
func (a *Audit) same(ctx context.Context, part *Chain) (bool, error) {
	there, deleted, err := publishedAt(ctx, a.Archive, part.history.overlapping(part.Window()))
	if err != nil || deleted > 0 {
		return false, err
	}
	norm := event.NewNormalizer(a.AppKey)
	var present pipeline.RowSet
	missing := false
	err = a.Rows.Each(ctx, part.Stream, part.Window(), func(row []byte) {
		e, rejection := norm.Normalize(row)
		if missing = missing || !has(there, &e, rejection); !missing { // No more is held than is published, whatever the API sends.
			addRow(&present, &e, rejection)
		}
	})
	return !missing && int64(present.Len()) >= part.Rows(), err
}

// addRow takes a row in by its msgid, or else by what it is.
func addRow(set *pipeline.RowSet, e *event.Event, rejection *event.Rejection) {
	switch {
	case rejection == nil:
		set.AddID(e.MsgID)
	case rejection.HasMsgID:
		set.AddID(rejection.MsgID)
	default:
		set.AddRejected(rejection.Row)
	}
}

// compare reads a window and finds what of it is not published; nil if nothing, and nothing is there too much.
func (a *Audit) compare(ctx context.Context, part *Chain, total int64) (*Difference, error) {
	w := part.Window()
	d := &Difference{Stream: part.Stream, Window: w, Total: total, Known: part.Rows(), frontier: a.Frontier}
	places, err := a.overlapping(ctx, part)
	if err != nil {
		return nil, err
	}
	there, deleted, err := publishedAt(ctx, a.Archive, places)
	if err != nil {
		return nil, err
	}
	if d.Deleted = deleted; deleted > 0 {
		return d, nil
	}
	present, err := a.findMissing(ctx, d, there)
	if err != nil || len(d.Missing) > 0 {
		return d, err
	}
	rows := int64(present.Len())
	if total < 0 {
		total = rows
	}
	if d.Extra = d.Known - total; d.Extra <= 0 || rows >= d.Known {
		return nil, nil //nolint:nilnil // The total alone was wrong.
	}
	own, _, err := publishedAt(ctx, a.Archive, part.publishedIn())
	if err != nil {
		return nil, err
	}
	d.Gone = slices.DeleteFunc(own.IDs(), present.HasID)
	return d, nil
}

// overlapping are the places of all records that may have published rows of a part's time. A window may begin long before the time from which
// on the ledger was read: what stands there was published by windows before it, which are read now.
func (a *Audit) overlapping(ctx context.Context, part *Chain) ([]Place, error) {
	w := part.Window()
	places := part.history.overlapping(w)
	from := w.Begin.Add(-readerMargin)
	if a.Since.IsZero() || from.After(a.Since) {
		return places, nil
	}
	known := make(map[Place]bool, len(places))
	for _, at := range places {
		known[at] = true
	}
	older := Query{Streams: []pipeline.Stream{part.Stream}, Since: from}
	_, err := a.Archive.Ledger(ctx, older, func(l *pipeline.Ledger, at Place) error {
		published := l.Replay == "" && l.Published+l.Rejected > 0
		if published && !l.Begin.After(w.End) && !l.End.Before(w.Begin) && !known[at] {
			places = append(places, at)
		}
		return nil
	})
	return places, err
}

const (
	// repairBytes bounds what of a difference is held to be published. What does not fit is found by the next audit.
	repairBytes = 16 << 20
	// eventOverhead is about what an event takes in memory besides its value.
	eventOverhead = 200
)

// findMissing reads a difference's window and enters the rows that are not published. It returns all that came.
func (a *Audit) findMissing(ctx context.Context, d *Difference, there *pipeline.RowSet) (present *pipeline.RowSet, err error) {
	norm := event.NewNormalizer(a.AppKey)
	batch := &pipeline.Batch{AppKey: a.AppKey, Stream: d.Stream, Window: d.Window}
	present = &pipeline.RowSet{}
	err = a.Rows.Each(ctx, d.Stream, d.Window, func(row []byte) {
		e, rejection := norm.Normalize(row)
		addRow(present, &e, rejection)
		if has(there, &e, rejection) || has(&a.found, &e, rejection) {
			return
		}
		fits := batch.Bytes < repairBytes
		missing := Missing{}
		if rejection != nil {
			missing.MsgID = rejection.MsgID
			if fits {
				kept := *rejection
				kept.Row = slices.Clone(rejection.Row)
				batch.Rejected = append(batch.Rejected, kept)
				batch.Bytes += len(kept.Row) + eventOverhead
			}
			a.found.AddRejected(rejection.Row)
		} else {
			missing.MsgID, missing.Time = e.MsgID, timeOfEvent(&e)
			if fits {
				batch.Events = append(batch.Events, e)
				batch.Bytes += len(e.Value) + eventOverhead
			}
			a.found.AddID(e.MsgID)
		}
		d.Missing = append(d.Missing, missing)
	})
	if len(d.Missing) > 0 {
		d.batch = batch
	}
	return present, err
}

// timeOfEvent is an event's time by the server's clock, or else by the sender's.
func timeOfEvent(e *event.Event) time.Time {
	switch {
	case e.ServerTime > 0:
		return time.UnixMilli(e.ServerTime).UTC()
	case e.ClientTime > 0:
		return time.UnixMilli(e.ClientTime).UTC()
	default:
		return time.Time{}
	}
}

// publishedAt reads back which rows the ledger records at some places have published, and how many of them are not there any
// more.
func publishedAt(ctx context.Context, archive Archive, places []Place) (there *pipeline.RowSet, deleted int64, err error) {
	there = &pipeline.RowSet{}
	for _, place := range places {
		record, err := archive.At(ctx, place)
		if err != nil {
			return nil, 0, err
		}
		if record == nil {
			deleted++
			continue
		}
		gone, err := addPublished(ctx, archive, record, there)
		if err != nil {
			return nil, 0, err
		}
		deleted += gone
	}
	return there, deleted, nil
}

// addPublished takes in what a window has published, and returns how many of its records are not there any more.
func addPublished(ctx context.Context, archive Archive, l *pipeline.Ledger, there *pipeline.RowSet) (deleted int64, err error) {
	for _, r := range l.Offsets {
		deleted += r.Last - r.First + 1
	}
	err = archive.Records(ctx, l.Offsets, func(_ string, key, value []byte) error {
		deleted--
		if key == nil {
			there.AddRejected(value)
			return nil
		}
		// Of an event the key tells all, whatever its form and its topic's name; a rejected row has none.
		if id, notID := strconv.ParseInt(string(key), 10, 64); notID == nil {
			there.AddID(id)
		}
		return nil
	})
	return deleted, err
}

// has tells whether a row is in a set, as event or as rejected row. An event that Kafka could not take stands among the rejected.
func has(set *pipeline.RowSet, e *event.Event, rejection *event.Rejection) bool {
	if rejection != nil {
		return set.HasRejected(rejection.Row)
	}
	if set.HasID(e.MsgID) {
		return true
	}
	row, err := event.Rebuild(e.Value)
	return err == nil && set.HasRejected(row)
}

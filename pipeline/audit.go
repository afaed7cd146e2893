package pipeline

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/jmpub/jmpub/pipeline/event"
)

// Audit holds what was published against what the API has. It is used by one goroutine at a time.
type Audit struct {
	AppKey  string
	Source  Source
	Totals  Totals
	Archive Archive
	// Step is the longest range that is compared as one; [LongestTotal] where zero. A row that is missing and one that is
	// there too much cancel out only within it.
	Step time.Duration
	// Asked counts the requests for totals.
	Asked int

	// found are the rows of earlier differences: windows overlap, and each row is found once.
	found known
}

// Difference is a window in which the API has other rows than were published.
type Difference struct {
	Stream Stream `json:"stream"`
	Window
	// Total is what the API says the window holds, Known what is published of it.
	Total int64 `json:"total"`
	Known int64 `json:"known"`
	// Missing are rows that the API has and that were not published; Extra is how many more were published than it has, and
	// Gone are the msgids of those that it does not have any more.
	Missing []Missing `json:"missing,omitempty"`
	Extra   int64     `json:"extra,omitempty"`
	Gone    []int64   `json:"gone,omitempty"`

	batch *Batch
}

// Missing is a row that is not published.
type Missing struct {
	// MsgID is 0 where the row has none.
	MsgID int64 `json:"msgid,omitempty"`
	// Time is the message's time, of the server or else of the sender; zero where it has none.
	Time time.Time `json:"time,omitzero"`
}

// Batch has what is missing, ready to be published; nil where nothing is.
func (d *Difference) Batch() *Batch { return d.batch }

// Cost is how many requests a check of a chain takes if nothing differs.
func (a *Audit) Cost(c *Chain) int { return len(a.steps(c)) }

// steps cuts a chain into parts that are each compared as one: no longer than a step, or a single window.
func (a *Audit) steps(c *Chain) []Chain {
	step := LongestTotal
	if a.Step > 0 {
		step = min(a.Step, LongestTotal)
	}
	var parts []Chain
	begin := 0
	for i := range c.Windows {
		if i+1 == len(c.Windows) || c.Windows[i+1].End.Sub(c.Windows[begin].Begin) > step {
			parts = append(parts, c.part(begin, i+1))
			begin = i + 1
		}
	}
	return parts
}

// Check asks for the totals of a chain, step by step; one that differs is halved until single windows are left, whose rows
// are read and compared by id with what stands at the ledger's offsets. found is called with each difference.
func (a *Audit) Check(ctx context.Context, c *Chain, found func(*Difference) error) error {
	for _, part := range a.steps(c) {
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
	if n := len(part.Windows); n > 1 {
		for _, half := range []Chain{part.part(0, n/2), part.part(n/2, n)} {
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

// compare reads a window and finds what of it is not published; nil if nothing, and nothing is there too much.
func (a *Audit) compare(ctx context.Context, part *Chain, total int64) (*Difference, error) {
	w := part.Window()
	there, err := publishedBy(ctx, a.Archive, part, w)
	if err != nil {
		return nil, err
	}
	if a.found.ids == nil {
		a.found = known{ids: make(map[int64]struct{}), hashes: make(map[int64]struct{})}
	}
	norm := event.NewNormalizer(a.AppKey)
	d := &Difference{Stream: part.Stream, Window: w, Total: total, Known: part.Rows()}
	batch := &Batch{AppKey: a.AppKey, Stream: part.Stream, Window: w}
	rows := int64(0)
	present := make(map[int64]struct{})
	err = eachRow(ctx, a.Source, part.Stream, w, func(row []byte) {
		e, rejection := norm.Normalize(row)
		rows++
		if rejection == nil {
			present[e.MsgID] = struct{}{}
		} else if rejection.HasMsgID {
			present[rejection.MsgID] = struct{}{}
		}
		if there.has(&e, rejection) || a.found.has(&e, rejection) {
			return
		}
		if rejection != nil {
			kept := *rejection
			kept.Row = slices.Clone(rejection.Row)
			a.found.hashes[contentHash(kept.Row)] = struct{}{}
			batch.Rejected = append(batch.Rejected, kept)
			d.Missing = append(d.Missing, Missing{MsgID: rejection.MsgID})
			return
		}
		a.found.ids[e.MsgID] = struct{}{}
		batch.Events = append(batch.Events, e)
		batch.Bytes += len(e.Value) + eventOverhead
		missing := Missing{MsgID: e.MsgID}
		if clock := max(e.ServerTime, 0); clock > 0 {
			missing.Time = time.UnixMilli(clock).UTC()
		} else if e.ClientTime > 0 {
			missing.Time = time.UnixMilli(e.ClientTime).UTC()
		}
		d.Missing = append(d.Missing, missing)
	})
	if err != nil {
		return nil, err
	}
	if len(d.Missing) > 0 {
		d.batch = batch
		return d, nil
	}
	if d.Extra = part.Rows() - total; d.Extra <= 0 || rows >= part.Rows() {
		return nil, nil //nolint:nilnil // The total alone was wrong.
	}
	d.Gone, err = a.gone(ctx, part, present)
	return d, err
}

// gone lists what a part published and the API does not have any more.
func (a *Audit) gone(ctx context.Context, part *Chain, present map[int64]struct{}) ([]int64, error) {
	var ranges []OffsetRange
	for _, records := range [][]Ledger{part.Windows, part.Late} {
		for i := range records {
			ranges = append(ranges, records[i].Offsets...)
		}
	}
	there, err := knownIn(ctx, a.Archive, ranges)
	if err != nil {
		return nil, err
	}
	for id := range present {
		delete(there.ids, id)
	}
	return slices.Sorted(maps.Keys(there.ids)), nil
}

// Late is the ledger record of the rows of a difference, to be committed with them.
func (d *Difference) Late(now time.Time) *Closed {
	batch := d.batch
	c := &Closed{Ledger: Ledger{
		AppKey: batch.AppKey, Stream: d.Stream, Window: d.Window, Late: true, Total: d.Total, Started: now,
		Rows: int64(len(d.Missing)), Published: int64(len(batch.Events)), Rejected: int64(len(batch.Rejected)),
	}}
	c.Notices = []Notice{{
		Kind: NoticeLateRows, AppKey: batch.AppKey, Stream: d.Stream, Window: d.Window, At: now, Rows: int64(len(d.Missing)),
		Detail: "rows appeared in this time after it had been read; they are published now",
	}}
	return c
}

// Repair publishes what a difference is missing in a transaction of its own, with its ledger record and notice. The sink has
// been opened. It returns how many events and rejected rows were written.
func Repair(ctx context.Context, sink Sink, checkpoints Checkpoints, d *Difference, now time.Time) (*Closed, error) {
	tx, err := sink.Begin(ctx)
	if err != nil {
		return nil, err
	}
	closed := d.Late(now)
	var sum written
	err = sum.add(ctx, tx, d.batch)
	if err == nil {
		sum.enter(closed, Counts{})
		var records []Record
		if records, err = checkpoints.Stage([]*Closed{closed}); err == nil {
			err = tx.Append(ctx, records)
		}
	}
	if err != nil {
		if class := ClassOf(err); class != Abort && class != Fenced {
			err = errors.Join(err, tx.Abort(ctx))
		}
		return nil, err
	}
	return closed, tx.Commit(ctx)
}

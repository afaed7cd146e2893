package audit_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
	"github.com/jmpub/jmpub/pipeline/event"
)

// row is a message of the fake API.
type row struct {
	id  int64
	at  time.Time
	raw string
	// late is how long after at it can first be read.
	late time.Duration
}

func (r row) json() []byte {
	if r.raw != "" {
		return []byte(r.raw)
	}
	return fmt.Appendf(nil, `{"msgid":%d,"target_type":"group","target_id":"1","msg_type":"text","msg_body":{"text":"n"},"msg_ctime":%d}`,
		r.id, r.at.UnixMilli())
}

// rowsFrom makes n rows, a second apart, ids scattered.
func rowsFrom(begin time.Time, n int) []row {
	rows := make([]row, n)
	for i := range rows {
		rows[i] = row{id: int64(i)*7919%100003 + 1, at: begin.Add(time.Duration(i) * time.Second)}
	}
	return rows
}

// stored is a record of an event topic or of the topic of rejected rows.
type stored struct{ key, value []byte }

// world is an API, a run that reads it, and the Kafka that it writes to, all in memory.
type world struct {
	mu   sync.Mutex
	rows map[pipeline.Stream][]row
	// open, where set, may replace the answer to a request for pages.
	open func(s pipeline.Stream, w pipeline.Window) (pipeline.Pages, error)
	// requests counts those for totals; opens those for pages.
	requests, opens int

	topics map[string][]stored
	// deleted are the topics whose records retention has deleted.
	deleted map[string]bool
	ledger  []pipeline.Ledger
	notices []pipeline.Notice
	// asked are the queries for ledger records.
	asked     []audit.Query
	positions map[pipeline.Stream]pipeline.Checkpoint
}

func newWorld(rows ...row) *world {
	return &world{
		rows: map[pipeline.Stream][]row{messages(): rows}, topics: make(map[string][]stored), deleted: make(map[string]bool),
		positions: make(map[pipeline.Stream]pipeline.Checkpoint),
	}
}

func (w *world) visible(s pipeline.Stream, in pipeline.Window) []row {
	var rows []row
	for _, r := range w.rows[s] {
		second := r.at.Truncate(time.Second)
		if !second.Before(in.Begin) && !second.After(in.End) && !r.at.Add(r.late).After(time.Now()) {
			rows = append(rows, r)
		}
	}
	return rows
}

func (w *world) Total(_ context.Context, s pipeline.Stream, in pipeline.Window) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests++
	return int64(len(w.visible(s, in))), nil
}

func (*world) Now(context.Context, pipeline.Stream) (time.Time, error) { return time.Now().UTC(), nil }

func (*world) Forget(pipeline.Stream) {}

func (*world) Plan(context.Context, pipeline.Stream, pipeline.Position) (pipeline.Plan, error) {
	return pipeline.Plan{}, errors.New("an audit plans nothing")
}

func (w *world) Open(_ context.Context, s pipeline.Stream, in pipeline.Window) (pipeline.Pages, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opens++
	if w.open != nil {
		if pages, err := w.open(s, in); pages != nil || err != nil {
			return pages, err
		}
	}
	var page pipeline.Page
	for _, r := range w.visible(s, in) {
		page.Rows = append(page.Rows, r.json())
	}
	page.Total = int64(len(page.Rows))
	return &onePage{page: page}, nil
}

// onePage gives a page, then err or io.EOF.
type onePage struct {
	page pipeline.Page
	err  error
	read bool
}

func (p *onePage) Next(context.Context) (pipeline.Page, error) {
	switch {
	case !p.read:
		p.read = true
		return p.page, nil
	case p.err != nil:
		return pipeline.Page{}, p.err
	default:
		return pipeline.Page{}, io.EOF
	}
}

func (*onePage) Requests() int { return 1 }

// published tells which rows were published, and how often.
func (w *world) published() map[int64]int {
	times := make(map[int64]int)
	for _, records := range w.topics {
		for _, r := range records {
			if id, err := strconv.ParseInt(string(r.key), 10, 64); err == nil {
				times[id]++
			}
		}
	}
	return times
}

// put writes a batch and returns where it stands.
func (w *world) put(b *pipeline.Batch) []pipeline.OffsetRange {
	var ranges []pipeline.OffsetRange
	write := func(topic string, key, value []byte) {
		at := int64(len(w.topics[topic]))
		w.topics[topic] = append(w.topics[topic], stored{key, value})
		if n := len(ranges); n > 0 && ranges[n-1].Topic == topic && ranges[n-1].Last == at-1 {
			ranges[n-1].Last = at
			return
		}
		ranges = append(ranges, pipeline.OffsetRange{Topic: topic, First: at, Last: at})
	}
	for _, e := range b.Events {
		write("x."+e.Target.String(), strconv.AppendInt(nil, e.MsgID, 10), e.Value)
	}
	for _, r := range b.Rejected {
		write("x.rejected", nil, r.Row)
	}
	return ranges
}

// read does what the run does with a window: it publishes what was not published by the windows before it. A position that was
// set back publishes everything again.
func (w *world) read(s pipeline.Stream, from, to time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	in := pipeline.Window{Begin: from.Add(-2 * time.Second), End: to}
	norm := event.NewNormalizer(appKey)
	record := pipeline.Ledger{AppKey: appKey, Stream: s, Window: in, MovedFrom: from, MovedTo: to, Started: time.Now(), Pages: 1, Requests: 1}
	batch := &pipeline.Batch{AppKey: appKey, Stream: s, Window: in}
	known := w.published()
	for _, r := range w.visible(s, in) {
		record.Rows++
		e, rejection := norm.Normalize(r.json())
		switch {
		case known[r.id] > 0 && r.at.Before(from.Add(time.Second)):
			record.Skipped++
		case rejection != nil:
			rejection.Row = slices.Clone(rejection.Row)
			batch.Rejected = append(batch.Rejected, *rejection)
			record.Rejected++
		default:
			batch.Events = append(batch.Events, e)
			record.Published++
		}
	}
	record.Total = record.Rows
	record.Offsets = w.put(batch)
	next := w.positions[s]
	next.AppKey, next.Stream, next.End = appKey, s, to
	next.Sequence++
	record.Sequence, record.Committed = next.Sequence, time.Now()
	w.positions[s] = next
	w.ledger = append(w.ledger, record)
}

// Commit takes the writer's place, as a command does.
func (w *world) Commit(ctx context.Context, fill pipeline.Fill) error {
	k := &kafka{world: w}
	e := pipeline.Exclusive{Command: "test", Sink: k, Checkpoints: k, Claims: k}
	return e.Commit(ctx, fill)
}

func (*world) Follow(context.Context, pipeline.Stream) error {
	return errors.New("nothing is followed")
}

func (*world) Sweep(int) time.Duration { return 0 }

// kafka is the world as sink, transaction, checkpoints and claims. What is published is there at once: nothing fails in it.
type kafka struct {
	*world

	claim pipeline.Claim
}

func (*kafka) Open(context.Context) error { return nil }

func (*kafka) Forget() {}

func (k *kafka) Begin(context.Context) (pipeline.Transaction, error) { return k, nil }

func (k *kafka) Publish(_ context.Context, b *pipeline.Batch) (pipeline.Published, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return pipeline.Published{Offsets: k.put(b)}, nil
}

func (*kafka) Append(context.Context, []pipeline.Record) error { return nil }

func (*kafka) Commit(context.Context) error { return nil }

func (*kafka) Abort(context.Context) error { return nil }

func (k *kafka) Load(context.Context) (map[pipeline.Stream]pipeline.Checkpoint, error) {
	return k.Positions(), nil
}

func (k *kafka) Stage(c *pipeline.Commit) ([]pipeline.Record, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range c.Windows {
		l.Committed = time.Now()
		k.ledger = append(k.ledger, *l)
	}
	for _, cp := range c.Positions {
		k.positions[cp.Stream] = *cp
	}
	k.notices = append(k.notices, c.Notices...)
	return nil, nil
}

func (*kafka) Save(context.Context, *pipeline.Commit) error { return nil }

func (k *kafka) Announce(_ context.Context, c pipeline.Claim) error { k.claim = c; return nil }

func (k *kafka) Newest(context.Context) (pipeline.Claim, error) { return k.claim, nil }

func (w *world) Positions() map[pipeline.Stream]pipeline.Checkpoint {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.positions)
}

// Ledger gives the ledger, whose only partition is 0.
func (w *world) Ledger(_ context.Context, q audit.Query, fn func(*pipeline.Ledger, audit.Place) error) (audit.Frontier, error) {
	w.mu.Lock()
	w.asked = append(w.asked, q)
	ledger := slices.Clone(w.ledger)
	w.mu.Unlock()
	for i := range ledger {
		l := ledger[i]
		if l.Committed.Before(q.Since) || q.Streams != nil && !slices.Contains(q.Streams, l.Stream) {
			continue
		}
		if err := fn(&l, audit.Place{Offset: int64(i)}); err != nil {
			return nil, err
		}
	}
	return audit.Frontier{0: int64(len(ledger))}, nil
}

func (w *world) Newer(_ context.Context, s pipeline.Stream, behind audit.Frontier, fn func(*pipeline.Ledger, audit.Place) error) error {
	w.mu.Lock()
	ledger := slices.Clone(w.ledger)
	w.mu.Unlock()
	for i := behind[0]; i < int64(len(ledger)); i++ {
		if l := ledger[i]; l.Stream == s {
			if err := fn(&l, audit.Place{Offset: i}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *world) At(_ context.Context, p audit.Place) (*pipeline.Ledger, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.ledger[p.Offset]
	return &l, nil
}

func (w *world) Records(_ context.Context, ranges []pipeline.OffsetRange, fn func(topic string, key, value []byte) error) error {
	for _, r := range ranges {
		for at := r.First; at <= r.Last && !w.deleted[r.Topic]; at++ {
			if err := fn(r.Topic, w.topics[r.Topic][at].key, w.topics[r.Topic][at].value); err != nil {
				return err
			}
		}
	}
	return nil
}

// look reads the ledger and returns an audit of all of it.
func (w *world) look(t *testing.T) (*audit.Audit, []audit.Chain) {
	t.Helper()
	var lineage audit.Lineage
	frontier, err := w.Ledger(t.Context(), audit.Query{}, func(l *pipeline.Ledger, at audit.Place) error {
		lineage.Add(l, at)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return &audit.Audit{
		AppKey: appKey, Rows: &pipeline.RowReader{Source: w}, Totals: w, Archive: w, Frontier: frontier, Step: time.Hour,
	}, lineage.Chains(all)
}

// differences are what an audit of everything finds.
func (w *world) differences(t *testing.T) []*audit.Difference {
	t.Helper()
	a, chains := w.look(t)
	var found []*audit.Difference
	for _, c := range chains {
		if err := a.Check(t.Context(), &c, func(d *audit.Difference) error { found = append(found, d); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(found, func(a, b *audit.Difference) int { return cmp.Compare(a.Begin.Unix(), b.Begin.Unix()) })
	return found
}

// wantOnce expects each row to be published so many times, once where it is not named.
func (w *world) wantOnce(t *testing.T, except map[int64]int) {
	t.Helper()
	times := w.published()
	for _, rows := range w.rows {
		for _, r := range rows {
			want, named := except[r.id]
			if !named {
				want = 1
			}
			if times[r.id] != want && r.raw == "" {
				t.Errorf("the row of %s is published %d times, want %d", pipeline.FormatTime(r.at), times[r.id], want)
			}
		}
	}
}

package pipeline_test

import (
	"context"
	"encoding/json"
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
	"github.com/jmpub/jmpub/pipeline/event"
)

const appKey = "4f7aef34fb361292c566a1cd"

// fakeRow is a message of the fake API.
type fakeRow struct {
	id int64
	at time.Time
	// raw, where set, takes the place of the row that id and at make.
	raw string
	// late is how long after at the row can first be read.
	late time.Duration
}

func (r fakeRow) json() []byte {
	if r.raw != "" {
		return []byte(r.raw)
	}
	return fmt.Appendf(nil, `{"msgid":%d,"target_type":"group","target_id":"1","msg_type":"text","msg_body":{"text":"n"},"msg_ctime":%d}`,
		r.id, r.at.UnixMilli())
}

// fakeSource is an API that holds rows in memory. Its bounds are inclusive by the whole second.
type fakeSource struct {
	pageSize int
	overlap  time.Duration
	settle   time.Duration
	span     time.Duration
	// open, where set, may replace the answer to the n-th window that is asked for, counted from 1.
	open func(n int, s pipeline.Stream, w pipeline.Window) (pipeline.Pages, error)

	pollMu sync.Mutex
	// polled is when a window at the head was planned last. Not under mu, which is held while an answer is made.
	polled map[pipeline.Stream]time.Time

	// of, where set, are the rows of each stream; otherwise all have rows.
	of map[pipeline.Stream][]fakeRow

	mu    sync.Mutex
	rows  []fakeRow
	opens int

	// totals counts the requests for one.
	totals int
}

func newFakeSource(rows ...fakeRow) *fakeSource {
	slices.SortStableFunc(rows, func(a, b fakeRow) int { return a.at.Compare(b.at) })
	return &fakeSource{
		pageSize: 3, overlap: 2 * time.Second, settle: 5 * time.Second, span: time.Minute, rows: rows,
		polled: make(map[pipeline.Stream]time.Time),
	}
}

func (*fakeSource) Now(context.Context, pipeline.Stream) (time.Time, error) {
	return time.Now().UTC(), nil
}

// untilPoll is how long a stream at the head has to wait, and begins its next wait.
func (f *fakeSource) untilPoll(s pipeline.Stream) time.Duration {
	const poll = 2 * time.Second
	f.pollMu.Lock()
	defer f.pollMu.Unlock()
	last, ok := f.polled[s]
	if !ok {
		last = time.Now()
	}
	wait := max(0, time.Until(last.Add(poll)))
	f.polled[s] = time.Now().Add(wait)
	return wait
}

func (f *fakeSource) Plan(ctx context.Context, s pipeline.Stream, p pipeline.Position) (pipeline.Plan, error) {
	span := f.span
	if p.Span > 0 {
		span = p.Span
	}
	for {
		head := time.Now().UTC().Add(-f.settle).Truncate(time.Second)
		end := p.End.Add(span)
		if !p.Until.IsZero() && end.After(p.Until) {
			end = p.Until
		}
		plan := pipeline.Plan{Window: pipeline.Window{Begin: p.End.Add(-f.overlap), End: end}}
		if end.After(head) {
			plan.Window.End, plan.Head = head, true
		}
		if plan.Head {
			if err := pipeline.Sleep(ctx, f.untilPoll(s)); err != nil {
				return plan, err
			}
		}
		if plan.Window.End.After(p.End) {
			return plan, nil
		}
	}
}

func (f *fakeSource) Open(_ context.Context, s pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opens++
	if f.open != nil {
		if pages, err := f.open(f.opens, s, w); pages != nil || err != nil {
			return pages, err
		}
	}
	return f.pages(s, w), nil
}

func (f *fakeSource) pages(s pipeline.Stream, w pipeline.Window) *fakePages {
	var rows [][]byte
	all := f.rows
	if f.of != nil {
		all = f.of[s]
	}
	now := time.Now()
	first, _ := slices.BinarySearchFunc(all, w.Begin, func(r fakeRow, at time.Time) int {
		return r.at.Truncate(time.Second).Compare(at)
	})
	for _, r := range all[first:] {
		if r.at.Truncate(time.Second).After(w.End) {
			break
		}
		if !r.at.Add(r.late).After(now) {
			rows = append(rows, r.json())
		}
	}
	pages := &fakePages{total: int64(len(rows))}
	for part := range slices.Chunk(rows, f.pageSize) {
		pages.parts = append(pages.parts, part)
	}
	if len(pages.parts) == 0 {
		pages.parts = [][][]byte{nil}
	}
	return pages
}

// fakePages gives the parts one after another, then err or io.EOF.
type fakePages struct {
	total int64
	parts [][][]byte
	err   error
	next  int
}

func (p *fakePages) Next(ctx context.Context) (pipeline.Page, error) {
	if ctx.Err() != nil {
		return pipeline.Page{}, ctx.Err()
	}
	if p.next == len(p.parts) {
		if p.err != nil {
			return pipeline.Page{}, p.err
		}
		return pipeline.Page{}, io.EOF
	}
	p.next++
	return pipeline.Page{Rows: p.parts[p.next-1], Total: p.total}, nil
}

func (p *fakePages) Requests() int { return p.next }

// fakeKafka is sink and checkpoints in memory: what a transaction holds appears together or not at all.
type fakeKafka struct {
	// fail, where set, may fail an operation: open, load, begin, publish, append, commit, abort, save.
	fail func(ctx context.Context, op string) error

	mu          sync.Mutex
	opens       int
	committed   []event.Event
	rejected    []event.Rejection
	checkpoints map[pipeline.Stream]pipeline.Checkpoint
	ledger      []pipeline.Ledger
	notices     []pipeline.Notice
	peak        int
	// tx is what the open transaction holds.
	tx struct {
		events   []event.Event
		rejected []event.Rejection
		closed   []*pipeline.Closed
	}
	transactions int
}

func newFakeKafka() *fakeKafka {
	return &fakeKafka{checkpoints: make(map[pipeline.Stream]pipeline.Checkpoint)}
}

func (*fakeKafka) Forget() {}

func (k *fakeKafka) try(ctx context.Context, op string) error {
	if k.fail == nil {
		return nil
	}
	return k.fail(ctx, op)
}

func (k *fakeKafka) Open(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.opens++
	k.tx.events, k.tx.rejected, k.tx.closed = nil, nil, nil
	return k.try(ctx, "open")
}

func (k *fakeKafka) Load(ctx context.Context) (map[pipeline.Stream]pipeline.Checkpoint, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	loaded := make(map[pipeline.Stream]pipeline.Checkpoint)
	maps.Copy(loaded, k.checkpoints)
	return loaded, k.try(ctx, "load")
}

func (k *fakeKafka) Begin(ctx context.Context) (pipeline.Transaction, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.tx.events)+len(k.tx.closed) > 0 {
		return nil, errors.New("a transaction is still open")
	}
	return k, k.try(ctx, "begin")
}

func (k *fakeKafka) Publish(ctx context.Context, b *pipeline.Batch) (pipeline.Published, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.try(ctx, "publish"); err != nil {
		return pipeline.Published{}, err
	}
	k.peak = max(k.peak, b.Bytes)
	first := int64(len(k.committed) + len(k.tx.events))
	k.tx.events = append(k.tx.events, b.Events...)
	k.tx.rejected = append(k.tx.rejected, b.Rejected...)
	published := pipeline.Published{}
	published.Events[event.TargetGroup] = len(b.Events)
	if n := int64(len(b.Events)); n > 0 {
		published.Offsets = []pipeline.OffsetRange{{Topic: "group", First: first, Last: first + n - 1}}
	}
	return published, nil
}

func (k *fakeKafka) Stage(closed []*pipeline.Closed) ([]pipeline.Record, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tx.closed = append(k.tx.closed, closed...)
	return nil, nil
}

func (k *fakeKafka) Append(ctx context.Context, _ []pipeline.Record) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.try(ctx, "append")
}

func (k *fakeKafka) Commit(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.try(ctx, "commit"); err != nil {
		return err
	}
	k.apply()
	return nil
}

func (k *fakeKafka) apply() {
	k.transactions++
	k.committed = append(k.committed, k.tx.events...)
	k.rejected = append(k.rejected, k.tx.rejected...)
	for _, c := range k.tx.closed {
		k.checkpoints[c.Checkpoint.Stream] = c.Checkpoint
		record := c.Ledger
		record.Committed = time.Now().Add(time.Duration(len(k.ledger))) // No two at the same time.
		k.ledger = append(k.ledger, record)
		k.notices = append(k.notices, c.Notices...)
	}
	k.tx.events, k.tx.rejected, k.tx.closed = nil, nil, nil
}

func (k *fakeKafka) Abort(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tx.events, k.tx.rejected, k.tx.closed = nil, nil, nil
	return k.try(ctx, "abort")
}

func (k *fakeKafka) Save(ctx context.Context, _ []*pipeline.Closed) error { return k.try(ctx, "save") }

// ids are the msgids that a read_committed reader sees, in order.
func (k *fakeKafka) ids() []int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	var ids []int64
	for _, e := range k.committed {
		ids = append(ids, e.MsgID)
	}
	return ids
}

// rowsFrom makes n rows, a second apart, ids scattered.
func rowsFrom(begin time.Time, n int) []fakeRow {
	rows := make([]fakeRow, n)
	for i := range rows {
		rows[i] = fakeRow{id: int64(i)*7919%100003 + 1, at: begin.Add(time.Duration(i) * time.Second)}
	}
	return rows
}

func idsOf(rows []fakeRow) []int64 {
	var ids []int64
	for _, r := range rows {
		ids = append(ids, r.id)
	}
	return ids
}

func messages() pipeline.Stream { return pipeline.Stream{Kind: pipeline.StreamMessages} }

// start begins at a fixed time, whatever the fake clock shows.
func configFor(source pipeline.Source, kafka *fakeKafka, begin time.Time) pipeline.Config {
	return pipeline.Config{
		AppKey: appKey, Streams: []pipeline.Stream{messages()},
		Source: source, Sink: kafka, Checkpoints: kafka,
		Start: pipeline.Start{At: begin},
	}
}

// runFor runs a pipeline for a while and returns what Run returned.
func runFor(t *testing.T, cfg pipeline.Config, d time.Duration) error {
	t.Helper()
	p, err := pipeline.New(cfg)
	if err != nil {
		t.Fatalf("new pipeline: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return p.Run(ctx)
}

func wantIDs(t *testing.T, kafka *fakeKafka, want []int64) {
	t.Helper()
	if got := kafka.ids(); !slices.Equal(got, want) {
		t.Errorf("committed ids\n got %v\nwant %v", got, want)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Total counts as the pages do.
func (f *fakeSource) Total(_ context.Context, s pipeline.Stream, w pipeline.Window) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.totals++
	return f.pages(s, w).total, nil
}

// Windows gives the ledger.
func (k *fakeKafka) Windows(_ context.Context, since time.Time, fn func(*pipeline.Ledger) error) error {
	k.mu.Lock()
	ledger := slices.Clone(k.ledger)
	k.mu.Unlock()
	for i := range ledger {
		if ledger[i].Started.Before(since.Add(-time.Hour)) {
			continue
		}
		if err := fn(&ledger[i]); err != nil {
			return err
		}
	}
	return nil
}

// Records gives committed events by their offsets.
func (k *fakeKafka) Records(_ context.Context, ranges []pipeline.OffsetRange, fn func(topic string, key, value []byte) error) error {
	for _, r := range ranges {
		for at := r.First; at <= r.Last; at++ {
			k.mu.Lock()
			e := k.committed[at]
			k.mu.Unlock()
			if err := fn("x.group", strconv.AppendInt(nil, e.MsgID, 10), e.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

package endtoend_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/source"
)

// inProcess answers requests by a handler, without a network, which would keep faked time from passing.
type inProcess struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	p.handler.ServeHTTP(recorder, r)
	return recorder.Result(), nil
}

// ledgerOnly is a sink and checkpoints that keep msgids and positions alone. The pipeline uses it from one goroutine at a time.
type ledgerOnly struct {
	ids       map[int64]struct{}
	doubled   int
	positions map[pipeline.Stream]pipeline.Checkpoint
}

func (*ledgerOnly) Open(context.Context) error { return nil }
func (*ledgerOnly) Forget()                    {}

func (l *ledgerOnly) Begin(context.Context) (pipeline.Transaction, error) { return l, nil }
func (*ledgerOnly) Append(context.Context, []pipeline.Record) error       { return nil }
func (*ledgerOnly) Commit(context.Context) error                          { return nil }
func (*ledgerOnly) Abort(context.Context) error                           { return nil }
func (*ledgerOnly) Stage(*pipeline.Commit) ([]pipeline.Record, error)     { return nil, nil }

func (l *ledgerOnly) Publish(_ context.Context, b *pipeline.Batch) (pipeline.Published, error) {
	for i := range b.Events {
		if _, again := l.ids[b.Events[i].MsgID]; again {
			l.doubled++
		}
		l.ids[b.Events[i].MsgID] = struct{}{}
	}
	return pipeline.Published{}, nil
}

func (l *ledgerOnly) Load(context.Context) (map[pipeline.Stream]pipeline.Checkpoint, error) {
	return l.positions, nil
}

func (l *ledgerOnly) Save(_ context.Context, c *pipeline.Commit) error {
	for _, cp := range c.Positions {
		l.positions[cp.Stream] = *cp
	}
	return nil
}

// catchUp is sixty days that are caught up with an API that takes 150 ms for a page and allows 6000 requests a minute.
type catchUp struct {
	rows           float64
	page, parallel int
	// allowed is the most pages a second: side by side, or by the rate.
	allowed float64
	// least is the part of them that it must reach, most how many requests it may take, by the rows.
	least float64
	most  func(rows int) int
}

const catchUpLatency = 150 * time.Millisecond

// run holds rows, requests and time, which is faked, against what rate limit and parallelism allow.
func (c *catchUp) run(t *testing.T) {
	t.Helper()
	const day = 24 * time.Hour
	time.Sleep(3650 * day) // Away from where faked time begins.
	now := time.Now().UTC().Truncate(time.Second)
	o := sim.Defaults()
	// What the API holds is a minute less than its history when the first request arrives.
	o.Begin, o.End = now.Add(-60*day+2*time.Minute), now.Add(-time.Minute)
	o.Rate, o.Latency, o.PerMinute = c.rows/o.End.Sub(o.Begin).Seconds(), catchUpLatency, 6000
	api, err := sim.New(o)
	if err != nil {
		t.Fatal(err)
	}
	cfg := sourceConfig(api, "https://report.im.jpush.cn")
	cfg.PageSize, cfg.Transport = c.page, inProcess{api}
	cfg.Rate = source.Rate{Requests: 6000, Per: time.Minute}
	client, err := source.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	into := &ledgerOnly{ids: make(map[int64]struct{}), positions: make(map[pipeline.Stream]pipeline.Checkpoint)}
	line, err := pipeline.New(pipeline.Config{
		AppKey: o.AppKey, Streams: []pipeline.Stream{{Kind: pipeline.StreamMessages}}, Source: client, Sink: into, Checkpoints: into,
		Start: pipeline.Start{At: o.Begin}, Until: now.Add(-30 * time.Second), Overlap: cfg.Overlap, Parallel: c.parallel,
	})
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	if err := line.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.judge(t, into, api, o.Begin, time.Since(started))
}

// judge wants every row once, within the bounds.
func (c *catchUp) judge(t *testing.T, into *ledgerOnly, api *sim.Server, begin time.Time, took time.Duration) {
	t.Helper()
	rows := 0
	for r := range api.Truth(sim.Range{Begin: begin, End: time.Now()}) {
		if _, there := into.ids[r.MsgID]; !there {
			t.Fatalf("row %d of %v was not published", r.MsgID, r.Time)
		}
		rows++
	}
	if len(into.ids) != rows || into.doubled > 0 {
		t.Errorf("%d different rows were published, %d of them twice; want %d", len(into.ids), into.doubled, rows)
	}
	requests := int(api.Stats().Requests)
	pages := float64(rows) / float64(c.page) / took.Seconds()
	t.Logf("%d rows in %v: %.1f full pages a second of %.1f; %d requests, %.3f a full page", rows, took.Round(time.Millisecond), pages,
		c.allowed, requests, float64(requests)/float64(rows)*float64(c.page))
	if most := c.most(rows); requests > most {
		t.Errorf("%d requests for %d rows, want at most %d", requests, rows, most)
	}
	if pages < c.allowed*c.least {
		t.Errorf("%.1f full pages a second, want %.0f %% of %.1f", pages, c.least*100, c.allowed)
	}
}

// inFullPages allows 1.1 requests for each 1000 rows.
func inFullPages(rows int) int { return rows * 110 / 100 / 1000 }

// fourAtATime is bounded by the parallelism, byTheRate by the quota. How a history begins and ends weighs more in a short one.
func fourAtATime(rows, least float64) *catchUp {
	return &catchUp{rows, 1000, 4, 4 / catchUpLatency.Seconds(), least, inFullPages}
}

func byTheRate(rows, least float64) *catchUp {
	return &catchUp{rows, 1000, 32, 6000.0 / 60, least, inFullPages}
}

func TestEfficiency(t *testing.T) {
	for name, c := range map[string]*catchUp{
		"four at a time": fourAtATime(5e5, 0.85), // Four windows need most of the memory that they may take.
		"by the rate":    byTheRate(5e5, 0.85),
		// Windows have some 200 rows, whose number varies by 7 %: a third of them need a page more than was planned.
		"in small pages": {5e4, 50, 32, 6000.0 / 60, 0.8, func(rows int) int { return rows * 120 / 100 / 50 }},
		"a row a day":    {60, 1000, 4, 0, 0, func(int) int { return 15 }},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, c.run) })
	}
}

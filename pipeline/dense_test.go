package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

const (
	densePage    = 20
	denseRate    = 40 // rows a second: four pages in a poll
	densePerPoll = 2 * denseRate / densePage
)

// denseRows are rows of which a page does not hold what comes within a poll; late ones are so late.
func denseRows(length time.Duration, late func(i int) time.Duration) []fakes.Row {
	rows := make([]fakes.Row, int(length.Seconds()*denseRate))
	begin := time.Now().UTC()
	for i := range rows {
		rows[i] = fakes.Row{ID: int64(i)*7919%1000003 + 1, At: begin.Add(time.Duration(i) * time.Second / denseRate)}
		rows[i].Raw = fmt.Sprintf(`{"msgid":%d,"target_type":"group","target_id":"1","msg_type":"text","msg_body":{"text":"n"},"msg_ctime":%d,"create_time":%[2]d}`,
			rows[i].ID, rows[i].At.UnixMilli())
		if late != nil {
			rows[i].Late = late(i)
		}
	}
	return rows
}

// dense is a run over a dense stream.
type dense struct {
	source *fakes.Source
	kafka  *fakes.Kafka
	rows   []fakes.Row
	cfg    pipeline.Config
	// unread are the windows that were closed without being read, read those that were; worst is how long a row waited at most once the run had
	// begun.
	unread, read []pipeline.Ledger
	worst        time.Duration
	// lag is how far the position was behind when a window was closed unread.
	lag time.Duration
}

func newDense(rows []fakes.Row) *dense {
	d := &dense{source: fakes.NewSource(rows...), kafka: fakes.NewKafka(), rows: rows}
	d.source.PageSize = densePage
	at := make(map[int64]fakes.Row, len(rows))
	for _, r := range rows {
		at[r.ID] = r
	}
	d.cfg = earlyConfig(d.source, d.kafka, time.Now().UTC().Truncate(time.Second))
	seen, end := 0, time.Time{}
	d.cfg.Observer = func(o pipeline.Observation) {
		c, ok := o.(pipeline.WindowCommitted)
		if !ok {
			return
		}
		if !c.Ledger.Early && c.Checkpoint.End.After(time.Now().Add(-d.source.Settle)) {
			panic("the position has moved over what has not settled")
		}
		if c.Ledger.Stream == fakes.Messages() {
			if c.Checkpoint.End.Before(end) {
				panic("the position has gone back")
			}
			end = c.Checkpoint.End
		}
		ids := d.kafka.IDs()
		for _, id := range ids[seen:] {
			if r := at[id]; r.At.After(rows[0].At.Add(time.Minute)) {
				d.worst = max(d.worst, time.Since(r.At.Add(r.Late)))
			}
		}
		seen = len(ids)
		switch l := c.Ledger; {
		case l.Early:
		case l.Pages == 0:
			d.unread = append(d.unread, *l)
			d.lag = max(d.lag, time.Since(l.MovedTo))
		default:
			d.read = append(d.read, *l)
		}
	}
	return d
}

func (d *dense) run(t *testing.T) {
	t.Helper()
	fakes.Run(t, d.cfg, d.rows[len(d.rows)-1].At.Sub(d.rows[0].At)+time.Minute)
	wantAllOnce(t, d.kafka, d.rows)
	d.wantChain(t)
}

// wantChain sees that the ledger adds up to what the API has.
func (d *dense) wantChain(t *testing.T) {
	t.Helper()
	var lineage audit.Lineage
	for i := range d.kafka.Ledger {
		l := &d.kafka.Ledger[i]
		if l.Published+l.Rejected != l.Rows-l.Repeated-l.Skipped-l.EarlyRows {
			t.Fatalf("the ledger record does not add up: %+v", l)
		}
		lineage.Add(l, audit.Place{Offset: int64(i)})
	}
	chains := lineage.Chains(func(pipeline.Stream, pipeline.Window) bool { return true })
	if len(chains) != 1 {
		t.Fatalf("%d chains, want one", len(chains))
	}
	if got := chains[0].Rows(); got != int64(len(d.rows)) {
		t.Errorf("the chain knows %d rows of %d", got, len(d.rows))
	}
}

// TestDenseStreamsAreReadOnce: where a page does not hold what comes within a poll, each row is published soon, and asked for once: its settled time is
// closed by its total, which commits with the next look.
func TestDenseStreamsAreReadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const minutes = 5
		d := newDense(denseRows(minutes*time.Minute, nil))
		d.run(t)
		if d.worst > 4*time.Second {
			t.Errorf("a row waited for %s", d.worst)
		}
		pages := 0
		for i := range d.kafka.Ledger {
			pages += max(1, d.kafka.Ledger[i].Requests)
		}
		if most := len(d.kafka.Ledger) - len(d.unread) + 5; d.kafka.Transactions > most {
			t.Errorf("%d transactions, want %d at most", d.kafka.Transactions, most)
		}
		if most := minutes * 30 * (densePerPoll + 2); pages > most {
			t.Errorf("%d requests, want %d at most", pages, most)
		}
		if len(d.unread) < minutes*25 || len(d.read) > 30 {
			t.Errorf("%d windows were closed unread, %d were read", len(d.unread), len(d.read))
		}
		if d.lag > 9*time.Second {
			t.Errorf("the position was %s behind", d.lag)
		}
	})
}

// TestWhatALookMissedIsRead: a total that says more than what came has the window read, which brings it; where rows always appear late, looks end
// so far behind the present, and none is missed.
func TestWhatALookMissedIsRead(t *testing.T) {
	for name, late := range map[string]func(i int) time.Duration{
		"now and then": func(i int) time.Duration {
			return time.Duration(i/(30*denseRate)*30*denseRate/max(1, i)) * 3 * time.Second
		},
		"always":   func(int) time.Duration { return 1500 * time.Millisecond },
		"too late": func(i int) time.Duration { return time.Duration(i%500/499) * 4900 * time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDense(denseRows(5*time.Minute, late))
				d.run(t)
				if name != "too late" && len(d.unread) < 60 {
					t.Errorf("%d windows were closed unread, %d were read", len(d.unread), len(d.read))
				}
			})
		})
	}
}

// TestAStaleTotalIsFoundOut: a look that misses a row, and a total that agrees with it, close a window without it. The next total covers the overlap
// before the position too, so it does not agree, and the window that is read brings the row.
func TestAStaleTotalIsFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const second = 90
		hidden := second*denseRate + 7
		d := newDense(denseRows(3*time.Minute, nil))
		row := &d.source.Rows[hidden]
		row.Late = 7 * time.Second
		hiddenUntil := row.At.Add(row.Late)
		closed := false
		observe := d.cfg.Observer
		d.cfg.Observer = func(o pipeline.Observation) {
			observe(o)
			if c, ok := o.(pipeline.WindowCommitted); ok && c.Ledger.Pages == 0 && c.Ledger.MovedTo.After(row.At) && time.Now().Before(hiddenUntil) {
				closed = true
			}
		}
		d.run(t)
		if !closed {
			t.Error("no window was closed while the row was missing")
		}
	})
}

// TestATotalThatDoesNotAgreeClosesNothing: no window is closed unread whose total is another number than the rows that came, however it is wrong;
// after a few of them windows alone are read for a while, and for long where rows have vanished.
func TestATotalThatDoesNotAgreeClosesNothing(t *testing.T) {
	for _, wrong := range []int64{-1, 1} {
		synctest.Test(t, func(t *testing.T) {
			d := newDense(denseRows(5*time.Minute, nil))
			asked := 0
			d.source.TotalHook = func(_ pipeline.Window, total int64) (int64, error) {
				asked++
				return total + wrong, nil
			}
			d.run(t)
			if len(d.unread) > 0 {
				t.Errorf("%d windows were closed by a total that is wrong by %d", len(d.unread), wrong)
			}
			if most := map[int64]int{-1: 1, 1: 24}[wrong]; asked == 0 || asked > most {
				t.Errorf("%d totals that are wrong by %d were asked for", asked, wrong)
			}
		})
	}
}

// TestLooksInVain: where looks fail for a moment, rows wait for windows for some seconds and no longer; where they always do, few are tried.
func TestLooksInVain(t *testing.T) {
	for name, c := range map[string]struct {
		until, worst time.Duration
		most         int
	}{
		"for a moment": {38 * time.Second, 4 * time.Second, math.MaxInt},
		"always":       {time.Hour, 9 * time.Second, 40},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				d := newDense(denseRows(5*time.Minute, nil))
				d.source.EarlyHook = func(int) error {
					if in := time.Since(begun); in > 30*time.Second && in < c.until {
						return errors.New("no answer")
					}
					return nil
				}
				d.run(t)
				if d.worst > c.worst {
					t.Errorf("a row waited for %s", d.worst)
				}
				if looks := d.source.Looks(); looks > c.most {
					t.Errorf("%d looks", looks)
				}
			})
		})
	}
}

// slowSink takes a while to begin a transaction.
type slowSink struct {
	*fakes.Kafka

	begin time.Duration
}

func (s slowSink) Begin(ctx context.Context) (pipeline.Transaction, error) {
	if err := pipeline.Sleep(ctx, s.begin); err != nil {
		return nil, err
	}
	return s.Kafka.Begin(ctx)
}

// TestAStreamedWindowOvertakesNothing: a window that is streamed goes to the publisher at once, and not before what a total closed, which waits for
// the next look. Another stream keeps the publisher busy. The figures are such that it would be overtaken if it could be.
func TestAStreamedWindowOvertakesNothing(t *testing.T) {
	for _, c := range []struct {
		begin, latency time.Duration
		windowBytes    int
		failing        int // Of so many looks two in a row fail.
	}{
		{1829 * time.Millisecond, 849 * time.Millisecond, 205 << 10, 29},
		{1835 * time.Millisecond, 720 * time.Millisecond, 189 << 10, 45},
		{1869 * time.Millisecond, 709 * time.Millisecond, 227 << 10, 14},
	} {
		t.Run(c.begin.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const overlap, seconds = 10 * time.Second, 180
				d := newDense(denseRows(seconds*time.Second, nil))
				d.cfg.Sink, d.cfg.WindowBytes, d.cfg.Overlap = slowSink{d.kafka, c.begin}, c.windowBytes, overlap
				d.source.PageSize, d.source.Latency, d.source.Overlap = 4*densePage, c.latency, overlap
				d.source.EarlyHook = func(n int) error {
					if n%c.failing > c.failing-3 {
						return errors.New("no answer")
					}
					return nil
				}
				other := fakes.RowsFrom(d.rows[0].At, seconds)
				for i := range other {
					other[i].ID += 1 << 40
				}
				group := pipeline.Stream{Kind: pipeline.StreamGroups, Name: "1"}
				d.source.Of = map[pipeline.Stream][]fakes.Row{fakes.Messages(): d.rows, group: other}
				d.cfg.Streams = append(d.cfg.Streams, group)
				fakes.Run(t, d.cfg, 2*seconds*time.Second)
				wantAllOnce(t, d.kafka, append(other, d.rows...))
				if d.kafka.Opened != 1 { // It is no error that a run ends with.
					t.Errorf("%d sessions, want one", d.kafka.Opened)
				}
			})
		})
	}
}

// TestWithoutTotalsDenseStreamsAreNotLookedAt reads windows alone where nothing would close what looks bring, and nearly alone where one second is more
// than looks may take, or the quota allows too little.
func TestWithoutTotalsDenseStreamsAreNotLookedAt(t *testing.T) {
	for name, change := range map[string]func(*dense){
		"no totals":    func(d *dense) { d.source.NoTotals = true },
		"many pages":   func(d *dense) { d.source.PageSize = 2 },
		"little quota": func(d *dense) { d.cfg.Pace = 400 * time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDense(denseRows(5*time.Minute, nil))
				change(d)
				d.run(t)
				if looks := d.source.Looks(); looks > 40 || len(d.unread) > 4 || d.source.NoTotals && len(d.unread) > 0 {
					t.Errorf("%d looks, %d windows closed unread", looks, len(d.unread))
				}
			})
		})
	}
}

// TestAFewIDsOfEarlyRows: a position holds the ids of so many early rows at most, for it is written with each look.
func TestAFewIDsOfEarlyRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := denseRows(2*time.Minute, nil)
		for i := range rows {
			rows[i].At = rows[0].At.Add(time.Duration(i) * 25 * time.Microsecond * denseRate) // 1000 a second
		}
		begin := rows[0].At
		rows = rows[:4000]
		for i := range 80_000 { // 8000 a second: ten of them are too many.
			rows = append(rows, fakes.Row{ID: int64(2_000_000 + i), At: begin.Add(4*time.Second + time.Duration(i)*125*time.Microsecond)})
		}
		d := newDense(rows)
		d.source.PageSize = 3000
		most := 0
		d.cfg.Observer = func(o pipeline.Observation) {
			if c, ok := o.(pipeline.WindowCommitted); ok {
				most = max(most, len(c.Checkpoint.EarlyIDs))
			}
		}
		d.run(t)
		if most > 21_000 || most == 0 {
			t.Errorf("a position knows %d early rows", most)
		}
	})
}

// TestEarlyRowsCountOnce: the windows that a run reads behind another one's early rows count each of them once, whatever they hold besides.
func TestEarlyRowsCountOnce(t *testing.T) {
	for seed := range fakes.Seeds(8) {
		synctest.Test(t, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, 22))
			const length = 10 * time.Minute
			d := newDense(denseRows(length, nil))
			for begin := time.Now(); time.Since(begin) < length; {
				d.source.Latency = time.Duration(dice.IntN(1500)) * time.Millisecond
				d.source.Overlap = time.Duration(1+dice.IntN(5)) * time.Second
				d.cfg.Overlap = d.source.Overlap
				fakes.Run(t, d.cfg, time.Duration(10+dice.IntN(30))*time.Second)
				time.Sleep(time.Duration(dice.IntN(5000)) * time.Millisecond)
			}
			fakes.Run(t, d.cfg, 2*time.Minute)
			wantAllOnce(t, d.kafka, d.rows)
			d.wantChain(t)
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		})
	}
}

// TestDenseLooksOutliveAnything ends the run now and then and has any call fail by chance, rows appear late, and totals and looks be behind: each
// row is published once all the same.
func TestDenseLooksOutliveAnything(t *testing.T) {
	for seed := range fakes.Seeds(12) {
		synctest.Test(t, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, 17))
			const length = 10 * time.Minute
			late := []int{0, 3, 100, 1000}[dice.IntN(4)]
			lateness := rand.New(rand.NewPCG(seed, 18))
			d := newDense(denseRows(length, func(int) time.Duration {
				if late == 0 || lateness.IntN(late) > 0 {
					return 0
				}
				return time.Duration(lateness.IntN(4900)) * time.Millisecond
			}))
			failing := rand.New(rand.NewPCG(seed, 19))
			d.kafka.Fail = func(_ context.Context, op string) error {
				if failing.IntN(200) > 0 {
					return nil
				}
				return &pipeline.Fault{Class: pipeline.Abort, Op: op, Err: errors.New("injected")}
			}
			looking := rand.New(rand.NewPCG(seed, 20))
			d.source.EarlyHook = func(int) error {
				if looking.IntN(40) > 0 {
					return nil
				}
				return &pipeline.Fault{Class: pipeline.Restart, Op: "look", Err: errors.New("injected")}
			}
			begin := time.Now()
			for time.Since(begin) < length {
				fakes.Run(t, d.cfg, time.Duration(20+dice.IntN(200))*time.Second)
				if dice.IntN(5) == 0 {
					time.Sleep(time.Duration(dice.IntN(60)) * time.Second)
				}
			}
			d.kafka.Fail = nil
			fakes.Run(t, d.cfg, 2*time.Minute)
			wantAllOnce(t, d.kafka, d.rows)
			d.wantChain(t)
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		})
	}
}

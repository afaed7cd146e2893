package source

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
)

// liar is an API with a row every so often, each visible some seconds after it was sent, whose replies have dates that are off. It refuses
// what begins before its history.
type liar struct {
	begin time.Time
	every time.Duration
	// until is when the rows end; zero is never.
	until time.Time
	// off is by how much the n-th reply's date is off.
	off func(n int) time.Duration
	// absurd, where set, is the date of all replies.
	absurd string

	mu    sync.Mutex
	asked int
}

// requests is how many came.
func (l *liar) requests() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked
}

const liarDelay = 3 * time.Second

// rows are those sent from begin on, before end.
func (l *liar) rows(begin, end time.Time) (rows []string) {
	if !l.until.IsZero() && end.After(l.until) {
		end = l.until
	}
	first := max(0, int(begin.Sub(l.begin)+l.every-1)/int(l.every))
	for i := first; l.begin.Add(time.Duration(i) * l.every).Before(end); i++ {
		rows = append(rows, fmt.Sprintf(`{"msgid":%d,"target_type":"group","target_id":"1","msg_type":"text","msg_body":{"text":"n"},"msg_ctime":%d}`,
			i+1, l.begin.Add(time.Duration(i)*l.every).UnixMilli()))
	}
	return rows
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	now := time.Now()
	if w.Header().Set("Date", now.Add(l.off(l.asked)).UTC().Format(http.TimeFormat)); l.absurd != "" {
		w.Header().Set("Date", l.absurd)
	}
	q := r.URL.Query()
	zone := defaults().TimeZone
	begin, _ := time.ParseInLocation(timeForm, q.Get("begin_time"), zone)
	end, _ := time.ParseInLocation(timeForm, q.Get("end_time"), zone)
	if end = end.Add(time.Second); begin.Before(now.Add(-pipeline.History)) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, apiErrorBody(899003))
		return
	}
	if seen := now.Add(-liarDelay); end.After(seen) {
		end = seen
	}
	rows := l.rows(begin, end)
	total := len(rows)
	if q.Get("count") != "1000" {
		rows = rows[:min(len(rows), 1)]
	}
	_, _ = fmt.Fprint(w, pageJSON(total, "", rows...))
}

// clocksTold are what the observer was told of clocks and of streams that wait.
type clocksTold struct {
	mu          sync.Mutex
	began, over int
	waits       []string
	late        time.Duration
}

func (c *clocksTold) observer() pipeline.Observer {
	return func(o pipeline.Observation) {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch o := o.(type) {
		case pipeline.ClocksCompared:
			switch {
			case o.Changed && o.Disagree:
				c.began++
			case o.Changed:
				c.over++
			}
		case pipeline.RetryScheduled:
			c.waits = append(c.waits, o.Err.Error())
		case pipeline.WindowPlanned:
			c.late = max(c.late, o.Plan.Window.End.Sub(time.Now().Add(-defaults().Settle)))
		default:
		}
	}
}

// TestClocksThatLieLoseNothing has clocks lie for a while: no window ends where rows may still come, no time that is there is
// called gone, it is told, and in the end each row was published once.
func TestClocksThatLieLoseNothing(t *testing.T) {
	const day = 24 * time.Hour
	always := func(off time.Duration) func(int) time.Duration { return func(int) time.Duration { return off } }
	oneIn := func(n int, off time.Duration) func(int) time.Duration {
		return func(i int) time.Duration {
			if i%n == 0 {
				return off
			}
			return 0
		}
	}
	for _, c := range []struct {
		name string
		// server is how far the dates are off, local the local clock, while they lie.
		server func(n int) time.Duration
		absurd string
		local  time.Duration
		every  time.Duration
		start  time.Duration
		// silent tells that nothing is worth being told.
		silent bool
	}{
		{name: "all is well", server: always(0), silent: true},
		{name: "within the slack", server: always(0), local: -4 * time.Second, silent: true},
		{name: "two replies are 70 days ahead", server: func(n int) time.Duration {
			if n == 50 || n == 51 {
				return 70 * day
			}
			return 0
		}},
		{name: "the server is 70 days ahead", server: always(70 * day)},
		{name: "the server is a minute ahead", server: always(time.Minute)},
		{name: "the server is ten seconds ahead", server: always(10 * time.Second)},
		{name: "the server is an hour ahead, and the oldest is read", server: always(time.Hour), start: 60*day - 30*time.Minute, every: time.Hour},
		{name: "the year 9999", server: always(0), absurd: "Fri, 31 Dec 9999 23:59:59 GMT"},
		{name: "the year 1", server: always(0), absurd: "Mon, 01 Jan 0001 00:00:00 GMT"},
		{name: "one of three nodes is 70 days ahead", server: oneIn(3, 70*day)},
		{name: "one of three nodes is an hour behind", server: oneIn(3, -time.Hour)},
		{name: "one of three nodes is ahead, and the local clock too", server: oneIn(3, 70*day), local: 3 * time.Hour},
		{name: "one of three nodes is ahead by as much as the local clock", server: oneIn(3, 3*time.Hour), local: 3 * time.Hour},
		{name: "the server is an hour behind", server: always(-time.Hour)},
		{name: "the server is 70 days behind", server: always(-70 * day)},
		{name: "the local clock says 1970", server: always(0), local: -30 * 365 * day},
		{name: "the local clock is months behind", server: always(0), local: -90 * day},
		{name: "the local clock is hours ahead", server: always(0), local: 5 * time.Hour},
		{name: "the local clock is months ahead", server: always(0), local: 90 * day},
		{name: "the local clock is an hour behind, with few rows", server: always(0), local: -time.Hour, every: 7 * time.Minute},
		{name: "the server is ahead, the local clock behind", server: always(70 * day), local: -2 * time.Hour},
		{name: "the server is ahead, the local clock says 1970", server: always(20 * day), local: -30 * 365 * day},
		{name: "both are behind", server: always(-2 * time.Hour), local: -70 * day},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if c.every == 0 {
					c.every = 10 * time.Second
				}
				if c.start == 0 {
					c.start = time.Hour
				}
				begin := time.Now().UTC().Truncate(time.Second).Add(-c.start)
				from, to := time.Now().Add(2*time.Minute), time.Now().Add(7*time.Minute)
				lies := func() bool { return time.Now().After(from) && time.Now().Before(to) }
				api := &liar{begin: begin, every: c.every}
				api.off = func(n int) time.Duration {
					if api.absurd = ""; !lies() {
						return 0
					}
					api.absurd = c.absurd
					return c.server(n)
				}
				if c.name == "two replies are 70 days ahead" {
					api.off = c.server
				}
				told := &clocksTold{}
				cfg := testConfig(api)
				cfg.Observer, cfg.ProveZone = told.observer(), true
				client := newTestClient(t, cfg)
				client.clock.wall = func() time.Time {
					if lies() {
						return time.Now().Add(c.local)
					}
					return time.Now()
				}
				kafka := fakes.NewKafka()
				run := fakes.ConfigFor(client, kafka, begin)
				run.Observer, run.Overlap = told.observer(), cfg.Overlap
				fakes.Run(t, run, 11*time.Minute)

				if told.late > 0 {
					t.Errorf("a window ended %v after what has settled", told.late)
				}
				for _, n := range kafka.Notices {
					t.Errorf("a notice: %+v", n)
				}
				if quiet := told.began == 0 && told.over == 0 && len(told.waits) == 0; quiet != c.silent || told.began != told.over {
					t.Errorf("told %d times that the clocks disagree, %d times that this is over, and of the waits %.3q", told.began, told.over, told.waits)
				}
				if n := api.requests(); n > 1000 {
					t.Errorf("%d requests", n)
				}
				want := len(api.rows(begin, time.Now().Add(-time.Minute)))
				ids := make(map[int64]int)
				for i := range kafka.Committed {
					ids[kafka.Committed[i].MsgID]++
				}
				for i := range want {
					if n := ids[int64(i+1)]; n != 1 {
						t.Fatalf("of %d rows, %d was published %d times", want, i+1, n)
					}
				}
			})
		})
	}
}

// TestClocksAtTheStart begins while clocks lie. Where one of them is right, and rows or the other show which, the stream is read at
// once; never is a row lost.
func TestClocksAtTheStart(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name          string
		server, local time.Duration
		reads         bool
	}{
		{"both are right", 0, 0, true},
		{"the local clock says 1970", 0, -30 * 365 * day, true},
		{"the local clock is months behind", 0, -90 * day, true},
		{"the local clock is months ahead", 0, 90 * day, true},
		{"the server is 70 days ahead", 70 * day, 0, true},
		{"the server says 9999", 101 * 365 * day, 0, true},
		{"both are wrong", 70 * day, -time.Hour, true},
		{"both are behind", -time.Hour, -70 * day, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(100 * day)
				begin := time.Now().UTC().Truncate(time.Second).Add(-10 * time.Minute)
				api := &liar{begin: begin, every: time.Second, off: func(int) time.Duration {
					if c.server > 100*365*day {
						return 0
					}
					return c.server
				}}
				if c.server > 100*365*day {
					api.absurd = "Fri, 31 Dec 9999 23:59:59 GMT"
				}
				told := &clocksTold{}
				cfg := testConfig(api)
				cfg.Observer, cfg.ProveZone = told.observer(), true
				client := newTestClient(t, cfg)
				client.clock.wall = func() time.Time { return time.Now().Add(c.local) }
				kafka := fakes.NewKafka()
				run := fakes.ConfigFor(client, kafka, begin)
				run.Observer = told.observer()
				fakes.Run(t, run, 10*time.Minute)
				if told.late > 0 || len(kafka.Notices) > 0 {
					t.Errorf("a window ended %v after what has settled; notices: %v", told.late, kafka.Notices)
				}
				want := 0
				if c.reads {
					want = len(api.rows(begin, time.Now().Add(-3*time.Minute)))
				}
				if got := len(kafka.Committed); got < want {
					t.Errorf("%d rows were published, want %d; it waited: %.3q", got, want, told.waits)
				}
			})
		})
	}
}

// TestGapIsPlannedOnceItIsCertain waits for steady clocks before time is given up as gone, once, and calls nothing gone that is so by
// one clock alone.
func TestGapIsPlannedOnceItIsCertain(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name          string
		server, local time.Duration
		// clear is when the clocks begin to be right.
		clear time.Duration
		// gap is after how long it is planned.
		gap time.Duration
	}{
		{name: "steady from the start", gap: gapAfter},
		{name: "constantly apart", local: time.Hour, clear: time.Hour, gap: gapAfter},
		{name: "by the server alone", server: 40 * day, clear: time.Hour, gap: time.Hour + gapAfter},
		{name: "a jump on the way", server: 40 * day, clear: 2 * time.Minute, gap: 2*time.Minute + gapAfter},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				lies := func() bool { return time.Since(begin) < c.clear }
				api := &liar{begin: begin.Add(-100 * day), every: time.Hour, off: func(int) time.Duration {
					if lies() {
						return c.server
					}
					return 0
				}}
				client := newTestClient(t, testConfig(api))
				client.clock.wall = func() time.Time {
					if lies() {
						return time.Now().Add(c.local)
					}
					return time.Now()
				}
				p := pipeline.Position{End: begin.Add(-70 * day).UTC().Truncate(time.Second), Span: time.Hour}
				if c.server > 0 { // It is there: gone by the server's clock alone.
					p.End = begin.Add(-50 * day).UTC().Truncate(time.Second)
				}
				plan, err := client.Plan(t.Context(), messages(), p)
				if err != nil {
					t.Fatal(err)
				}
				if c.server > 0 {
					if plan.Gap != nil || time.Since(begin) < c.clear {
						t.Errorf("planned %+v after %v", plan, time.Since(begin))
					}
					p.End = begin.Add(-70 * day).UTC().Truncate(time.Second)
					if plan, err = client.Plan(t.Context(), messages(), p); err != nil {
						t.Fatal(err)
					}
				}
				if waited := time.Since(begin); plan.Gap == nil || waited < c.gap || waited > c.gap+2*doubtWait {
					t.Errorf("planned %+v after %v, want a gap after %v", plan, waited, c.gap)
				}
				before := time.Now()
				p.End = begin.Add(-61 * day).UTC().Truncate(time.Second)
				if plan, err = client.Plan(t.Context(), messages(), p); err != nil || plan.Gap == nil || time.Since(before) > 0 {
					t.Errorf("once the clocks are steady, the next gap %+v took %v: %v", plan, time.Since(before), err)
				}
			})
		})
	}
}

// TestPositionInTheFuture refuses a position that is in the future by both clocks, with the command that corrects it, and waits for one
// that is by one of them.
func TestPositionInTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &liar{begin: time.Now().Add(-time.Hour), every: time.Second, off: func(int) time.Duration { return 0 }}
		told := &clocksTold{}
		cfg := testConfig(api)
		cfg.Observer = told.observer()
		client := newTestClient(t, cfg)
		for _, ahead := range []time.Duration{2 * time.Minute, 10 * 24 * time.Hour, 280 * 365 * 24 * time.Hour} {
			p := pipeline.Position{End: time.Now().Add(ahead).UTC().Truncate(time.Second), Span: time.Hour}
			_, err := client.Plan(t.Context(), messages(), p)
			fault := wantFault(t, err, pipeline.Permanent)
			for _, want := range []string{pipeline.FormatTime(p.End), "the API's clock says 2000-01-01T", "the local clock says 2000-01-01T"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v lacks %q", err, want)
				}
			}
			if !strings.Contains(fault.Hint, "jmpub checkpoint reset messages --to") {
				t.Errorf("the hint is %q", fault.Hint)
			}
		}
		began := time.Now()
		right := began.Add(3 * time.Minute)
		api.off = func(int) time.Duration {
			if time.Now().Before(right) {
				return -time.Hour
			}
			return 0
		}
		client = newTestClient(t, cfg)
		plan, err := client.Plan(t.Context(), messages(), pipeline.Position{End: began.Add(-10 * time.Second).UTC(), Span: time.Hour})
		if err != nil || time.Since(began) < 3*time.Minute || time.Since(began) > 4*time.Minute {
			t.Errorf("it planned %v after %v: %v", plan, time.Since(began), err)
		}
		if !slices.ContainsFunc(told.waits, func(s string) bool { return strings.Contains(s, "has not come yet") }) {
			t.Errorf("the waits told of are %q", told.waits)
		}
	})
}

// TestDateOfAReplyAloneSettlesNothing opens a window that only the dates of replies call settled.
func TestDateOfAReplyAloneSettlesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &liar{begin: time.Now().Add(-time.Hour), every: time.Second, off: func(int) time.Duration { return time.Hour }}
		end := time.Now().UTC().Truncate(time.Second)
		_, err := newTestClient(t, testConfig(api)).Open(t.Context(), messages(), pipeline.Window{Begin: end.Add(-time.Minute), End: end})
		_ = wantFault(t, err, pipeline.Restart)
		if !errors.Is(err, errUnsettled) {
			t.Errorf("it failed with %v", err)
		}
	})
}

// TestManyStreamsInDoubtAskOnce lets many streams wait for the same clocks: they share the replies that tell of them.
func TestManyStreamsInDoubtAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		right := time.Now().Add(2 * time.Minute)
		api := &liar{begin: time.Now(), every: time.Hour, off: func(int) time.Duration {
			if time.Now().Before(right) {
				return -time.Hour
			}
			return 0
		}}
		client := newTestClient(t, testConfig(api))
		p := pipeline.Position{End: time.Now().Add(-time.Minute).UTC().Truncate(time.Second), Span: time.Hour}
		var all sync.WaitGroup
		for i := range 500 {
			all.Go(func() {
				s := pipeline.Stream{Kind: pipeline.StreamGroups, Name: strconv.Itoa(i)}
				if _, err := client.Plan(t.Context(), s, p); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if waited := time.Since(right); waited < 0 || waited > lastingDifference+2*doubtWait || api.requests() > 25 {
			t.Errorf("%d requests, and it ended %v after the clocks were right", api.requests(), waited)
		}
	})
}

// TestRefusalOfWhatMayBeGone opens a window that the API refuses because it has left the history by its clock alone: it is planned
// anew, while the same refusal ends the run where the clocks agree.
func TestRefusalOfWhatMayBeGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for off, class := range map[time.Duration]pipeline.Class{0: pipeline.Permanent, -90 * 24 * time.Hour: pipeline.Restart} {
			api := &liar{begin: time.Now(), every: time.Hour, off: func(int) time.Duration { return 0 }}
			client := newTestClient(t, testConfig(api))
			client.clock.wall = func() time.Time { return time.Now().Add(off) }
			end := time.Now().AddDate(0, 0, -100).UTC().Truncate(time.Second)
			_, err := client.Open(t.Context(), messages(), pipeline.Window{Begin: end.Add(-time.Hour), End: end})
			_ = wantFault(t, err, class)
		}
	})
}

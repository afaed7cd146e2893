package source

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jmpub/jmpub/pipeline"
)

func testPlanner() planner {
	return planner{overlap: 2 * time.Second, settle: 5 * time.Second, retention: 60 * 24 * time.Hour, target: 10_000}
}

func TestPlan(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 0, 0, 500_000_000, time.UTC)
	whole := now.Truncate(time.Second)
	day := 24 * time.Hour
	oldest := whole.Add(-60*day + time.Minute + time.Second) // The first whole second not before now less retention plus margin.
	for _, test := range []struct {
		name      string
		end       time.Time
		span      time.Duration
		slack     time.Duration
		begin, to time.Time
		head      bool
		gap       bool
		gapBegin  time.Time
		wait      time.Duration
	}{
		{name: "catching up, nothing known", end: whole.Add(-10 * day), begin: whole.Add(-10*day - 2*time.Second), to: whole.Add(-9 * day)},
		{name: "catching up with a span", end: whole.Add(-10 * day), span: time.Hour, begin: whole.Add(-10*day - 2*time.Second), to: whole.Add(-10*day + time.Hour)},
		{name: "span of a fraction", end: whole.Add(-day), span: 1700 * time.Millisecond, begin: whole.Add(-day - 2*time.Second), to: whole.Add(-day + time.Second)},
		{name: "span below a second", end: whole.Add(-day), span: time.Millisecond, begin: whole.Add(-day - 2*time.Second), to: whole.Add(-day + time.Second)},
		{name: "span over seven days", end: whole.Add(-30 * day), span: 20 * day, begin: whole.Add(-30*day - 2*time.Second), to: whole.Add(-23*day - 2*time.Second)},
		{name: "at the head", end: whole.Add(-time.Minute), begin: whole.Add(-62 * time.Second), to: whole.Add(-5 * time.Second), head: true},
		{name: "span ends at the head exactly", end: whole.Add(-time.Minute), span: 55 * time.Second, begin: whole.Add(-62 * time.Second), to: whole.Add(-5 * time.Second), head: true},
		{name: "shortest window", end: whole.Add(-6 * time.Second), begin: whole.Add(-8 * time.Second), to: whole.Add(-5 * time.Second), head: true},
		{name: "half a second early", end: whole.Add(-5 * time.Second), wait: 500 * time.Millisecond, head: true},
		{name: "position in the future", end: whole.Add(time.Hour), wait: time.Hour + 5500*time.Millisecond, head: true},
		{name: "position of a fraction", end: whole.Add(-day + 300*time.Millisecond), span: time.Second, begin: whole.Add(-day - 2*time.Second), to: whole.Add(-day + 2*time.Second)},
		{name: "inside the history", end: oldest.Add(2 * time.Second), span: time.Hour, begin: oldest, to: oldest.Add(time.Hour + 2*time.Second)},
		{name: "overlap before the history", end: oldest.Add(time.Second), span: time.Hour, begin: oldest, to: oldest.Add(time.Hour + time.Second)},
		{name: "one second lost", end: oldest.Add(-time.Second), span: time.Hour, begin: oldest, to: oldest.Add(time.Hour), gap: true, gapBegin: oldest.Add(-time.Second)},
		{name: "start at the limit", end: whole.Add(-60 * day), slack: slackAtStart, begin: oldest, to: oldest.Add(day)},
		{name: "start at the limit, late", end: whole.Add(-60*day - 58*time.Second), slack: slackAtStart, begin: oldest, to: oldest.Add(day)},
		{name: "start at the limit, too late", end: whole.Add(-60*day - time.Minute), slack: slackAtStart, begin: oldest, to: oldest.Add(day), gap: true, gapBegin: whole.Add(-60*day - time.Minute)},
		{name: "months lost", end: whole.Add(-100 * day), span: 7 * day, begin: oldest, to: oldest.Add(7*day - 2*time.Second), gap: true, gapBegin: whole.Add(-100 * day)},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan, wait := testPlanner().plan(pipeline.Position{End: test.end, Span: test.span}, now, test.slack)
			if wait != test.wait {
				t.Fatalf("got wait %v, want %v", wait, test.wait)
			}
			if plan.Head != test.head {
				t.Errorf("got head %v, want %v", plan.Head, test.head)
			}
			if wait > 0 {
				return
			}
			if want := (pipeline.Window{Begin: test.begin, End: test.to}); plan.Window != want {
				t.Errorf("got %v, want %v", plan.Window, want)
			}
			switch {
			case !test.gap && plan.Gap != nil:
				t.Errorf("got gap %v, want none", plan.Gap)
			case test.gap && (plan.Gap == nil || *plan.Gap != pipeline.Window{Begin: test.gapBegin, End: oldest}):
				t.Errorf("got gap %v, want from %v", plan.Gap, test.gapBegin)
			}
		})
	}
}

// TestPlanKeepsItsPromises draws positions and clocks and holds the plan against the port's words.
func TestPlanKeepsItsPromises(t *testing.T) {
	base := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		p := testPlanner()
		p.overlap = time.Duration(rapid.IntRange(1, 3600).Draw(t, "overlap")) * time.Second
		p.settle = time.Duration(rapid.IntRange(0, 3_600_000).Draw(t, "settle")) * time.Millisecond
		now := base.Add(time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "now")))
		back := time.Duration(rapid.Int64Range(-int64(time.Hour), int64(70*24*time.Hour)).Draw(t, "back"))
		pos := pipeline.Position{
			End:  now.Add(-back),
			Span: time.Duration(rapid.Int64Range(0, int64(10*24*time.Hour)).Draw(t, "span")),
		}
		slack := rapid.SampledFrom([]time.Duration{0, slackAtStart}).Draw(t, "slack")
		plan, wait := p.plan(pos, now, slack)
		w := plan.Window
		if wait > 0 {
			// After the wait, and not much before it, there is a window.
			if again, more := p.plan(pos, now.Add(wait), slack); more > 0 {
				t.Fatalf("after a wait of %v another of %v is needed for %v", wait, more, again.Window)
			}
			if _, more := p.plan(pos, now.Add(wait-time.Nanosecond), slack); more <= 0 {
				t.Fatalf("a wait of %v is too long", wait)
			}
			return
		}
		switch {
		case w.Begin != w.Begin.Truncate(time.Second) || w.End != w.End.Truncate(time.Second):
			t.Fatalf("%v is not in whole seconds", w)
		case w.End.Sub(w.Begin) > pipeline.LongestWindow:
			t.Fatalf("%v is longer than 7 days", w)
		case w.End.Sub(pos.End) < time.Second || w.End.Sub(w.Begin) < time.Second:
			t.Fatalf("%v ends too early", w)
		case w.End.After(now.Add(-p.settle)):
			t.Fatalf("%v has not settled", w)
		case w.Begin.Before(now.Add(-p.retention)):
			t.Fatalf("%v begins before the history", w)
		case plan.Gap == nil && w.Begin.After(pos.End) && w.Begin.Sub(pos.End) > slack+time.Second:
			t.Fatalf("%v skips time after %v in silence", w, pos.End)
		case plan.Gap == nil && slack == 0 && w.Begin.After(pos.End):
			t.Fatalf("%v skips time after %v in silence", w, pos.End)
		case plan.Gap != nil && (plan.Gap.End != w.Begin || plan.Gap.Begin.After(pos.End)):
			t.Fatalf("gap %v does not fill what is between %v and %v", plan.Gap, pos.End, w)
		case w.Begin.Before(pos.End) && pos.End.Sub(w.Begin) > p.overlap+time.Second:
			t.Fatalf("%v reaches back too far", w)
		case plan.Gap == nil && w.Begin.After(pos.End.Add(-p.overlap)) && w.Begin.Sub(now.Add(-p.retention)) > retentionMargin+time.Second:
			t.Fatalf("%v lacks its overlap", w)
		}
	})
}

// TestPlanReachesBackNoFurtherThanIsKnown plans behind positions that know what was published near them from some time on.
func TestPlanReachesBackNoFurtherThanIsKnown(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	end := now.Add(-time.Hour)
	for from, want := range map[time.Time]time.Time{
		{}:                                end.Add(-2 * time.Second), // No bound.
		end.Add(-time.Minute):             end.Add(-2 * time.Second),
		end.Add(-2 * time.Second):         end.Add(-2 * time.Second),
		end.Add(-time.Second):             end.Add(-time.Second),
		end.Add(-1500 * time.Millisecond): end.Add(-time.Second),
		end:                               end,
		end.Add(time.Minute):              end,
	} {
		plan, wait := testPlanner().plan(pipeline.Position{End: end, Span: time.Minute, From: from}, now, 0)
		if wait > 0 || !plan.Window.Begin.Equal(want) {
			t.Errorf("what is known from %s on: the window %s, a wait of %s; want it to begin at %s", from, plan.Window, wait, want)
		}
	}
}

func TestSuggest(t *testing.T) {
	window := func(covers time.Duration) pipeline.Window {
		end := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
		return pipeline.Window{Begin: end.Add(-covers - 2*time.Second), End: end}
	}
	for _, test := range []struct {
		name    string
		w       pipeline.Window
		total   int64
		planned time.Duration
		want    time.Duration
	}{
		{"empty", window(time.Hour), 0, time.Hour, 2 * time.Hour},
		{"sparse", window(time.Hour), 10, time.Hour, 2 * time.Hour},
		{"as aimed at", window(997 * time.Second), 10_000, 0, 998 * time.Second},
		{"dense", window(997 * time.Second), 100_000, 0, 98 * time.Second},
		{"very dense", window(97 * time.Second), 100_000_000, 0, 16 * time.Second},
		{"a week at most", window(6 * 24 * time.Hour), 0, 0, 7*24*time.Hour - 2*time.Second},
		{"short at the head", window(4 * time.Second), 0, 24 * time.Hour, 24 * time.Hour},
		{"short and sparse at the head", window(4 * time.Second), 3, 24 * time.Hour, 23331 * time.Second},
		{"short and dense at the head", window(4 * time.Second), 7000, 24 * time.Hour, 8 * time.Second},
		{"shorter than the overlap", pipeline.Window{Begin: window(0).End.Add(-time.Second), End: window(0).End}, 0, 0, 2 * time.Second},
	} {
		if got := testPlanner().suggest(test.w, test.total, test.planned); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

// TestSpanConverges restarts a window until it is not too dense: each time it gets shorter, and soon it fits.
func TestSpanConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := testPlanner()
		perSecond := rapid.Float64Range(0, 100_000).Draw(t, "rows a second")
		end := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
		span := time.Duration(rapid.Int64Range(int64(time.Second), int64(pipeline.LongestWindow-p.overlap)).Draw(t, "span")).Truncate(time.Second)
		for tries := 0; ; tries++ {
			w := pipeline.Window{Begin: end.Add(-span - p.overlap), End: end}
			total := int64(perSecond * (w.End.Sub(w.Begin) + time.Second).Seconds())
			if !p.tooDense(w, total) {
				return
			}
			next := p.suggest(w, total, span)
			if next >= span || tries > 2 {
				t.Fatalf("try %d: %v after %v", tries, next, span)
			}
			span = next
		}
	})
}

// TestSpanGrowsBack has windows that were shortened, because cursors had expired, of a time as dense as ever: they grow until each row is read
// about once, and by little at a time, because cursors may expire again.
func TestSpanGrowsBack(t *testing.T) {
	p := testPlanner()
	for _, overlap := range []time.Duration{time.Second, 2 * time.Second, 30 * time.Second} {
		p.overlap = overlap
		span, end := minSpan, time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
		for range 40 {
			w := pipeline.Window{Begin: end.Add(-span - overlap), End: end}
			next := p.suggest(w, 100*p.target, 0)
			if next < span || next > span+max(minSpan, span/4) {
				t.Fatalf("%s of overlap: after %s come %s", overlap, span, next)
			}
			span = next
		}
		if want := thinnest * overlap; span != want {
			t.Errorf("%s of overlap: windows are %s long in the end, want %s", overlap, span, want)
		}
	}
}

func TestHalf(t *testing.T) {
	end := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	window := func(covers time.Duration) pipeline.Window {
		return pipeline.Window{Begin: end.Add(-covers - 2*time.Second), End: end}
	}
	for _, test := range []struct {
		covers      time.Duration
		rows, total int64
		want        time.Duration
	}{
		{time.Hour, 1000, 10_000, 6 * time.Minute},
		{time.Hour, 9000, 10_000, 30 * time.Minute},
		{time.Hour, 10_000, 10_000, 0},
		{2 * time.Second, 1, 10_000, time.Second},
		{time.Second, 1, 10_000, 0},
	} {
		if got := testPlanner().half(window(test.covers), test.rows, test.total); got != test.want {
			t.Errorf("%d of %d rows of %v: got %v, want %v", test.rows, test.total, test.covers, got, test.want)
		}
	}
}

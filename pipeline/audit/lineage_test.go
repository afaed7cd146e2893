package audit_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

const appKey = "4f7aef34fb361292c566a1cd"

func messages() pipeline.Stream { return pipeline.Stream{Kind: pipeline.StreamMessages} }

func at(seconds int) time.Time { return time.Unix(int64(seconds), 0).UTC() }

// windowOf is a ledger record that moved a position from a second to another, and read from two seconds before.
func windowOf(from, to, published int) pipeline.Ledger {
	return pipeline.Ledger{
		AppKey: appKey, Stream: messages(), Window: pipeline.Window{Begin: at(max(0, from-2)), End: at(to)},
		MovedFrom: at(from), MovedTo: at(to), Published: int64(published), Skipped: 1, Started: at(to),
	}
}

func lateIn(w pipeline.Ledger, rows int) pipeline.Ledger {
	w.MovedFrom, w.MovedTo, w.Late, w.Published, w.Skipped = time.Time{}, time.Time{}, true, int64(rows), 0
	return w
}

// lineageOf takes in records in the order in which they were committed.
func lineageOf(records ...pipeline.Ledger) *audit.Lineage {
	var l audit.Lineage
	for i := range records {
		records[i].Sequence = int64(i + 1)
		l.Add(&records[i], audit.Place{Partition: 3, Offset: int64(10 * i)})
	}
	return &l
}

func all(pipeline.Stream, pipeline.Window) bool { return true }

// shown is a chain as tests compare it.
type shown struct {
	begin, end int64
	windows    int
	rows       int64
}

func show(chains []audit.Chain) []shown {
	var list []shown
	for _, c := range chains {
		w := c.Window()
		list = append(list, shown{w.Begin.Unix(), w.End.Unix(), c.Len(), c.Rows()})
	}
	return list
}

func TestChains(t *testing.T) {
	forgotten := windowOf(100, 300, 6)
	forgotten.Begin = at(200)
	for _, test := range []struct {
		name    string
		records []pipeline.Ledger
		want    []shown
	}{
		{"in order", []pipeline.Ledger{windowOf(2, 100, 5), windowOf(100, 200, 6), windowOf(200, 300, 7)}, []shown{{0, 300, 3, 19}}},
		{"skipped", []pipeline.Ledger{windowOf(2, 100, 5), windowOf(150, 200, 6)}, []shown{{0, 100, 1, 6}, {148, 200, 1, 7}}},
		{"forgotten by the API", []pipeline.Ledger{windowOf(2, 100, 5), forgotten}, []shown{{0, 100, 1, 6}, {200, 300, 1, 7}}},
		{
			"set back into a window",
			[]pipeline.Ledger{windowOf(2, 100, 5), windowOf(100, 200, 6), windowOf(200, 300, 7), windowOf(150, 250, 8), windowOf(250, 400, 9)},
			[]shown{{0, 200, 2, 12}, {148, 400, 2, 18}},
		},
		{
			"set back, and all read again",
			[]pipeline.Ledger{windowOf(2, 100, 5), windowOf(100, 200, 6), windowOf(200, 300, 7), windowOf(50, 250, 8), windowOf(250, 400, 9)},
			[]shown{{0, 100, 1, 6}, {48, 400, 2, 18}},
		},
		{
			"set back to where a window ended",
			[]pipeline.Ledger{windowOf(2, 100, 5), windowOf(100, 200, 6), windowOf(100, 150, 8)},
			[]shown{{0, 200, 2, 12}, {98, 150, 1, 9}},
		},
		{
			"live and backlog side by side",
			[]pipeline.Ledger{windowOf(10_000, 10_100, 1), windowOf(2, 5000, 2), windowOf(10_100, 10_200, 3), windowOf(5000, 10_000, 4), windowOf(10_200, 10_300, 5)},
			[]shown{{0, 10_000, 2, 7}, {9998, 10_300, 3, 10}},
		},
		{
			"a range in the middle, read again",
			[]pipeline.Ledger{
				windowOf(2, 100, 5), windowOf(100, 200, 6), windowOf(200, 300, 7), windowOf(300, 400, 8),
				windowOf(150, 250, 9), windowOf(400, 500, 10), windowOf(250, 320, 11),
			},
			[]shown{{0, 200, 2, 12}, {148, 320, 2, 21}, {298, 500, 2, 19}},
		},
		{
			"a range within one window, read again",
			[]pipeline.Ledger{windowOf(2, 1000, 5), windowOf(1000, 2000, 6), windowOf(100, 200, 7), windowOf(2000, 3000, 8)},
			[]shown{{0, 3000, 3, 20}, {98, 200, 1, 8}},
		},
	} {
		if got := show(lineageOf(test.records...).Chains(all)); !slices.Equal(got, test.want) {
			t.Errorf("%s: chains %v, want %v", test.name, got, test.want)
		}
	}
}

// TestLateRowsBelongToTheWindowThatCounts leaves out late rows of a window that was read again afterwards.
func TestLateRowsBelongToTheWindowThatCounts(t *testing.T) {
	first, second := windowOf(2, 100, 5), windowOf(100, 200, 6)
	again := second
	again.Published = 7
	l := lineageOf(first, second, lateIn(second, 1), lateIn(first, 2), again)
	want := []shown{{0, 100, 1, 6 + 2}, {98, 200, 1, 8}}
	for range 2 { // Late rows count once, however often the chains are asked for.
		if got := show(l.Chains(all)); !slices.Equal(got, want) {
			t.Errorf("chains %v, want %v", got, want)
		}
		more := windowOf(500, 600, 3)
		more.Sequence = 6
		l.Add(&more, audit.Place{Partition: 3, Offset: 60})
		want = append(want[:2:2], shown{498, 600, 1, 4})
	}
}

// TestOtherRecordsTakeNoPart leaves out statistics and replays.
func TestOtherRecordsTakeNoPart(t *testing.T) {
	replayed, statistics := windowOf(50, 150, 9), windowOf(50, 150, 9)
	replayed.Replay = "r1"
	statistics.Stream = pipeline.Stream{Kind: pipeline.StreamStatistics, Name: "users"}
	got := show(lineageOf(windowOf(2, 100, 5), replayed, statistics, windowOf(100, 200, 6)).Chains(all))
	if want := []shown{{0, 200, 2, 12}}; !slices.Equal(got, want) {
		t.Errorf("chains %v, want %v", got, want)
	}
}

// TestChainsAreCutToWhatIsWanted keeps what lies between the first and the last window that is wanted.
func TestChainsAreCutToWhatIsWanted(t *testing.T) {
	l := lineageOf(windowOf(2, 100, 1), windowOf(100, 200, 2), windowOf(200, 300, 3), windowOf(300, 400, 4))
	for from := 0; from < 500; from += 50 {
		for to := from + 50; to < 500; to += 50 {
			wanted := func(_ pipeline.Stream, w pipeline.Window) bool {
				return w.End.After(at(from)) && w.Begin.Before(at(to))
			}
			var want []shown
			begin, end := from/100, min(3, (to+1)/100) // A window reaches two seconds into the one before it.
			if begin <= min(3, begin) && from < 400 {
				rows := int64(1)
				for i := begin; i <= end; i++ {
					rows += int64(i + 1)
				}
				want = []shown{{int64(max(0, begin*100-2)), int64(end*100 + 100), end - begin + 1, rows}}
			}
			if got := show(l.Chains(wanted)); !slices.Equal(got, want) {
				t.Errorf("from %d to %d: chains %v, want %v", from, to, got, want)
			}
		}
	}
}

// TestMorePartitions gives the topic another partition in the middle: the newer records come first, because they stand in the
// partition that the stream has now, and their numbers say that they are newer.
func TestMorePartitions(t *testing.T) {
	records := []pipeline.Ledger{windowOf(2, 100, 1), windowOf(100, 200, 2), windowOf(150, 300, 3), windowOf(300, 400, 4)}
	want := show(lineageOf(records...).Chains(all))
	var l audit.Lineage
	for _, i := range []int{2, 3, 0, 1} {
		l.Add(&records[i], audit.Place{Partition: int32(1 - i/2), Offset: int64(i)})
	}
	if got := show(l.Chains(all)); !slices.Equal(got, want) {
		t.Errorf("chains %v, want %v", got, want)
	}
}

// naive is the rule, second by second.
type naive struct {
	records []pipeline.Ledger
	// owner is the window that counts for each second: its index, or -1.
	owner [200]int
	// follows is the window that each was read behind, or -1.
	follows []int
}

func newNaive(records []pipeline.Ledger) *naive {
	n := &naive{records: records}
	for i := range n.owner {
		n.owner[i] = -1
	}
	for i := range records {
		r := &records[i]
		before := -1
		if from, to := int(r.MovedFrom.Unix()), int(r.MovedTo.Unix()); from < to {
			if from > 0 {
				before = n.owner[from-1]
			}
			if before >= 0 && (!records[before].MovedTo.Equal(r.MovedFrom) || n.owner[from] > before || r.Begin.After(records[before].End)) {
				before = -1
			}
			for s := from; s < to; s++ {
				n.owner[s] = i
			}
		}
		n.follows = append(n.follows, before)
	}
	return n
}

func (n *naive) chains() []shown {
	counts := make([]bool, len(n.records))
	for _, i := range n.owner {
		if i >= 0 {
			counts[i] = true
		}
	}
	late := make(map[int]int64)
	for i := range n.records {
		for j := i - 1; n.records[i].Late && j >= 0; j-- {
			if !n.records[j].Late && n.records[j].Window == n.records[i].Window {
				late[j] += n.records[i].Published
				break
			}
		}
	}
	next := make(map[int]int)
	begins := make(map[int]bool)
	for i := range n.records {
		if !counts[i] {
			continue
		}
		if before := n.follows[i]; before >= 0 && counts[before] {
			next[before] = i
		} else {
			begins[i] = true
		}
	}
	var chains []shown
	for i := range n.records {
		if !begins[i] {
			continue
		}
		c := shown{begin: n.records[i].Begin.Unix(), rows: n.records[i].Skipped}
		for at, more := i, true; more; at, more = next[at], next[at] > 0 {
			c.end, c.windows = n.records[at].End.Unix(), c.windows+1
			c.rows += n.records[at].Published + late[at]
		}
		chains = append(chains, c)
	}
	slices.SortStableFunc(chains, func(a, b shown) int { return cmp.Compare(a.begin, b.begin) })
	return chains
}

// TestLineageIsTheRule holds the lineage of positions that move forward, are set back, are split, read ranges again and skip
// time against the rule, second by second. rapid prints the seed of a failure.
func TestLineageIsTheRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var records []pipeline.Ledger
		positions := []int{rapid.IntRange(2, 100).Draw(t, "start")}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0: // A position is set anew.
				positions[rapid.IntRange(0, len(positions)-1).Draw(t, "position")] = rapid.IntRange(2, 180).Draw(t, "reset to")
			case 1: // Another position begins: a backlog.
				if len(positions) < 4 {
					positions = append(positions, rapid.IntRange(2, 180).Draw(t, "backlog from"))
				}
			case 2:
				if len(records) > 0 {
					of := records[rapid.IntRange(0, len(records)-1).Draw(t, "late in")]
					records = append(records, lateIn(of, rapid.IntRange(1, 5).Draw(t, "late rows")))
				}
			default:
				i := rapid.IntRange(0, len(positions)-1).Draw(t, "position")
				from := positions[i]
				to := min(199, from+rapid.IntRange(1, 40).Draw(t, "length"))
				if from >= to {
					continue
				}
				w := windowOf(from, to, rapid.IntRange(0, 20).Draw(t, "published"))
				if rapid.IntRange(0, 9).Draw(t, "forgotten") == 0 {
					w.Begin = at(rapid.IntRange(from, to).Draw(t, "begin"))
				}
				positions[i] = to
				records = append(records, w)
			}
		}
		model := newNaive(records)
		got, want := show(lineageOf(records...).Chains(all)), model.chains()
		less := func(a, b shown) int {
			return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end), cmp.Compare(a.rows, b.rows), cmp.Compare(a.windows, b.windows))
		}
		slices.SortFunc(got, less)
		slices.SortFunc(want, less)
		if !slices.Equal(got, want) {
			t.Fatalf("chains %v, want %v, of\n%s", got, want, listed(records))
		}
		coverage(t, records)
	})
}

// coverage holds the holes against the seconds that no window has read.
func coverage(t *rapid.T, records []pipeline.Ledger) {
	var c audit.Coverage
	var read [200]bool
	for i := range records {
		c.Add(&records[i])
		for s := records[i].Begin.Unix(); s < records[i].End.Unix() && !records[i].Late; s++ {
			read[s] = true
		}
	}
	begin := rapid.IntRange(0, 100).Draw(t, "asked from")
	end := rapid.IntRange(begin+1, 199).Draw(t, "asked to")
	for _, hole := range c.Holes([]pipeline.Stream{messages()}, pipeline.Window{Begin: at(begin), End: at(end)}) {
		for s := hole.Begin.Unix(); s < hole.End.Unix(); s++ {
			if read[s] || s < int64(begin) || s >= int64(end) {
				t.Fatalf("second %d is in the hole %v, of\n%s", s, hole.Window, listed(records))
			}
			read[s] = true
		}
	}
	if i := slices.Index(read[begin:end], false); i >= 0 {
		t.Fatalf("second %d is in no hole and was not read, of\n%s", begin+i, listed(records))
	}
}

func listed(records []pipeline.Ledger) string {
	var b strings.Builder
	for i := range records {
		r := &records[i]
		b.WriteString(strings.Join([]string{r.String(), pipeline.FormatTime(r.MovedFrom), pipeline.FormatTime(r.MovedTo)}, " ") + "\n")
	}
	return b.String()
}

// TestTimeThatMayStayOpenIsNoHole leaves out as much as a stream to which nothing comes may leave uncommitted, and no more.
func TestTimeThatMayStayOpenIsNoHole(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	w := pipeline.Window{Begin: now.Add(-time.Hour), End: now}
	if left := now.Sub(audit.Settled(w, now).End); left < 6*time.Minute || left > 10*time.Minute {
		t.Errorf("%v are left out", left)
	}
	w.End = now.Add(-30 * time.Minute)
	if audit.Settled(w, now) != w {
		t.Error("a range that is long over is cut")
	}
}

package view

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/jmpub/jmpub/internal/fleet"
	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/internal/words"
)

// Top shows how a running process does.
type Top struct {
	Out io.Writer
	// Every is how often it is looked at.
	Every time.Duration
}

// IsDrawable tells whether w is a terminal that can be drawn over.
func IsDrawable(w io.Writer) bool { return isDrawable(w) }

// Once shows a look as lines of the usual width, without colours where no terminal shows them.
func (t *Top) Once(l *operate.Look) error {
	const onceHeight = 40
	_, err := fmt.Fprintln(Painted(t.Out), TopFrame(l, usualWidth, onceHeight))
	return err
}

// Run draws over the terminal, anew after each look, until ctx is done or a person asks for the end. A look that only another command line
// can change ends it with an error; any other one that fails is shown, and it goes on.
func (t *Top) Run(ctx context.Context, look func(context.Context) *operate.Look) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	c := newCanvas(screenOf(t.Out), stop)
	defer c.close() // A panic gives the terminal back, too.
	ticker := time.NewTicker(t.Every)
	defer ticker.Stop()
	for {
		seen := look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if seen.Wrong {
			return seen.Err
		}
		c.draw(func(width, height int) string { return TopFrame(seen, width, height) })
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		case <-c.ended:
			return c.err
		}
	}
}

// block are lines that stand or fall together. Where there is no room for all, those of a higher rank are left out first.
type block struct {
	rank  int
	lines []string
}

const (
	// valueWidth is that of a number with its unit, legendWidth what stands behind a sparkline, longestSpark how many samples one has at most.
	valueWidth   = 16
	legendWidth  = 10
	longestSpark = 48
	// longName is how much is shown of the name of a reason or a state, in columns.
	longName = 24
	// fewLines is a height in which long sentences are cut after two lines.
	fewLines = 20
)

// topFrame is a look that is being drawn.
type topFrame struct {
	*operate.Look

	width, height int
}

// TopFrame draws a look in at most height lines of at most width columns. What matters less is left out where there is no room for all;
// the apps have what is left.
func TopFrame(l *operate.Look, width, height int) string {
	f := &topFrame{l, width, height}
	blocks := append([]block{f.head()}, f.trouble()...)
	if l.Overview != nil {
		blocks = slices.Concat(blocks, f.verdict(), f.flow(), f.limits(), f.members(), f.apps())
	}
	// The apps that need somebody come before what is only good to know.
	rows, urgent := f.appRows()
	left, kept := height-rowsOf(urgent), make([]bool, len(blocks))
	for rank := range worstRank + 1 {
		if rank == worstRank { // Any app comes before air.
			left -= rowsOf(len(rows)) - rowsOf(urgent)
		}
		for i := range blocks {
			if b := &blocks[i]; b.rank == rank && (rank == 0 || len(b.lines) <= left) {
				kept[i], left = true, left-len(b.lines)
			}
		}
	}
	var lines []string
	for i := range blocks {
		if kept[i] {
			lines = append(lines, blocks[i].lines...)
		}
	}
	lines = append(lines, f.fit(rows, height-len(lines))...)
	lines = lines[:max(0, min(len(lines), height))]
	for i := range lines {
		lines[i] = strings.TrimRight(ansi.Truncate(lines[i], width, "…"), " ")
	}
	return strings.Join(lines, "\n")
}

// The ranks of blocks: what has to be there, what follows in order, and what is only air.
const (
	rankNumbers = 1 + iota
	rankLimits
	rankCounts
	rankTopics
	rankMembers
	worstRank
)

// fewRows is how many apps there is always room for.
const fewRows = 3

// rowsOf is how many lines are kept free for so many apps: one says how many more there are.
func rowsOf(apps int) int { return min(apps, fewRows+1) }

// fit leaves as many rows as there is room for, and says how many apps there are besides.
func (f *topFrame) fit(rows []string, height int) []string {
	if f.Apps == nil || len(rows) == 0 || height <= 0 {
		return nil
	}
	total := len(rows) + f.Apps.LeftOut
	if total <= height {
		return rows
	}
	if height < fewRows { // The heading counts them all.
		return rows[:min(len(rows), height)]
	}
	shown := min(len(rows), height-1)
	return append(rows[:shown:shown], faint("  and "+Thousands(int64(total-shown))+" more; `jmpub apps` has all"))
}

func (f *topFrame) time(t time.Time) string { return t.In(f.Zone).Format(time.DateTime) }

func (f *topFrame) head() block {
	text := lipgloss.NewStyle().Reverse(true).Bold(true).Render(" jmpub top ") + " " + words.Line(f.URL)
	if o := f.Overview; o != nil {
		for _, item := range []string{f.time(o.Now), f.Zone.String(), cut(foreign(o.Version))} {
			if lipgloss.Width(text+"  "+item) <= f.width {
				text += "  " + faint(item)
			}
		}
	}
	return block{0, []string{text}}
}

// said is a sentence behind a mark, in as few lines as it needs, and not too many.
func (f *topFrame) said(mark, text string, style func(string) string) []string {
	most := 6
	if f.height < fewLines {
		most = 2
	}
	lines := strings.Split(ansi.Wrap(words.Line(words.Shorten(text, longestText)), max(1, f.width-len("  ")), ""), "\n")
	if len(lines) > most {
		lines = append(lines[:most-1], strings.TrimRight(ansi.Truncate(lines[most-1], max(1, f.width-len("  …")), ""), " ")+"…")
	}
	for i := range lines {
		if i > 0 {
			mark = " "
		}
		lines[i] = mark + " " + style(strings.TrimSpace(lines[i]))
	}
	return lines
}

func plain(text string) string { return text }

// trouble says that the process tells nothing now, and of when that is which is shown.
func (f *topFrame) trouble() []block {
	if f.Err == nil {
		return nil
	}
	lines := f.said(Bad("✗"), f.Err.Error(), strong)
	note := "since " + f.time(f.Since) + ", " + short(f.Now.Sub(f.Since)) + "; it is asked again"
	if f.Overview != nil {
		note += ". What follows was told at " + f.time(f.At)
	}
	return []block{{0, append(lines, f.said(" ", note, faint)...)}}
}

// verdict is the one sentence that matters, and what to do; then the other warnings.
func (f *topFrame) verdict() []block {
	v := &f.Overview.Verdict
	mark := warning("!")
	if v.Level == status.LevelOK {
		mark = Good("✓")
	}
	if v.Level == status.LevelError {
		mark = Bad("✗")
	}
	lines := f.said(mark, v.Text, strong)
	if v.Hint != "" {
		lines = append(lines, f.said(accent("→"), v.Hint, plain)...)
	}
	blocks := []block{{0, lines}}
	for i := range f.Overview.Warnings {
		if text := f.Overview.Warnings[i].Text; !strings.Contains(v.Text, text) {
			blocks = append(blocks, block{rankMembers, f.said(warning("!"), text, plain)})
		}
	}
	if n := f.Overview.WarningsLeftOut; n > 0 {
		blocks = append(blocks, block{rankMembers, []string{warning("!") + " and " + Thousands(int64(n)) + " more warnings"}})
	}
	return append(blocks, block{worstRank, []string{""}})
}

// spark is how wide sparklines are.
func (f *topFrame) spark() int {
	return max(0, min(longestSpark, f.width-labelWidth-valueWidth-legendWidth))
}

// number is a line with a number, how it was in the last minutes, and what else there is room for.
func (f *topFrame) number(label, value, line, rest string) string {
	text := faint(label) + strings.Repeat(" ", max(1, labelWidth-lipgloss.Width(label))) + value
	if line != "" {
		text += strings.Repeat(" ", max(0, valueWidth-lipgloss.Width(value))) + "  " + accent(line)
	}
	if rest != "" && lipgloss.Width(text+"  "+rest) <= f.width {
		text += "  " + faint(rest)
	}
	return text
}

// samples are one number of each sample, as many as a sparkline has, the newest ones. What is not known is 0.
func (f *topFrame) samples(of func(i int) float64) []float64 {
	if f.History == nil {
		return nil
	}
	all := make([]float64, len(f.History.Samples))
	for i := range all {
		all[i] = of(i)
	}
	return all[max(0, len(all)-f.spark()):]
}

// flow is what passes through the process.
func (f *topFrame) flow() []block {
	o := f.Overview
	sums := f.samples(func(i int) float64 {
		sum := 0.0
		for j := range o.Targets { // In their order, for sums of fractions go by it.
			sum += f.History.Samples[i].RowsPerSecond[o.Targets[j].Target]
		}
		return sum
	})
	rate := 0.0
	for i := range o.Targets {
		rate += o.Targets[i].RowsPerSecond
	}
	legend := ""
	if len(sums) > 0 {
		legend = short(time.Duration(float64(len(sums)) * f.History.EverySeconds * float64(time.Second)))
	}
	topics := block{rank: rankTopics}
	for i := range o.Targets {
		t := &o.Targets[i]
		line := sparkline(f.samples(func(i int) float64 { return f.History.Samples[i].RowsPerSecond[t.Target] }), f.spark())
		topics.lines = append(topics.lines, f.number("  "+ansi.Truncate(words.Line(t.Target), labelWidth-3, "…"), perSecond(t.RowsPerSecond), line, ""))
	}
	blocks := []block{{rankNumbers, []string{f.number("rate", strong(perSecond(rate)), sparkline(sums, f.spark()), legend)}}, topics}
	lag, line, where := "        -", "", ""
	if o.Lag != nil {
		lag, where = fmt.Sprintf("%9s", short(time.Duration(o.Lag.LagSeconds*float64(time.Second)))), f.stream(&o.Lag.StreamName)
		line = sparkline(f.samples(func(i int) float64 {
			if s := f.History.Samples[i].LagSeconds; s != nil {
				return *s
			}
			return 0
		}), f.spark())
	}
	return append(blocks, block{rankNumbers, []string{f.number("lag", strong(lag), line, where)}})
}

// perSecond is a rate, with a decimal where it is small.
func perSecond(rate float64) string {
	if rate > 0 && rate < 10 {
		return fmt.Sprintf("%9.1f rows/s", rate)
	}
	return fmt.Sprintf("%9s rows/s", Thousands(int64(rate)))
}

// stream names a stream, and its app where there are several.
func (f *topFrame) stream(s *status.StreamName) string {
	if f.Overview.Apps.Total > 1 {
		return foreign(s.AppKey) + " " + foreign(s.Stream)
	}
	return foreign(s.Stream)
}

// fact is a line of what is known of something, with as many items as there is room for.
func (f *topFrame) fact(rank int, label string, items ...string) block {
	const separator = " · "
	text := faint(label) + strings.Repeat(" ", labelWidth-len(label)) + items[0]
	for _, item := range items[1:] {
		if lipgloss.Width(text+separator+item) > f.width {
			break
		}
		text += separator + item
	}
	return block{rank, []string{text}}
}

// limits are the quota and the clock of the API's history, and what was counted.
func (f *topFrame) limits() []block {
	o := f.Overview
	quota := []string{"not known yet"}
	if q := o.Quota; q != nil {
		quota = []string{
			strong(Thousands(int64(q.Remaining))+" left") + " of " + Thousands(int64(q.Limit)) + " a minute",
			Thousands(int64(q.Limit-q.Remaining)) + " used", Thousands(o.RequestsPerMinute) + " sent in the last minute",
		}
		if q.Apps > 1 {
			quota = append(quota, "lowest "+Thousands(int64(q.Lowest.Remaining))+" "+foreign(q.Lowest.AppKey))
		}
	}
	retention := []string{"not known yet"}
	if r := o.Retention; r != nil {
		left := time.Duration(r.LeftSeconds * float64(time.Second))
		text := strong(short(left))
		if left <= 0 {
			text = Bad(short(left))
		}
		retention = []string{text + " left", "unread since " + f.time(r.Unread)}
		if o.Apps.Total > 1 {
			retention = append(retention, f.stream(&r.StreamName))
		}
	}
	commits := []string{Thousands(o.Transactions.Count) + " transactions", "none in the last minute"}
	if mean := o.Transactions.Mean; mean > 0 {
		commits[1] = fmt.Sprintf("%.0f ms each, last minute", mean)
	}
	sum := int64(0)
	reasons := slices.Collect(maps.Keys(o.Rejected))
	slices.SortFunc(reasons, func(a, b string) int { return cmp.Or(cmp.Compare(o.Rejected[b], o.Rejected[a]), cmp.Compare(a, b)) })
	rejected := []string{""}
	for _, reason := range reasons[:min(len(reasons), 5)] {
		rejected = append(rejected, ansi.Truncate(foreign(reason), longName, "…")+" "+Thousands(o.Rejected[reason]))
	}
	for _, n := range o.Rejected {
		sum += n
	}
	rejected[0] = alarming(sum, "rows")
	return []block{
		f.fact(rankLimits, "quota", quota...), f.fact(rankLimits, "retention", retention...), f.fact(rankCounts, "commits", commits...),
		{rankCounts, flow(f.width, "rejected", " · ", rejected...)},
	}
}

// members are the processes of the group.
func (f *topFrame) members() []block {
	o := f.Overview
	all := o.Members
	if f.Apps != nil { // The overview has them only once somebody has asked for them.
		all = f.Apps.Processes
	}
	if len(all) == 0 {
		return []block{f.fact(rankCounts, "members", "not known", foreign(o.Process))}
	}
	owners, standbys, silent := 0, 0, 0
	list := block{rank: rankMembers}
	const most = 5
	for i := range all {
		m := &all[i]
		state := words.Count(m.Apps, "app", "apps")
		switch {
		case m.Silent:
			silent++
			state = warning("silent for " + short(f.Overview.Now.Sub(m.Heard)))
		case m.Apps > 0:
			owners++
		default:
			standbys++
			state = "stands by"
		}
		asked := ""
		if m.Process == o.Process {
			asked = faint("  this one")
		}
		if len(list.lines) < most {
			list.lines = append(list.lines, strings.Repeat(" ", labelWidth)+foreign(m.Process)+"  "+state+asked)
		}
	}
	if more := len(all) - most; more > 0 {
		list.lines = append(list.lines, strings.Repeat(" ", labelWidth)+faint("and "+Thousands(int64(more))+" more"))
	}
	items := []string{words.Count(owners, "owner", "owners"), words.Count(standbys, "standby", "standbys")}
	if silent > 0 {
		items = append(items, warning(Thousands(int64(silent))+" silent"))
	}
	return []block{f.fact(rankCounts, "members", items...), list}
}

// apps counts the apps of all processes by state, or those of this one where nothing is known of others.
func (f *topFrame) apps() []block {
	o := f.Overview
	if f.Apps == nil {
		why := "those of others are not known yet"
		if f.AppsErr != nil {
			why = "those of others are not known: " + words.Line(f.AppsErr.Error())
		}
		return []block{f.fact(rankNumbers, "apps", Thousands(int64(o.Apps.Total))+" here", Thousands(int64(o.Apps.Owned))+" published",
			alarming(int64(o.Apps.Failed), "failed"), faint(ansi.Truncate(why, max(1, f.width-labelWidth), "…")))}
	}
	counts := make(map[string]int64)
	for i := range f.Apps.Apps {
		counts[f.Apps.Apps[i].State]++
	}
	items := []string{Thousands(int64(len(f.Apps.Apps)+f.Apps.LeftOut)) + " in all"}
	var others []string
	for _, state := range slices.Sorted(maps.Keys(counts)) {
		text := Thousands(counts[state]) + " " + ansi.Truncate(foreign(state), longName, "…")
		if isUrgent(state) {
			items = append(items, warning(text))
		} else {
			others = append(others, text)
		}
	}
	if f.Apps.FilesDiffer {
		items = append(items, warning("the files of apps differ"))
	}
	return []block{{worstRank, []string{""}}, f.fact(rankNumbers, "apps", append(items, others...)...)}
}

// isUrgent tells of a state in which an app is not published, and should be.
func isUrgent(state string) bool {
	return state == status.StateFailed || state == fleet.StateSilent || state == fleet.StateNobody
}

// appRows has a line for each app that may be shown, in the order in which they were told: those that are not published come first, which are
// counted, then those that are furthest behind.
func (f *topFrame) appRows() (rows []string, urgent int) {
	if f.Apps == nil || f.Overview == nil {
		return nil, 0
	}
	for i := range f.Apps.Apps {
		a := &f.Apps.Apps[i]
		if isUrgent(a.State) {
			urgent++
		}
		if len(rows) < f.height {
			rows = append(rows, f.appRow(a))
		} else {
			rows = append(rows, "")
		}
	}
	return rows, urgent
}

// appRow is an app: its key, its state, how far it is behind, what is left of its quota, and what else is to be known.
func (f *topFrame) appRow(a *fleet.App) string {
	const keyWidth, stateWidth, lagWidth, leftWidth = 24, 10, 7, 6
	state := pad(ansi.Truncate(foreign(a.State), stateWidth, "…"), stateWidth)
	if isUrgent(a.State) {
		state = Bad(state)
	}
	what := foreign(a.Owner)
	if a.Error != "" && (isUrgent(a.State) || f.Overview.Now.Sub(a.ErrorAt) < recentError) {
		what = words.Line(words.Shorten(a.Error, longestText))
	} else if a.State == fleet.StateSilent {
		what = "not heard of since " + f.time(a.Heard)
	}
	if what != "" {
		what = "  " + what
	}
	return "  " + pad(ansi.Truncate(foreign(a.AppKey), keyWidth, "…"), keyWidth) + "  " + state + "  " +
		fmt.Sprintf("%*s  %*s", lagWidth, lagOf(a), leftWidth, numberOr(a.QuotaRemaining, "-")) + what
}

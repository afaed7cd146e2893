//go:build integration

package soak

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Result is the end of a trial.
type Result struct {
	Name string
	// Injected counts the faults by kind, those of the API among them.
	Injected map[string]int
	// Processes were started, GaveUp of them left because something could not be reached when they started.
	Processes, GaveUp int
	// Rows had to be there; Found is what the console consumer saw of those with a msgid, Twice how many of them more than once.
	Rows, Missing, Duplicated, Wrong int
	Console, ConsoleMissing, Twice   int
	// Peak is the most memory that was resident, End what was at the end, in bytes.
	Peak, End int64
	Took      time.Duration
}

// finishWithin bounds how long a process takes to catch up once nothing is broken any more.
const finishWithin = 8 * time.Minute

// Finish waits until everything sent before now is committed, ends the process, and lets two independent readers tell what
// is there. The memory must be what a healthy process needs.
func (t *Trial) Finish(tb testing.TB) Result {
	tb.Helper()
	v := t.Await(tb, time.Now(), finishWithin)
	if v.Resident > mostMemory {
		tb.Errorf("%s: %d MiB are resident at the end, more than %d", t.Name, v.Resident>>20, mostMemory>>20)
	}
	if code := t.Process.Terminate(tb); code != 0 {
		tb.Errorf("%s: exit code %d after SIGTERM; the log ends:\n%s", t.Name, code, t.Process.Tail(20))
	}
	report := t.Check(tb, v.End)
	result := Result{
		Name: t.Name, Injected: t.faults(), Processes: t.started, GaveUp: t.gaveUp,
		Rows: report.Rows, Missing: report.Missing, Duplicated: report.Duplicated,
		Wrong: report.Misrouted + report.Altered + report.Unknown,
		Peak:  max(t.peak, t.Process.peak), End: v.Resident,
	}
	t.console(tb, v.End, &result)
	return result
}

// mostMemory is what a process may keep resident: its soft limit of 96 MiB and what the runtime and its code take besides.
const mostMemory = 160 << 20

// console counts what Kafka's own console consumer, a Java client, sees.
func (t *Trial) console(tb testing.TB, end time.Time, result *Result) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), Patience)
	defer cancel()
	// It ends when nothing has come for a while, which it may have to be given more of.
	for _, patience := range []time.Duration{4 * time.Second, 20 * time.Second, time.Minute} {
		seen, err := t.consoleIDs(ctx, patience)
		if err != nil {
			tb.Fatalf("%s: %v", t.Name, err)
		}
		result.Console, result.ConsoleMissing, result.Twice = len(seen), 0, 0
		for row := range t.truth(end) {
			if !row.HasMsgID {
				continue
			}
			switch n := seen[row.MsgID]; {
			case n == 0 && !row.Optional:
				result.ConsoleMissing++
			case n > 1:
				result.Twice++
			}
		}
		if result.ConsoleMissing == 0 {
			break
		}
	}
	if result.ConsoleMissing+result.Twice > 0 || result.Console == 0 {
		tb.Errorf("%s: the console consumer saw %d ids, %d are missing, %d came twice", t.Name, result.Console, result.ConsoleMissing, result.Twice)
	}
}

// consoleIDs reads the event topics' keys by the console consumer in a broker's container, and counts each.
func (t *Trial) consoleIDs(ctx context.Context, patience time.Duration) (map[int64]int, error) {
	prefix := strings.ReplaceAll(t.Env["JMPUB_TOPIC_PREFIX"], ".", `\.`)
	out, err := t.Exec(ctx, 0, "sh", "-c", `/opt/kafka/bin/kafka-console-consumer.sh --bootstrap-server kafka-1:9094 `+
		`--include '`+prefix+`\.(single|group|chatroom|other)' --isolation-level read_committed --from-beginning `+
		`--timeout-ms `+strconv.FormatInt(patience.Milliseconds(), 10)+` --property print.key=true --property print.value=false 2>/dev/null || true`)
	if err != nil {
		return nil, err
	}
	seen := make(map[int64]int)
	for line := range strings.Lines(out) {
		if id, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64); err == nil {
			seen[id]++
		}
	}
	return seen, nil
}

// Print writes the results as a table in Markdown, as docs/reliability.md has it.
func Print(out io.Writer, results []Result) {
	fmt.Fprintln(out, "| trial | injected | processes | rows | missing | twice | wrong | console: ids, missing, twice | memory: peak, end | took |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|")
	for i := range results {
		r := &results[i]
		fmt.Fprintf(out, "| %s | %s | %d, %d gave up | %d | %d | %d | %d | %d, %d, %d | %d MiB, %d MiB | %s |\n",
			r.Name, injected(r.Injected), r.Processes, r.GaveUp, r.Rows, r.Missing, r.Duplicated, r.Wrong,
			r.Console, r.ConsoleMissing, r.Twice, r.Peak>>20, r.End>>20, r.Took.Round(time.Second))
	}
}

func injected(faults map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, faults[name]))
	}
	return strings.Join(parts, ", ")
}

// AwaitFaults lets the trial go on until each of these faults was injected as often, so that what a trial tries does not depend
// on how fast the machine is. Those of the API are counted by the API.
func (t *Trial) AwaitFaults(tb testing.TB, least map[string]int, within time.Duration) {
	tb.Helper()
	t.await(tb, within, func() string {
		var lacking []string
		injected := t.faults()
		for _, kind := range slices.Sorted(maps.Keys(least)) {
			if injected[kind] < least[kind] {
				lacking = append(lacking, fmt.Sprintf("%s %d times, not %d", kind, injected[kind], least[kind]))
			}
		}
		return strings.Join(lacking, ", ")
	})
}

// faults counts those that were injected so far, those of the API among them.
func (t *Trial) faults() map[string]int {
	all := maps.Clone(t.Injected)
	stats := t.Sim.Stats()
	for fault, n := range stats.Faults {
		all["API: "+strings.ReplaceAll(string(fault), "_", " ")] += int(n)
	}
	all["API: expired cursors"], all["API: rate exceeded"] = int(stats.Expired), int(stats.Limited)
	maps.DeleteFunc(all, func(_ string, n int) bool { return n == 0 })
	return all
}

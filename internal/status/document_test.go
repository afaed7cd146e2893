package status_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// observeEverything tells an observer of each fact that a metric is made of.
func observeEverything(o pipeline.Observer) {
	c := window(messages(), time.Now(), 10)
	for _, fact := range []pipeline.Observation{
		pipeline.HeadRead{Stream: messages(), End: c.Checkpoint.End},
		c,
		pipeline.RequestAnswered{Class: "ok"},
		pipeline.RowRejected{Rejection: event.Rejection{Reason: event.ReasonMsgIDAbsent}},
		pipeline.QuotaTold{Limit: 600, Remaining: 599},
		pipeline.TransactionEnded{Result: pipeline.Committed, Bytes: 1},
		pipeline.MemoryHeld{Bytes: 1},
		pipeline.RetryScheduled{Op: "get page", Err: errors.New("boom")},
	} {
		o.Tell(fact)
	}
}

// TestMetricsAreDocumented compares the table of docs/operating.md with all metrics, their types and their labels, where there is one app
// and where there are many.
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	one, many := make(map[string]string), make(map[string]string)
	for _, row := range regexp.MustCompile("(?m)^\\| `(jmpub_[a-z_]+)` \\| (\\w+) \\| (.*?) \\| (.*?) \\|").FindAllStringSubmatch(string(page), -1) {
		one[row[1]], many[row[1]] = described(row[2], row[3]), described(row[2], row[4])
	}
	for many, told := range map[bool]map[string]string{false: one, true: many} {
		p := status.NewProcess(status.ProcessOptions{Version: "v1", Many: many})
		s := p.Add(status.Options{
			AppKey: "app", Delivery: "exactly once", Streams: []pipeline.Stream{messages()}, Discover: []pipeline.StreamKind{pipeline.StreamUsers},
		})
		observeEverything(s.Observer())
		s.StandBy(false)
		s.Observer().Tell(pipeline.QuotaTold{Limit: 600, Remaining: 599})
		p.Joined(1)
		shown := scraped(metrics(t, p))
		if len(shown) == 0 || !maps.Equal(shown, told) {
			t.Errorf("many apps: %t\n%s\nof which docs/operating.md tells\n%s", many, lines(shown, told), lines(told, shown))
		}
	}
}

// described is a type with labels, which stand in backquotes.
func described(kind, cell string) string {
	var labels []string
	for _, label := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cell, -1) {
		labels = append(labels, label[1])
	}
	slices.Sort(labels)
	return fmt.Sprint(kind, labels)
}

// scraped are the types and labels of the metrics of a scrape.
func scraped(text string) map[string]string {
	all, kind := make(map[string]string), ""
	for line := range strings.Lines(text) {
		if found := regexp.MustCompile(`^# TYPE \S+ (\w+)`).FindStringSubmatch(line); found != nil {
			kind = found[1]
		}
		found := regexp.MustCompile(`^(jmpub_[a-z_]+?)(?:_bucket|_sum|_count)?(?:\{(.*)\})? `).FindStringSubmatch(line)
		if found == nil {
			continue
		}
		var labels []string
		for _, label := range regexp.MustCompile(`([a-z_]+)="`).FindAllStringSubmatch(found[2], -1) {
			if label[1] != "le" {
				labels = append(labels, "`"+label[1]+"`")
			}
		}
		all[found[1]] = described(kind, strings.Join(labels, " "))
	}
	return all
}

// lines are the entries of a map that are not the same in another.
func lines(all, others map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if others[name] != all[name] {
			fmt.Fprintln(&b, name, all[name])
		}
	}
	return b.String()
}

// rule is one of deploy/prometheus/jmpub.rules.yml.
type rule struct {
	Alert, Expr string
	Labels      map[string]string
	Annotations map[string]string
}

// TestEachAlertHasARunbook compares the rules with the sections about alerts of docs/operating.md, and with the tests of rules.
func TestEachAlertHasARunbook(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var file struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal([]byte(read("../../deploy/prometheus/jmpub.rules.yml")), &file); err != nil {
		t.Fatal(err)
	}
	_, alerts, _ := strings.Cut(read("../../docs/operating.md"), "\n## Alerts\n")
	var headings, names []string
	for _, found := range regexp.MustCompile(`(?m)^### (.*)\n\n\*(Page|Ticket)`).FindAllStringSubmatch(alerts, -1) {
		headings = append(headings, found[1]+" "+strings.ToLower(found[2]))
	}
	tests := read("../../deploy/prometheus/jmpub.rules.test.yml")
	for _, r := range file.Groups[0].Rules {
		names = append(names, r.Alert+" "+r.Labels["severity"])
		if want := "https://github.com/jmpub/jmpub/blob/main/docs/operating.md#" + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
			t.Errorf("%s: its runbook is %s, want %s", r.Alert, r.Annotations["runbook_url"], want)
		}
		fires := regexp.MustCompile(`alertname: ` + r.Alert + `\n\s+exp_alerts:\n`).MatchString(tests)
		silent := strings.Contains(tests, "alertname: "+r.Alert+", exp_alerts: []")
		if !fires || !silent && r.Alert != "JmpubHistoryLeaving" && r.Alert != "JmpubHistoryLeavingSoon" && r.Alert != "JmpubAppNotPublished" {
			t.Errorf("%s: no test where it fires (%t), or none where it does not (%t)", r.Alert, fires, silent)
		}
	}
	if len(names) == 0 || !slices.Equal(names, headings) {
		t.Errorf("the rules are\n%q\nand the runbook has\n%q", names, headings)
	}
}

// TestManyStreamsAreOneInMetrics has thousands of groups beside messages, and as many users as are shown by name.
func TestManyStreamsAreOneInMetrics(t *testing.T) {
	const groups, users = 8000, 100
	p := status.NewProcess(status.ProcessOptions{})
	streams := []pipeline.Stream{messages()}
	for i := range groups {
		streams = append(streams, pipeline.Stream{Kind: pipeline.StreamGroups, Name: strconv.Itoa(10_000_000 + i)})
	}
	for i := range users {
		streams = append(streams, pipeline.Stream{Kind: pipeline.StreamUsers, Name: fmt.Sprintf("user-%d", i)})
	}
	s := p.Add(status.Options{AppKey: "app", Streams: streams})
	begin := time.Now().Add(-time.Hour)
	for i, stream := range streams {
		s.Observer().Tell(window(stream, begin.Add(time.Duration(i)*time.Millisecond), 10))
	}
	text := metrics(t, p)
	if len(text) > 500_000 {
		t.Errorf("a scrape has %d bytes", len(text))
	}
	for _, line := range []string{
		`jmpub_rows_total{app="app",stream="groups/*"} 80000`,
		`jmpub_rows_total{app="app",stream="messages"} 10`,
		`jmpub_rows_total{app="app",stream="users/user-99"} 10`,
		`jmpub_notices_total{app="app",kind="gap",stream="groups/*"} 0`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("there is no %s", line)
		}
	}
	if strings.Contains(text, `stream="groups/1`) {
		t.Error("a group is shown by its name")
	}
}

package status_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// TestMetricsAreDocumented compares the table of docs/operating.md with all metrics and their labels.
func TestMetricsAreDocumented(t *testing.T) {
	s := show(status.ProcessOptions{Version: "v1"}, status.Options{
		AppKey: "app", Delivery: "exactly once", Streams: []pipeline.Stream{messages()}, Discover: []pipeline.StreamKind{pipeline.StreamUsers},
	})
	c := window(messages(), time.Now(), 10)
	for _, fact := range []pipeline.Observation{
		pipeline.HeadRead{Stream: messages(), End: c.Checkpoint.End},
		c,
		pipeline.RequestAnswered{Class: "ok"},
		pipeline.RowRejected{Rejection: event.Rejection{Reason: event.ReasonMsgIDAbsent}},
	} {
		s.Observer().Tell(fact)
	}
	s.StandBy(false)
	_, text := get(t, s.Process, "/metrics")
	page, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := labels(text, `(?m)^(jmpub_[a-z_]+?)(?:_bucket|_sum|_count)?\{(.*)\} `, `([a-z]+)="`)
	told := labels(string(page), "(?m)^\\| `(jmpub_[a-z_]+)` \\| (.*?) \\|", "`([a-z]+)`")
	if len(shown) == 0 || !maps.EqualFunc(shown, told, slices.Equal) {
		t.Errorf("metrics and their labels:\n%v\nof which docs/operating.md tells:\n%v", shown, told)
	}
}

// labels lists the labels of each metric, sorted, without those that all have.
func labels(text, line, label string) map[string][]string {
	all := make(map[string][]string)
	for _, found := range regexp.MustCompile(line).FindAllStringSubmatch(text, -1) {
		var names []string
		for _, name := range regexp.MustCompile(label).FindAllStringSubmatch(found[2], -1) {
			if name[1] != "app" && name[1] != "le" {
				names = append(names, name[1])
			}
		}
		slices.Sort(names)
		all[found[1]] = names
	}
	return all
}

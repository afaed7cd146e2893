package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
	"github.com/jmpub/jmpub/pipeline/event"
	"github.com/jmpub/jmpub/pipeline/statistics"
	"github.com/jmpub/jmpub/sink"
)

// DayCounts are the API's statistics of a day's messages, and what was published of it.
type DayCounts struct {
	// Statistics is true: it distinguishes days from the differences that are listed with them.
	Statistics      bool   `json:"statistics"`
	Day             string `json:"day"`
	Single          int64  `json:"single"`
	SinglePublished int64  `json:"single_published"`
	Group           int64  `json:"group"`
	GroupPublished  int64  `json:"group_published"`
}

// Differ tells whether the two are not the same.
func (d *DayCounts) Differ() bool {
	return d.Single != d.SinglePublished || d.Group != d.GroupPublished
}

// dayAudit compares what was published of whole days with the API's statistics of messages.
type dayAudit struct {
	source  statistics.Source
	report  AuditReport
	lineage *audit.Lineage
	counter *audit.DailyCounter

	days     []pipeline.Period
	requests int
}

// dailyCounter counts what stands in the topics, by the routing that is in force.
func dailyCounter(cfg *settings.Config, out *output) *audit.DailyCounter {
	routing := out.topics.Routing()
	topics := make(map[string][]event.Target)
	for target := range event.TargetCount {
		topics[routing.Event(target)] = append(topics[routing.Event(target)], target)
	}
	decode := audit.DecodeJSON
	if cfg.Sink.Format == sink.FormatAvro {
		decode = sink.DecodeAvro
	}
	return &audit.DailyCounter{Archive: out.archive, Topics: topics, Rejected: routing.Own(pipeline.TopicRejected), Decode: decode}
}

// messages is the stream that statistics are about.
func messages() pipeline.Stream { return pipeline.Stream{Kind: pipeline.StreamMessages} }

// plan finds the days that are over, lie within the range, and were read whole by the stream of all messages. The days are
// those of now's time zone.
func (a *dayAudit) plan(holes []audit.Hole, w pipeline.Window, now time.Time) {
	if len(a.lineage.Chains(func(s pipeline.Stream, _ pipeline.Window) bool { return s == messages() })) == 0 {
		return
	}
	day := pipeline.PeriodOf(pipeline.Day, w.Begin.Add(24*time.Hour-time.Second).In(now.Location()))
	for ; !day.End().After(w.End) && !day.End().After(now); day = day.Add(1) {
		within := pipeline.Window{Begin: day.Begin, End: day.End()}
		if !slices.ContainsFunc(holes, func(h audit.Hole) bool {
			return h.Stream == string(pipeline.StreamMessages) && overlap(h.Window, within)
		}) {
			a.days = append(a.days, day)
		}
	}
}

// compare asks for the statistics of the days and reports them with what was published. An app may have none.
func (a *dayAudit) compare(ctx context.Context) error {
	if len(a.days) == 0 {
		return nil
	}
	rows, err := a.rows(ctx)
	if class := pipeline.ClassOf(err); err != nil && (class == pipeline.Drop || class == pipeline.Restart) {
		a.report.Note(fmt.Sprintf("there are no statistics to compare with: %v", err))
		return nil
	}
	if err != nil {
		return err
	}
	published, err := a.counter.Count(ctx, a.lineage, messages(), a.days)
	if err != nil {
		a.report.Note(fmt.Sprintf("what was published cannot be counted by days: %v", err))
		return nil
	}
	var counts []DayCounts
	for _, day := range published {
		var row struct {
			Single int64 `json:"single_send_msg"`
			Group  int64 `json:"group_send_msg"`
		}
		text, ok := rows[day.Day.String()]
		if !ok || json.Unmarshal(text, &row) != nil {
			a.report.Note(fmt.Sprintf("the API has no statistics of %s that can be read", day.Day))
			continue
		}
		counts = append(counts, DayCounts{
			Statistics: true, Day: day.Day.String(), Single: row.Single, SinglePublished: day.Counts[event.TargetSingle],
			Group: row.Group, GroupPublished: day.Counts[event.TargetGroup],
		})
	}
	return a.report.Statistics(counts)
}

// rows are the API's rows by day.
func (a *dayAudit) rows(ctx context.Context) (map[string][]byte, error) {
	stream := pipeline.Stream{Kind: pipeline.StreamStatistics, Name: string(pipeline.StreamMessages)}
	rows := make(map[string][]byte)
	for _, day := range a.days { // The range may have holes, so one by one.
		all, requests, err := a.source.Statistics(ctx, stream, day, 1)
		a.requests += requests
		if err != nil {
			return nil, err
		}
		for _, one := range all {
			rows[one.Period.String()] = one.Value
		}
	}
	return rows, nil
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// figuresAudit holds what was published of whole days against the API's statistics of messages.
type figuresAudit struct {
	*auditRun

	chains []pipeline.Chain
	days   []pipeline.Period
}

// plan finds the days that are over, lie within the range, and were read whole by the stream of all messages.
func (f *figuresAudit) plan(chains []pipeline.Chain, holes []shownHole, w pipeline.Window) {
	for i := range chains {
		if chains[i].Stream.Kind == pipeline.StreamMessages {
			f.chains = append(f.chains, chains[i])
		}
	}
	if len(f.chains) == 0 {
		return
	}
	day := pipeline.PeriodOf(pipeline.Day, w.Begin.Add(24*time.Hour-time.Second).In(f.p.cfg.Source.TimeZone))
	for ; !day.End().After(w.End) && !day.End().After(f.now); day = day.Add(1) {
		whole := true
		for _, hole := range holes {
			whole = whole && (hole.Stream != string(pipeline.StreamMessages) || !hole.Begin.Before(day.End()) || !hole.End.After(day.Begin))
		}
		if whole {
			f.days = append(f.days, day)
		}
	}
}

// shownFigures are a day's figures and what was published.
type shownFigures struct {
	Statistics      bool   `json:"statistics"`
	Day             string `json:"day"`
	Single          int64  `json:"single"`
	SinglePublished int64  `json:"single_published"`
	Group           int64  `json:"group"`
	GroupPublished  int64  `json:"group_published"`
}

func (s *shownFigures) differ() bool {
	return s.Single != s.SinglePublished || s.Group != s.GroupPublished
}

const figuresLimits = `Statistics are a hint, and no part of the verdict. The API counts messages some time after they
were sent, and does not say by which clock it cuts days, nor whether it counts messages that were
retracted, sent across apps, or sent by its own interface. Messages to chatrooms are not among the
figures. jmpub counts each message once, by the server's clock.
`

// compare asks for the figures of the days and prints them beside what was published. An app that has no statistics is told so.
func (f *figuresAudit) compare(ctx context.Context) error {
	if len(f.days) == 0 {
		return nil
	}
	stream := pipeline.Stream{Kind: pipeline.StreamStatistics, Name: string(pipeline.StreamMessages)}
	of := make(map[string]pipeline.Figures)
	for _, day := range f.days { // The range may have holes, so one by one.
		figures, requests, err := f.p.source.Statistics(ctx, stream, day, 1)
		f.result.StatisticsRequests += requests
		if err != nil && pipeline.ClassOf(err) == pipeline.Drop {
			fmt.Fprintf(f.cmd.ErrOrStderr(), "there are no statistics to compare with: %v\n", err)
			return nil
		}
		if err != nil {
			return err
		}
		for _, one := range figures {
			of[one.Period.String()] = one
		}
	}
	tallies, err := pipeline.Tallies(ctx, f.p.archive, f.chains, f.days)
	if err != nil {
		fmt.Fprintf(f.cmd.ErrOrStderr(), "what was published cannot be counted by days: %v\n", err)
		return nil
	}
	var shown []shownFigures
	for _, tally := range tallies {
		var row struct {
			Single int64 `json:"single_send_msg"`
			Group  int64 `json:"group_send_msg"`
		}
		one, ok := of[tally.Day.String()]
		if !ok || json.Unmarshal(one.Row, &row) != nil {
			fmt.Fprintf(f.cmd.ErrOrStderr(), "the API has no statistics of %s that can be read\n", tally.Day)
			continue
		}
		shown = append(shown, shownFigures{
			Statistics: true, Day: tally.Day.String(), Single: row.Single, SinglePublished: tally.Counts[event.TargetSingle],
			Group: row.Group, GroupPublished: tally.Counts[event.TargetGroup],
		})
	}
	return f.print(shown)
}

// print shows the days.
func (f *figuresAudit) print(shown []shownFigures) error {
	if len(shown) == 0 {
		return nil
	}
	out := f.cmd.OutOrStdout()
	if f.asJSON {
		lines := json.NewEncoder(out)
		for i := range shown {
			if err := lines.Encode(&shown[i]); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "STATISTICS OF\tSINGLE\tPUBLISHED\tGROUP\tPUBLISHED\t")
	for i := range shown {
		s := &shown[i]
		mark := ""
		if s.differ() {
			mark = "differs"
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%s\n", s.Day, s.Single, s.SinglePublished, s.Group, s.GroupPublished, mark)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprint(f.cmd.ErrOrStderr(), figuresLimits)
	return err
}

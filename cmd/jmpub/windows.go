package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/pipeline"
)

const windowsHelp = `Show the ledger: each committed window with its rows, what became of them, what it took and where it stands in Kafka; sums by
hour or day; and the time in which nothing was read.`

const windowsExamples = `  jmpub windows --from 1h
  jmpub windows --from 7d --by day
  jmpub windows --from '2026-11-01 00:00:00' --to '2026-11-02 00:00:00' --stream messages --json`

func newWindows() *cobra.Command {
	var r rangeFlags
	var by string
	cmd := &cobra.Command{
		Use: "windows", Short: "Show what was published when: the ledger", Long: windowsHelp, Example: windowsExamples, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			step := map[string]time.Duration{"": 0, "hour": time.Hour, "day": 24 * time.Hour}
			every, ok := step[by]
			if !ok {
				return usage("--by: %q is not hour or day", by)
			}
			if err := r.check(); err != nil {
				return err
			}
			return withParts(cmd, func(ctx context.Context, p *parts) error {
				w, err := r.window(p, time.Now())
				if err != nil {
					return err
				}
				records, err := r.ledger(ctx, p, w)
				if err != nil {
					return err
				}
				show := &ledgerView{out: cmd.OutOrStdout(), zone: p.cfg.source.TimeZone, asJSON: r.asJSON}
				if every > 0 {
					return show.sums(records, every)
				}
				return show.windows(records, w)
			})
		},
	}
	r.add(cmd)
	cmd.Flags().StringVar(&by, "by", "", "sums by hour or day of the app's time zone, instead of windows")
	return cmd
}

// ledgerView prints ledger records.
type ledgerView struct {
	out    io.Writer
	zone   *time.Location
	asJSON bool
}

// shownHole is a stretch of time in which nothing was read.
type shownHole struct {
	Stream string `json:"stream"`
	pipeline.Window
	Hole bool `json:"hole"`
}

// windows prints each window, and the holes between them.
func (v *ledgerView) windows(records []pipeline.Ledger, asked pipeline.Window) error {
	holes := holesIn(records, asked)
	slices.SortStableFunc(records, func(a, b pipeline.Ledger) int {
		return cmp.Or(strings.Compare(a.Stream.String(), b.Stream.String()), a.Begin.Compare(b.Begin), a.Started.Compare(b.Started))
	})
	out := json.NewEncoder(v.out)
	table := tabwriter.NewWriter(v.out, 0, 0, 2, ' ', 0)
	if !v.asJSON {
		fmt.Fprintln(table, "STREAM\tBEGIN\tEND\tROWS\tPUBLISHED\tSKIPPED\tREJECTED\tREQUESTS\tRESTARTS\tTOOK\tOFFSETS\t")
	}
	for i := range records {
		l := &records[i]
		if v.asJSON {
			if err := out.Encode(l); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\n", l.Stream, v.local(l.Begin), v.local(l.End),
			l.Rows, l.Published, l.Skipped, l.Rejected, l.Requests, l.Restarts, l.Duration.Round(time.Millisecond), offsets(l.Offsets), marks(l))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, hole := range holes {
		if v.asJSON {
			if err := out.Encode(hole); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(v.out, "nothing was read of %s from %s to %s\n", hole.Stream, v.local(hole.Begin), v.local(hole.End))
	}
	return nil
}

func (v *ledgerView) local(t time.Time) string { return t.In(v.zone).Format(time.DateTime) }

// marks tells what is special about a window.
func marks(l *pipeline.Ledger) string {
	var all []string
	if l.Replay != "" {
		all = append(all, "replay "+l.Replay)
	}
	if l.Late {
		all = append(all, "late rows")
	}
	if l.Mismatch {
		all = append(all, fmt.Sprintf("mismatch: %d announced", l.Total))
	}
	return strings.Join(all, ", ")
}

// offsets shows where a window stands, short: single/0:5-9.
func offsets(ranges []pipeline.OffsetRange) string {
	var all []string
	for _, r := range ranges {
		name := r.Topic[strings.LastIndexByte(r.Topic, '.')+1:]
		all = append(all, fmt.Sprintf("%s/%d:%d-%d", name, r.Partition, r.First, r.Last))
	}
	return strings.Join(all, " ")
}

// holesIn are the stretches between the chains of a range, and before the first and behind the last one.
func holesIn(records []pipeline.Ledger, asked pipeline.Window) []shownHole {
	var holes []shownHole
	reached := make(map[pipeline.Stream]time.Time)
	add := func(s pipeline.Stream, begin, end time.Time) {
		if begin.Before(end) {
			holes = append(holes, shownHole{s.String(), pipeline.Window{Begin: begin, End: end}, true})
		}
	}
	for _, chain := range pipeline.Chains(slices.Clone(records)) {
		w := chain.Window()
		from, ok := reached[chain.Stream]
		if !ok {
			from = asked.Begin
		}
		add(chain.Stream, from, w.Begin)
		reached[chain.Stream] = w.End
	}
	for s, end := range reached {
		add(s, end, asked.End)
	}
	slices.SortStableFunc(holes, func(a, b shownHole) int {
		return cmp.Or(strings.Compare(a.Stream, b.Stream), a.Begin.Compare(b.Begin))
	})
	return holes
}

// shownSum is what was published of an hour or a day. A window counts where it ends.
type shownSum struct {
	Stream    string    `json:"stream"`
	Begin     time.Time `json:"begin_time"`
	Windows   int64     `json:"windows"`
	Rows      int64     `json:"rows"`
	Published int64     `json:"published"`
	Rejected  int64     `json:"rejected"`
	Late      int64     `json:"late"`
	Replayed  int64     `json:"replayed"`
	Requests  int64     `json:"requests"`
}

func (v *ledgerView) sums(records []pipeline.Ledger, every time.Duration) error {
	type key struct {
		stream string
		begin  time.Time
	}
	all := make(map[key]*shownSum)
	for i := range records {
		l := &records[i]
		k := key{l.Stream.String(), v.slot(l.End, every)}
		sum := all[k]
		if sum == nil {
			sum = &shownSum{Stream: k.stream, Begin: k.begin}
			all[k] = sum
		}
		sum.Windows++
		sum.Requests += int64(l.Requests)
		if l.Replay != "" {
			sum.Replayed += l.Published
			continue
		}
		sum.Rows += l.Rows
		sum.Published += l.Published
		sum.Rejected += l.Rejected
		if l.Late {
			sum.Late += l.Published
		}
	}
	list := make([]*shownSum, 0, len(all))
	for _, sum := range all {
		list = append(list, sum)
	}
	slices.SortFunc(list, func(a, b *shownSum) int { return cmp.Or(strings.Compare(a.Stream, b.Stream), a.Begin.Compare(b.Begin)) })
	out := json.NewEncoder(v.out)
	table := tabwriter.NewWriter(v.out, 0, 0, 2, ' ', 0)
	if !v.asJSON {
		fmt.Fprintln(table, "STREAM\tBEGIN\tWINDOWS\tROWS\tPUBLISHED\tREJECTED\tLATE\tREPLAYED\tREQUESTS")
	}
	for _, sum := range list {
		if v.asJSON {
			if err := out.Encode(sum); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", sum.Stream, v.local(sum.Begin), sum.Windows, sum.Rows,
			sum.Published, sum.Rejected, sum.Late, sum.Replayed, sum.Requests)
	}
	return table.Flush()
}

// slot is the begin of the hour or day of the app's time zone in which a window ends.
func (v *ledgerView) slot(end time.Time, every time.Duration) time.Time {
	local := end.Add(-time.Nanosecond).In(v.zone)
	_, offset := local.Zone()
	shift := time.Duration(offset) * time.Second
	return local.Add(shift).UTC().Truncate(every).Add(-shift)
}

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
hour or day; and the time in which nothing was read. The last two minutes do not count as such: they may be being read just now.`

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
					err = show.sums(records, every)
				} else {
					err = show.windows(records)
				}
				if err != nil {
					return err
				}
				return show.holes(holesIn(records, r.named(p), settled(w, time.Now())))
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

// windows prints each window.
func (v *ledgerView) windows(records []pipeline.Ledger) error {
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
	return table.Flush()
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
	if !l.PastUntil.IsZero() {
		all = append(all, "history behind the live position")
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

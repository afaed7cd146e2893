package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/usage"
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
				return usage.Errorf("--by: %q is not hour or day", by)
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
				show := &ledgerView{out: cmd.OutOrStdout(), zone: p.cfg.Source.TimeZone, asJSON: r.asJSON}
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
	widest := len("STREAM")
	for i := range records {
		widest = max(widest, len(records[i].Stream.String()))
	}
	if !v.asJSON {
		fmt.Fprintf(v.out, "%-*s  %-14s  %-14s  %6s  %9s  %7s  %8s  %4s  %5s  %6s\n", widest, "STREAM", "BEGIN", "END", "ROWS", "PUBLISHED",
			"SKIPPED", "REJECTED", "REQ.", "AGAIN", "TOOK")
	}
	for i := range records {
		l := &records[i]
		if v.asJSON {
			if err := out.Encode(l); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(v.out, "%-*s  %s  %s  %6d  %9d  %7d  %8d  %4d  %5d  %6s\n", widest, l.Stream, v.short(l.Begin), v.short(l.End),
			l.Rows, l.Published, l.Skipped, l.Rejected, l.Requests, l.Restarts, l.Duration.Round(time.Millisecond))
		for line := range lines(append(offsets(l.Offsets), marks(l)...)) {
			if _, err := fmt.Fprintf(v.out, "  %s\n", line); err != nil {
				return err
			}
		}
	}
	return nil
}

// lines puts words into lines that are no longer than a terminal is wide.
func lines(words []string) iter.Seq[string] {
	const width = 96
	return func(yield func(string) bool) {
		line := ""
		for _, word := range words {
			if line != "" && len(line)+1+len(word) > width {
				if !yield(line) {
					return
				}
				line = ""
			}
			line = strings.TrimPrefix(line+" "+word, " ")
		}
		if line != "" {
			yield(line)
		}
	}
}

func (v *ledgerView) local(t time.Time) string { return t.In(v.zone).Format(time.DateTime) }

// short leaves the year out.
func (v *ledgerView) short(t time.Time) string { return v.local(t)[len("2006-"):] }

// marks tells what is special about a window.
func marks(l *pipeline.Ledger) []string {
	var all []string
	if l.Replay != "" {
		all = append(all, "(replay "+l.Replay+")")
	}
	if l.Late {
		all = append(all, "(late rows)")
	}
	if !l.PastUntil.IsZero() {
		all = append(all, "(history behind the live position)")
	}
	if l.Mismatch {
		all = append(all, fmt.Sprintf("(mismatch: %d announced)", l.Total))
	}
	return all
}

// offsets shows where a window stands, short: single/0:5-9.
func offsets(ranges []pipeline.OffsetRange) []string {
	var all []string
	for _, r := range ranges {
		name := r.Topic[strings.LastIndexByte(r.Topic, '.')+1:]
		all = append(all, fmt.Sprintf("%s/%d:%d-%d", name, r.Partition, r.First, r.Last))
	}
	return all
}

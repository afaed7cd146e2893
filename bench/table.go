package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// round is what each variant took, by its name; nil is one that was not run.
type round map[string]*usage

// The variants, in their order.
const (
	ofJmpub   = "jmpub, exactly once"
	ofFetch   = "limit: fetch the pages"
	ofProduce = "limit: produce the records"
	ofLimit   = "the limit"
	ofBento   = "Bento, at least once"
	ofWindows = "Bento, at least once, windows and a checkpoint"
)

func variants() []string { return []string{ofFetch, ofProduce, ofLimit, ofJmpub, ofBento, ofWindows} }

// addLimit adds the sum of the limit's two parts.
func (r round) addLimit() {
	fetch, produce := r[ofFetch], r[ofProduce]
	r[ofLimit] = &usage{CPU: fetch.CPU + produce.CPU, Wall: fetch.Wall + produce.Wall, Requests: fetch.Requests}
}

func median[T int | int64 | float64 | time.Duration](all []T) T {
	slices.Sort(all)
	return all[len(all)/2]
}

// writeTable prints the medians of all rounds as Markdown; a ratio to the limit is one of the same round.
func writeTable(w io.Writer, rows int, rounds []round) {
	fmt.Fprintln(w, "| | CPU s | of the limit | CPU s, each round | rows/s | wall s | peak MiB | requests |\n|---|---|---|---|---|---|---|---|")
	for _, name := range variants() {
		var cpu, wall, ratio []float64
		var peak, requests []int64
		var each strings.Builder
		for _, r := range rounds {
			u := r[name]
			if u == nil {
				continue
			}
			cpu, wall = append(cpu, u.CPU.Seconds()), append(wall, u.Wall.Seconds())
			ratio = append(ratio, u.CPU.Seconds()/r[ofLimit].CPU.Seconds())
			peak, requests = append(peak, u.PeakRSS), append(requests, int64(u.Requests))
			fmt.Fprintf(&each, "%.2f ", u.CPU.Seconds())
		}
		if len(cpu) == 0 {
			continue
		}
		number := func(n int64) string {
			if n == 0 {
				return ""
			}
			return strconv.FormatInt(n, 10)
		}
		took := median(wall)
		fmt.Fprintf(w, "| %s | %.2f | %.2f | %s| %.0f | %.2f | %s | %s |\n", name, median(cpu), median(ratio), each.String(),
			float64(rows)/took, took, number(median(peak)>>20), number(median(requests)))
	}
}

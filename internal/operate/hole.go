package operate

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// Hole is a stretch of time in which nothing was read.
type Hole struct {
	Stream string `json:"stream"`
	pipeline.Window
	// Hole is true: it distinguishes holes from the windows that are listed with them.
	Hole bool `json:"hole"`
}

// settled is a range without the time that may be being read just now.
func settled(w pipeline.Window, now time.Time) pipeline.Window {
	const reading = 2 * time.Minute
	if young := now.Add(-reading).Truncate(time.Second).UTC(); w.End.After(young) {
		w.End = young
	}
	return w
}

// holesIn are the stretches of a range between the chains of each stream, and before the first and behind the last one; all of
// the range, where an expected stream has none. Statistics have no time that could be read.
func holesIn(records []pipeline.Ledger, expected []pipeline.Stream, asked pipeline.Window) []Hole {
	var holes []Hole
	reached := make(map[pipeline.Stream]time.Time)
	for _, s := range expected {
		reached[s] = asked.Begin
	}
	add := func(s pipeline.Stream, begin, end time.Time) {
		if begin.Before(end) && s.Kind != pipeline.StreamStatistics {
			holes = append(holes, Hole{s.String(), pipeline.Window{Begin: begin, End: end}, true})
		}
	}
	for _, chain := range pipeline.Chains(slices.Clone(records)) {
		w := chain.Window()
		from, ok := reached[chain.Stream]
		if !ok {
			from = asked.Begin
		}
		if w.Begin.After(asked.End) {
			w.Begin = asked.End
		}
		add(chain.Stream, from, w.Begin)
		if !ok || w.End.After(from) {
			reached[chain.Stream] = w.End
		}
	}
	for s, end := range reached {
		add(s, end, asked.End)
	}
	slices.SortStableFunc(holes, func(a, b Hole) int {
		return cmp.Or(strings.Compare(a.Stream, b.Stream), a.Begin.Compare(b.Begin))
	})
	return holes
}

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// shownHole is a stretch of time in which nothing was read.
type shownHole struct {
	Stream string `json:"stream"`
	pipeline.Window
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

// named are the streams that were asked for, or else the configured ones.
func (r *rangeFlags) named(p *parts) []pipeline.Stream {
	if len(r.streams) == 0 {
		return p.cfg.Streams
	}
	var streams []pipeline.Stream
	for _, name := range r.streams {
		s, _ := pipeline.ParseStream(name) // It was checked.
		streams = append(streams, s)
	}
	return streams
}

// holesIn are the stretches of a range between the chains of each stream, and before the first and behind the last one; all of
// the range, where a named stream has none. Statistics have no time that could be read.
func holesIn(records []pipeline.Ledger, named []pipeline.Stream, asked pipeline.Window) []shownHole {
	var holes []shownHole
	reached := make(map[pipeline.Stream]time.Time)
	for _, s := range named {
		reached[s] = asked.Begin
	}
	add := func(s pipeline.Stream, begin, end time.Time) {
		if begin.Before(end) && s.Kind != pipeline.StreamStatistics {
			holes = append(holes, shownHole{s.String(), pipeline.Window{Begin: begin, End: end}, true})
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
	slices.SortStableFunc(holes, func(a, b shownHole) int {
		return cmp.Or(strings.Compare(a.Stream, b.Stream), a.Begin.Compare(b.Begin))
	})
	return holes
}

// holes prints the time in which nothing was read.
func (v *ledgerView) holes(holes []shownHole) error {
	out := json.NewEncoder(v.out)
	for _, hole := range holes {
		var err error
		if v.asJSON {
			err = out.Encode(hole)
		} else {
			_, err = fmt.Fprintf(v.out, "nothing was read of %s from %s to %s\n", hole.Stream, v.local(hole.Begin), v.local(hole.End))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

package audit

import (
	"cmp"
	"slices"
)

// span is the time from a second up to, but not including, another.
type span struct{ begin, end uint32 }

// spans are in the order of time, and neither overlap nor touch. There are as many as there are gaps, so they stay few.
type spans []span

// add takes in a span; s is not to be used any more.
func (s spans) add(one span) spans {
	if one.begin >= one.end {
		return s
	}
	// Those from begin up to end overlap it or touch it.
	begin, _ := slices.BinarySearchFunc(s, one.begin, func(have span, at uint32) int { return cmp.Compare(have.end, at) })
	end := begin
	for ; end < len(s) && s[end].begin <= one.end; end++ {
		one.begin, one.end = min(one.begin, s[end].begin), max(one.end, s[end].end)
	}
	return slices.Replace(s, begin, end, one)
}

// cover tells whether all of a span is in s.
func (s spans) cover(one span) bool {
	i, _ := slices.BinarySearchFunc(s, one.end, func(have span, at uint32) int { return cmp.Compare(have.end, at) })
	return i < len(s) && s[i].begin <= one.begin
}

// gaps are what of a span is not in s.
func (s spans) gaps(within span) []span {
	var gaps []span
	at := within.begin
	for _, have := range s {
		if have.begin >= within.end {
			break
		}
		if have.begin > at {
			gaps = append(gaps, span{at, have.begin})
		}
		at = max(at, have.end)
	}
	if at < within.end {
		gaps = append(gaps, span{at, within.end})
	}
	return gaps
}

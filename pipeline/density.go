package pipeline

import "time"

// density is what the windows asked for last showed. It decides how long the next windows are and whether to fetch ahead.
type density struct {
	// seen is where the window begins that showed it.
	seen time.Time
	span time.Duration
	// steady tells that a window's length is what suits the density, not one that is still growing: fetching ahead with
	// windows that are too short would cost requests.
	steady bool
	// single tells that the window was one page: to ask for less at a time would only cost requests.
	single bool
	// bytes is about what a window takes in memory while it is read.
	bytes int64
}

// leastEstimate is the least memory that a window fetched ahead is taken to need.
const leastEstimate = 256 << 10

// learn takes in the reply to a window's first request.
func (d *density) learn(w Window, first *firstPageRead) {
	if w.Begin.Before(d.seen) {
		return
	}
	d.seen, d.span, d.single = w.Begin, first.span, first.single
	// A window that could be twice as long grows still. The overlap and whole seconds blur it a little.
	d.steady = first.span > 0 && first.span < w.End.Sub(w.Begin)*9/5
	rows := float64(first.total)
	if length := w.End.Sub(w.Begin); length > 0 && first.span > 0 {
		rows *= float64(first.span) / float64(length)
	}
	const margin = 1.1 // Windows differ.
	d.bytes = max(leastEstimate, first.pages+int64(rows*float64(first.rowBytes)*margin))
}

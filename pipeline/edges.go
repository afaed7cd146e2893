package pipeline

import "time"

// edgeProof is what rows show of a window's edges, which the API may include or not, in seconds or in milliseconds. One of a row's clocks is the one
// that the API filtered by.
type edgeProof struct {
	// begin tells that a row is in the window whose clock is its begin, end the same of its end, and lastSecond that one is of the second that follows
	// its end, so that all of that is.
	begin, end, lastSecond bool
}

func (p *edgeProof) see(w Window, clock, other int64) {
	first, last, end := min(clock, other), max(clock, other), w.End.UnixMilli()
	p.begin = p.begin || last == w.Begin.UnixMilli()
	p.end = p.end || first >= end
	p.lastSecond = p.lastSecond || first > end
}

// add takes in what another window of the stream showed.
func (p *edgeProof) add(other edgeProof) {
	p.begin = p.begin || other.begin
	p.end = p.end || other.end
}

// join tells how much further back a window has to begin that follows another one, so that nothing is left out between them.
func (p *edgeProof) join() time.Duration {
	if p.begin || p.end {
		return 0
	}
	return time.Second // Both leave out the same second, at most.
}

package pipeline

import (
	"cmp"
	"slices"
	"sync"
)

// positions are checkpoints: those of the streams that a session reads, and where those begin that have none yet. Safe for concurrent use; the zero value is ready.
type positions struct {
	mu  sync.Mutex
	all map[Stream]Checkpoint
}

func (p *positions) of(s Stream) (Checkpoint, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	cp, ok := p.all[s]
	return cp, ok
}

func (p *positions) set(cp *Checkpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = make(map[Stream]Checkpoint)
	}
	p.all[cp.Stream] = *cp
}

// forget takes out a stream.
func (p *positions) forget(s Stream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, s)
}

// listed are the streams of these kinds that a list once had and that were not removed, in a fixed order.
func (p *positions) listed(kinds []StreamKind) []Stream {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []Stream
	for s, cp := range p.all {
		if slices.Contains(kinds, s.Kind) && !cp.Removed {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b Stream) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	return all
}

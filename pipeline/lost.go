package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// LostPosition is a stream of which more was published than its position says: that was lost, or comes from a backup. To go on from
// there would publish everything behind it again.
type LostPosition struct {
	Stream Stream
	// Gone tells that there is no position; End is up to where one says that everything is published.
	Gone bool
	End  time.Time
	// Published is up to where the stream was published.
	Published time.Time
}

// ErrLost is the cause of the fault that ends a run before it would publish again what was published already. The checkpoints may come back.
var ErrLost = errors.New("checkpoints are lost")

// AcceptLost lets the positions pass that are lost when the run begins: a stream without one begins at the start, one whose
// position is older goes on from there. It is called before Run.
func (p *Pipeline) AcceptLost() { p.acceptLost = true }

// compare holds what was loaded against what was published: by this process, and, once, by others before it.
func (p *Pipeline) compare(ctx context.Context, loaded map[Stream]Checkpoint) error {
	p.accept(loaded)
	lost := p.streams.lost(loaded)
	if len(lost) > 0 || p.compared || p.cfg.Evidence == nil {
		return lostFault(lost)
	}
	lost, err := p.cfg.Evidence.Lost(ctx, loaded)
	if err == nil {
		err = p.confirm(ctx, loaded, lost)
	}
	if err != nil {
		return err
	}
	if !p.acceptLost {
		p.compared = len(lost) == 0
		return lostFault(lost)
	}
	streams := make([]Stream, 0, len(lost))
	for _, l := range lost {
		streams = append(streams, l.Stream)
	}
	if p.accepted, err = p.cfg.Evidence.Sequences(ctx, streams); err != nil {
		return err
	}
	p.compared = true
	p.accept(loaded)
	return nil
}

// confirm reads the positions that seem to be lost once more: they and what was published are read one after the other, and whoever has taken the
// place between the two, while this process was stopped for a while, has moved both. Then this run was fenced, although it does not know yet.
func (p *Pipeline) confirm(ctx context.Context, loaded map[Stream]Checkpoint, lost []LostPosition) error {
	if len(lost) == 0 {
		return nil
	}
	now, err := p.cfg.Checkpoints.Load(ctx)
	if err != nil {
		return err
	}
	for _, l := range lost {
		before, was := loaded[l.Stream]
		after, is := now[l.Stream]
		if was != is || before.Sequence != after.Sequence || !before.SavedAt.Equal(after.SavedAt) {
			return &Fault{
				Class: Fenced, Op: "compare the checkpoints with what was published",
				Err: fmt.Errorf("the position of %s has moved meanwhile: another process or a command has the writer's place", l.Stream),
			}
		}
	}
	return nil
}

// accept has the ledger records of streams whose positions are lost go on with their numbers.
func (p *Pipeline) accept(loaded map[Stream]Checkpoint) {
	for s, sequence := range p.accepted {
		cp, there := loaded[s]
		if cp.Sequence >= sequence {
			continue
		}
		if !there {
			cp = Checkpoint{AppKey: p.cfg.AppKey, Stream: s, Forgotten: true}
		}
		cp.Sequence = sequence
		loaded[s] = cp
	}
}

// lostFault ends the run before anything is published; nil where nothing is lost.
func lostFault(lost []LostPosition) error {
	if len(lost) == 0 {
		return nil
	}
	slices.SortFunc(lost, func(a, b LostPosition) int { return cmp.Compare(a.Stream.String(), b.Stream.String()) })
	var found []string
	for i, l := range lost {
		const shown = 5
		if i == shown {
			found = append(found, fmt.Sprintf("%d more streams are like that", len(lost)-shown))
			break
		}
		says := "there is no checkpoint of it"
		if !l.Gone {
			says = "its checkpoint says " + FormatTime(l.End)
		}
		found = append(found, fmt.Sprintf("%s is published up to %s, but %s", l.Stream, FormatTime(l.Published), says))
	}
	return &Fault{
		Class: Permanent, Op: "compare the checkpoints with what was published", Err: fmt.Errorf("%w: %s", ErrLost, strings.Join(found, "; ")),
		Hint: "to go on would publish again what lies between. Restore the checkpoints; or set each with " +
			"`jmpub checkpoint reset STREAM --to TIME`; or let `jmpub run --accept-lost-checkpoints` begin at JMPUB_START where there is no " +
			"checkpoint, and go on from those that are older",
	}
}

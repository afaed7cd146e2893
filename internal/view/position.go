package view

import (
	"fmt"
	"io"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// Position is a position as JSON.
type Position struct {
	Stream string `json:"stream"`
	Replay string `json:"replay,omitempty"`
	Reset  string `json:"reset,omitempty"`
	// End is up to where everything is published, but for the time from PastEnd to PastUntil where those are set: history that
	// is being published behind the live position. LagSeconds is how long ago End was.
	End        time.Time `json:"end_time"`
	PastEnd    time.Time `json:"past_end_time,omitzero"`
	PastUntil  time.Time `json:"past_until,omitzero"`
	LagSeconds int64     `json:"lag_seconds"`
	pipeline.Counts
	SavedAt time.Time `json:"saved_at"`
}

func newPosition(cp *pipeline.Checkpoint, now time.Time) Position {
	p := Position{
		Stream: cp.Stream.String(), Replay: cp.Replay, Reset: cp.Reset, End: cp.End,
		LagSeconds: int64(now.Sub(cp.End).Seconds()), Counts: cp.Counts, SavedAt: cp.SavedAt.UTC(),
	}
	if cp.Past != nil {
		p.PastEnd, p.PastUntil = cp.Past.End, cp.Past.Until
	}
	return p
}

// Positions shows positions as they are now.
func (p *Printer) Positions(all []pipeline.Checkpoint, now time.Time) error {
	list := make([]Position, len(all))
	for i := range all {
		list[i] = newPosition(&all[i], now)
	}
	return show(p, list, func(w io.Writer) error {
		if len(all) == 0 {
			_, err := fmt.Fprintln(w, "no positions yet: every stream begins at JMPUB_START")
			return err
		}
		table := newTable(w)
		fmt.Fprintln(table, "STREAM\tEND_TIME\tLAG\tPUBLISHED\tREJECTED\tWINDOWS\tSAVED\tREPLAY")
		for i := range all {
			cp := &all[i]
			fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%d\t%s ago\t%s\n", cp.Stream, pipeline.FormatTime(cp.End),
				now.Sub(cp.End).Round(time.Second), cp.Counts.Published, cp.Counts.Rejected, cp.Counts.Windows,
				now.Sub(cp.SavedAt).Round(time.Second), cp.Replay)
		}
		if err := table.Flush(); err != nil {
			return err
		}
		for i := range all {
			if past := all[i].Past; past != nil {
				fmt.Fprintf(w, "%s: behind the position, %s to %s is not published yet\n", all[i].Stream,
					pipeline.FormatTime(past.End), pipeline.FormatTime(past.Until))
			}
		}
		return nil
	})
}

package view

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jmpub/jmpub/pipeline"
)

// Position is a position as JSON.
type Position struct {
	Stream string `json:"stream"`
	Replay string `json:"replay,omitempty"`
	// End is up to where everything is published, but for the backlog. LagSeconds is how long ago End was.
	End        time.Time `json:"end_time"`
	Backlog    []Backlog `json:"backlog,omitempty"`
	LagSeconds int64     `json:"lag_seconds"`
	pipeline.Counts
	SavedAt time.Time `json:"saved_at"`
	// Paused tells that an operator has stopped the stream, by itself or with the app.
	Paused bool `json:"paused,omitempty"`
	// Unreadable is why the position cannot be read; nothing else is known then.
	Unreadable string `json:"unreadable,omitempty"`
}

// Backlog is a range of history behind the position: it is published up to End, and ends at Until.
type Backlog struct {
	End   time.Time `json:"end_time"`
	Until time.Time `json:"until"`
}

func newPosition(cp *pipeline.Checkpoint, now time.Time) Position {
	p := Position{
		Stream: cp.Stream.String(), Replay: cp.Replay, End: cp.End,
		LagSeconds: int64(now.Sub(cp.End).Seconds()), Counts: cp.Counts, SavedAt: cp.SavedAt.UTC(),
	}
	if cp.Damage != nil {
		return Position{Stream: p.Stream, Replay: p.Replay, Unreadable: cp.Damage.Error()}
	}
	for _, b := range cp.Backlog {
		p.Backlog = append(p.Backlog, Backlog{b.End, b.Until})
	}
	return p
}

// folded writes a text in lines that fit into a terminal, indented by two.
func folded(w io.Writer, text string) {
	const most = 78
	line := " "
	for word := range strings.FieldsSeq(text) {
		if len(line) > 1 && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > most {
			fmt.Fprintln(w, line)
			line = " "
		}
		line += " " + word
	}
	fmt.Fprintln(w, line)
}

// Positions shows positions as they are now, and what is paused.
func (p *Printer) Positions(all []pipeline.Checkpoint, paused *pipeline.Pause, now time.Time) error {
	list := make([]Position, len(all))
	for i := range all {
		list[i] = newPosition(&all[i], now)
		list[i].Paused = all[i].Replay == "" && paused.Has(all[i].Stream)
	}
	return show(p, list, func(w io.Writer) {
		if paused.Any() {
			defer p.paused(w, paused)
		}
		if len(all) == 0 {
			fmt.Fprintln(w, "no positions yet: every stream begins at JMPUB_START")
			return
		}
		fmt.Fprintln(w, p.zone())
		fmt.Fprintf(w, "%-*s  %-19s  %8s  %9s  %8s  SAVED\n", streamWidth, "STREAM", "END_TIME", "LAG", "PUBLISHED", "REJECTED")
		for i := range all {
			cp := &all[i]
			if cp.Damage != nil {
				fmt.Fprintf(w, "%-*s  UNREADABLE\n", streamWidth, cp.Stream)
				folded(w, cp.Damage.Error())
				continue
			}
			fmt.Fprintf(w, "%-*s  %s  %8s  %9d  %8d  %s ago\n", streamWidth, cp.Stream, p.local(cp.End), now.Sub(cp.End).Round(time.Second),
				cp.Counts.Published, cp.Counts.Rejected, now.Sub(cp.SavedAt).Round(time.Second))
			if cp.Replay != "" {
				fmt.Fprintf(w, "  replay %s\n", foreign(cp.Replay))
			}
		}
		for i := range all {
			for _, b := range all[i].Backlog {
				fmt.Fprintf(w, "%s: behind the position,\n  %s to %s is not published yet\n", all[i].Stream, p.moment(b.End), p.moment(b.Until))
			}
		}
	})
}

// Reset shows the position that a stream has after a reset.
func (p *Printer) Reset(cp *pipeline.Checkpoint, now time.Time) error {
	return show(p, []Position{newPosition(cp, now)}, func(w io.Writer) {
		fmt.Fprintf(w, "%s: the position is %s now\n", cp.Stream, p.moment(cp.End))
		for _, b := range cp.Backlog {
			fmt.Fprintf(w, "%s to %s is published behind it\n", p.moment(b.End), p.moment(b.Until))
		}
	})
}

// Deleted is a position that is forgotten.
type Deleted struct {
	Stream string `json:"stream"`
	Replay string `json:"replay,omitempty"`
}

// Deleted shows which position is forgotten.
func (p *Printer) Deleted(d Deleted) error {
	return show(p, []Deleted{d}, func(w io.Writer) { fmt.Fprintf(w, "%s: the position is forgotten\n", d.Stream) })
}

package view

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"

	"github.com/jmpub/jmpub/pipeline"
)

// Progress is a bar by rows, with rate and time left, for people only. What is written to it stands above the bar.
type Progress struct {
	screen io.Writer
	// zone is that of the times that are shown.
	zone *time.Location

	mu sync.Mutex // Guards what follows.
	// began is when the bar was begun; zero while there is none. drawn is when it was drawn last.
	began, drawn time.Time
	done, total  int64
	// end is up to where rows are published.
	end time.Time
}

// NewProgress draws on a screen, if that is a terminal that can be drawn over.
func NewProgress(screen io.Writer, zone *time.Location) *Progress {
	return &Progress{screen: screenOf(screen), zone: zone}
}

// Begin shows the bar of so many rows that are to come.
func (p *Progress) Begin(rows int64) {
	if !isDrawable(p.screen) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.began, p.done, p.total = time.Now(), 0, rows
	p.draw()
}

// End leaves the bar as it is.
func (p *Progress) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.began.IsZero() {
		p.draw()
		fmt.Fprintln(p.screen)
		p.began = time.Time{}
	}
}

// Write writes log lines above the bar.
func (p *Progress) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.began.IsZero() {
		return p.screen.Write(text)
	}
	fmt.Fprint(p.screen, eraseLine)
	n, err := p.screen.Write(text)
	p.draw()
	return n, err
}

// Observer moves the bar on.
func (p *Progress) Observer() pipeline.Observer {
	const pause = 100 * time.Millisecond
	return func(o pipeline.Observation) {
		c, ok := o.(pipeline.WindowCommitted)
		if !ok {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.done += c.Ledger.Published + c.Ledger.Rejected
		p.end = c.Ledger.End
		if !p.began.IsZero() && time.Since(p.drawn) > pause {
			p.draw()
		}
	}
}

const eraseLine = "\r" + ansi.EraseEntireLine

// draw draws the bar over what is in its line, without the last column, behind which terminals begin another line.
func (p *Progress) draw() {
	width := usualWidth
	if f, ok := p.screen.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			width = columns
		}
	}
	p.drawn = time.Now()
	fmt.Fprint(Painted(p.screen), eraseLine, p.line(width-1))
}

// line is the bar, and as many of the facts about it as there is room for.
func (p *Progress) line(width int) string {
	took := p.drawn.Sub(p.began)
	part := min(1, float64(p.done)/float64(max(1, p.total)))
	facts := []string{fmt.Sprintf("%.0f %%", 100*part)}
	if p.done > 0 {
		left := time.Duration(float64(took) * (1 - part) / part)
		facts = append(facts, fmt.Sprintf("about %s left", left.Round(time.Second)),
			Thousands(int64(float64(p.done)/max(took.Seconds(), 1)))+" rows/s", "up to "+p.end.In(p.zone).Format(time.DateTime),
			fmt.Sprintf("%s of %s rows", Thousands(p.done), Thousands(p.total)))
	}
	const narrowest = 10 // of bars
	text := ""
	for i, fact := range facts {
		if i > 0 {
			fact = text + " · " + fact
		}
		if i > 0 && narrowest+len(" ")+ansi.StringWidth(fact) > width {
			break
		}
		text = fact
	}
	return bar(part, width-len(" ")-ansi.StringWidth(text)) + " " + strong(text)
}

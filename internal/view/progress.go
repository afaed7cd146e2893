package view

import (
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/jmpub/jmpub/pipeline"
)

// Progress is a bar by rows, with rate and time left, for people only. What is written to it stands above the bar.
type Progress struct {
	screen io.Writer
	// zone is that of the times that are shown.
	zone *time.Location

	mu  sync.Mutex // Guards bar.
	bar *progressbar.ProgressBar
}

// NewProgress draws on a screen, if that is a terminal that can be drawn over.
func NewProgress(screen io.Writer, zone *time.Location) *Progress {
	return &Progress{screen: screen, zone: zone}
}

// Begin shows the bar of so many rows that are to come.
func (p *Progress) Begin(rows int64) {
	if !isDrawable(p.screen) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bar = progressbar.NewOptions64(rows, progressbar.OptionSetWriter(p.screen), progressbar.OptionShowCount(),
		progressbar.OptionShowIts(), progressbar.OptionSetItsString("rows"), progressbar.OptionSetPredictTime(true),
		progressbar.OptionFullWidth(), progressbar.OptionSetElapsedTime(false), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionUseANSICodes(true))
}

// End leaves the bar as it is.
func (p *Progress) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Exit() // A bar that cannot be drawn is no loss.
		_, _ = io.WriteString(p.screen, "\n")
		p.bar = nil
	}
}

// Write writes log lines above the bar.
func (p *Progress) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil {
		return p.screen.Write(text)
	}
	_ = p.bar.Clear() // A bar that cannot be drawn is no loss.
	n, err := p.screen.Write(text)
	_ = p.bar.RenderBlank()
	return n, err
}

// Observer moves the bar on.
func (p *Progress) Observer() pipeline.Observer {
	return func(o pipeline.Observation) {
		c, ok := o.(pipeline.WindowCommitted)
		if !ok {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.bar != nil {
			_ = p.bar.Add64(c.Ledger.Published + c.Ledger.Rejected)
			p.bar.Describe("up to " + c.Ledger.End.In(p.zone).Format(time.DateTime))
		}
	}
}

package main

import (
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// progress is a bar by rows, with rate and time left. It is drawn for people only.
type progress struct {
	screen io.Writer
	// zone is that of the times that are shown.
	zone *time.Location

	mu  sync.Mutex // Guards bar.
	bar *progressbar.ProgressBar
}

// begin shows the bar of so many rows that are to come.
func (p *progress) begin(rows int64) {
	if !isTerminal(p.screen) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bar = progressbar.NewOptions64(rows, progressbar.OptionSetWriter(p.screen), progressbar.OptionShowCount(),
		progressbar.OptionShowIts(), progressbar.OptionSetItsString("rows"), progressbar.OptionSetPredictTime(true),
		progressbar.OptionFullWidth(), progressbar.OptionSetElapsedTime(false), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionUseANSICodes(true))
}

func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Exit() // A bar that cannot be drawn is no loss.
		_, _ = io.WriteString(p.screen, "\n")
		p.bar = nil
	}
}

// Write writes log lines above the bar.
func (p *progress) Write(text []byte) (int, error) {
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

// form is that of log lines.
func (p *progress) form(set string) string {
	if set == "" && isTerminal(p.screen) {
		return "text"
	}
	return set
}

func (p *progress) observer() *pipeline.Observer {
	return &pipeline.Observer{Committed: func(c *pipeline.Closed, _ [event.TargetCount]int) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.bar != nil {
			_ = p.bar.Add64(c.Ledger.Published + c.Ledger.Rejected)
			p.bar.Describe("up to " + c.Ledger.End.In(p.zone).Format(time.DateTime))
		}
	}}
}

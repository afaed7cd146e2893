// Package check runs probes and gathers what they find. What is looked at, and how, is the business of whoever makes the probes.
package check

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// Level is how much a finding matters.
type Level string

// The levels. Only an error fails a check: jmpub cannot work so, or not as it promises. A warning is worth a look, and Skipped is what could
// not be looked at.
const (
	OK      Level = "ok"
	Warning Level = "warning"
	Error   Level = "error"
	Skipped Level = "skipped"
)

// Finding is what a probe says of one thing.
type Finding struct {
	// Subject is what it is about: "clock", "topic jmessage.single".
	Subject string `json:"subject"`
	// App is the app key of the app that it is about; empty where it is about all.
	App   string `json:"app_key,omitempty"`
	Level Level  `json:"level"`
	Text  string `json:"text"`
	// Fix is what to do about it; empty where nothing is to be done, or nobody knows.
	Fix string `json:"fix,omitempty"`

	// Blocks is set where whatever needs the probe cannot be looked at.
	Blocks bool `json:"-"`
}

// Probe looks at one thing, and changes nothing.
type Probe struct {
	// Subject and App are those of findings that do not say their own.
	Subject, App string
	// Needs are probes of the same run that come first. Where one of them blocks, this one is skipped, and what needs it too.
	Needs []*Probe
	// Within bounds Look, whose context is done then. The findings that it returns may come a little later.
	Within time.Duration
	Look   func(ctx context.Context) []Finding

	done chan struct{}
	// findings and blocked may be read once done is closed. blocked names the subject that is the reason, empty where nothing is in the way.
	findings []Finding
	blocked  string
}

// Report is all that was found, in the order of the probes.
type Report struct {
	// OK is set where nothing failed.
	OK       bool      `json:"ok"`
	Errors   int       `json:"errors"`
	Warnings int       `json:"warnings"`
	Skipped  int       `json:"skipped"`
	Findings []Finding `json:"findings"`
}

func (r *Report) add(f *Finding) {
	switch f.Level {
	case OK:
	case Warning:
		r.Warnings++
	case Error:
		r.Errors++
	case Skipped:
		r.Skipped++
	}
	r.Findings = append(r.Findings, *f)
}

// Run runs probes, at most so many at a time, and returns what they found. told is called with each finding in the order of the report, as soon
// as all before it are known, by one goroutine. When ctx is done, what is left is cut short and not told.
func Run(ctx context.Context, probes []*Probe, parallel int, told func(*Finding)) *Report {
	room := make(chan struct{}, parallel)
	var running sync.WaitGroup
	for _, p := range probes {
		p.done = make(chan struct{})
	}
	for _, p := range probes {
		running.Go(func() {
			defer close(p.done)
			p.run(ctx, room)
		})
	}
	defer running.Wait()
	report := &Report{Findings: []Finding{}}
	for _, p := range probes {
		<-p.done
		if ctx.Err() != nil {
			break
		}
		for i := range p.findings {
			report.add(&p.findings[i])
			told(&p.findings[i])
		}
	}
	report.OK = report.Errors == 0
	return report
}

// run waits for what the probe needs, and for room, and looks.
func (p *Probe) run(ctx context.Context, room chan struct{}) {
	for _, need := range p.Needs {
		<-need.done
		if need.blocked != "" {
			p.blocked = need.blocked
			p.findings = []Finding{p.complete(Finding{Level: Skipped, Text: "not checked, because of " + p.blocked})}
			return
		}
	}
	select {
	case room <- struct{}{}:
		defer func() { <-room }()
	case <-ctx.Done():
		return
	}
	ctx, cancel := context.WithTimeout(ctx, p.Within)
	defer cancel()
	for _, f := range p.Look(ctx) {
		f = p.complete(f)
		if ctx.Err() != nil {
			f.Text = strings.ReplaceAll(f.Text, context.DeadlineExceeded.Error(), fmt.Sprintf("given up after %s", p.Within))
		}
		if f.Blocks && p.blocked == "" {
			p.blocked = f.Subject
		}
		p.findings = append(p.findings, f)
	}
}

func (p *Probe) complete(f Finding) Finding {
	if f.Subject == "" {
		f.Subject = p.Subject
	}
	if f.App == "" {
		f.App = p.App
	}
	return f
}

// Failed is an error in the words in which it would end a run, with what it says is to be done apart.
func Failed(err error) Finding { return Of(Error, err) }

// Of is [Failed] with another level.
func Of(level Level, err error) Finding {
	f := Finding{Level: level, Text: strings.ReplaceAll(err.Error(), "\n", "; ")}
	if fault, ok := errors.AsType[*pipeline.Fault](err); ok && fault.Hint != "" {
		text := err.Error()
		if before, whole := strings.CutSuffix(text, " ("+fault.Hint+")"); whole {
			f.Text, f.Fix = strings.ReplaceAll(before, "\n", "; "), fault.Hint
		}
	}
	return f
}

// Fine is a finding that all is well.
func Fine(text string) Finding { return Finding{Level: OK, Text: text} }

// Blocking has all that needs the probe skipped.
func Blocking(f Finding) []Finding {
	f.Blocks = true
	return []Finding{f}
}

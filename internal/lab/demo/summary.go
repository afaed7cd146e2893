package demo

import (
	"context"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
)

// Summary is the end of a demo.
type Summary struct {
	verify.Report

	Seconds     float64   `json:"seconds"`
	CaughtUp    bool      `json:"caught_up"`
	PublishedTo time.Time `json:"published_to"`
	API         sim.Stats `json:"api"`
}

// summarize reads everything back and compares it with the truth. Rows that the pipeline had no need to have read by the
// time it was stopped may be missing.
func (d *demo) summarize(ctx context.Context, took time.Duration) (*Summary, error) {
	// The context may be done: Ctrl-C ends the demo, not its summary.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	layout := verify.Layout{Prefix: d.prefix, Topic: d.live.Routing().Event}
	found, err := layout.Read(ctx, d.broker.Addrs())
	if err != nil {
		return nil, err
	}
	end := *d.head.Load()
	return &Summary{
		Report: verify.Compare(d.truth(end), found), Seconds: took.Seconds(), PublishedTo: end, API: d.api.Stats(),
		CaughtUp: time.Since(end) < time.Minute,
	}, nil
}

// truth lists what the API held. Everything before the head had to be published.
func (d *demo) truth(head time.Time) iter.Seq[verify.TruthRow] {
	return func(yield func(verify.TruthRow) bool) {
		for r := range d.api.Truth(sim.Range{Begin: d.begin, End: time.Now()}) {
			row := verify.TruthRow{
				MsgID: r.MsgID, HasMsgID: r.HasMsgID, Target: r.Target, Row: r.Raw, Optional: !r.Time.Before(head),
			}
			if !yield(row) {
				return
			}
		}
	}
}

// WriteText writes the summary for people.
func (s *Summary) WriteText(w io.Writer) {
	faults := int64(0)
	for _, n := range s.API.Faults {
		faults += n
	}
	verdict := "every row is there exactly once"
	if !s.OK() {
		verdict = "NOT as it should be"
	}
	fmt.Fprintf(w, "the API answered %d requests, %d of them with a fault, and was read up to %s\n%s\n%s\n",
		s.API.Requests, faults, s.PublishedTo.Format(time.RFC3339), s.String(), verdict)
}

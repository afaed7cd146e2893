package demo

import (
	"context"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
	"github.com/jmpub/jmpub/internal/view"
)

// Summary is the end of a demo.
type Summary struct {
	verify.Report

	// Published and Rejected are what jmpub counted, as the screen showed it; Records is how many of both the topics hold. That may be
	// more than had to be there: some messages of the position's own second were there already.
	Published   int64     `json:"published"`
	Rejected    int64     `json:"rejected"`
	Records     int       `json:"records"`
	Seconds     float64   `json:"seconds"`
	CaughtUp    bool      `json:"caught_up"`
	PublishedTo time.Time `json:"published_to"`
	API         sim.Stats `json:"api"`

	// zone is that of the times in the text.
	zone *time.Location
}

// OK tells that nothing differs.
func (s *Summary) OK() bool { return s.Report.OK() && s.Published+s.Rejected == int64(s.Records) }

// summarize reads everything back and compares it with the truth. Rows that the pipeline had no need to have read by the
// time it was stopped may be missing.
func (d *demo) summarize(ctx context.Context, last *view.State) (*Summary, error) {
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
		Report: verify.Compare(d.truth(end), found), Published: last.Published, Rejected: last.Rejected, Records: found.Records,
		Seconds: last.Now.Sub(last.Started).Seconds(), PublishedTo: end, API: d.api.Stats(), CaughtUp: last.Now.Sub(end) < time.Minute,
		zone: d.zone,
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
	fmt.Fprintf(w, "requests   %s, %s of them answered with a fault\n", view.Thousands(s.API.Requests), view.Thousands(faults))
	fmt.Fprintf(w, "read up to %s %s\n", s.PublishedTo.In(s.zone).Format(time.DateTime), s.zone)
	fmt.Fprintf(w, "published  %s messages and %s rejected rows\n", view.Thousands(s.Published), view.Thousands(s.Rejected))
	fmt.Fprintf(w, "in topics  %s of %s records\n", view.Thousands(int64(s.Records)), view.Thousands(s.Published+s.Rejected))
	fmt.Fprintf(w, "of these   %s had to be there, %s are newer\n", view.Thousands(int64(s.Rows)), view.Thousands(int64(s.Records-s.Rows)))
	if s.OK() {
		fmt.Fprintln(w, view.Good("every row is there exactly once"))
		return
	}
	fmt.Fprintf(w, "%s\n%s\n", s.String(), view.Bad("NOT as it should be"))
}

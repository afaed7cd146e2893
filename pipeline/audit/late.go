package audit

import (
	"context"
	"slices"
	"time"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// Publish puts into a draft what a difference is missing at the time of the call, with its ledger record and notice, and returns
// how many rows that is. It is called by whoever writes; see [Difference.Late].
func (d *Difference) Publish(ctx context.Context, archive Archive, draft *pipeline.Draft, now time.Time) (rows int64, err error) {
	late, err := d.Late(ctx, archive, now)
	if err != nil || late == nil {
		return 0, err
	}
	if err = draft.Publish(ctx, late.Batch); err != nil {
		return 0, err
	}
	if err = draft.CloseLate(ctx, late.Batch, late.Ledger, late.Notice); err != nil {
		return 0, err
	}
	return late.Ledger.Rows, nil
}

// Late is what commits together when rows are published that were missing.
type Late struct {
	Batch *pipeline.Batch
	// Ledger is the record that says which window they belong to. Its number, and what became of the rows in Kafka, are filled
	// in by whoever commits it.
	Ledger pipeline.Ledger
	Notice pipeline.Notice
}

// Late computes again what a difference is missing, from what is committed at the time of the call; nil if nothing is missing
// any more. It is called by the one that writes, before it writes: between the first look and the call, others may have
// published some of the rows, and nobody else can until the writer is done.
func (d *Difference) Late(ctx context.Context, archive Archive, now time.Time) (*Late, error) {
	if d.batch == nil {
		return nil, nil //nolint:nilnil // Nothing was missing in the first place.
	}
	var there pipeline.RowSet
	err := archive.Newer(ctx, d.Stream, d.frontier, func(l *pipeline.Ledger, _ Place) error {
		if l.Replay != "" || l.Begin.After(d.End) || l.End.Before(d.Begin) {
			return nil
		}
		_, err := addPublished(ctx, archive, l, &there)
		return err
	})
	if err != nil {
		return nil, err
	}
	batch := *d.batch
	batch.Events = slices.DeleteFunc(slices.Clone(batch.Events), func(e event.Event) bool { return has(&there, &e, nil) })
	batch.Rejected = slices.DeleteFunc(slices.Clone(batch.Rejected), func(r event.Rejection) bool { return has(&there, nil, &r) })
	rows := int64(len(batch.Events) + len(batch.Rejected))
	if rows == 0 {
		return nil, nil //nolint:nilnil // Somebody else has published all of it.
	}
	return &Late{
		Batch: &batch,
		Ledger: pipeline.Ledger{
			AppKey: batch.AppKey, Stream: d.Stream, Window: d.Window, Late: true, Total: d.Total, Started: now,
			Rows: rows, Published: int64(len(batch.Events)), Rejected: int64(len(batch.Rejected)),
		},
		Notice: pipeline.Notice{
			Kind: pipeline.NoticeLateRows, AppKey: batch.AppKey, Stream: d.Stream, Window: d.Window, At: now, Rows: rows,
			Detail: "rows appeared in this time after it had been read; they are published now",
		},
	}, nil
}

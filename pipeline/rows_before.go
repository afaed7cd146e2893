package pipeline

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/jmpub/jmpub/pipeline/event"
)

// RowsBefore are the rows that stand just before a time: those that the API counts to the seconds before it, and those both of
// whose clocks are before it. A position that is set to that time, or begins there, has to know them, because the window that
// follows reaches back by the overlap and would publish them. Where the API no longer holds that time, there are none.
func RowsBefore(ctx context.Context, source Source, appKey string, s Stream, at time.Time) (RowSet, error) {
	norm := event.NewNormalizer(appKey)
	found := make(RowSet)
	for _, end := range []time.Time{at.Add(-time.Second), at} {
		plan, err := source.Plan(ctx, s, Position{End: at.Add(-overlapMargin), Span: overlapMargin, Until: end})
		if err != nil {
			return nil, err
		}
		if plan.Window.End.After(end) {
			continue
		}
		err = eachRow(ctx, source, s, plan.Window, func(row []byte) {
			e, rejection := norm.Normalize(row)
			switch {
			case rejection == nil && (end.Before(at) || bothBefore(at, e.ServerTime, e.ClientTime)):
				found.Add(EventKey(&e))
			case rejection != nil && end.Before(at): // What is rejected has no clock that could be trusted.
				found.Add(RejectedKey(rejection))
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// bothBefore tells whether both clocks of a row are before a time. Of one that lacks one of them nobody knows: that may be the
// one that the API goes by.
func bothBefore(at time.Time, server, client int64) bool {
	return min(server, client) > 0 && max(server, client) < at.UnixMilli()
}

// eachRow gives all rows of a window, some of them several times if it has to be read anew.
func eachRow(ctx context.Context, source Source, s Stream, w Window, fn func(row []byte)) error {
	var retry Retry
	op := "read " + s.String() + " " + w.String()
	return retry.Do(ctx, op, func(ctx context.Context) error {
		err := eachRowOnce(ctx, source, s, w, fn)
		if err != nil && ClassOf(err) == Restart {
			return &Fault{Class: Transient, Op: op, Err: err}
		}
		return err
	})
}

func eachRowOnce(ctx context.Context, source Source, s Stream, w Window, fn func(row []byte)) error {
	pages, err := source.Open(ctx, s, w)
	if err != nil {
		return err
	}
	for {
		page, err := pages.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		for _, row := range page.Rows {
			fn(row)
		}
	}
}

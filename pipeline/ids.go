package pipeline

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"time"
)

// IDsBefore reads a window and returns the msgids, ascending, of the rows that certainly stand before a time: both of their
// clocks do. A position that is set to that time has to know them, or the first window would publish them once more.
func IDsBefore(ctx context.Context, source Source, appKey string, s Stream, w Window, at time.Time) ([]int64, error) {
	norm := NewNormalizer(appKey)
	var retry Retry
	ids := make(map[int64]struct{})
	err := retry.Do(ctx, "read "+s.String(), func(ctx context.Context) error {
		clear(ids)
		err := eachRow(ctx, source, s, w, func(row []byte) {
			event, rejection := norm.Normalize(row)
			if rejection == nil && max(event.ServerTime, event.ClientTime) < at.UnixMilli() {
				ids[event.MsgID] = struct{}{}
			}
		})
		if ClassOf(err) == Restart && err != nil {
			return &Fault{Class: Transient, Op: "read " + s.String(), Err: err}
		}
		return err
	})
	return slices.Sorted(maps.Keys(ids)), err
}

// eachRow gives all rows of a window.
func eachRow(ctx context.Context, source Source, s Stream, w Window, fn func(row []byte)) error {
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

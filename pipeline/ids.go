package pipeline

import (
	"context"
	"time"
)

// IDsBefore is [RowReader.IDsBefore] with the retry policy's defaults and nobody who is told.
func IDsBefore(ctx context.Context, source Source, appKey string, s Stream, at time.Time) (ids, hashes []int64, err error) {
	return (&RowReader{Source: source}).IDsBefore(ctx, appKey, s, at)
}

// eachRow gives all rows of a window, some of them several times if it has to be read anew.
func eachRow(ctx context.Context, source Source, s Stream, w Window, fn func(row []byte)) error {
	return (&RowReader{Source: source}).Each(ctx, s, w, fn)
}

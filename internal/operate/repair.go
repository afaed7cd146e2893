package operate

import (
	"context"
	"time"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

// repair publishes what an audit finds missing: several differences at a time, because each time it takes the writer's place.
type repair struct {
	exclusive *pipeline.Exclusive
	archive   audit.Archive
	pending   []*audit.Difference
	bytes     int
	// published counts the rows that were, others those that somebody else had published by then.
	published, others int64
}

const (
	// repairBytes and repairDifferences are with how much the writer's place is taken.
	repairBytes       = 8 << 20
	repairDifferences = 100
)

// add takes in a difference, and publishes what has come together if that is enough.
func (r *repair) add(ctx context.Context, d *audit.Difference) error {
	r.pending = append(r.pending, d)
	if r.bytes += d.Bytes(); r.bytes < repairBytes && len(r.pending) < repairDifferences {
		return nil
	}
	return r.flush(ctx)
}

// flush publishes what is still missing of what has come together, in one transaction.
func (r *repair) flush(ctx context.Context) error {
	if len(r.pending) == 0 {
		return nil
	}
	var published, missing int64
	err := r.exclusive.Commit(ctx, func(ctx context.Context, d *pipeline.Draft) error {
		published, missing = 0, 0
		for _, difference := range r.pending {
			rows, err := difference.Publish(ctx, r.archive, d, time.Now())
			if err != nil {
				return err
			}
			published += rows
			missing += int64(len(difference.Missing))
		}
		return nil
	})
	if err != nil {
		return startError(err)
	}
	r.published += published
	r.others += missing - published
	r.pending, r.bytes = nil, 0
	return nil
}

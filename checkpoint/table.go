package checkpoint

import (
	"bytes"
	"context"

	"github.com/jmpub/jmpub/internal/kafka"
)

// value is the newest value of a key, and where it stands.
type value struct {
	bytes []byte
	where string
}

// table reads a partition within bounds as a table: the newest committed value of each key that keep wants.
func table(ctx context.Context, log *kafka.Log, partition int, b kafka.Bounds, keep func(key []byte) bool) (map[string]value, error) {
	found := make(map[string]value)
	err := log.Committed(ctx, partition, b, func(r *kafka.LogRecord) error {
		switch {
		case !keep(r.Key):
		case r.Value == nil:
			delete(found, string(r.Key))
		default:
			found[string(r.Key)] = value{bytes.Clone(r.Value), r.Where()}
		}
		return nil
	})
	return found, err
}

package verify

import (
	"fmt"
	"iter"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/pipeline"
)

// Topics are those that [Read] reads without checks: that of rejected rows, and then those of events.
func Topics(prefix string) []string {
	names := []string{prefix + "." + string(pipeline.TopicRejected)}
	for target := range pipeline.TargetCount {
		names = append(names, prefix+"."+target.String())
	}
	return names
}

// Collect is [Read] by another client: it takes the records that one has read of [Topics], without markers and aborted ones,
// and ends at the first error.
func Collect(prefix string, records iter.Seq2[*kgo.Record, error]) (*Found, error) {
	found := newFound()
	w := newWitness(prefix, found.hash, nil)
	for r, err := range records {
		if err != nil {
			return nil, fmt.Errorf("verify: %w", err)
		}
		found.take(w.look(r))
	}
	return found, nil
}

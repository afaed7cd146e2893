package verify

import (
	"fmt"
	"iter"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Topics are those that [Read] reads without checks: that of rejected rows, and then those of events.
func Topics(prefix string) []string { return (&Layout{Prefix: prefix}).Topics() }

// Collect is [Read] by another client: it takes the records that one has read of [Topics], without markers and aborted ones,
// and ends at the first error.
func Collect(prefix string, records iter.Seq2[*kgo.Record, error]) (*Found, error) {
	found := newFound()
	w := newWitness(&Layout{Prefix: prefix}, found.hash, nil)
	for r, err := range records {
		if err != nil {
			return nil, fmt.Errorf("verify: %w", err)
		}
		found.take(w.look(r))
	}
	return found, nil
}

//go:build integration

package compat_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
)

// Placed is the partition of a key, as three parts of the Java client tell it: the hash itself, the producer's partitioner,
// and the broker's answer to a record that was sent.
type Placed struct {
	Hash        int32 `json:"hash"`
	Partitioner int32 `json:"partitioner"`
	Sent        int32 `json:"sent"`
}

// Place sends keys to twin, a new topic with as many partitions as like has, and returns where each of them went.
func (j *Java) Place(ctx context.Context, brokers []string, like, twin string, keys [][]byte) ([]Placed, error) {
	var list strings.Builder
	for _, key := range keys {
		list.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	}
	var all []Placed
	for placed, err := range lines[Placed](ctx, j, list.String(), "Partition", strings.Join(brokers, ","), like, twin) {
		if err != nil {
			return nil, err
		}
		all = append(all, placed)
	}
	if len(all) != len(keys) {
		return nil, fmt.Errorf("java Partition answered %d of %d keys", len(all), len(keys))
	}
	return all, nil
}

package compat

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
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
	p, err := j.start(ctx, "Partition", strings.Join(brokers, ","), like, twin)
	if err != nil {
		return nil, err
	}
	var list strings.Builder
	for _, key := range keys {
		list.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	}
	_, writeErr := io.WriteString(p.in, list.String())
	if writeErr = errors.Join(writeErr, p.in.Close()); writeErr != nil {
		return nil, errors.Join(writeErr, p.wait())
	}
	var all []Placed
	for {
		var placed Placed
		if err = p.lines.Decode(&placed); err != nil {
			break
		}
		all = append(all, placed)
	}
	if !errors.Is(err, io.EOF) {
		_ = p.kill() // It would wait for its output to be read.
		return nil, fmt.Errorf("java Partition: %w", err)
	}
	if err = p.wait(); err != nil {
		return nil, err
	}
	if len(all) != len(keys) {
		return nil, fmt.Errorf("java Partition answered %d of %d keys", len(all), len(keys))
	}
	return all, nil
}

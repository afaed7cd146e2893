package world

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/jmpub/jmpub/internal/tests/avrotest"
	"github.com/jmpub/jmpub/internal/tests/world/kafkamodel"
)

// schemas is a schema registry. Safe for concurrent use.
type schemas struct {
	mu sync.Mutex
	// known are its schemas: the first one has the id 1.
	known []string
}

// ID implements [sink.Schemas].
func (s *schemas) ID(_ context.Context, _, schema string) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.Index(s.known, schema)
	if at < 0 {
		at = len(s.known)
		s.known = append(s.known, schema)
	}
	return at + 1, nil
}

// decode turns a record's value into JSON, if it is in Avro: that begins with a zero and the schema's id.
func (s *schemas) decode(r *kafkamodel.Record) error {
	const magic, header = 0, 5
	if len(r.Value) < header || r.Value[0] != magic {
		return nil
	}
	id := int(binary.BigEndian.Uint32(r.Value[1:]))
	if id < 1 || id > len(s.known) {
		return fmt.Errorf("no schema has the id %d", id)
	}
	var err error
	r.Value, err = avrotest.Decode(s.known[id-1], r.Value[header:])
	for i := range r.Headers {
		if h := &r.Headers[i]; h.Key == "content-type" && string(h.Value) == "application/avro" {
			h.Value = []byte("application/json") // As it is now.
		}
	}
	return err
}

package sink

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/twmb/avro"
)

// AvroReader reads values in Avro, in the wire format of a schema registry, whoever wrote them. It is used by one goroutine at a time.
type AvroReader struct {
	// Schema gives the schema with an id; where it is nil, every one is that of jmpub's events.
	Schema func(ctx context.Context, id int) (string, error)

	parsed map[int]*avro.Schema
}

// avroFrame is what a value begins with: a zero and the schema's id.
const avroFrame = 5

// mostSchemas are kept. Whoever writes many more than there are versions of an event writes none of jmpub's.
const mostSchemas = 100

// IsAvro tells whether a value may be in Avro: no JSON begins so.
func IsAvro(value []byte) bool { return len(value) >= avroFrame && value[0] == 0 }

// JSON is a value in JSON. Times are milliseconds there.
func (r *AvroReader) JSON(ctx context.Context, value []byte) ([]byte, error) {
	if !IsAvro(value) {
		return nil, errors.New("it is not in the wire format of a schema registry")
	}
	schema, err := r.schema(ctx, int(binary.BigEndian.Uint32(value[1:])))
	if err != nil {
		return nil, err
	}
	var decoded any
	if _, err = schema.Decode(value[avroFrame:], &decoded); err != nil {
		return nil, err
	}
	return schema.EncodeJSON(decoded)
}

func (r *AvroReader) schema(ctx context.Context, id int) (*avro.Schema, error) {
	if r.Schema == nil {
		return messageSchema()
	}
	if known, ok := r.parsed[id]; ok {
		return known, nil
	}
	text, err := r.Schema(ctx, id)
	if err != nil {
		return nil, err
	}
	parsed, err := avro.Parse(text)
	if err != nil {
		return nil, err
	}
	if r.parsed == nil || len(r.parsed) >= mostSchemas {
		r.parsed = make(map[int]*avro.Schema)
	}
	r.parsed[id] = parsed
	return parsed, nil
}

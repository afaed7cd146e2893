package sink

import (
	"errors"
	"fmt"
	"time"

	"github.com/jmpub/jmpub/pipeline/event"
)

// DecodeAvro reads of an event in Avro, as it stands in its topic, which target it is of and when it was sent; zero where it has
// no usable clock.
func DecodeAvro(value []byte) (target event.Target, sent time.Time, err error) {
	const frame = 5 // A zero and the schema's id.
	schema, err := messageSchema()
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("docs/schemas/message.avsc: %w (bug)", err)
	}
	if len(value) < frame || value[0] != 0 {
		return 0, time.Time{}, errors.New("it is not in the wire format of a schema registry")
	}
	var m avroMessage
	if _, err = schema.Decode(value[frame:], &m); err != nil {
		return 0, time.Time{}, err
	}
	if m.Time != nil {
		sent = time.UnixMilli(*m.Time).UTC()
	}
	return event.TargetNamed(string(m.TargetType)), sent, nil
}

// Package avrotest reads events in Avro as a consumer would, for tests: by the wire format, with the schema that the registry
// has under the value's id, and with a library that is not the one which jmpub writes with.
package avrotest

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/linkedin/goavro/v2"
)

// Reader decodes values with the schemas of a registry. Safe for concurrent use.
type Reader struct {
	url    string
	client *http.Client

	mu     sync.Mutex
	codecs map[uint32]*codec
}

// codec is what the registry has under an id, and the subjects under which it has it.
type codec struct {
	*goavro.Codec

	subjects []string
}

// NewReader asks the registry at this address.
func NewReader(url string) *Reader {
	return &Reader{url: url, client: &http.Client{Timeout: time.Minute}, codecs: make(map[uint32]*codec)}
}

// Decode turns a value into the event's JSON. The schema has to stand under the topic's subject.
func (r *Reader) Decode(topic string, value []byte) ([]byte, error) {
	const header = 5
	if len(value) < header || value[0] != 0 {
		return nil, fmt.Errorf("the value begins with % x, not with 0 and an id", value[:min(header, len(value))])
	}
	c, err := r.codec(binary.BigEndian.Uint32(value[1:]))
	if err != nil {
		return nil, err
	}
	if subject := topic + "-value"; !slices.Contains(c.subjects, subject) {
		return nil, fmt.Errorf("the schema is that of %q, not of %s", c.subjects, subject)
	}
	return decode(c.Codec, value[header:])
}

// codec asks the registry for what stands under an id.
func (r *Reader) codec(id uint32) (*codec, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.codecs[id]; c != nil {
		return c, nil
	}
	var schema struct{ Schema string }
	if err := r.get(fmt.Sprintf("/schemas/ids/%d", id), &schema); err != nil {
		return nil, err
	}
	var uses []struct{ Subject string }
	if err := r.get(fmt.Sprintf("/schemas/ids/%d/versions", id), &uses); err != nil {
		return nil, err
	}
	made, err := goavro.NewCodec(schema.Schema)
	if err != nil {
		return nil, err
	}
	c := &codec{Codec: made}
	for _, use := range uses {
		c.subjects = append(c.subjects, use.Subject)
	}
	r.codecs[id] = c
	return c, nil
}

func (r *Reader) get(path string, into any) (err error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, r.url+path, nil)
	if err != nil {
		return err
	}
	res, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %s", req.URL, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(into)
}

// Decode turns a record, without the wire format's header, into the event's JSON by a schema.
func Decode(schema string, record []byte) ([]byte, error) {
	codec, ok := codecs.Load(schema)
	if !ok {
		made, err := goavro.NewCodec(schema)
		if err != nil {
			return nil, err
		}
		codec, _ = codecs.LoadOrStore(schema, made)
	}
	return decode(codec.(*goavro.Codec), record) //nolint:errcheck,forcetypeassert // Nothing else is stored.
}

// codecs are those of the schemas that were read, by their text: to make one takes longer than many records.
var codecs sync.Map //nolint:gochecknoglobals // Tests share them.

func decode(codec *goavro.Codec, record []byte) ([]byte, error) {
	native, rest, err := codec.NativeFromBinary(record)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes are left over", len(rest))
	}
	return eventOf(native)
}

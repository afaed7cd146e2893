package sink

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/twmb/avro"

	"github.com/jmpub/jmpub/docs/schemas"
	"github.com/jmpub/jmpub/internal/rawjson"
)

// avroEncoder writes events as docs/schemas/message.avsc has them, in the wire format of Confluent's serializers. What the
// record points to is its own memory, used again for each event. Not safe for concurrent use.
type avroEncoder struct {
	json *rawjson.Reader

	event    avroMessage
	from     avroSender
	target   avroPartner
	medium   avroMedium
	location avroLocation
	// records are these, by what they are called in errors.
	records  map[string]avroFields
	crossApp bool
	media    []avroMedium
	longs    []int64
	doubles  []float64
	// spilled are members of the row whose text is no Unicode text, so that no string of Avro can hold it: they stay in
	// attributes, as JSON.
	spilled []byte
}

func newAvroEncoder() *avroEncoder {
	a := &avroEncoder{json: rawjson.Lenient()}
	a.records = map[string]avroFields{
		"the event": fieldsOf(&a.event), "from": fieldsOf(&a.from), "target": fieldsOf(&a.target),
		"media": fieldsOf(&a.medium), "location": fieldsOf(&a.location),
	}
	return a
}

// messageSchema is parsed once.
var messageSchema = sync.OnceValues(func() (*avro.Schema, error) { return avro.Parse(schemas.MessageAvro) }) //nolint:gochecknoglobals // It is a constant.

// append writes the event with this value under a schema id. An error leaves dst as it was.
func (a *avroEncoder) append(dst, value []byte, id int) ([]byte, error) {
	schema, err := messageSchema()
	if err != nil {
		return dst, fmt.Errorf("docs/schemas/message.avsc: %w (bug)", err)
	}
	if err = a.read(value); err != nil {
		return dst, err
	}
	framed := binary.BigEndian.AppendUint32(append(dst, 0), uint32(id)) //nolint:gosec // Checked when the id was learned.
	encoded, err := schema.AppendEncode(framed, &a.event)
	if err != nil {
		return dst, err
	}
	return encoded, nil
}

// read takes an event apart.
func (a *avroEncoder) read(value []byte) error {
	a.event, a.spilled = avroMessage{}, a.spilled[:0]
	a.media, a.longs, a.doubles = a.media[:0], a.longs[:0], a.doubles[:0]
	if !utf8.Valid(value) {
		return errors.New("not valid UTF-8")
	}
	e, r := &a.event, a.json
	hasID := false
	r.Open(value)
	r.Enter('{')
	for r.Member() {
		switch string(r.Name()) {
		case "msgid":
			id, err := strconv.ParseInt(string(r.Value()), 10, 64)
			r.Fail(err)
			e.MsgID, hasID = id, true
		case "time":
			e.Time = a.instant(r.Value())
		case "client_time":
			quoted := r.Value()
			e.ClientTime, e.ClientTimeUnit = a.instant(quoted), unitOf(quoted)
		case "from":
			if a.from = (avroSender{}); a.readRecord("from") {
				e.From = &a.from
			}
		case "target":
			if a.target = (avroPartner{}); a.readRecord("target") {
				e.Target = &a.target
			}
		case "cross_app":
			var err error
			a.crossApp, err = strconv.ParseBool(string(r.Value()))
			r.Fail(err)
			e.CrossApp = &a.crossApp
		case "media": // The types hold what they can; the rest is in msg_body.
			for r.Enter('['); r.Element(); {
				a.medium = avroMedium{}
				a.readRecord("media")
				a.media = append(a.media, a.medium)
			}
			e.Media = a.media
		case "location":
			a.location = avroLocation{}
			a.readRecord("location")
			e.Location = &a.location
		case "msg_body":
			e.MsgBody = r.Value()
		case "attributes":
			e.Attributes = r.Value()
		default:
			a.readField("the event")
		}
	}
	r.End()
	switch {
	case r.Err() != nil:
		return fmt.Errorf("read the event: %w", r.Err())
	case !hasID || e.AppKey == nil:
		return errors.New("read the event: there is no msgid, or no app_key")
	}
	a.addSpilled()
	return nil
}

// addSpilled puts what no string can hold before the other attributes.
func (a *avroEncoder) addSpilled() {
	switch rest := a.event.Attributes; {
	case len(a.spilled) == 0:
	case len(rest) > len("{}"):
		a.event.Attributes = bytes.Join([][]byte{[]byte("{"), a.spilled, rest[1:]}, nil)
	default:
		a.event.Attributes = bytes.Join([][]byte{[]byte("{"), a.spilled[:len(a.spilled)-1], []byte("}")}, nil)
	}
}

// readRecord reads an object into a record, and tells whether any of its fields is not null then.
func (a *avroEncoder) readRecord(name string) (filled bool) {
	for a.json.Enter('{'); a.json.Member(); {
		filled = a.readField(name) || filled
	}
	return filled
}

// readField reads a member into the record's field of that name, and tells whether that is not null then. It refuses a member that
// would be lost.
func (a *avroEncoder) readField(record string) bool {
	f := a.records[record][string(a.json.Name())]
	switch field := f.pointer.(type) {
	case *[]byte:
		value := a.json.Value()
		*field = rawjson.Unquote(value)
		if *field == nil && f.column != "" {
			a.spilled = fmt.Appendf(a.spilled, "%q:%s,", f.column, value)
		}
		return *field != nil
	case **int64:
		*field = a.long(a.json.Value())
		return *field != nil
	case **float64:
		*field = a.double(a.json.Value())
		return *field != nil
	default:
		a.json.Fail(fmt.Errorf("the schema has no field %q in %s (bug)", a.json.Name(), record))
		return false
	}
}

// instant is a time in milliseconds.
func (a *avroEncoder) instant(quoted []byte) *int64 {
	at, err := time.Parse(time.RFC3339, string(rawjson.Unquote(quoted)))
	a.json.Fail(err)
	a.longs = append(a.longs, at.UnixMilli())
	return &a.longs[len(a.longs)-1]
}

// unitOf is the unit in which the sender gave a time: the form of client_time shows it.
func unitOf(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '.') < 0 {
		return []byte("second")
	}
	return []byte("millisecond")
}

// long is a number that is an integer of 64 bits, and null otherwise.
func (a *avroEncoder) long(number []byte) *int64 {
	n, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil {
		return nil
	}
	a.longs = append(a.longs, n)
	return &a.longs[len(a.longs)-1]
}

// double is a number as the nearest double, and null if none is near.
func (a *avroEncoder) double(number []byte) *float64 {
	n, err := strconv.ParseFloat(string(number), 64)
	if err != nil {
		return nil
	}
	a.doubles = append(a.doubles, n)
	return &a.doubles[len(a.doubles)-1]
}

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
	location avroLocation
	times    [2]int64
	crossApp bool
	media    []avroMedium
	longs    []int64
	doubles  []float64
	// spilled are members of the row whose text is no Unicode text, so that no string of Avro can hold it: they stay in
	// attributes, as JSON.
	spilled []byte
}

func newAvroEncoder() *avroEncoder { return &avroEncoder{json: rawjson.Lenient()} }

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

var errNotUTF8 = errors.New("not valid UTF-8")

// read takes an event apart.
func (a *avroEncoder) read(value []byte) error {
	a.event, a.spilled = avroMessage{}, a.spilled[:0]
	a.media, a.longs, a.doubles = a.media[:0], a.longs[:0], a.doubles[:0]
	if !utf8.Valid(value) {
		return errNotUTF8
	}
	e, r := &a.event, a.json
	hasID, hasApp := false, false
	r.Open(value)
	r.Enter('{')
	for r.Member() {
		switch string(r.Name()) {
		case "msgid":
			number := r.Value()
			id, err := strconv.ParseInt(string(number), 10, 64)
			r.Fail(err)
			e.MsgID, hasID = id, true
		case "app_key":
			e.AppKey = rawjson.Unquote(r.Value())
			hasApp = e.AppKey != nil
		case "target_type":
			e.TargetType = a.placed(`"target_type":`)
		case "msg_type":
			e.MsgType = a.placed(`"msg_type":`)
		case "conversation_id":
			e.ConversationID = rawjson.Unquote(r.Value())
		case "time":
			e.Time = a.instant(0, r.Value())
		case "time_source":
			e.TimeSource = rawjson.Unquote(r.Value())
		case "client_time":
			quoted := r.Value()
			e.ClientTime, e.ClientTimeUnit = a.instant(1, quoted), unitOf(quoted)
		case "from":
			a.readSender()
		case "target":
			a.readPartner()
		case "cross_app":
			var err error
			a.crossApp, err = strconv.ParseBool(string(r.Value()))
			r.Fail(err)
			e.CrossApp = &a.crossApp
		case "text":
			e.Text = rawjson.Unquote(r.Value())
		case "media":
			a.readMedia()
		case "location":
			a.readLocation()
		case "msg_body":
			e.MsgBody = r.Value()
		case "attributes":
			e.Attributes = r.Value()
		default:
			a.unknown("the event")
		}
	}
	r.End()
	switch {
	case r.Err() != nil:
		return fmt.Errorf("read the event: %w", r.Err())
	case !hasID || !hasApp:
		return errors.New("read the event: there is no msgid, or no app_key")
	}
	a.addSpilled()
	return nil
}

// placed reads a text that has its place in the event; name is its name in the row, ready to write.
func (a *avroEncoder) placed(name string) []byte {
	value := a.json.Value()
	text := rawjson.Unquote(value)
	if text == nil {
		a.spilled = append(append(append(a.spilled, name...), value...), ',')
	}
	return text
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

func (a *avroEncoder) readSender() {
	a.from = avroSender{}
	a.event.From = &a.from
	for a.json.Enter('{'); a.json.Member(); {
		switch string(a.json.Name()) {
		case "id":
			a.from.ID = a.placed(`"from_id":`)
		case "name":
			a.from.Name = a.placed(`"from_name":`)
		case "type":
			a.from.Type = a.placed(`"from_type":`)
		case "platform":
			a.from.Platform = a.placed(`"from_platform":`)
		case "app_key":
			a.from.AppKey = a.placed(`"from_appkey":`)
		default:
			a.unknown("from")
		}
	}
	if f := &a.from; f.ID == nil && f.Name == nil && f.Type == nil && f.Platform == nil && f.AppKey == nil {
		a.event.From = nil
	}
}

func (a *avroEncoder) readPartner() {
	a.target = avroPartner{}
	a.event.Target = &a.target
	for a.json.Enter('{'); a.json.Member(); {
		switch string(a.json.Name()) {
		case "id":
			a.target.ID = a.placed(`"target_id":`)
		case "name":
			a.target.Name = a.placed(`"target_name":`)
		case "app_key":
			a.target.AppKey = a.placed(`"target_appkey":`)
		default:
			a.unknown("target")
		}
	}
	if p := &a.target; p.ID == nil && p.Name == nil && p.AppKey == nil {
		a.event.Target = nil
	}
}

// readMedia takes what the types can hold; the rest is in msg_body.
func (a *avroEncoder) readMedia() {
	for a.json.Enter('['); a.json.Element(); {
		a.media = append(a.media, avroMedium{})
		one := &a.media[len(a.media)-1]
		for a.json.Enter('{'); a.json.Member(); {
			switch string(a.json.Name()) {
			case "media_id":
				one.MediaID = rawjson.Unquote(a.json.Value())
			case "kind":
				one.Kind = rawjson.Unquote(a.json.Value())
			case "format":
				one.Format = rawjson.Unquote(a.json.Value())
			case "size":
				one.Size = a.long(a.json.Value())
			case "crc32":
				one.CRC32 = a.long(a.json.Value())
			case "width":
				one.Width = a.long(a.json.Value())
			case "height":
				one.Height = a.long(a.json.Value())
			case "duration":
				one.Duration = a.double(a.json.Value())
			case "name":
				one.Name = rawjson.Unquote(a.json.Value())
			case "hash":
				one.Hash = rawjson.Unquote(a.json.Value())
			case "url":
				one.URL = rawjson.Unquote(a.json.Value())
			default:
				a.unknown("media")
			}
		}
	}
	a.event.Media = a.media
}

func (a *avroEncoder) readLocation() {
	a.location = avroLocation{}
	a.event.Location = &a.location
	for a.json.Enter('{'); a.json.Member(); {
		switch string(a.json.Name()) {
		case "latitude":
			a.location.Latitude = a.double(a.json.Value())
		case "longitude":
			a.location.Longitude = a.double(a.json.Value())
		case "scale":
			a.location.Scale = a.double(a.json.Value())
		case "label":
			a.location.Label = rawjson.Unquote(a.json.Value())
		default:
			a.unknown("location")
		}
	}
}

// unknown refuses a member that would be lost.
func (a *avroEncoder) unknown(where string) {
	a.json.Fail(fmt.Errorf("the schema has no field %q in %s (bug)", a.json.Name(), where))
}

// instant reads one of the two times.
func (a *avroEncoder) instant(i int, quoted []byte) *int64 {
	at, err := time.Parse(time.RFC3339, string(rawjson.Unquote(quoted)))
	a.json.Fail(err)
	a.times[i] = at.UnixMilli()
	return &a.times[i]
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

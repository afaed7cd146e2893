package sink

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/jmpub/jmpub/pipeline/event"
)

// avroMessage is the record of docs/schemas/message.avsc. A nil slice or pointer is null. The tag row names the row's member that a
// text comes from, which stays in attributes where it is no Unicode text.
type avroMessage struct {
	MsgID          int64         `avro:"msgid"`
	AppKey         []byte        `avro:"app_key"`
	TargetType     []byte        `avro:"target_type" row:"target_type"`
	MsgType        []byte        `avro:"msg_type" row:"msg_type"`
	ConversationID []byte        `avro:"conversation_id"`
	Time           *int64        `avro:"time"`
	TimeSource     []byte        `avro:"time_source"`
	ClientTime     *int64        `avro:"client_time"`
	ClientTimeUnit []byte        `avro:"client_time_unit"`
	From           *avroSender   `avro:"from"`
	Target         *avroPartner  `avro:"target"`
	CrossApp       *bool         `avro:"cross_app"`
	Text           []byte        `avro:"text"`
	Media          []avroMedium  `avro:"media"`
	Location       *avroLocation `avro:"location"`
	MsgBody        []byte        `avro:"msg_body"`
	Attributes     []byte        `avro:"attributes"`
}

type avroSender struct {
	ID       []byte `avro:"id" row:"from_id"`
	Name     []byte `avro:"name" row:"from_name"`
	Type     []byte `avro:"type" row:"from_type"`
	Platform []byte `avro:"platform" row:"from_platform"`
	AppKey   []byte `avro:"app_key" row:"from_appkey"`
}

type avroPartner struct {
	ID     []byte `avro:"id" row:"target_id"`
	Name   []byte `avro:"name" row:"target_name"`
	AppKey []byte `avro:"app_key" row:"target_appkey"`
}

type avroMedium struct {
	MediaID  []byte   `avro:"media_id"`
	Kind     []byte   `avro:"kind"`
	Format   []byte   `avro:"format"`
	Size     *int64   `avro:"size"`
	CRC32    *int64   `avro:"crc32"`
	Width    *int64   `avro:"width"`
	Height   *int64   `avro:"height"`
	Duration *float64 `avro:"duration"`
	Name     []byte   `avro:"name"`
	Hash     []byte   `avro:"hash"`
	URL      []byte   `avro:"url"`
}

type avroLocation struct {
	Latitude  *float64 `avro:"latitude"`
	Longitude *float64 `avro:"longitude"`
	Scale     *float64 `avro:"scale"`
	Label     []byte   `avro:"label"`
}

// avroFields are the fields of a record by their names in the schema.
type avroFields map[string]avroField

type avroField struct {
	pointer any
	// column is the tag row.
	column string
}

// fieldsOf reads the tags of a record, a pointer to a struct.
func fieldsOf(record any) avroFields {
	fields := make(avroFields)
	for tags, value := range reflect.ValueOf(record).Elem().Fields() {
		fields[tags.Tag.Get("avro")] = avroField{value.Addr().Interface(), tags.Tag.Get("row")}
	}
	return fields
}

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

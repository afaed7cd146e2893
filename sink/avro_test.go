package sink

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jmpub/jmpub/docs/schemas"
	"github.com/jmpub/jmpub/internal/tests/avrotest"
	"github.com/jmpub/jmpub/internal/tests/canonical"
	"github.com/jmpub/jmpub/pipeline/event"
)

// throughAvro encodes a row's event and decodes it again; nil where the row is rejected.
func throughAvro(t *testing.T, row []byte) (normalized *event.Event, decoded []byte) {
	t.Helper()
	e, rejection := event.NewNormalizer("4f7aef34fb361292c566a1cd").Normalize(row)
	if rejection != nil {
		return nil, nil
	}
	encoded, err := newAvroEncoder().append([]byte("before"), e.Value, 7)
	if err != nil {
		t.Fatalf("%v\n%s", err, e.Value)
	}
	rest, ok := strings.CutPrefix(string(encoded), "before\x00")
	if !ok || binary.BigEndian.Uint32([]byte(rest)) != 7 {
		t.Fatalf("the value begins with % x", encoded[:10])
	}
	decoded, err = avrotest.Decode(schemas.MessageAvro, []byte(rest[4:]))
	if err != nil {
		t.Fatalf("%v\n%s", err, e.Value)
	}
	return &e, decoded
}

// TestStoredRowsInAvro holds that the record of each stored row says the same as the event, field for field.
func TestStoredRowsInAvro(t *testing.T) {
	files, err := filepath.Glob("../pipeline/event/testdata/normalize/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rows: %v", err)
	}
	for _, file := range files {
		row, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		e, decoded := throughAvro(t, row)
		switch name := filepath.Base(file); {
		case e == nil:
		case strings.HasPrefix(name, "row-") && !canonical.Equal(e.Value, decoded):
			t.Errorf("%s: the record says\n%s, the event\n%s", name, decoded, e.Value)
		default:
			sameRow(t, row, decoded)
		}
	}
}

// sameRow holds that the row can be rebuilt from the record.
func sameRow(t *testing.T, row, decoded []byte) {
	t.Helper()
	rebuilt, err := event.Rebuild(decoded)
	if err != nil || !canonical.Equal(row, rebuilt) {
		t.Errorf("%v: the row was\n%s, and is rebuilt as\n%s", err, row, rebuilt)
	}
}

// TestOddValuesInAvro holds what of a row no type of Avro can hold, and where it is then.
func TestOddValuesInAvro(t *testing.T) {
	for _, tc := range []struct{ row, want string }{
		{
			`{"msgid":-9223372036854775808,"msg_type":"image","msg_body":{"media_id":"m","fsize":9223372036854775808,"width":1.50,"height":1e3,"media_crc32":-0}}`,
			`{"msgid":-9223372036854775808,"app_key":"4f7aef34fb361292c566a1cd","msg_type":"image","media":[{"media_id":"m","kind":"image","crc32":0,"url":null}],` +
				`"msg_body":{"media_id":"m","fsize":9223372036854775808,"width":1.50,"height":1e3,"media_crc32":-0}}`,
		},
		{
			`{"msgid":1,"msg_type":"location","msg_body":{"latitude":1e999,"longitude":0.1,"scale":"x","label":"\ud83d"}}`,
			`{"msgid":1,"app_key":"4f7aef34fb361292c566a1cd","msg_type":"location","location":{"longitude":0.1},` +
				`"msg_body":{"latitude":1e999,"longitude":0.1,"scale":"x","label":"\ud83d"}}`,
		},
		{ // An escaped lone surrogate is no text.
			`{"msgid":1,"target_type":"\ud83d","from_name":"\ud83d","from_id":"a","target_name":"\ude00 ","x":[1, 2]}`,
			`{"msgid":1,"app_key":"4f7aef34fb361292c566a1cd","from":{"id":"a"},` +
				`"attributes":{"target_type":"\ud83d","from_name":"\ud83d","target_name":"\ude00 ","x":[1,2]}}`,
		},
		{
			`{"msgid":1,"msg_type":"text","from_name":"\ud83d","msg_body":{"text":"\ud83d"}}`,
			`{"msgid":1,"app_key":"4f7aef34fb361292c566a1cd","msg_type":"text","attributes":{"from_name":"\ud83d"},"msg_body":{"text":"\ud83d"}}`,
		},
		{
			`{"msgid":1,"create_time":1553222785,"msg_body":null,"from_id":5}`,
			`{"msgid":1,"app_key":"4f7aef34fb361292c566a1cd","time":"2019-03-22T02:46:25.000Z","time_source":"client_time",` +
				`"client_time":"2019-03-22T02:46:25Z","from":{"id":"5"},"msg_body":null,"attributes":{"from_id":5}}`,
		},
		{
			`{"msgid":1,"create_time":1553222785000,"msg_ctime":253402300799999,"msg_level":1}`,
			`{"msgid":1,"app_key":"4f7aef34fb361292c566a1cd","time":"9999-12-31T23:59:59.999Z","client_time":"2019-03-22T02:46:25.000Z","cross_app":true}`,
		},
	} {
		_, decoded := throughAvro(t, []byte(tc.row))
		if !canonical.Equal(decoded, []byte(tc.want)) {
			t.Errorf("the record says\n%s, want\n%s", decoded, tc.want)
		}
		sameRow(t, []byte(tc.row), decoded)
	}
}

// TestNoEventInAvro refuses what Normalize does not make, instead of leaving some of it out.
func TestNoEventInAvro(t *testing.T) {
	for _, value := range []string{
		``, `[]`, `{`, `{}`, `{"msgid":1}`, `{"app_key":"a"}`, `{"msgid":1,"app_key":"a"}x`, `{"msgid":1.5,"app_key":"a"}`,
		`{"msgid":1,"app_key":"a","new":1}`, `{"msgid":1,"app_key":"a","from":{"age":1}}`, `{"msgid":1,"app_key":"a","target":{"x":1}}`,
		`{"msgid":1,"app_key":"a","media":[{"x":1}]}`, `{"msgid":1,"app_key":"a","location":{"x":1}}`, `{"msgid":1,"app_key":"a","from":[]}`,
		`{"msgid":1,"app_key":"a","media":{}}`, `{"msgid":1,"app_key":"a","time":"noon"}`, `{"msgid":1,"app_key":"a","cross_app":null}`, "{\"msgid\":1,\"app_key\":\"\xff\"}",
	} {
		encoded, err := newAvroEncoder().append([]byte("before"), []byte(value), 7)
		if err == nil || string(encoded) != "before" {
			t.Errorf("%s: %v, and %q is left", value, err, encoded)
		}
	}
}

// FuzzAvro holds that whatever becomes an event can be written in Avro, and that its row can be rebuilt from that.
func FuzzAvro(f *testing.F) {
	files, err := filepath.Glob("../pipeline/event/testdata/normalize/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no rows: %v", err)
	}
	for _, file := range files {
		row, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(row)
	}
	f.Add([]byte(`{"msgid":1,"target_type":"\ud83d","msg_type":"video","msg_body":{"video":{"fsize":1e9},"duration":3.5}}`))
	f.Fuzz(func(t *testing.T, row []byte) {
		if e, decoded := throughAvro(t, row); e != nil {
			sameRow(t, row, decoded)
		}
	})
}

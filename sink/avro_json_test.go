package sink

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/jmpub/jmpub/docs/schemas"
)

// FuzzAvroJSON makes JSON of a value in Avro, or says why not, whatever stands there.
func FuzzAvroJSON(f *testing.F) {
	value := []byte(`{"msgid":1,"app_key":"k","target_type":"group","msg_type":"text","time":"2026-11-01T10:00:00.000Z",` +
		`"from":{"id":"a","name":"n","type":"user","platform":"a","app_key":"k"},"cross_app":false,"text":"h","msg_body":{"text":"h"},"attributes":{}}`)
	encoded, err := newAvroEncoder().append(nil, value, 7)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encoded)
	f.Add([]byte{0, 0, 0, 0, 7})
	f.Fuzz(func(t *testing.T, value []byte) {
		var r AvroReader
		decoded, err := r.JSON(t.Context(), value)
		if err == nil && !json.Valid(decoded) {
			t.Errorf("%q", decoded)
		}
	})
}

// TestAvroReader asks for each schema once, and says why one cannot be had.
func TestAvroReader(t *testing.T) {
	encoded, err := newAvroEncoder().append(nil, []byte(`{"msgid":9007199254740993,"app_key":"k","time":"2026-11-01T10:00:00.001Z","text":"h"}`), 7)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	r := AvroReader{Schema: func(_ context.Context, id int) (string, error) {
		if asked++; id != 7 {
			return "", errors.New("there is none")
		}
		return schemas.MessageAvro, nil
	}}
	for range 3 {
		var decoded []byte
		decoded, err = r.JSON(t.Context(), encoded)
		var event struct {
			MsgID int64  `json:"msgid"`
			Time  int64  `json:"time"`
			Text  string `json:"text"`
		}
		if err == nil {
			err = json.Unmarshal(decoded, &event)
		}
		if err != nil || event.MsgID != 9007199254740993 || event.Time != 1793527200001 || event.Text != "h" {
			t.Errorf("%v: %s", err, decoded)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	encoded[4] = 8
	if _, err = r.JSON(t.Context(), encoded); err == nil {
		t.Error("a schema that there is not")
	}
}

package statistics

import (
	"bytes"
	"errors"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/jmpub/jmpub/pipeline"
)

// encodeRow makes an event of the statistics of a period. data is the row as received, without white space; what the reply has
// next to it is added under its name. Numbers stay as they are written.
func encodeRow(appKey string, s pipeline.Stream, row *Row) ([]byte, error) {
	data, err := compact(row.Value)
	if err != nil {
		return nil, err
	}
	for _, extra := range row.Extra {
		if data, err = addMember(data, extra); err != nil {
			return nil, err
		}
	}
	value := append(make([]byte, 0, len(data)+128), `{"app_key":`...)
	for _, field := range []struct{ text, next string }{
		{appKey, `,"kind":`}, {s.Name, `,"period":`}, {string(row.Period.Unit), `,"time":`}, {row.Period.String(), `,"data":`},
	} {
		if value, err = jsontext.AppendQuote(value, field.text); err != nil {
			return nil, err
		}
		value = append(value, field.next...)
	}
	return append(append(value, data...), '}'), nil
}

// compact takes the white space out of an object, and nothing else.
func compact(object []byte) (jsontext.Value, error) {
	v := jsontext.Value(bytes.Clone(object))
	if v.Kind() != '{' {
		return nil, errors.New("it is no JSON object")
	}
	return v, v.Compact()
}

// addMember adds a member at an object's end, unless the object has one of that name.
func addMember(object jsontext.Value, extra Field) (jsontext.Value, error) {
	value, err := compact(extra.Value)
	if err != nil {
		return nil, err
	}
	separator := ","
	if len(object) == len("{}") {
		separator = ""
	}
	with := append(slices.Clone(object[:len(object)-1]), separator...)
	if with, err = jsontext.AppendQuote(with, extra.Name); err != nil {
		return nil, err
	}
	with = append(append(append(with, ':'), value...), '}')
	if !with.IsValid() { // A name stands twice: the row has the member itself.
		return object, nil
	}
	return with, nil
}

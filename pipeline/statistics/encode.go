package statistics

import (
	"bytes"
	"errors"

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

// addMember adds a member at an object's end.
func addMember(object jsontext.Value, extra Field) (jsontext.Value, error) {
	value, err := compact(extra.Value)
	if err != nil {
		return nil, err
	}
	has, err := hasMember(object, extra.Name)
	if has || err != nil {
		return object, err // The row has it itself.
	}
	separator := byte(',')
	if len(object) == len("{}") {
		separator = '{'
		object = object[:0]
	} else {
		object = object[:len(object)-1]
	}
	object, err = jsontext.AppendQuote(append(object, separator), extra.Name)
	if err != nil {
		return nil, err
	}
	return append(append(append(object, ':'), value...), '}'), nil
}

// hasMember tells whether an object has a member of a name; what its members hold does not count.
func hasMember(object jsontext.Value, name string) (bool, error) {
	d := jsontext.NewDecoder(bytes.NewReader(object))
	if _, err := d.ReadToken(); err != nil {
		return false, err
	}
	for d.PeekKind() == '"' {
		member, err := d.ReadToken()
		if err != nil {
			return false, err
		}
		if member.String() == name {
			return true, nil
		}
		if err := d.SkipValue(); err != nil {
			return false, err
		}
	}
	return false, nil
}

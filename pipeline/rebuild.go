package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Rebuild gives back the row of which value is the event: the same names and values, in an order of its own. Each field
// is taken from its place, and what stands in `attributes` outranks it.
func Rebuild(value []byte) ([]byte, error) {
	if !jsontext.Value(value).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) ||
		jsontext.Value(value).Kind() != '{' {
		return nil, errors.New("rebuild row: the event is no JSON object")
	}
	r := rebuilt{event: make(map[string][]byte), attributes: make(map[string]bool)}
	for quoted, v := range members(value) {
		r.event[string(quoted[1:len(quoted)-1])] = v
	}
	attributes := r.event["attributes"]
	for quoted := range members(orEmpty(attributes)) {
		r.attributes[string(quoted)] = true
	}
	r.row = append(r.row, '{')
	r.copy("msgid", "msgid")
	r.copy("target_type", "target_type")
	r.copy("msg_type", "msg_type")
	if err := r.clocks(); err != nil {
		return nil, fmt.Errorf("rebuild row: %w", err)
	}
	r.party("from")
	r.party("target")
	switch string(r.event["cross_app"]) {
	case "true":
		r.put("msg_level", []byte("1"))
	case "false":
		r.put("msg_level", []byte("0"))
	}
	r.copy("msg_body", "msg_body")
	for quoted, v := range members(orEmpty(attributes)) {
		r.member(quoted, v)
	}
	return append(r.row, '}'), nil
}

func orEmpty(object []byte) []byte {
	if len(object) == 0 || object[0] != '{' {
		return []byte("{}")
	}
	return object
}

// rebuilt is a row in the making.
type rebuilt struct {
	event      map[string][]byte
	attributes map[string]bool // quoted names
	row        []byte
}

func (r *rebuilt) copy(from, to string) {
	if v, ok := r.event[from]; ok {
		r.put(to, v)
	}
}

// put adds a field unless the attributes have it as it was.
func (r *rebuilt) put(name string, value []byte) {
	quoted := []byte(`"` + name + `"`)
	if !r.attributes[string(quoted)] {
		r.member(quoted, value)
	}
}

func (r *rebuilt) member(quoted, value []byte) {
	if len(r.row) > 1 {
		r.row = append(r.row, ',')
	}
	r.row = append(append(append(r.row, quoted...), ':'), value...)
}

func (r *rebuilt) party(side string) {
	for quoted, v := range members(orEmpty(r.event[side])) {
		name := string(quoted[1 : len(quoted)-1])
		if name == "app_key" {
			name = "appkey"
		}
		r.put(side+"_"+name, v)
	}
}

func (r *rebuilt) clocks() error {
	if _, derived := r.event["time_source"]; !derived {
		if err := r.instant("time", "msg_ctime"); err != nil {
			return err
		}
	}
	return r.instant("client_time", "create_time")
}

// instant turns a time back into a number: milliseconds if it has decimals, seconds if not.
func (r *rebuilt) instant(from, to string) error {
	v, ok := r.event[from]
	if !ok {
		return nil
	}
	t, err := time.Parse(`"`+time.RFC3339Nano+`"`, string(v))
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	n := t.Unix()
	if bytes.IndexByte(v, '.') >= 0 {
		n = t.UnixMilli()
	}
	r.put(to, strconv.AppendInt(nil, n, 10))
	return nil
}

// SameRow tells whether two rows mean the same: the same members in any order, numbers by their text, strings decoded.
func SameRow(a, b []byte) bool { return bytes.Equal(Canonical(a), Canonical(b)) }

// Canonical writes a JSON value so that values of the same meaning, in the sense of [SameRow], have the same bytes. What is
// not one JSON value is returned as it is.
func Canonical(value []byte) []byte {
	if !jsontext.Value(value).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
		return value
	}
	return appendCanonical(make([]byte, 0, len(value)), value[skipSpace(value, 0):])
}

func appendCanonical(dst, value []byte) []byte {
	switch value[0] {
	case '{':
		type pair struct{ name, value []byte }
		var pairs []pair
		for quoted, v := range members(value) {
			pairs = append(pairs, pair{appendCanonicalString(nil, quoted), v})
		}
		slices.SortStableFunc(pairs, func(a, b pair) int { return bytes.Compare(a.name, b.name) })
		dst = append(dst, '{')
		for i, p := range pairs {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(append(dst, p.name...), ':')
			dst = appendCanonical(dst, p.value)
		}
		return append(dst, '}')
	case '[':
		dst = append(dst, '[')
		for i := skipSpace(value, 1); i < len(value) && value[i] != ']'; {
			end := skipValue(value, i)
			dst = appendCanonical(dst, value[i:end])
			if i = skipSpace(value, end); i < len(value) && value[i] == ',' {
				dst = append(dst, ',')
				i = skipSpace(value, i+1)
			}
		}
		return append(dst, ']')
	case '"':
		return appendCanonicalString(dst, value)
	default:
		return append(dst, value[:skipScalar(value, 0)]...)
	}
}

// appendCanonicalString writes a string in its shortest escaping. One that holds what no Unicode text has (an escaped lone
// surrogate) is equal only to itself.
func appendCanonicalString(dst, quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return append(dst, quoted...)
	}
	text, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return append(dst, quoted...)
	}
	if escaped, err := jsontext.AppendQuote(dst, text); err == nil {
		return escaped
	}
	return append(dst, quoted...)
}

package event

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/jmpub/jmpub/internal/rawjson"
)

// Rebuild gives back the row that became the event with this value: a JSON object with the same names and values, in an
// order of its own. Each field is taken from its place, and what stands in `attributes` outranks it. An error means that
// the value is no event that [Normalizer.Normalize] made.
func Rebuild(value []byte) ([]byte, error) {
	if !utf8.Valid(value) {
		return nil, fmt.Errorf("rebuild row: %w", errUTF8)
	}
	compact, err := rawjson.Lenient().AppendCompact(nil, value)
	if err != nil {
		return nil, fmt.Errorf("rebuild row: %w", err)
	}
	if !isObject(compact) {
		return nil, errors.New("rebuild row: the event is no JSON object")
	}
	r := rebuilt{event: objectOf(compact), row: make([]byte, 0, len(compact))}
	for _, name := range []string{"from", "target", "attributes"} {
		if v := r.event[name]; v != nil && !isObject(v) {
			return nil, fmt.Errorf("rebuild row: %s is no object", name)
		}
	}
	attributes := r.event["attributes"]
	r.outranked = objectOf(attributes)
	r.row = append(r.row, '{')
	for _, name := range []string{"msgid", "target_type", "msg_type", "msg_body"} {
		r.put(name, r.event[name])
	}
	if err := r.putClocks(); err != nil {
		return nil, fmt.Errorf("rebuild row: %w", err)
	}
	r.putParty("from")
	r.putParty("target")
	switch string(r.event["cross_app"]) {
	case "true":
		r.put("msg_level", []byte("1"))
	case "false":
		r.put("msg_level", []byte("0"))
	}
	if len(attributes) > len("{}") {
		r.row = append(r.row, attributes[1:len(attributes)-1]...)
		r.row = append(r.row, ',')
	}
	if len(r.row) == 1 {
		return []byte("{}"), nil
	}
	r.row[len(r.row)-1] = '}'
	return r.row, nil
}

// objectOf maps the names of an object to its values; any other value has none.
func objectOf(value []byte) map[string][]byte {
	found := make(map[string][]byte)
	if isObject(value) {
		reader := rawjson.Lenient()
		openObject(reader, value)
		for m := (member{}); nextMember(reader, &m); {
			found[string(decodedName(m.quoted))] = m.value
		}
	}
	return found
}

// rebuilt is a row in the making. Each member that is written ends in a comma.
type rebuilt struct {
	event, outranked map[string][]byte
	row              []byte
}

// put writes a field, if there is one and the attributes do not have it as it was.
func (r *rebuilt) put(name string, value []byte) {
	if value != nil && r.outranked[name] == nil {
		r.row = appendMember(r.row, `"`+name+`":`, value)
	}
}

// putParty writes the fields of `from` or `target`.
func (r *rebuilt) putParty(side string) {
	party := objectOf(r.event[side])
	for _, name := range []string{"id", "name", "type", "platform"} {
		r.put(side+"_"+name, party[name])
	}
	r.put(side+"_appkey", party["app_key"])
}

// putClocks turns times back into numbers. A time that was taken from client_time is not the row's own.
func (r *rebuilt) putClocks() error {
	if r.event["time_source"] == nil {
		if err := r.putClock("msg_ctime", "time"); err != nil {
			return err
		}
	}
	return r.putClock("create_time", "client_time")
}

func (r *rebuilt) putClock(name, from string) error {
	quoted := r.event[from]
	if quoted == nil {
		return nil
	}
	layout, unit := `"2006-01-02T15:04:05Z"`, time.Second
	if bytes.IndexByte(quoted, '.') >= 0 {
		layout, unit = `"2006-01-02T15:04:05.000Z"`, time.Millisecond
	}
	t, err := time.Parse(layout, string(quoted))
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	r.put(name, strconv.AppendInt(nil, t.UnixMilli()/unit.Milliseconds(), 10))
	return nil
}

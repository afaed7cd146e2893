package avrotest

import (
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// eventOf writes a record as the event that it is, in JSON: null is absent, but for the url of a medium.
func eventOf(native any) (event []byte, err error) {
	defer func() { // What is asserted of the record's types is what the schema says.
		if r := recover(); r != nil {
			err = fmt.Errorf("the record is not what its schema says: %v", r)
		}
	}()
	record := native.(map[string]any) //nolint:forcetypeassert,errcheck // See above.
	w := &writer{text: []byte("{")}
	w.number("msgid", strconv.FormatInt(record["msgid"].(int64), 10)) //nolint:forcetypeassert,errcheck // See above.
	w.string("app_key", record["app_key"])
	w.strings(record, "target_type", "msg_type", "conversation_id")
	w.time("time", record["time"], "2006-01-02T15:04:05.000Z")
	w.strings(record, "time_source")
	switch unit := inside(record["client_time_unit"]); unit {
	case "second":
		w.time("client_time", record["client_time"], "2006-01-02T15:04:05Z")
	case "millisecond":
		w.time("client_time", record["client_time"], "2006-01-02T15:04:05.000Z")
	default:
		if unit != nil || record["client_time"] != nil {
			return nil, fmt.Errorf("client_time %v is in %v", record["client_time"], unit)
		}
	}
	w.object("from", record["from"], func(party map[string]any) { w.strings(party, "id", "name", "type", "platform", "app_key") })
	w.object("target", record["target"], func(party map[string]any) { w.strings(party, "id", "name", "app_key") })
	if crosses := inside(record["cross_app"]); crosses != nil {
		w.number("cross_app", fmt.Sprint(crosses))
	}
	w.strings(record, "text")
	w.media(inside(record["media"]))
	w.object("location", record["location"], func(place map[string]any) {
		w.numbers(place, "latitude", "longitude", "scale")
		w.strings(place, "label")
	})
	for _, name := range []string{"msg_body", "attributes"} {
		if text := inside(record[name]); text != nil {
			w.number(name, text.(string)) //nolint:forcetypeassert,errcheck // See above.
		}
	}
	w.trim()
	return append(w.text, '}'), nil
}

// inside is what a union holds; nil for null.
func inside(union any) any {
	branch, ok := union.(map[string]any)
	if !ok {
		return union
	}
	for _, value := range branch {
		return value
	}
	return nil
}

// writer writes members, each with a comma behind it.
type writer struct{ text []byte }

// number writes a value as it stands, which any JSON may be.
func (w *writer) number(name, value string) {
	w.text = append(w.text, `"`+name+`":`+value+`,`...)
}

func (w *writer) string(name string, value any) {
	if value = inside(value); value != nil {
		quoted, err := jsontext.AppendQuote(nil, value.(string)) //nolint:forcetypeassert,errcheck // See eventOf.
		if err != nil {
			panic(err)
		}
		w.number(name, string(quoted))
	}
}

func (w *writer) strings(record map[string]any, names ...string) {
	for _, name := range names {
		w.string(name, record[name])
	}
}

func (w *writer) numbers(record map[string]any, names ...string) {
	for _, name := range names {
		switch n := inside(record[name]).(type) {
		case int64:
			w.number(name, strconv.FormatInt(n, 10))
		case float64:
			w.number(name, strconv.FormatFloat(n, 'f', -1, 64))
		}
	}
}

func (w *writer) time(name string, value any, form string) {
	if value = inside(value); value != nil {
		w.string(name, value.(time.Time).UTC().Format(form)) //nolint:forcetypeassert,errcheck // See eventOf.
	}
}

func (w *writer) object(name string, value any, members func(map[string]any)) {
	if value = inside(value); value == nil {
		return
	}
	w.text = append(w.text, `"`+name+`":{`...)
	members(value.(map[string]any)) //nolint:forcetypeassert,errcheck // See eventOf.
	w.close('}')
}

func (w *writer) media(value any) {
	if value == nil {
		return
	}
	w.text = append(w.text, `"media":[`...)
	for _, element := range value.([]any) { //nolint:forcetypeassert,errcheck // See eventOf.
		medium := element.(map[string]any) //nolint:forcetypeassert,errcheck // See eventOf.
		w.text = append(w.text, '{')
		w.strings(medium, "media_id", "kind", "format")
		w.numbers(medium, "size", "crc32", "width", "height", "duration")
		w.strings(medium, "name", "hash")
		if medium["url"] == nil {
			w.number("url", "null")
		}
		w.strings(medium, "url")
		w.close('}')
	}
	w.close(']')
}

// close ends an object or array.
func (w *writer) close(bracket byte) {
	w.trim()
	w.text = append(w.text, bracket, ',')
}

// trim takes the last comma away.
func (w *writer) trim() {
	if last := len(w.text) - 1; w.text[last] == ',' {
		w.text = w.text[:last]
	}
}

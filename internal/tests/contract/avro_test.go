package contract

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/avro"

	"github.com/jmpub/jmpub/docs/schemas"
)

// avroBreaks tells how an Avro schema breaks the readers of a released one, or of the records that were written with it.
func avroBreaks(released, current string) error {
	before, err := avro.Parse(released)
	if err != nil {
		return fmt.Errorf("the released schema: %w", err)
	}
	after, err := avro.Parse(current)
	if err != nil {
		return fmt.Errorf("the schema: %w", err)
	}
	if err = avro.CheckCompatibility(before, after); err != nil {
		return fmt.Errorf("a reader of today cannot read old records: %w", err)
	}
	if err = avro.CheckCompatibility(after, before); err != nil {
		return fmt.Errorf("an old reader cannot read today's records: %w", err)
	}
	return added(fieldsOf(released), fieldsOf(current))
}

// field is what the rule is about: where it is, and that it need not be there.
type field struct {
	name     string
	nullable bool
}

// fieldsOf are the fields of all records in a schema, in their order.
func fieldsOf(schema string) []field {
	var decoded any
	if err := json.Unmarshal([]byte(schema), &decoded); err != nil {
		return nil
	}
	var all []field
	var walk func(path string, node any)
	walk = func(path string, node any) {
		switch node := node.(type) {
		case []any:
			for _, branch := range node {
				walk(path, branch)
			}
		case map[string]any:
			walk(path, node["items"])
			for _, f := range list(node["fields"]) {
				one := object(f)
				name := fmt.Sprintf("%s.%v", path, one["name"])
				value, hasDefault := one["default"]
				all = append(all, field{name, hasDefault && value == nil})
				if kind := one["type"]; kind != nil {
					walk(name, kind)
				}
			}
		}
	}
	walk("", decoded)
	return all
}

// added holds that no field is gone, and that a new one stands behind those of its record and may be null.
func added(released, current []field) error {
	known := make(map[string]bool)
	for _, f := range released {
		known[f.name] = true
	}
	closed := make(map[string]string) // The records that have got a new field.
	for _, f := range current {
		record := f.name[:strings.LastIndexByte(f.name, '.')]
		switch {
		case !known[f.name] && !f.nullable:
			return fmt.Errorf("the new field %s has no null as its default", f.name)
		case !known[f.name]:
			closed[record] = f.name
		case closed[record] != "":
			return fmt.Errorf("the new field %s does not stand at the end", closed[record])
		}
		delete(known, f.name)
	}
	for name := range known {
		return fmt.Errorf("the field %s is gone", name)
	}
	return nil
}

// TestReleasedAvroSchemaHolds compares the Avro schema with the one of the last release, both ways.
func TestReleasedAvroSchemaHolds(t *testing.T) {
	if err := avroBreaks(schemas.ReleasedMessageAvro, schemas.MessageAvro); err != nil {
		t.Errorf("message.avsc: %v; see docs/events.md", err)
	}
	if len(fieldsOf(schemas.MessageAvro)) < 40 {
		t.Errorf("the fields are %v", fieldsOf(schemas.MessageAvro))
	}
}

// TestAvroBreaks makes one change at a time.
func TestAvroBreaks(t *testing.T) {
	for name, tc := range map[string]struct{ old, replacement, says string }{
		"new doc":               {"Pixels.", "Dots.", ""},
		"new field":             {"\n  ]\n}", `, {"name": "n", "type": ["null", "long"], "default": null}]}`, ""},
		"without default":       {"\n  ]\n}", `, {"name": "n", "type": ["null", "long"]}]}`, "no null"},
		"with another default":  {"\n  ]\n}", `, {"name": "n", "type": "long", "default": 0}]}`, "no null"},
		"in the middle":         {`"fields": [`, `"fields": [{"name": "n", "type": ["null", "long"], "default": null}, `, "at the end"},
		"another type":          {`"name": "msgid", "type": "long"`, `"name": "msgid", "type": "string"`, "cannot read"},
		"wider type":            {`"name": "msgid", "type": "long"`, `"name": "msgid", "type": "double"`, "an old reader"},
		"may be null":           {`"name": "msgid", "type": "long"`, `"name": "msgid", "type": ["null", "long"]`, "an old reader"},
		"another name":          {`"name": "app_key", "type": "string", "doc"`, `"name": "app", "type": "string", "doc"`, "cannot read"},
		"another record's name": {`"name": "Message"`, `"name": "Event"`, "cannot read"},
	} {
		current := strings.Replace(schemas.MessageAvro, tc.old, tc.replacement, 1)
		if strings.HasPrefix(tc.old, "\n") {
			at := strings.LastIndex(schemas.MessageAvro, tc.old)
			current = schemas.MessageAvro[:at] + tc.replacement
		}
		if current == schemas.MessageAvro {
			t.Fatalf("%s: nothing was changed", name)
		}
		err := avroBreaks(schemas.MessageAvro, current)
		if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %q", name, err, tc.says)
		}
	}
}

// TestAvroHasTheFieldsOfTheEvent holds the two schemas of an event against each other: each member has its field under the same
// name, and client_time_unit says what the form of client_time does.
func TestAvroHasTheFieldsOfTheEvent(t *testing.T) {
	want := map[string]bool{".client_time_unit": true}
	message := document(t, "message")
	var walk func(path string, schema map[string]any)
	walk = func(path string, schema map[string]any) {
		for name, member := range object(schema["properties"]) {
			at := path + "." + name
			want[at] = true
			inner := object(member)
			if items := object(inner["items"]); items != nil {
				inner = object(object(message["$defs"])["medium"])
			}
			walk(at, inner)
		}
	}
	walk("", message)
	for _, f := range fieldsOf(schemas.MessageAvro) {
		if !want[f.name] {
			t.Errorf("the event has no %s", f.name)
		}
		delete(want, f.name)
	}
	for name := range want {
		t.Errorf("the record has no %s", name)
	}
}

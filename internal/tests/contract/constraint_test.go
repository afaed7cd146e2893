package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// constraints lists what a schema demands, as pointers to keywords; a required member each by its name.
func constraints(name string, doc map[string]any) []string {
	closeLists(doc)
	var all []string
	eachSchema(doc, name+"#", func(pointer string, schema map[string]any) {
		for keyword, value := range schema {
			switch keyword {
			case "type", "const", "enum", "pattern", "format", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems",
				"minProperties", "maxProperties":
				all = append(all, pointer+"/"+keyword)
			case "additionalProperties":
				if value == false {
					all = append(all, pointer+"/"+keyword)
				}
			case "required":
				list, _ := value.([]any)
				for _, member := range list {
					all = append(all, fmt.Sprintf("%s/required/%v", pointer, member))
				}
			case "$schema", "$id", "$ref", "$defs", "title", "description", "examples", "properties", "items", "dependentSchemas",
				"allOf", "if", "then", "else":
			default:
				panic("this test does not know the keyword " + keyword)
			}
		}
	})
	return all
}

// refusals are the constraints that an error of the validator names.
func refusals(err error) []string {
	var failure *jsonschema.ValidationError
	if !errors.As(err, &failure) {
		return nil
	}
	if len(failure.Causes) > 0 {
		var all []string
		for _, cause := range failure.Causes {
			all = append(all, refusals(cause)...)
		}
		return all
	}
	at := strings.TrimPrefix(failure.SchemaURL, "urn:jmpub:file:") + "/" + strings.Join(failure.ErrorKind.KeywordPath(), "/")
	required, ok := failure.ErrorKind.(*kind.Required)
	if !ok {
		return []string{at}
	}
	var all []string
	for _, member := range required.Missing {
		all = append(all, at+"/"+member)
	}
	return all
}

// TestEachConstraintRefuses changes one thing at a time in values that are valid, and holds that every constraint of every
// schema refuses something: one that cannot is a promise that nothing keeps.
func TestEachConstraintRefuses(t *testing.T) {
	c := load(t)
	refused, tried := make(map[string]bool), 0
	for _, name := range names(t) {
		for _, valid := range validValues(t, name) {
			if err := c.schemas[name].Validate(decoded(t, valid)); err != nil {
				t.Fatalf("%s: %v\nin %s", name, err, valid)
			}
			for changed := range mutations(t, valid) {
				tried++
				for _, constraint := range refusals(c.schemas[name].Validate(changed)) {
					refused[constraint] = true
				}
			}
		}
	}
	t.Logf("%d values, %d constraints refused one", tried, len(refused))
	known := 0
	for _, name := range names(t) {
		for _, constraint := range constraints(name, document(t, name)) {
			known++
			if !refused[constraint] {
				t.Errorf("nothing is refused by %s", constraint)
			}
		}
	}
	if known < 200 {
		t.Errorf("only %d constraints were found", known)
	}
}

// validValues are a schema's examples, and values with the members that these lack.
func validValues(t *testing.T, name string) []string {
	t.Helper()
	var all []string
	for _, example := range rawExamples(t, name) {
		all = append(all, string(example))
	}
	switch name {
	case "message":
		for _, event := range events(t) {
			all = append(all, string(event.Value))
		}
		all = append(all, `{"msgid":1,"app_key":"a","msg_type":"image","msg_body":{},"media":[{"kind":"image","width":1,"url":"u"}]}`)
	case "message-headers", "message-avro-headers":
		all = append(all, strings.Replace(all[0], "{", `{"jmpub_replay":"r-1",`, 1))
	case "rejected-headers":
		all = append(all, strings.Replace(all[0], "{", `{"jmpub_replay":"r-1","jmpub_msgid":"-5","jmpub_truncated":"100",`, 1))
	case "window":
		all = append(all, strings.Replace(all[0], "{", `{"replay":"r-1","late":true,"early":true,"early_rows":1,"backlog":true,`, 1))
	case "notice":
		all = append(all, strings.Replace(all[0], "{", `{"replay":"r-1",`, 1))
	case "checkpoint":
		all = append(all, strings.Replace(all[0], "{", `{"replay":"r-1","removed":true,"forgotten":true,"marks":[5],"searched":12,"early_ids":[1],"early_hashes":[1],`, 1))
	case "statistics-users", "statistics-messages", "statistics-groups":
		hour := strings.NewReplacer(`"day"`, `"hour"`, `"time":"2017-03-01"`, `"time":"2017-03-01 23"`)
		month := strings.NewReplacer(`"day"`, `"month"`, `"time":"2017-03-01"`, `"time":"2017-03"`)
		all = append(all, hour.Replace(all[0]), month.Replace(all[0]))
	}
	return all
}

func decoded(tb testing.TB, value string) any {
	tb.Helper()
	v, err := decode([]byte(value))
	if err != nil {
		tb.Fatalf("%v: %s", err, value)
	}
	return v
}

// mutations are a value with one thing changed, in many ways.
func mutations(t *testing.T, valid string) func(yield func(any) bool) {
	t.Helper()
	return func(yield func(any) bool) {
		root := decoded(t, valid)
		for _, at := range places(root, nil) {
			for _, replacement := range replacements(lookUp(root, at)) {
				if !yield(replaced(decoded(t, valid), at, replacement)) {
					return
				}
			}
		}
	}
}

// places are the paths to each value in a value.
func places(value any, at []any) [][]any {
	all := [][]any{at}
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			all = append(all, places(member, append(slices.Clone(at), name))...)
		}
	case []any:
		for i, element := range v {
			all = append(all, places(element, append(slices.Clone(at), i))...)
		}
	}
	return all
}

func lookUp(value any, at []any) any {
	for _, step := range at {
		switch v := value.(type) {
		case map[string]any:
			name, _ := step.(string)
			value = v[name]
		case []any:
			i, _ := step.(int)
			value = v[i]
		}
	}
	return value
}

// absent takes a member away.
type absent struct{}

func replaced(root any, at []any, replacement any) any {
	if len(at) == 0 {
		return replacement
	}
	last := len(at) - 1
	switch v := lookUp(root, at[:last]).(type) {
	case map[string]any:
		name, _ := at[last].(string)
		v[name] = replacement
		if _, gone := replacement.(absent); gone {
			delete(v, name)
		}
	case []any:
		i, _ := at[last].(int)
		v[i] = replacement
		if _, gone := replacement.(absent); gone {
			v[i] = nil
		}
	}
	return root
}

// replacements are values to try in the place of one: of other types, beyond bounds, too long, too short, almost right.
func replacements(value any) []any {
	all := []any{
		nil, true, json.Number("0"), json.Number("-1"), json.Number("1.5"), json.Number("9223372036854775808"),
		json.Number("-9223372036854775809"), json.Number("18446744073709551616"), "", "?", "x\n", strings.Repeat("x", 300),
		"urn:jmessage:app:\u0001",
		[]any{},
		map[string]any{},
		absent{},
	}
	switch v := value.(type) {
	case string:
		all = append(all, v+"x", v+"\n", strings.ToUpper(v)+"~", strings.Replace(v, "-0", "-7", 1), strings.Replace(v, "-1", "-7", 1),
			strings.Replace(v, "Z", "+00:00", 1))
	case []any:
		if len(v) > 0 {
			all = append(all, []any{v[0], v[0], v[0]})
		}
	case map[string]any:
		more, bare := map[string]any{"unknown": nil}, make(map[string]any)
		for name, member := range v {
			more[name] = member
			if name == "kind" || name == "url" {
				bare[name] = member
			}
		}
		all = append(all, more, bare)
	}
	return all
}

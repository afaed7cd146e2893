package contract

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/docs/schemas"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

const (
	appKey = "4f7aef34fb361292c566a1cd"
	golden = "../../../pipeline/event/testdata/normalize"
)

func load(tb testing.TB) *Contract {
	tb.Helper()
	c, err := Load()
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// document is a schema as it stands in its file.
func document(tb testing.TB, name string) map[string]any {
	tb.Helper()
	data, err := fs.ReadFile(schemas.Files, name+".json")
	if err != nil {
		tb.Fatal(err)
	}
	decoded, err := decode(data)
	if err != nil {
		tb.Fatal(err)
	}
	object, ok := decoded.(map[string]any)
	if !ok {
		tb.Fatalf("%s is no object", name)
	}
	return object
}

// names are the schemas that the contract has.
func names(tb testing.TB) []string {
	tb.Helper()
	return slices.Sorted(maps.Keys(load(tb).schemas))
}

// eachSchema gives every schema within a schema, with its pointer. What stands under `if` promises nothing and is left out.
func eachSchema(schema any, pointer string, visit func(pointer string, schema map[string]any)) {
	node, ok := schema.(map[string]any)
	if !ok {
		return
	}
	visit(pointer, node)
	for keyword, value := range node {
		at := pointer + "/" + keyword
		switch keyword {
		case "properties", "$defs", "dependentSchemas":
			members, _ := value.(map[string]any)
			for name, member := range members {
				eachSchema(member, at+"/"+name, visit)
			}
		case "items", "additionalProperties", "then", "else":
			eachSchema(value, at, visit)
		case "allOf":
			elements, _ := value.([]any)
			for i, element := range elements {
				eachSchema(element, at+"/"+strconv.Itoa(i), visit)
			}
		}
	}
}

// TestEverythingIsDescribed holds that a schema says to its reader what it is about, and that what is jmpub's is closed.
func TestEverythingIsDescribed(t *testing.T) {
	open := []string{"message#/properties/attributes"} // Others' data.
	for _, kind := range []string{"users", "messages", "groups"} {
		open = append(open, "statistics-"+kind+"#/properties/data")
	}
	for _, name := range names(t) {
		doc := document(t, name)
		if doc["$schema"] != "https://json-schema.org/draft/2020-12/schema" || doc["$id"] != "urn:jmpub:schema:v1:"+name {
			t.Errorf("%s: $schema %v, $id %v", name, doc["$schema"], doc["$id"])
		}
		if doc["title"] == nil || doc["description"] == nil || doc["examples"] == nil {
			t.Errorf("%s has no title, description or example", name)
		}
		eachSchema(doc, name+"#", func(pointer string, schema map[string]any) {
			if schema["type"] == "object" && schema["additionalProperties"] != false && !slices.Contains(open, pointer) {
				t.Errorf("%s is open", pointer)
			}
		})
		properties, ok := doc["properties"].(map[string]any)
		if !ok {
			t.Errorf("%s has no properties", name)
		}
		for property, schema := range properties {
			if described, ok := schema.(map[string]any); !ok || described["description"] == nil && described["title"] == nil && described["$ref"] == nil {
				t.Errorf("%s of %s is not described", property, name)
			}
		}
	}
}

// TestExamples holds that the examples are valid, those of the whole and those of parts.
func TestExamples(t *testing.T) {
	compiler, err := compilerOf(schemas.Files, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names(t) {
		eachSchema(document(t, name), "urn:jmpub:file:"+name+"#", func(pointer string, schema map[string]any) {
			examples, _ := schema["examples"].([]any)
			for _, example := range examples {
				part, err := compiler.Compile(pointer)
				if err != nil {
					t.Fatal(err)
				}
				if err := part.Validate(example); err != nil {
					t.Errorf("example %v of %s: %v", example, pointer, err)
				}
			}
		})
	}
}

// TestExamplesAreWritten holds that the examples are what jmpub writes, byte for byte but for the spaces.
func TestExamplesAreWritten(t *testing.T) {
	written := make(map[string]bool)
	for _, e := range events(t) {
		written[string(e.Value)] = true
	}
	again := map[string]func(example []byte) ([]byte, error){
		"message": func(example []byte) ([]byte, error) {
			if !written[string(example)] {
				return nil, fmt.Errorf("it is no event of a row in %s", golden)
			}
			return example, nil
		},
		"window": func(example []byte) ([]byte, error) {
			record, err := checkpoint.DecodeLedger(example, "here")
			if err != nil {
				return nil, err
			}
			return checkpoint.EncodeLedger(&record)
		},
		"notice": func(example []byte) ([]byte, error) {
			var record pipeline.Notice
			if err := json.Unmarshal(example, &record); err != nil {
				return nil, err
			}
			return checkpoint.EncodeNotice(&record)
		},
		"checkpoint": func(example []byte) ([]byte, error) {
			record, err := checkpoint.Decode(example, appKey, "here")
			if err != nil {
				return nil, err
			}
			return checkpoint.Encode(&record)
		},
	}
	for name, write := range again {
		for _, example := range rawExamples(t, name) {
			got, err := write(example)
			if err != nil || string(got) != string(example) {
				t.Errorf("the example of %s\n%s\nis written as\n%s\n%v", name, example, got, err)
			}
		}
	}
}

// rawExamples are a schema's examples without spaces.
func rawExamples(t *testing.T, name string) [][]byte {
	t.Helper()
	data, err := fs.ReadFile(schemas.Files, name+".json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Examples []json.RawMessage `json:"examples"`
	}
	if err := json.Unmarshal(data, &doc); err != nil || len(doc.Examples) == 0 {
		t.Fatalf("examples of %s: %d, %v", name, len(doc.Examples), err)
	}
	all := make([][]byte, 0, len(doc.Examples))
	for _, example := range doc.Examples {
		compact := jsontext.Value(example)
		if err := compact.Compact(jsontext.PreserveRawStrings(true)); err != nil {
			t.Fatal(err)
		}
		all = append(all, compact)
	}
	return all
}

// rows are the stored rows of the kinds that the API gives, and irregular ones, by name.
func rows(tb testing.TB) map[string][]byte {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(golden, "*.json"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("no rows in %s: %v", golden, err)
	}
	all := make(map[string][]byte, len(files))
	for _, file := range files {
		row, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".json")] = row
	}
	return all
}

// events are what the rows become that become one.
func events(tb testing.TB) map[string]event.Event {
	tb.Helper()
	all := make(map[string]event.Event)
	for name, row := range rows(tb) {
		if e, rejection := event.NewNormalizer(appKey).Normalize(row); rejection == nil {
			all[name] = e
		}
	}
	return all
}

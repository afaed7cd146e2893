package contract

import (
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/jmpub/jmpub/docs/schemas"
)

// TestReleasedSchemasHold compares each schema with the one of the last release. After a release, its schemas are copied to
// released/v1.
func TestReleasedSchemasHold(t *testing.T) {
	files, err := fs.Glob(schemas.Files, "released/v1/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no released schemas: %v", err)
	}
	for _, file := range files {
		released, err := fs.ReadFile(schemas.Files, file)
		if err != nil {
			t.Fatal(err)
		}
		current, err := fs.ReadFile(schemas.Files, path.Base(file))
		if err != nil {
			t.Errorf("a released schema is gone: %v", err)
			continue
		}
		breaks, err := Breaks(released, current)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		for _, change := range breaks {
			t.Errorf("%s breaks its readers in %s; see docs/events.md", path.Base(file), change)
		}
	}
}

const released = `{
	"$id": "v1", "title": "t", "type": "object",
	"properties": {
		"a": {"type": "string", "description": "d", "minLength": 1, "pattern": "^x"},
		"b": {"type": ["string", "null"]},
		"c": {"enum": ["one", "two"]},
		"d": {"type": "string", "x-extensible-enum": ["one", "two"]},
		"e": {"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": 2},
		"f": {"type": "object", "properties": {"g": {"const": 1}}},
		"h": {"$ref": "#/$defs/i"},
		"k": {"type": "object", "properties": {"l": {}}, "additionalProperties": {"type": "string"}}
	},
	"required": ["a", "c"],
	"additionalProperties": false,
	"dependentSchemas": {"b": {"required": ["e"]}},
	"allOf": [{"if": {"required": ["e"]}, "then": {"required": ["f"]}, "else": {"properties": {"b": {"maxLength": 3}}}}],
	"$defs": {"i": {"type": "number"}}
}`

// TestBreaks makes one change at a time; each has to be found, and nothing but it.
func TestBreaks(t *testing.T) {
	for name, tc := range map[string]struct{ old, replacement, at string }{
		"another name":                   {`"$id": "v1"`, `"$id": "v2"`, "#/$id"},
		"a member removed":               {`"c": {"enum": ["one", "two"]},`, ``, "#/properties/c: it is gone"},
		"a member renamed":               {`"c": {"enum`, `"cc": {"enum`, "#/properties/c: it is gone"},
		"a type narrowed":                {`["string", "null"]`, `"string"`, "#/properties/b/type: null went"},
		"a type widened":                 {`"type": "integer"`, `"type": ["integer", "null"]`, "#/properties/e/items/type: null came"},
		"another type":                   {`{"type": "integer"`, `{"type": "string"`, "#/properties/e/items/type: string came, integer went"},
		"a type left out":                {`{"type": "number"}`, `{}`, "#/$defs/i/type: number went"},
		"a type put in":                  {`"l": {}`, `"l": {"type": "string"}`, "#/properties/k/properties/l/type: string came"},
		"a member required":              {`["a", "c"]`, `["a", "b", "c"]`, "#/required: b came"},
		"a member no longer required":    {`["a", "c"]`, `["c"]`, "#/required: a went"},
		"nothing required":               {`"required": ["a", "c"],`, ``, "#/required: a, c went"},
		"a new member required":          {`"required": ["a", "c"],`, `"required": ["a", "c", "n"],`, "#/required: n came"},
		"a member of a part required":    {`{"g": {"const": 1}}}`, `{"g": {"const": 1}}, "required": ["g"]}`, "#/properties/f/required: g came"},
		"a word more in a closed list":   {`"c": {"enum": ["one", "two"]}`, `"c": {"enum": ["one", "two", "three"]}`, "#/properties/c/enum: three came"},
		"a word less in a closed list":   {`"c": {"enum": ["one", "two"]}`, `"c": {"enum": ["one"]}`, "#/properties/c/enum: two went"},
		"a list closed":                  {`"x-extensible-enum"`, `"enum"`, "#/properties/d/enum: one, two came"},
		"a list opened":                  {`"c": {"enum"`, `"c": {"x-extensible-enum"`, "#/properties/c/enum: one, two went"},
		"a word less in an open list":    {`enum": ["one", "two"]},` + "\n\t\t\"e\"", `enum": ["two"]},` + "\n\t\t\"e\"", "#/properties/d/x-extensible-enum: one went"},
		"an empty list":                  {`"l": {}`, `"l": {"enum": []}`, "#/properties/k/properties/l/enum: the keyword came or went"},
		"another constant":               {`"const": 1`, `"const": 2`, "#/properties/f/properties/g/const: it was 1 and is 2"},
		"a constant left out":            {`{"const": 1}`, `{}`, "#/properties/f/properties/g/const"},
		"another pattern":                {`"^x"`, `"^xy"`, "#/properties/a/pattern"},
		"a pattern put in":               {`"l": {}`, `"l": {"pattern": "x"}`, "#/properties/k/properties/l/pattern"},
		"a longer least":                 {`"minLength": 1`, `"minLength": 2`, "#/properties/a/minLength"},
		"a bound raised":                 {`"minimum": 0`, `"minimum": 1`, "#/properties/e/items/minimum"},
		"a bound left out":               {`, "minimum": 0`, ``, "#/properties/e/items/minimum"},
		"fewer elements":                 {`"maxItems": 2`, `"maxItems": 1`, "#/properties/e/maxItems"},
		"a format put in":                {`"l": {}`, `"l": {"format": "uri"}`, "#/properties/k/properties/l/format"},
		"a schema for elements left out": {`"items": {"type": "integer", "minimum": 0}, `, ``, "#/properties/e/items: it is gone"},
		"a schema for elements put in":   {`"l": {}`, `"l": {"items": {}}`, "#/properties/k/properties/l/items: it was not there before"},
		"an object opened":               {`"additionalProperties": false`, `"additionalProperties": true`, "#/additionalProperties: it is another schema"},
		"an object no longer closed":     {"\"additionalProperties\": false,\n", "", "#/additionalProperties: it is gone"},
		"an object closed":               {`{"g": {"const": 1}}}`, `{"g": {"const": 1}}, "additionalProperties": false}`, "#/properties/f/additionalProperties"},
		"other members narrowed":         {`{"type": "string"}}`, `{"type": "string", "maxLength": 9}}`, "#/properties/k/additionalProperties/maxLength"},
		"a member of an open object":     {`{"g": {"const": 1}}`, `{"g": {"const": 1}, "n": {"type": "string"}}`, "#/properties/f/properties/n: records may have had"},
		"a member of a described object": {`{"l": {}}`, `{"l": {}, "n": {}}`, "#/properties/k/properties/n: records may have had"},
		"another reference":              {`#/$defs/i"`, `#/$defs/other"`, "#/properties/h/$ref"},
		"a definition changed":           {`{"type": "number"}`, `{"type": "integer"}`, "#/$defs/i/type: integer came, number went"},
		"a definition removed":           {`"i": {"type": "number"}`, ``, "#/$defs/i: it is gone"},
		"a condition put in":             {`"dependentSchemas": {`, `"dependentSchemas": {"a": {"required": ["e"]}, `, "#/dependentSchemas/a: it was not there before"},
		"a condition left out":           {`{"b": {"required": ["e"]}}`, `{}`, "#/dependentSchemas/b: it is gone"},
		"a condition changed":            {`{"b": {"required": ["e"]}}`, `{"b": {"required": ["f"]}}`, "#/dependentSchemas/b/required: f came, e went"},
		"an if changed":                  {`"if": {"required": ["e"]}`, `"if": {"required": ["h"]}`, "#/allOf/0/if/required"},
		"a then changed":                 {`"then": {"required": ["f"]}`, `"then": {"required": ["h"]}`, "#/allOf/0/then/required"},
		"an else changed":                {`"maxLength": 3`, `"maxLength": 2`, "#/allOf/0/else/properties/b/maxLength"},
		"an else left out":               {`, "else": {"properties": {"b": {"maxLength": 3}}}`, ``, "#/allOf/0/else: it is gone"},
		"one more demand":                {`"allOf": [`, `"allOf": [{}, `, "#/allOf: there were 1 and are 2"},
		"a keyword nobody knows":         {`"l": {}`, `"l": {"contains": {}}`, "#/properties/k/properties/l/contains"},
		"a schema made false":            {`"l": {}`, `"l": false`, "#/properties/k/properties/l: it is another schema"},
	} {
		current := strings.Replace(released, tc.old, tc.replacement, 1)
		if current == released {
			t.Fatalf("%s: nothing was replaced", name)
		}
		breaks, err := Breaks([]byte(released), []byte(current))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want := 1
		if strings.HasPrefix(name, "a list ") { // One keyword takes the place of another.
			want = 2
		}
		if len(breaks) != want || !strings.HasPrefix(breaks[0], tc.at) {
			t.Errorf("%s: found %q", name, breaks)
		}
	}
}

// TestMayChange makes the changes that readers live with.
func TestMayChange(t *testing.T) {
	for name, tc := range map[string]struct{ old, replacement string }{
		"nothing":                        {"", ""},
		"annotations":                    {`"title": "t"`, `"description": "new", "examples": [1], "$comment": "c"`},
		"a member deprecated":            {`"description": "d"`, `"deprecated": true`},
		"a new member":                   {`"h": {`, `"n": {"type": "string", "enum": ["x"]}, "h": {`},
		"a condition on a new member":    {`"dependentSchemas": {`, `"dependentSchemas": {"n": {"required": ["e"]}, `},
		"a word more in an open list":    {`"x-extensible-enum": ["one", "two"]`, `"x-extensible-enum": ["three", "one", "two"]`},
		"a definition more":              {`"$defs": {`, `"$defs": {"n": {"type": "null"}, `},
		"another order of what is equal": {`["a", "c"]`, `["c", "a"]`},
		"one type, as a list of one":     {`{"type": "number"}`, `{"type": ["number"]}`},
	} {
		current := strings.Replace(released, tc.old, tc.replacement, 1)
		if current == released && name != "nothing" {
			t.Fatalf("%s: nothing was replaced", name)
		}
		if breaks, err := Breaks([]byte(released), []byte(current)); err != nil || len(breaks) > 0 {
			t.Errorf("%s: %q, %v", name, breaks, err)
		}
	}
}

// TestEveryRemovalBreaks takes away, one at a time, each keyword of each schema that is published.
func TestEveryRemovalBreaks(t *testing.T) {
	for _, name := range names(t) {
		data, err := fs.ReadFile(schemas.Files, name+".json")
		if err != nil {
			t.Fatal(err)
		}
		tried := 0
		for _, at := range places(document(t, name), nil) {
			if len(at) == 0 || speaks(at) {
				continue
			}
			tried++
			before, after := decoded(t, string(data)), replaced(decoded(t, string(data)), at, absent{})
			var d difference
			d.schema("#", before, after)
			if len(d.breaks) == 0 {
				t.Errorf("%s without %v is taken for the same", name, at)
			}
		}
		if tried == 0 {
			t.Errorf("%s: nothing was tried", name)
		}
	}
}

// speaks tells whether a path leads to or through an annotation. A property can have the name of one.
func speaks(at []any) bool {
	for i, step := range at {
		keyword, ok := step.(string)
		named := i > 0 && (at[i-1] == "properties" || at[i-1] == "$defs" || at[i-1] == "dependentSchemas")
		if ok && !named && isAnnotation(keyword) {
			return true
		}
	}
	return false
}

func TestNoSchema(t *testing.T) {
	for _, tc := range []struct{ released, current string }{{"?", "{}"}, {"{}", "?"}, {"[]", "{}"}} {
		if breaks, err := Breaks([]byte(tc.released), []byte(tc.current)); err == nil {
			t.Errorf("%v: %v", tc, breaks)
		}
	}
	if breaks, err := Breaks([]byte("{}"), []byte("true")); err != nil || len(breaks) != 1 {
		t.Errorf("%v, %v", breaks, err)
	}
}

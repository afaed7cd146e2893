package contract

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Breaks lists what a schema changes that may not change within a version, compared with the released one: records that
// were published before have to stay valid, and a reader that was written for the released schema, and passes over members
// and words that it does not know, has to go on working.
//
// May change: annotations (titles, descriptions, examples); a new member that is not required, in an object that had a
// closed list of members; a new word in x-extensible-enum; a new definition; a condition on a new member. Everything else
// is a break, whatever it does: a keyword that is not known here too.
func Breaks(released, current []byte) ([]string, error) {
	before, err := decode(released)
	if err != nil {
		return nil, fmt.Errorf("read the released schema: %w", err)
	}
	after, err := decode(current)
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	if _, ok := before.(map[string]any); !ok {
		return nil, errors.New("the released schema is no object")
	}
	var d difference
	d.schema("#", before, after)
	slices.Sort(d.breaks)
	return d.breaks, nil
}

// difference collects what breaks.
type difference struct{ breaks []string }

func (d *difference) add(at, format string, args ...any) {
	d.breaks = append(d.breaks, at+": "+fmt.Sprintf(format, args...))
}

// schema compares two schemas.
func (d *difference) schema(at string, released, current any) {
	before, ok := released.(map[string]any)
	after, okAfter := current.(map[string]any)
	if !ok || !okAfter { // true and false are schemas too.
		if !reflect.DeepEqual(released, current) {
			d.add(at, "it is another schema")
		}
		return
	}
	for _, keyword := range slices.Sorted(maps.Keys(union(before, after))) {
		if !isAnnotation(keyword) {
			d.keyword(at, keyword, before, after)
		}
	}
}

// isAnnotation tells whether a keyword only speaks to people.
func isAnnotation(keyword string) bool {
	return slices.Contains([]string{"title", "description", "examples", "$comment", "deprecated"}, keyword)
}

// keyword compares what two schemas say under a keyword. One of them may be without it.
func (d *difference) keyword(at, keyword string, before, after map[string]any) {
	released, current := before[keyword], after[keyword]
	_, had := before[keyword]
	_, has := after[keyword]
	at += "/" + keyword
	switch keyword {
	case "properties":
		d.members(at, released, current, before["additionalProperties"] == false)
	case "$defs":
		d.members(at, released, current, true)
	case "dependentSchemas":
		d.conditions(at, object(released), object(current), object(before["properties"]))
	case "required", "enum", "type":
		if fresh, gone := compared(list(released), list(current)); had != has || len(fresh)+len(gone) > 0 {
			d.add(at, "%s", changes(fresh, gone))
		}
	case extensible:
		if _, gone := compared(list(released), list(current)); had != has || len(gone) > 0 {
			d.add(at, "%s", changes(nil, gone))
		}
	case "items", "additionalProperties", "if", "then", "else":
		if had != has {
			d.add(at, "%s", presence(has))
			return
		}
		d.schema(at, released, current)
	case "allOf":
		d.all(at, list(released), list(current))
	default:
		if !reflect.DeepEqual(released, current) {
			d.add(at, "it was %v and is %v", released, current)
		}
	}
}

// members compares schemas by name; mayGrow allows more of them.
func (d *difference) members(at string, released, current any, mayGrow bool) {
	before, after := object(released), object(current)
	for name := range union(before, after) {
		_, had := before[name]
		_, has := after[name]
		switch {
		case had && has:
			d.schema(at+"/"+name, before[name], after[name])
		case had:
			d.add(at+"/"+name, "it is gone")
		case !mayGrow:
			d.add(at+"/"+name, "records may have had this member with any value")
		}
	}
}

// conditions compares what members demand of the others. One on a new member changes nothing for what was.
func (d *difference) conditions(at string, before, after, properties map[string]any) {
	for name := range union(before, after) {
		_, had := before[name]
		_, has := after[name]
		_, known := properties[name]
		switch {
		case had && has:
			d.schema(at+"/"+name, before[name], after[name])
		case had || known:
			d.add(at+"/"+name, "%s", presence(has))
		}
	}
}

// all compares lists of schemas in their order.
func (d *difference) all(at string, before, after []any) {
	if len(before) != len(after) {
		d.add(at, "there were %d and are %d", len(before), len(after))
		return
	}
	for i := range before {
		d.schema(fmt.Sprintf("%s/%d", at, i), before[i], after[i])
	}
}

func union(a, b map[string]any) map[string]any {
	all := maps.Clone(a)
	if all == nil {
		all = make(map[string]any, len(b))
	}
	maps.Copy(all, b)
	return all
}

func object(value any) map[string]any {
	members, _ := value.(map[string]any)
	return members
}

// list is a list, or the only element of one.
func list(value any) []any {
	if elements, ok := value.([]any); ok || value == nil {
		return elements
	}
	return []any{value}
}

// compared tells which elements are only in the second list, and which only in the first.
func compared(before, after []any) (fresh, gone []string) {
	without := func(from, those []any) []string {
		var left []string
		for _, element := range from {
			if !slices.ContainsFunc(those, func(other any) bool { return reflect.DeepEqual(element, other) }) {
				left = append(left, fmt.Sprint(element))
			}
		}
		return left
	}
	return without(after, before), without(before, after)
}

func changes(fresh, gone []string) string {
	var parts []string
	if len(fresh) > 0 {
		parts = append(parts, strings.Join(fresh, ", ")+" came")
	}
	if len(gone) > 0 {
		parts = append(parts, strings.Join(gone, ", ")+" went")
	}
	if len(parts) == 0 {
		return "the keyword came or went"
	}
	return strings.Join(parts, ", ")
}

func presence(has bool) string {
	if has {
		return "it was not there before"
	}
	return "it is gone"
}

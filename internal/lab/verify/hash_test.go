package verify

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/jmpub/jmpub/internal/tests/canonical"
)

func TestHash(t *testing.T) {
	h := newHasher()
	for _, same := range [][]string{
		{`{"a":1,"b":[1,2]}`, ` { "b" : [ 1 , 2 ] , "a" : 1 } `},
		{`"caf\u00e9\/\n"`, "\"caf\u00e9/\\u000a\""},
		{`{"caf\u00e9":{}}`, "{\"caf\u00e9\":{ }}"},
		{`"\ud83d\ude00"`, `"😀"`},
		{`[]`, `[ ]`},
	} {
		if !canonical.Equal([]byte(same[0]), []byte(same[1])) || h.row([]byte(same[0])) != h.row([]byte(same[1])) {
			t.Errorf("%s and %s mean the same", same[0], same[1])
		}
	}
	different := []string{
		`1`, `1.0`, `-1`, `1e0`, `"1"`, `[1]`, `[[1]]`, `{"1":1}`, `[1,1]`, `{}`, `[]`, `[{}]`, `[[]]`, `""`, `null`, `true`, `false`,
		`"null"`, `{"a":1,"b":2}`, `{"a":2,"b":1}`, `{"a":{"b":1}}`, `{"b":{"a":1}}`, `["a",1]`, `[1,"a"]`, `{"a":1}`, `{"a":1,"a":1}`,
		`"\ud83d"`, `"\ud83e"`, `"\\ud83d"`, `9007199254740993`, `9007199254740992`, `{"a":[],"b":{}}`, `{"a":{},"b":[]}`, "", " ", "?", `{"a":1`,
	}
	seen := make(map[uint64]string)
	for _, value := range different {
		sum := h.row([]byte(value))
		if other, ok := seen[sum]; ok {
			t.Errorf("%q and %q have the same hash", value, other)
		}
		seen[sum] = value
	}
}

// TestHashMeaning holds the hash against the pipeline's own idea of what rows mean.
func TestHashMeaning(t *testing.T) {
	h := newHasher()
	rapid.Check(t, func(t *rapid.T) {
		value := drawNode(t, 3)
		one, other := value.render(t), value.render(t)
		if rapid.Bool().Draw(t, "change") {
			at := rapid.IntRange(0, len(other)-1).Draw(t, "at")
			other[at] = rapid.SampledFrom([]byte("01a, \"{]\\")).Draw(t, "by")
		}
		same := canonical.Equal(one, other)
		if got := h.row(one) == h.row(other); got != same {
			t.Fatalf("%s and %s: same meaning %v, same hash %v", one, other, same, got)
		}
	})
}

// node is a JSON value: a scalar's text, or the parts of an array, or those of an object with their names.
type node struct {
	text  string
	names []string
	parts []node
}

func drawNode(t *rapid.T, depth int) node {
	kind := rapid.IntRange(0, 3).Draw(t, "kind")
	if depth == 0 {
		kind = 0
	}
	switch kind {
	case 0:
		return node{text: rapid.SampledFrom([]string{
			"0", "-1", "1.50", "1e3", "9007199254740993", "null", "true", "false", `""`, `"a"`, `"\u0061"`, `"\""`, `"\\"`,
			`"\\\""`, `"\ud83d"`, `"é"`, `"\u00e9"`, `"}"`, `"]"`, `",:"`,
		}).Draw(t, "scalar")}
	case 1:
		return node{parts: drawNodes(t, depth, 3)}
	default:
		names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{`"a"`, `"b"`, `"c\\"`, `"\""`}), 0, 4, rapid.ID[string]).Draw(t, "names")
		return node{text: "{}", names: names, parts: drawNodes(t, depth, len(names))}
	}
}

func drawNodes(t *rapid.T, depth, n int) []node {
	parts := make([]node, n)
	for i := range parts {
		parts[i] = drawNode(t, depth-1)
	}
	return parts
}

// render writes the value with its members in any order and with any whitespace.
func (n node) render(t *rapid.T) []byte {
	styles := [][]jsontext.Options{
		nil,
		{jsontext.Multiline(true)},
		{jsontext.SpaceAfterComma(true), jsontext.SpaceAfterColon(true), jsontext.PreserveRawStrings(true)},
	}
	style := append(rapid.SampledFrom(styles).Draw(t, "style"), jsontext.AllowInvalidUTF8(true))
	if rapid.Bool().Draw(t, "raw") {
		style = append(style, jsontext.PreserveRawStrings(true))
	}
	text, err := jsontext.AppendFormat(nil, []byte(n.write(t)), style...)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (n node) write(t *rapid.T) string {
	if n.text != "" && n.text != "{}" {
		return n.text
	}
	order := rapid.Permutation(n.indices()).Draw(t, "order")
	texts := make([]string, len(n.parts))
	for i := range texts {
		if n.text == "" {
			texts[i] = n.parts[i].write(t)
		} else {
			texts[i] = n.names[order[i]] + ":" + n.parts[order[i]].write(t)
		}
	}
	if n.text == "" {
		return "[" + strings.Join(texts, ",") + "]"
	}
	return "{" + strings.Join(texts, ",") + "}"
}

func (n node) indices() []int {
	all := make([]int, len(n.parts))
	for i := range all {
		all[i] = i
	}
	return all
}

// Any bytes can be hashed, and valid JSON has the hash of its canonical form.
func FuzzHash(f *testing.F) {
	for _, seed := range []string{`{"a":[1,"\u0061",{}]}`, `"\ud83d"`, `[`, `{"a`, `"\`, ``, `{"a":1,"a":2}`} {
		f.Add([]byte(seed))
	}
	h := newHasher()
	f.Fuzz(func(t *testing.T, data []byte) {
		sum := h.row(data)
		if rewritten := canonical.JSON(data); sum != h.row(rewritten) {
			t.Errorf("%q and its canonical form %q have different hashes", data, rewritten)
		}
		envelopeOf(data)
	})
}

package canonical_test

import (
	"testing"

	"github.com/jmpub/jmpub/internal/tests/canonical"
)

func TestEqual(t *testing.T) {
	for _, test := range []struct {
		name, a, b string
		same       bool
	}{
		{"order of members", `{"a":1,"b":{"c":2,"d":3}}`, `{"b":{"d":3,"c":2},"a":1}`, true},
		{"whitespace", `{"a":[1,2]}`, " {\n\"a\" : [ 1 , 2 ] } ", true},
		{"escapes", `{"a":"\u0041\/"}`, `{"\u0061":"A/"}`, true},
		{"surrogate pair", `"\ud83d\ude00"`, `"😀"`, true},
		{"order of elements", `[1,2]`, `[2,1]`, false},
		{"text of numbers", `1.0`, `1`, false},
		{"64 bits", `9007199254740993`, `9007199254740992`, false},
		{"type", `"1"`, `1`, false},
		{"absent and null", `{"a":null}`, `{}`, false},
		{"order of duplicates", `{"a":1,"a":2}`, `{"a":2,"a":1}`, false},
		{
			"order of duplicates among many", `{"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"a":1,"a":2}`,
			`{"a":2,"m":1,"l":1,"k":1,"j":1,"i":1,"h":1,"g":1,"f":1,"e":1,"d":1,"c":1,"b":1,"a":1}`, false,
		},
		{
			"many members", `{"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"a":1,"a":2}`,
			`{"a":1,"m":1,"l":1,"k":1,"j":1,"i":1,"h":1,"g":1,"f":1,"e":1,"d":1,"c":1,"b":1,"a":2}`, true,
		},
		{"number of duplicates", `{"a":1,"a":1}`, `{"a":1}`, false},
		{"lone surrogates", `"\ud83d"`, `"\ud83e"`, false},
		{"lone surrogate and its text", `"\ud83d"`, `"\\ud83d"`, false},
		{"lone surrogate and U+FFFD", `"\ud83d"`, `"\ufffd"`, false},
		{"no JSON", `{`, `{`, true},
		{"different no JSON", `{`, `[`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := canonical.Equal([]byte(test.a), []byte(test.b)); got != test.same {
				t.Errorf("Equal(%s, %s) = %v", test.a, test.b, got)
			}
		})
	}
}

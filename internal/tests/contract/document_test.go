package contract

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

var update = flag.Bool("update", false, "rewrite the examples in docs/events.md")

// TestExamplesOfTheDocument holds that the examples in docs/events.md are what jmpub makes today. Each stands behind a comment
// that says what it is of: `example` and `rejected` of a stored row, `schema` of a schema, whose first example it is.
func TestExamplesOfTheDocument(t *testing.T) {
	const file = "../../../docs/events.md"
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	marker := regexp.MustCompile("(?s)<!-- (example|rejected|schema) ([a-z0-9-]+) -->\n(?:```[a-z]*\n.*?```\n)?")
	stored := rows(t)
	found := make(map[string]int)
	current := marker.ReplaceAllFunc(old, func(part []byte) []byte {
		m := marker.FindSubmatch(part)
		what, name := string(m[1]), string(m[2])
		found[what]++
		block := ""
		switch row, ok := stored[name]; {
		case what == "schema":
			block = "```json\n" + pretty(t, rawExamples(t, name)[0]) + "```\n"
		case !ok:
			t.Errorf("there is no row %s", name)
		case what == "example":
			block = "```json\n" + pretty(t, recordOf(row).value) + "```\n"
		default:
			block = "```\n" + renderHeaders(recordOf(row)) + "```\n"
		}
		return fmt.Appendf(nil, "<!-- %s %s -->\n%s", what, name, block)
	})
	if *update {
		if err := os.WriteFile(file, current, 0o600); err != nil { //nolint:gosec // A fixed file.
			t.Fatal(err)
		}
		return
	}
	if found["example"] < 10 || found["rejected"] == 0 || found["schema"] < 4 {
		t.Errorf("found %v", found)
	}
	if !bytes.Equal(current, old) {
		t.Errorf("an example in %s is not what jmpub makes (run with -update to write it): %s", file, firstDifference(old, current))
	}
}

// TestKindsOfTheDocument holds that there is an example of each kind of message that the schema names, and of one that it
// does not.
func TestKindsOfTheDocument(t *testing.T) {
	text, err := os.ReadFile("../../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	schema := document(t, "message")
	shown := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^  "msg_type": "([a-z]+)",$`).FindAllSubmatch(text, -1) {
		shown[string(m[1])] = true
	}
	known := list(object(object(schema["properties"])["msg_type"])["examples"])
	for _, kind := range known {
		if name, ok := kind.(string); !ok || !shown[name] {
			t.Errorf("there is no example of %v", kind)
		}
	}
	if len(known) < 7 || len(shown) != len(known)+1 {
		t.Errorf("%v are known, %v are shown", known, shown)
	}
}

func firstDifference(a, b []byte) string {
	before, after := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
	for i := range min(len(before), len(after)) {
		if before[i] != after[i] {
			return fmt.Sprintf("line %d is\n%s\nnot\n%s", i+1, before[i], after[i])
		}
	}
	return fmt.Sprintf("it has %d lines, not %d", len(before), len(after))
}

// renderHeaders writes a record without a key for people.
func renderHeaders(r record) string {
	var b strings.Builder
	for _, h := range r.headers {
		fmt.Fprintf(&b, "%s: %s\n", h.Key, h.Value)
	}
	fmt.Fprintf(&b, "\n%s\n", bytes.TrimSpace(r.value))
	return b.String()
}

// pretty writes JSON for people: the outermost object has a line for each member, and of the rest stands in one line what fits.
func pretty(t *testing.T, value []byte) string {
	t.Helper()
	if !jsontext.Value(value).IsValid() {
		t.Fatalf("no JSON: %s", value)
	}
	return broken(value, 0) + "\n"
}

// rendered is a valid value that begins in a column, in lines that are indented.
func rendered(value jsontext.Value, indent, column int) string {
	const width = 118
	line, _ := jsontext.AppendFormat(nil, value, jsontext.SpaceAfterColon(true), jsontext.SpaceAfterComma(true), jsontext.PreserveRawStrings(true))
	if kind := value.Kind(); column+utf8.RuneCount(line) <= width || kind != '{' && kind != '[' {
		return string(line)
	}
	return broken(value, indent)
}

// broken is an object or an array with each member on lines of its own.
func broken(value jsontext.Value, indent int) string {
	deeper := strings.Repeat(" ", indent+2)
	var members []string
	decoder := jsontext.NewDecoder(bytes.NewReader(value))
	begin, _ := decoder.ReadToken()
	isObject, name := begin.Kind() == '{', ""
	for decoder.PeekKind() != '}' && decoder.PeekKind() != ']' {
		if isObject {
			quoted, _ := decoder.ReadValue()
			name = string(quoted) + ": "
		}
		member, _ := decoder.ReadValue()
		members = append(members, deeper+name+rendered(bytes.Clone(member), indent+2, indent+2+len(name)))
	}
	end, _ := decoder.ReadToken()
	return begin.String() + "\n" + strings.Join(members, ",\n") + "\n" + strings.Repeat(" ", indent) + end.String()
}

package event_test

import (
	"bytes"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/jmpub/jmpub/pipeline/event"
)

func TestRebuildRefuses(t *testing.T) {
	for _, value := range []string{
		"", "{", "[]", "null", "\xff", `{"from":1}`, `{"attributes":[1,2]}`, `{"time":"noon"}`, `{"client_time":1}`,
		`{"time":"2019-03-22T02:46:25.613+08:00"}`, `{"time":"2019-02-30T02:46:25.613Z"}`,
	} {
		if row, err := event.Rebuild([]byte(value)); err == nil {
			t.Errorf("Rebuild(%q) = %s, want an error", value, row)
		}
	}
}

// FuzzRebuild holds that any bytes give a row that is JSON, or an error.
func FuzzRebuild(f *testing.F) {
	for _, row := range storedRows(f, "*") {
		if e, rejection := event.NewNormalizer(appKey).Normalize(row); rejection == nil {
			f.Add(e.Value)
		}
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		before := bytes.Clone(value)
		row, err := event.Rebuild(value)
		if !bytes.Equal(value, before) {
			t.Fatalf("the event was changed: %q", value)
		}
		if err == nil && !jsontext.Value(row).IsValid(lenient()...) {
			t.Fatalf("Rebuild(%s) = %s", value, row)
		}
	})
}

package pipeline_test

import (
	"strings"
	"testing"

	"github.com/jmpub/jmpub/pipeline"
)

// TestNamesThatMeanAnotherPath refuses names that a server or a proxy takes for the way to something else, escaped or not.
func TestNamesThatMeanAnotherPath(t *testing.T) {
	for _, name := range []string{".", "..", "./a", "a/..", "a/../../groups/1", `..\a`, `a\..`, "a/./b", "..;", "a/..;x=y/b", "/..", "../"} {
		if s, err := pipeline.ParseStream("users/" + name); err == nil || !strings.Contains(err.Error(), "path") {
			t.Errorf("%q is taken as %v, %v", name, s, err)
		}
	}
	for _, name := range []string{"...", ".a", "a.", "a..b", "..a", "a;..", "a/b", "a;b", `a\b`, "%2e%2e", "-", "_", "@"} {
		if _, err := pipeline.ParseStream("users/" + name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := pipeline.ParseStreams("users/a,users/.."); err == nil || !strings.Contains(err.Error(), `"users/.."`) {
		t.Errorf("in a list: %v", err)
	}
}

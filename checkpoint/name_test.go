package checkpoint

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/jmpub/jmpub/pipeline"
)

// Different streams have files that no file system takes for one another, and each takes them.
func TestFileName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.StringOfN(rapid.RuneFrom([]rune("abAB./\\: %~é")), 1, 128, 128), rapid.StringN(1, 128, 128))
		one := pipeline.Stream{Kind: pipeline.StreamUsers, Name: name.Draw(t, "one")}
		other := pipeline.Stream{Kind: pipeline.StreamUsers, Name: name.Draw(t, "other")}
		if rapid.Bool().Draw(t, "case") {
			other.Name = strings.ToUpper(one.Name)
		}
		s, known := streamOfFile(app, fileName(app, one))
		_, err := pipeline.ParseStream(one.String())
		if known && s != one || !known && err == nil && len(fileName(app, one)) < maxEscaped {
			t.Fatalf("of the file %s the stream is %q, %t; want %q", fileName(app, one), s, known, one)
		}
		a, b := fileName(app, one)+partial, fileName(app, other)+partial
		if (one == other) != strings.EqualFold(a, b) {
			t.Fatalf("%q and %q have the files %s and %s", one, other, a, b)
		}
		if len(a) > 255 || strings.Trim(a, "abcdefghijklmnopqrstuvwxyz0123456789ABCDEF%._-~") != "" {
			t.Fatalf("%q has the file %s of %d bytes", one, a, len(a))
		}
	})
}

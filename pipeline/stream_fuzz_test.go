package pipeline_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jmpub/jmpub/pipeline"
)

// Any list of streams is refused or read into streams that differ, each of which is read back from what it is written as,
// alone and in a list; that is what keys, headers and file names rely on.
func FuzzParseStreams(f *testing.F) {
	f.Fuzz(func(t *testing.T, list string) {
		streams, err := pipeline.ParseStreams(list)
		if err != nil {
			return
		}
		seen := make(map[pipeline.Stream]bool)
		var names []string
		for _, s := range streams {
			again, err := pipeline.ParseStream(s.String())
			if err != nil || again != s {
				t.Errorf("%q of %q is read back as %q, %v", s, list, again, err)
			}
			if text := s.String(); seen[s] || !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
				t.Errorf("%q of %q is there twice, or no name", text, list)
			}
			seen[s] = true
			names = append(names, strings.ReplaceAll(s.String(), ",", "%2C"))
		}
		if again, err := pipeline.ParseStreams(strings.Join(names, ",")); err != nil || !slices.Equal(again, streams) {
			t.Errorf("%q became %q, which is read as %q, %v", list, names, again, err)
		}
	})
}

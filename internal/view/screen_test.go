package view_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/jmpub/jmpub/internal/view"
)

// TestScreenOfAPipe writes lines that a program or a log can keep.
func TestScreenOfAPipe(t *testing.T) {
	t.Setenv("TERM", "xterm-256color")
	var out bytes.Buffer
	screen := view.NewScreen(&out, func() { t.Error("nobody asked for the end") })
	screen.Show(state(0.42))
	want := "288,226 messages published, 1,103 rejected, 12,345 rows/s, 42 % · about 17s left\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	screen.Close(state(1))
	if text := out.String(); strings.Contains(text, "\x1b") || !strings.Contains(text, "published  288,226 messages") {
		t.Errorf("the last state is not told plainly: %q", text)
	}
}

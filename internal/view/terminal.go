package view

import (
	"io"
	"os"
	"strings"

	"github.com/charmbracelet/colorprofile"
	"golang.org/x/term"

	"github.com/jmpub/jmpub/internal/words"
)

// screenOf is what is behind w, to draw on: what is drawn has no text of others but what is [words.Line].
func screenOf(w io.Writer) io.Writer {
	switch w := w.(type) {
	case *words.Writer:
		return screenOf(w.Out)
	case *Progress: // What is written to it stands above the bar.
		return w.screen
	default:
		return w
	}
}

// isTerminal tells whether what is written to w is seen by a person.
func isTerminal(w io.Writer) bool {
	f, ok := screenOf(w).(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// isDrawable tells whether w is a terminal that can be drawn over. A dumb one takes a line after the other, as a pipe does.
func isDrawable(w io.Writer) bool {
	return isTerminal(w) && colorprofile.Detect(screenOf(w), environment()) != colorprofile.NoTTY
}

// Painted passes styled text on to w with as much colour as w shows and the person wants: none where it is no terminal.
func Painted(w io.Writer) io.Writer { return colorprofile.NewWriter(screenOf(w), environment()) }

// environment is what programs go by to know a terminal. NO_COLOR counts whatever its value is, https://no-color.org says.
func environment() []string {
	all := os.Environ()
	for i, entry := range all {
		if value, ok := strings.CutPrefix(entry, "NO_COLOR="); ok && value != "" {
			all[i] = "NO_COLOR=1"
		}
	}
	return all
}

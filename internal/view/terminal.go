package view

import (
	"io"
	"os"
	"strings"

	"github.com/charmbracelet/colorprofile"
	"golang.org/x/term"
)

// isTerminal tells whether what is written to w, or above the bar that it is, is seen by a person.
func isTerminal(w io.Writer) bool {
	if bar, ok := w.(*Progress); ok {
		w = bar.screen
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// isDrawable tells whether w is a terminal that can be drawn over. A dumb one takes a line after the other, as a pipe does.
func isDrawable(w io.Writer) bool {
	return isTerminal(w) && colorprofile.Detect(w, environment()) != colorprofile.NoTTY
}

// Painted passes styled text on to w with as much colour as w shows and the person wants: none where it is no terminal.
func Painted(w io.Writer) io.Writer { return colorprofile.NewWriter(w, environment()) }

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

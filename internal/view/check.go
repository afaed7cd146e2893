package view

import (
	"fmt"
	"io"
	"os"
	"strings"

	"charm.land/lipgloss/v2"
	"golang.org/x/term"

	"github.com/jmpub/jmpub/internal/check"
	"github.com/jmpub/jmpub/internal/words"
)

// Checklist shows findings as they come, and of many apps only those that matter.
type Checklist struct {
	// Out is where findings are shown, in colour where that is a terminal. Many folds what is well with single apps into one line.
	Out  io.Writer
	Many bool

	// fixes are those that were shown: the same one may be for hundreds of apps.
	fixes map[string]bool
	// skipped has the apps of which findings are not shown, and how many of those say that something was not checked; wrong are the others.
	skipped map[string]int
	wrong   map[string]bool
	failed  error
}

const (
	// subjectWidth has room for most subjects, and for an app key. Longer ones stand by themselves.
	subjectWidth = 26
	// narrowest and widest bound the lines of a terminal.
	narrowest = 60
	widest    = 120
)

// Show shows a finding.
func (c *Checklist) Show(f *check.Finding) {
	if c.Many && f.App != "" {
		if c.skipped == nil {
			c.skipped, c.wrong = make(map[string]int), make(map[string]bool)
		}
		switch f.Level {
		case check.OK:
			c.skipped[f.App] += 0
			return
		case check.Skipped:
			c.skipped[f.App]++
			return
		default:
			c.wrong[f.App] = true
		}
	}
	c.line(f)
}

// Summary ends the list, and returns the first error of writing it.
func (c *Checklist) Summary(r *check.Report) error {
	fine, skipped := 0, 0
	for app, n := range c.skipped {
		if !c.wrong[app] {
			fine++
			skipped += n
		}
	}
	if fine > 0 {
		f := check.Finding{Subject: words.Count(fine, "app", "apps"), Level: check.OK, Text: "nothing is wrong with them"}
		if skipped > 0 {
			f.Level, f.Text = check.Skipped, fmt.Sprintf("nothing wrong was found; %d checks of apps were not made, see --json", skipped)
		}
		c.line(&f)
	}
	var parts []string
	add := func(n int, text string) {
		if n > 0 {
			parts = append(parts, text)
		}
	}
	add(r.Errors, words.Count(r.Errors, "error", "errors"))
	add(r.Warnings, words.Count(r.Warnings, "warning", "warnings"))
	add(r.Skipped, fmt.Sprintf("%d not checked", r.Skipped))
	text := Good("nothing is wrong")
	switch {
	case !r.OK:
		text = Bad(strings.Join(parts, ", "))
	case len(parts) > 0:
		text = Good("nothing failed") + ": " + warning(strings.Join(parts, ", "))
	}
	c.write("\n" + text + "\n")
	return c.failed
}

// line shows a finding in a line, and what to do below it.
func (c *Checklist) line(f *check.Finding) {
	subject, text := words.Line(f.Subject), words.Line(f.Text)
	if c.Many && f.App != "" {
		subject, text = words.Line(f.App), subject+": "+text
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", mark(f.Level), subject)
	gap := subjectWidth - lipgloss.Width(subject)
	indent := strings.Repeat(" ", subjectWidth+len("x   "))
	width := c.width()
	if gap < 0 {
		b.WriteString("\n" + indent)
	} else {
		b.WriteString(strings.Repeat(" ", gap+len("  ")))
	}
	folded := func(text string, style func(string) string) {
		for i, line := range wrap(text, width-len(indent)) {
			if i > 0 {
				b.WriteString(indent)
			}
			b.WriteString(style(line) + "\n")
		}
	}
	folded(text, func(s string) string { return s })
	if f.Fix != "" && !c.fixes[f.Fix] {
		if c.fixes == nil {
			c.fixes = make(map[string]bool)
		}
		c.fixes[f.Fix] = true
		first, commands, _ := strings.Cut(words.Visible(f.Fix), "\n")
		b.WriteString(indent[:len(indent)-lipgloss.Width("→ ")] + "→ ")
		folded(first, faint)
		for command := range strings.SplitSeq(commands, "\n") { // They are there to be copied: no line is broken.
			if command != "" {
				b.WriteString("  " + faint(strings.TrimSpace(command)) + "\n")
			}
		}
	}
	c.write(b.String())
}

func (c *Checklist) write(text string) {
	if _, err := io.WriteString(Painted(c.Out), text); err != nil && c.failed == nil {
		c.failed = err
	}
}

// width is that of a terminal, within reason; elsewhere lines are not broken, and the width is negative.
func (c *Checklist) width() int {
	f, ok := screenOf(c.Out).(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return -1
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return usualWidth
	}
	return max(narrowest, min(width-1, widest))
}

// wrap puts a text into lines of a width where that is above zero. Words that are longer stay whole.
func wrap(text string, width int) []string {
	if width <= 0 {
		return []string{text}
	}
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case lipgloss.Width(line)+1+lipgloss.Width(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	return append(lines, line)
}

func mark(level check.Level) string {
	switch level {
	case check.OK:
		return Good("✓")
	case check.Warning:
		return warning("!")
	case check.Error:
		return Bad("✗")
	default:
		return faint("-")
	}
}

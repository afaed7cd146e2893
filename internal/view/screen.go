package view

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/status"
)

// Screen shows a running pipeline: a block of lines that is drawn over on a terminal, a line at a time elsewhere.
type Screen struct {
	// Terminal is set where a person looks.
	Terminal bool

	out io.Writer
	// drawn is how many lines the block has on the screen.
	drawn int
}

// NewScreen shows on out.
func NewScreen(out io.Writer) *Screen { return &Screen{Terminal: isTerminal(out), out: out} }

// Draw shows a state, and on a terminal the latest messages.
func (screen *Screen) Draw(s *status.Snapshot, latest []string) {
	if !screen.Terminal {
		fmt.Fprintf(screen.out, "%s rows, %.0f rows/s, lag %s; single %d, group %d, chatroom %d, other %d, rejected %d; "+
			"windows %d, read again %d\n", thousands(s.Rows), s.RowsPerSecond, lagOf(s), s.Events["single"], s.Events["group"],
			s.Events["chatroom"], s.Events["other"], s.Rejected, s.Windows, s.Restarts)
		return
	}
	lines := []string{
		fmt.Sprintf("rows      %s at %.0f rows/s", thousands(s.Rows), s.RowsPerSecond),
		fmt.Sprintf("lag       %s behind the source", lagOf(s)),
		fmt.Sprintf("topics    single %s · group %s · chatroom %s · other %s · rejected %s", thousands(s.Events["single"]),
			thousands(s.Events["group"]), thousands(s.Events["chatroom"]), thousands(s.Events["other"]), thousands(s.Rejected)),
		fmt.Sprintf("API       %d requests, %d tried again; %d windows committed, %d read again",
			requests(s), s.Retries, s.Windows, s.Restarts),
		"window    " + windowOf(s),
		"",
		"messages",
	}
	lines = append(lines, latest...)
	var b strings.Builder
	// A line that is too long must not wrap: the block would have more lines than are drawn over the next time.
	b.WriteString("\x1b[?7l")
	if screen.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", screen.drawn) // Up to the block's first line.
	}
	for _, line := range lines {
		b.WriteString("\x1b[2K" + line + "\n")
	}
	screen.drawn = max(screen.drawn, len(lines))
	for range screen.drawn - len(lines) {
		b.WriteString("\x1b[2K\n")
	}
	b.WriteString("\x1b[?7h")
	_, _ = io.WriteString(screen.out, b.String()) // A closed terminal ends the process by signal.
}

func requests(s *status.Snapshot) int64 {
	sum := int64(0)
	for _, n := range s.Requests {
		sum += n
	}
	return sum
}

func lagOf(s *status.Snapshot) string {
	if len(s.Streams) == 0 || s.Streams[0].LagSeconds < 0 {
		return "?"
	}
	return (time.Duration(s.Streams[0].LagSeconds) * time.Second).String()
}

func windowOf(s *status.Snapshot) string {
	if s.Last == nil {
		return "none yet"
	}
	return fmt.Sprintf("%s to %s: %d rows, %d published, %d skipped, %d requests",
		s.Last.Begin.Local().Format(time.DateTime), s.Last.End.Local().Format(time.TimeOnly),
		s.Last.Rows, s.Last.Published, s.Last.Skipped, s.Last.Requests)
}

// thousands writes a number in groups of three.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

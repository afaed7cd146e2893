package view_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/sys/unix"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/view"
	"github.com/jmpub/jmpub/pipeline"
)

// terminal is a pseudo terminal that keeps what is written to it.
type terminal struct {
	tty, screen *os.File
	mu          sync.Mutex // Guards written.
	written     bytes.Buffer
	more        chan struct{}
	ended       chan struct{}
}

func newTerminal(t *testing.T, kind string, columns uint16) *terminal {
	t.Helper()
	t.Setenv("TERM", kind)
	t.Setenv("COLORTERM", "")
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	term := &terminal{screen: screen, more: make(chan struct{}, 1), ended: make(chan struct{})}
	fd := int(screen.Fd())
	if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if term.tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = term.tty.Close() })
	term.resize(t, columns, 24)
	go term.read()
	return term
}

func (term *terminal) read() {
	defer close(term.ended)
	chunk := make([]byte, 1<<16)
	for {
		n, err := term.screen.Read(chunk)
		term.mu.Lock()
		term.written.Write(chunk[:n])
		term.mu.Unlock()
		select {
		case term.more <- struct{}{}:
		default:
		}
		if err != nil { // The other side is closed.
			return
		}
	}
}

func (term *terminal) resize(t *testing.T, columns, lines uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(term.screen.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: lines}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
}

func (term *terminal) text() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.written.String()
}

// await waits until the terminal is sent a text after so many bytes, and returns how many bytes it was sent up to its end.
func (term *terminal) await(t *testing.T, after int, want string) int {
	t.Helper()
	patience := time.After(10 * time.Second)
	for {
		text := term.text()
		if at := strings.Index(text[after:], want); at >= 0 {
			return after + at + len(want)
		}
		select {
		case <-term.more:
		case <-patience:
			t.Fatalf("%q does not come: %q", want, text[after:])
		}
	}
}

// all is all that the terminal was sent, once nobody can send any more.
func (term *terminal) all() string {
	_ = term.tty.Close()
	<-term.ended
	return term.text()
}

// colour finds the sequences that choose one.
var colour = regexp.MustCompile(`\x1b\[([0-9;]*;)?(3[0-7]|9[0-7]|38;[0-9;]*)m`)

// TestScreenIsDrawn: a terminal is drawn over, in colour, on its other screen, again when it is resized; and the last state stays.
func TestScreenIsDrawn(t *testing.T) {
	term := newTerminal(t, "xterm-256color", 80)
	t.Setenv("NO_COLOR", "")
	screen := view.NewScreen(term.tty, func() {})
	screen.Show(state(0.42))
	seen := term.await(t, 0, "newest messages")
	term.resize(t, 120, 30)
	seen = term.await(t, seen, "\x1b[2J")
	seen = term.await(t, seen, "newest messages")
	last := state(1)
	last.Published, last.Ended = 300_000, true
	screen.Close(last)
	term.await(t, seen, "300,000 messages")
	text := term.all()
	if strings.Count(text, "\x1b[?1049h") != 1 || strings.Count(text, "\x1b[?1049l") != 1 {
		t.Errorf("the other screen is not entered and left once: %q", text)
	}
	_, kept, _ := strings.Cut(text, "\x1b[?1049l")
	if !strings.Contains(kept, "300,000 messages") {
		t.Errorf("the last state does not stay: %q", kept)
	}
	if !colour.MatchString(text) {
		t.Error("there is no colour")
	}
}

// TestScreenWithoutColour: who sets NO_COLOR, to whatever, gets none.
func TestScreenWithoutColour(t *testing.T) {
	for _, value := range []string{"1", "yes", "0"} {
		term := newTerminal(t, "xterm-256color", 80)
		t.Setenv("NO_COLOR", value)
		screen := view.NewScreen(term.tty, func() {})
		screen.Show(state(0.42))
		term.await(t, 0, "newest messages")
		screen.Close(state(1))
		if text := term.all(); colour.MatchString(text) {
			t.Errorf("NO_COLOR=%s: there is colour in %q", value, text)
		}
	}
}

// TestDumbTerminalsGetNoSequences: neither the screen nor the bar draws where lines are all that can be shown.
func TestDumbTerminalsGetNoSequences(t *testing.T) {
	for _, kind := range []string{"dumb", ""} {
		term := newTerminal(t, kind, 80)
		screen := view.NewScreen(term.tty, func() {})
		screen.Show(state(0.42))
		screen.Close(state(1))
		bar := view.NewProgress(term.tty, time.UTC)
		bar.Begin(100)
		bar.End()
		if text := term.all(); strings.Contains(text, "\x1b") || !strings.Contains(text, "288,226 messages") {
			t.Errorf("TERM=%s: %q", kind, text)
		}
	}
}

// TestBarFits: the bar of a replay never fills more than a line, log lines stand above it, and no number of it is cut.
func TestBarFits(t *testing.T) {
	for _, width := range []uint16{200, 120, 80, 60, 40, 24} {
		term := newTerminal(t, "xterm-256color", width)
		bar := view.NewProgress(term.tty, time.UTC)
		fmt.Fprintln(bar, "before")
		bar.Begin(288_000_000)
		committed := pipeline.Ledger{Published: 144_000_000}
		committed.End = time.Unix(0, 0)
		bar.Observer()(pipeline.WindowCommitted{Ledger: &committed})
		fmt.Fprintln(bar, "meanwhile")
		bar.End()
		fmt.Fprintln(bar, "after")
		text := ansi.Strip(term.all())
		for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\r' || r == '\n' }) {
			if columns := ansi.StringWidth(line); columns >= int(width) {
				t.Errorf("%d of %d columns: %s", columns, width, line)
			}
		}
		if last := text[strings.LastIndex(text, "meanwhile"):]; !strings.Contains(last, " 50 %") || !strings.HasSuffix(last, "\nafter\r\n") {
			t.Errorf("%d columns: %q", width, last)
		}
		if width >= 120 && !strings.Contains(text, " · up to 1970-01-01 00:00:00 · 144,000,000 of 288,000,000 rows\r\n") {
			t.Errorf("%d columns: %q", width, text)
		}
	}
}

// TestTopIsDrawn: each look is drawn over the one before it, a process that is gone is asked again, and however it ends, the terminal is given back.
func TestTopIsDrawn(t *testing.T) {
	for _, end := range []string{"asked", "usage", "panic"} {
		t.Run(end, func(t *testing.T) {
			term := newTerminal(t, "xterm-256color", 80)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			looks, left := make(chan *operate.Look), make(chan any, 1)
			top := &view.Top{Out: term.tty, Every: time.Millisecond}
			go func() {
				defer func() {
					if broken := recover(); broken != nil {
						left <- broken
					}
				}()
				left <- top.Run(ctx, func(ctx context.Context) *operate.Look {
					select {
					case l := <-looks:
						if l == nil {
							panic("a mistake")
						}
						return l
					case <-ctx.Done():
						return &operate.Look{Err: ctx.Err()}
					}
				})
			}()
			looks <- look(6)
			seen := term.await(t, 0, "is in Kafka")
			looks <- unreachable()
			term.await(t, seen, "cannot be reached")
			wrong := errors.New("the token could be read")
			var want any
			switch end {
			case "asked":
				stop()
			case "usage":
				want = wrong
				looks <- &operate.Look{Err: wrong, Wrong: true}
			default:
				want = "a mistake"
				looks <- nil
			}
			if got := <-left; got != want {
				t.Errorf("it ends with %v, want %v", got, want)
			}
			text := term.all()
			if strings.Count(text, "\x1b[?1049h") != 1 || strings.Count(text, "\x1b[?1049l") != 1 || !strings.Contains(text, "\x1b[?25h") {
				t.Errorf("the terminal is not given back: %q", text)
			}
		})
	}
}

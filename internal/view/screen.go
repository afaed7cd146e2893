package view

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

// picture draws what there is to see, in at most so many columns and lines.
type picture func(width, height int) string

// canvas is all of a terminal, to be drawn over.
type canvas struct {
	out     io.Writer
	program *tea.Program
	// ended is closed when nothing is drawn any more; what follows is known then.
	ended chan struct{}
	size  tea.WindowSizeMsg
	err   error
}

// newCanvas takes the terminal until it is closed. It calls stop where a person asks for the end.
func newCanvas(out io.Writer, stop func()) *canvas {
	var keys io.Reader
	if isTerminal(os.Stdin) {
		keys = os.Stdin
	}
	c := &canvas{out: out, ended: make(chan struct{})}
	c.program = tea.NewProgram(&drawing{stop: stop}, tea.WithOutput(out), tea.WithInput(keys), tea.WithEnvironment(environment()),
		tea.WithoutSignalHandler())
	go func() {
		defer close(c.ended)
		last, err := c.program.Run()
		if c.err = err; err == nil {
			if d, ok := last.(*drawing); ok {
				c.size = d.size
			}
		}
	}()
	return c
}

func (c *canvas) draw(p picture) { c.program.Send(p) }

// close gives the terminal back.
func (c *canvas) close() {
	c.program.Quit()
	<-c.ended
	fmt.Fprint(c.out, ansi.EraseScreenBelow) // Not every terminal has another screen to draw on.
}

// Screen shows how a demo goes on: drawn over all of a terminal, a line after the other elsewhere.
type Screen struct {
	out io.Writer
	// canvas is nil where there is nothing to be drawn over.
	canvas *canvas
}

// usualWidth is that of a terminal, for what no terminal shows.
const usualWidth = 80

// NewScreen shows on out until it is closed. It calls stop where a person asks for the end.
func NewScreen(out io.Writer, stop func()) *Screen {
	screen := &Screen{out: screenOf(out)}
	if isDrawable(screen.out) {
		screen.canvas = newCanvas(screen.out, stop)
	}
	return screen
}

// Pause is how long a state may stay on the screen.
func (screen *Screen) Pause() time.Duration {
	if screen.canvas == nil {
		return 3 * time.Second
	}
	return 250 * time.Millisecond
}

// Show shows a state.
func (screen *Screen) Show(s *State) {
	if screen.canvas != nil {
		screen.canvas.draw(func(width, height int) string { return Frame(s, width, height) })
		return
	}
	_, estimate := s.estimate()
	fmt.Fprintf(screen.out, "%s messages published, %s rejected, %s rows/s, %s\n",
		Thousands(s.Published), Thousands(s.Rejected), Thousands(int64(s.RowsPerSecond)), estimate)
}

// Close gives the terminal back, and leaves the last state on it.
func (screen *Screen) Close(last *State) {
	width := 0
	if screen.canvas != nil {
		screen.canvas.close()
		width = screen.canvas.size.Width
	}
	final := *last
	final.Latest = nil
	fmt.Fprintln(Painted(screen.out), Frame(&final, cmp.Or(width, usualWidth), math.MaxInt))
}

// drawing is the program that draws: the newest picture in the size that the terminal has now.
type drawing struct {
	stop    func()
	asked   bool
	picture picture
	size    tea.WindowSizeMsg
}

// Init implements [tea.Model].
func (*drawing) Init() tea.Cmd { return nil }

// Update implements [tea.Model].
func (d *drawing) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case picture:
		d.picture = msg
	case tea.WindowSizeMsg:
		d.size = msg
	case tea.KeyPressMsg:
		if key := msg.String(); key == "q" || key == "ctrl+c" {
			if d.asked { // The second one does not wait for anything, and the third one is a signal again.
				return d, tea.Quit
			}
			d.asked = true
			d.stop()
		}
	}
	return d, nil
}

// View implements [tea.Model].
func (d *drawing) View() tea.View {
	view := tea.NewView("")
	view.AltScreen = true // A terminal breaks lines anew when it is resized; of its other screen nothing is left to break.
	if d.picture != nil && d.size.Width > 0 {
		view.Content = d.picture(d.size.Width, d.size.Height)
	}
	return view
}

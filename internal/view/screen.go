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

// Screen shows how a demo goes on: drawn over all of a terminal, a line after the other elsewhere.
type Screen struct {
	out io.Writer
	// program draws; nil where there is nothing to be drawn over.
	program *tea.Program
	ended   chan struct{}
	size    tea.WindowSizeMsg
}

// usualWidth is that of a terminal, for what no terminal shows.
const usualWidth = 80

// NewScreen shows on out until it is closed. It calls stop where a person asks for the end.
func NewScreen(out io.Writer, stop func()) *Screen {
	out = screenOf(out)
	screen := &Screen{out: out, ended: make(chan struct{})}
	if !isDrawable(out) {
		return screen
	}
	var keys io.Reader
	if isTerminal(os.Stdin) {
		keys = os.Stdin
	}
	screen.program = tea.NewProgram(&drawing{stop: stop}, tea.WithOutput(out), tea.WithInput(keys), tea.WithEnvironment(environment()),
		tea.WithoutSignalHandler())
	go func() {
		defer close(screen.ended)
		if last, err := screen.program.Run(); err == nil {
			if d, ok := last.(*drawing); ok {
				screen.size = d.size
			}
		}
	}()
	return screen
}

// Pause is how long a state may stay on the screen.
func (screen *Screen) Pause() time.Duration {
	if screen.program == nil {
		return 3 * time.Second
	}
	return 250 * time.Millisecond
}

// Show shows a state.
func (screen *Screen) Show(s *State) {
	if screen.program != nil {
		screen.program.Send(s)
		return
	}
	_, estimate := s.estimate()
	fmt.Fprintf(screen.out, "%s messages published, %s rejected, %s rows/s, %s\n",
		Thousands(s.Published), Thousands(s.Rejected), Thousands(int64(s.RowsPerSecond)), estimate)
}

// Close gives the terminal back, and leaves the last state on it.
func (screen *Screen) Close(last *State) {
	if screen.program != nil {
		screen.program.Quit()
		<-screen.ended
		fmt.Fprint(screen.out, ansi.EraseScreenBelow) // Not every terminal has another screen to draw on.
	}
	final := *last
	final.Latest = nil
	fmt.Fprintln(Painted(screen.out), Frame(&final, cmp.Or(screen.size.Width, usualWidth), math.MaxInt))
}

// drawing is the program that draws: the newest state in the size that the terminal has now.
type drawing struct {
	stop  func()
	asked bool
	state *State
	size  tea.WindowSizeMsg
}

// Init implements [tea.Model].
func (*drawing) Init() tea.Cmd { return nil }

// Update implements [tea.Model].
func (d *drawing) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case *State:
		d.state = msg
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
	if d.state != nil && d.size.Width > 0 {
		view.Content = Frame(d.state, d.size.Width, d.size.Height)
	}
	return view
}

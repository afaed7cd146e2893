package view

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// Paused is what is paused of an app, as JSON.
type Paused struct {
	// App is the whole app; Streams are those that are paused by themselves.
	App     bool     `json:"app"`
	Streams []string `json:"streams"`
	// By is who has changed it last, and At when; absent where nothing is paused.
	By string    `json:"by,omitempty"`
	At time.Time `json:"at,omitzero"`
}

// Pause shows what is paused.
func (p *Printer) Pause(paused *pipeline.Pause) error {
	found := Paused{App: paused.App, Streams: pausedStreams(paused)}
	if paused.Any() {
		found.By, found.At = paused.By, paused.At
	}
	return show(p, []Paused{found}, func(w io.Writer) {
		if !paused.Any() {
			fmt.Fprintln(w, "nothing is paused; what was goes on within some seconds, from where it stood")
			return
		}
		p.paused(w, paused)
		fmt.Fprintln(w, "nothing of it is published, whichever process has the app, until `jmpub resume`;\nthe API keeps 60 days")
	})
}

// paused tells what is paused. The time is that of the last change, which one of several may not have been part of.
func (p *Printer) paused(w io.Writer, paused *pipeline.Pause) {
	var what []string
	if paused.App {
		what = append(what, "the whole app")
	}
	for _, name := range pausedStreams(paused) {
		what = append(what, foreign(name))
	}
	since := "paused since"
	if len(what) > 1 {
		since = "paused, last changed"
	}
	fmt.Fprintf(w, "%s %s, by %s:\n", since, p.moment(paused.At), foreign(paused.By))
	folded(w, strings.Join(what, ", "))
}

func pausedStreams(paused *pipeline.Pause) []string {
	names := make([]string, len(paused.Streams))
	for i, s := range paused.Streams {
		names[i] = s.String()
	}
	return names
}

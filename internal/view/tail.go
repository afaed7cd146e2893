package view

import (
	"cmp"
	"encoding/json"
	"io"
	"os"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/words"
)

// TailLines shows records, each in a line. What others wrote is shown as it cannot change the terminal.
type TailLines struct {
	Out  io.Writer
	JSON bool
	// Zone is that of the times.
	Zone *time.Location
}

const (
	// longestText is how much is shown of a record where no terminal bounds it, in characters.
	longestText = 2000
	// wideLine is from which width on a line has room for everything, widePerson and narrowPerson are the most for a sender or receiver.
	wideLine     = 110
	widePerson   = 16
	narrowPerson = 10
)

// IsTerminal tells whether a person sees what is written.
func IsTerminal(w io.Writer) bool { return isTerminal(w) }

// Show shows a record.
func (t *TailLines) Show(r *operate.TailRecord) error {
	if t.JSON {
		return json.NewEncoder(t.Out).Encode(r)
	}
	width := longestText
	if f, ok := screenOf(t.Out).(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		width = usualWidth
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			width = columns
		}
	}
	_, err := io.WriteString(Painted(t.Out), ansi.Truncate(t.line(r, width < wideLine), width, "…")+"\n")
	return err
}

// line is a record in a line. A narrow one leaves the year and half of the names out, so that there is room for the text.
func (t *TailLines) line(r *operate.TailRecord, narrow bool) string {
	at, rest := r.Time, ""
	switch {
	case r.Event != nil:
		e := r.Event
		if sent, ok := instant(e.Time, e.ClientTime); ok {
			at = sent
		}
		most := widePerson
		if narrow {
			most = narrowPerson
		}
		partners := person(e.From.Name, e.From.ID, most) + " → " + person(e.Target.Name, e.Target.ID, most)
		rest = pad(partners, 2*most+len(" x ")) + "  " + faint(words.Line(beginning(e.MsgType))) + "  " + words.Line(beginning(e.Text))
	case r.Kind == "rejected":
		rest = warning(words.Line(r.Headers["jmpub_reason"])) + "  " + words.Line(r.Headers["jmpub_stream"]) + ": " +
			words.Line(r.Headers["jmpub_detail"]) + "  " + words.Line(beginning(string(r.Value)))
	case r.Kind == "notices":
		var n struct {
			Kind   string `json:"kind"`
			Stream string `json:"stream"`
			Detail string `json:"detail"`
		}
		if json.Unmarshal(r.Value, &n) == nil {
			rest = warning(words.Line(n.Kind)) + "  " + words.Line(n.Stream) + ": " + words.Line(beginning(n.Detail))
		}
	}
	if rest == "" {
		rest = words.Line(beginning(r.Key)) + "  " + words.Line(beginning(string(r.Value)))
	}
	form := time.DateTime
	if narrow {
		form = "01-02 15:04:05"
	}
	return faint(at.In(t.Zone).Format(form)) + "  " + accent(pad(words.Line(cmp.Or(r.Kind, r.Topic)), len("chatroom"))) + "  " + rest
}

// person is how somebody is called: by name and id, if there is room for both.
func person(name, id string, most int) string {
	name, id = words.Line(beginning(name)), words.Line(beginning(id))
	called := cmp.Or(id, name, "?")
	if both := name + " (" + id + ")"; name != "" && id != "" && name != id && ansi.StringWidth(both) <= most {
		called = both
	}
	return ansi.Truncate(called, most, "…")
}

// beginning is enough of a text for any line.
func beginning(text string) string {
	if len(text) <= 4*longestText {
		return text
	}
	return strings.ToValidUTF8(text[:4*longestText], "")
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-lipgloss.Width(text)))
}

// instant is the first of an event's times that is one.
func instant(times ...any) (time.Time, bool) {
	for _, one := range times {
		switch one := one.(type) {
		case string:
			if at, err := time.Parse(time.RFC3339, one); err == nil {
				return at, true
			}
		case float64:
			return time.UnixMilli(int64(one)), true
		}
	}
	return time.Time{}, false
}

package view

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/internal/words"
)

// State is what a screen shows: a demo at one moment.
type State struct {
	status.Snapshot

	// Begin is where the history begins, Started when the demo did. Length is how long it goes on; zero is until it is stopped.
	Begin, Started, Now time.Time
	Length              time.Duration
	// Zone is that of all times that are shown.
	Zone *time.Location
	// Rates are rows a second, one for each of the last seconds.
	Rates []float64
	// Latest are the messages that were sent last, the newest first.
	Latest []Message
	// StatusURL is where the status page is.
	StatusURL string
	// Stopping is set once the end was asked for, Ended when all has come to rest.
	Stopping, Ended bool
}

// Message is a message as a consumer reads it.
type Message struct {
	// Time is when it was sent.
	Time              time.Time
	Topic, From, Text string
}

const (
	introduction = "A simulated chat service holds a history of messages. jmpub reads it page by page and publishes each message " +
		"to Kafka exactly once, although the service fails now and then. At the end all of them are read back and compared."
	labelWidth = 11
	// present is how far behind the clock the position may be and still pass for live.
	present = time.Minute
)

func faint(text string) string  { return lipgloss.NewStyle().Faint(true).Render(text) }
func strong(text string) string { return lipgloss.NewStyle().Bold(true).Render(text) }
func accent(text string) string { return lipgloss.NewStyle().Foreground(lipgloss.Cyan).Render(text) }

// Good is what a person hopes to see. Styled text is written through [Painted].
func Good(text string) string {
	return lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Green).Render(text)
}

// Bad is what a person has to look at.
func Bad(text string) string {
	return lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Red).Render(text)
}

func warning(text string) string {
	return lipgloss.NewStyle().Foreground(lipgloss.Yellow).Render(text)
}

// Frame draws a state in at most height lines of at most width columns, with as many messages as there is room for. What does not fit
// into a line goes on in the next one; only what messages say is shortened.
func Frame(s *State, width, height int) string {
	head := flow(width, "", "  ", lipgloss.NewStyle().Reverse(true).Bold(true).Render(" jmpub demo "), s.phase(), faint(s.clock()))
	facts := append(append([]string{""}, s.progress(width)...), "")
	for _, f := range s.facts(width) {
		facts = append(facts, flow(width, f.label, " · ", f.items...)...)
	}
	const fewMessages = 4
	if intro := flow(width, "", " ", strings.Fields(introduction)...); len(head)+len(intro)+len(facts)+fewMessages <= height {
		for _, line := range intro {
			head = append(head, faint(line))
		}
	}
	lines := slices.Concat(head, facts)
	lines = append(lines, s.messages(width, height-len(lines))...)
	return strings.Join(lines[:min(len(lines), height)], "\n")
}

// fact is a line of a frame.
type fact struct {
	label string
	items []string
}

func (s *State) facts(width int) []fact {
	rate := strong(Thousands(int64(s.RowsPerSecond)) + " rows/s")
	return []fact{
		{"published", []string{Good(Thousands(s.Published) + " messages"), alarming(s.Rejected, "rejected")}},
		{"topics", []string{
			"single " + Thousands(s.Events["single"]), "group " + Thousands(s.Events["group"]),
			"chatroom " + Thousands(s.Events["chatroom"]), "other " + Thousands(s.Events["other"]),
		}},
		{"position", s.position()},
		{"rate", []string{rate, accent(sparkline(s.Rates, width-labelWidth-lipgloss.Width(rate)-len(" · ")))}},
		{"requests", []string{Thousands(requests(&s.Snapshot)) + " sent", alarming(s.Retries, "retried")}},
		{"windows", []string{
			Thousands(s.Windows) + " committed", alarming(s.Restarts, "read again"), Thousands(s.Skipped+s.Repeated) + " repeated rows dropped",
		}},
		{"status", []string{s.StatusURL}},
	}
}

// alarming is a count that should be small.
func alarming(n int64, what string) string {
	text := Thousands(n) + " " + what
	if n > 0 {
		return warning(text)
	}
	return text
}

// published is up to where the history is published; zero before the first window.
func (s *State) published() time.Time {
	if len(s.Streams) == 0 {
		return time.Time{}
	}
	return s.Streams[0].Committed
}

// behind is how far that is behind the clock.
func (s *State) behind() time.Duration { return s.Now.Sub(s.published()).Round(time.Second) }

func (s *State) isLive() bool { return s.behind() < present }

func (s *State) phase() string {
	switch {
	case s.Ended:
		return strong("ended")
	case s.Stopping:
		return warning("ending: what is being published is brought to its end")
	case s.published().IsZero():
		return warning("starting")
	case s.isLive():
		return Good("live")
	default:
		return warning("catching up with the history")
	}
}

func (s *State) clock() string {
	text := s.Now.Sub(s.Started).Round(time.Second).String()
	if s.Length > 0 {
		text += " of " + s.Length.String()
	}
	if s.Stopping || s.Ended {
		return text
	}
	return text + ", Ctrl-C ends it"
}

func (s *State) position() []string {
	if s.published().IsZero() {
		return []string{"nothing is published yet"}
	}
	return []string{s.published().In(s.Zone).Format(time.DateTime) + " " + s.Zone.String(), s.behind().String() + " behind the clock"}
}

// estimate says how much of the history is published, and how long the rest takes at the mean speed so far.
func (s *State) estimate() (part float64, text string) {
	if s.published().IsZero() {
		return 0, "0 %"
	}
	if s.isLive() {
		return 1, "100 %"
	}
	took, came := s.Now.Sub(s.Started), s.published().Sub(s.Begin)
	part = max(0, came.Seconds()/s.Now.Sub(s.Begin).Seconds())
	text = fmt.Sprintf("%.0f %%", min(99, 100*part))
	if left := float64(s.behind()) * float64(took) / float64(came-took); came > took && !s.Stopping && !s.Ended {
		text += fmt.Sprintf(" · about %s left", time.Duration(left).Round(time.Second))
	}
	return part, text
}

// progress is a bar of all of a line, and the estimate.
func (s *State) progress(width int) []string {
	part, text := s.estimate()
	return flow(width, "", " ", bar(part, width-len(" ")-lipgloss.Width(text)), strong(text))
}

// bar is so many columns wide, a part of them full.
func bar(part float64, width int) string {
	width = max(0, width)
	full := max(0, min(width, int(part*float64(width))))
	return accent(strings.Repeat("█", full)) + faint(strings.Repeat("░", width-full))
}

// sparkline draws the last values, each as a column's height of the highest.
func sparkline(values []float64, width int) string {
	values = values[max(0, len(values)-max(0, width)):]
	if len(values) == 0 {
		return ""
	}
	bars := []rune("▁▂▃▄▅▆▇█")
	highest := max(slices.Max(values), 1)
	line := make([]rune, len(values))
	for i, v := range values {
		line[i] = bars[int(max(0, v)/highest*float64(len(bars)-1)+0.5)]
	}
	return string(line)
}

// messages shows the newest messages, in so many lines, and says of what time they are.
func (s *State) messages(width, height int) []string {
	if len(s.Latest) == 0 || height <= 0 {
		return nil
	}
	newest := s.Latest[0].Time
	heading := "newest messages, live"
	if age := s.Now.Sub(newest).Round(time.Second); age >= present {
		heading = fmt.Sprintf("newest messages so far, sent up to %s, %s ago", newest.In(s.Zone).Format(time.DateTime), age)
	}
	lines := []string{""}
	for _, line := range flow(width, "", " ", strings.Fields(heading)...) {
		lines = append(lines, strong(line))
	}
	const wide = 70
	layout := time.TimeOnly
	if width >= wide {
		layout = time.DateTime
	}
	for _, m := range s.Latest[:min(len(s.Latest), max(0, height-len(lines)))] {
		line := fmt.Sprintf("%s %s %s %s", faint(m.Time.In(s.Zone).Format(layout)), accent(fmt.Sprintf("%-8s", m.Topic)),
			strong(words.Line(m.From)+":"), words.Line(m.Text))
		lines = append(lines, ansi.Truncate(line, width, "…"))
	}
	return lines
}

// flow puts items, separated, into lines below each other, behind a label that the first line has. An item that is wider than a line
// is broken between its words.
func flow(width int, label, separator string, items ...string) []string {
	indent := 0
	if label != "" {
		indent = labelWidth
	}
	line := faint(label) + strings.Repeat(" ", indent-len(label))
	used, empty := indent, true
	var lines []string
	add := func(item, separator string) {
		if !empty && used+ansi.StringWidth(separator+item) > width {
			lines = append(lines, line)
			line, used, empty = strings.Repeat(" ", indent), indent, true
		}
		if empty && indent > 0 && indent+ansi.StringWidth(item) > width { // No room behind the label.
			lines = append(lines, strings.TrimRight(line, " "))
			line, used = "", 0
		}
		if !empty {
			item = separator + item
		}
		line, used, empty = line+item, used+ansi.StringWidth(item), false
	}
	for _, item := range items {
		if indent+ansi.StringWidth(item) <= width {
			add(item, separator)
			continue
		}
		for i, word := range strings.Fields(ansi.Strip(item)) {
			if i == 0 {
				add(word, separator)
			} else {
				add(word, " ")
			}
		}
	}
	return append(lines, line)
}

func requests(s *status.Snapshot) int64 {
	sum := int64(0)
	for _, n := range s.Requests {
		sum += n
	}
	return sum
}

// Thousands writes a number in groups of three.
func Thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

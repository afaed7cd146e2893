package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/status"
)

// view shows a running demo: a block of lines that is drawn over on a terminal, a line every few seconds elsewhere.
type view struct {
	out      io.Writer
	terminal bool
	status   *status.Status
	// reader follows the topics from their end, as a consumer would.
	reader *kgo.Client
	// drawn is how many lines the block has on the screen.
	drawn  int
	latest []string
}

const (
	drawEvery = 500 * time.Millisecond
	lineEvery = 3 * time.Second
	shown     = 5
	textWidth = 60
)

func newView(out io.Writer, s *status.Status, brokers, topics []string) (*view, error) {
	reader, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topics...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()),
		kgo.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("follow the topics: %w", err)
	}
	return &view{out: out, terminal: isTerminal(out), status: s, reader: reader}, nil
}

// run shows until ctx is done.
func (v *view) run(ctx context.Context) {
	defer v.reader.Close()
	every := lineEvery
	if v.terminal {
		every = drawEvery
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			v.draw(ctx)
			return
		case <-ticker.C:
			v.draw(ctx)
		}
	}
}

// message is what is shown of an event.
type message struct {
	Time         string `json:"time"`
	Conversation string `json:"conversation_id"`
	Type         string `json:"msg_type"`
	Text         string `json:"text"`
	From         struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"from"`
}

// collect takes the newest messages that have come in.
func (v *view) collect(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	records := v.reader.PollRecords(ctx, 10_000).Records()
	for _, r := range records[max(0, len(records)-shown):] {
		var m message
		if json.Unmarshal(r.Value, &m) != nil {
			continue // Only shown; the summary checks every one.
		}
		who := m.From.Name
		if who == "" {
			who = m.From.ID
		}
		what := m.Text
		if what == "" {
			what = "(" + m.Type + ")"
		}
		at, _, _ := strings.Cut(strings.Replace(m.Time, "T", " ", 1), ".")
		v.latest = append(v.latest, fmt.Sprintf("  %s  %-9s %s: %s",
			at, strings.TrimPrefix(r.Topic, "jmessage."), oneLine(who, 16), oneLine(what, textWidth)))
	}
	v.latest = v.latest[max(0, len(v.latest)-shown):]
}

// oneLine makes a foreign text safe for a terminal and short.
func oneLine(text string, width int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError || 0x80 <= r && r < 0xa0 || 0x202a <= r && r <= 0x202e {
			return ' '
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > width {
		text = string(runes[:width]) + "…"
	}
	return text
}

func (v *view) draw(ctx context.Context) {
	s := v.status.Snapshot()
	if !v.terminal {
		fmt.Fprintf(v.out, "%s rows, %.0f rows/s, lag %s; single %d, group %d, chatroom %d, other %d, rejected %d; "+
			"windows %d, read again %d\n", thousands(s.Rows), s.RowsPerSecond, lagOf(&s), s.Events["single"], s.Events["group"],
			s.Events["chatroom"], s.Events["other"], s.Rejected, s.Windows, s.Restarts)
		return
	}
	v.collect(ctx)
	lines := []string{
		fmt.Sprintf("rows      %s at %.0f rows/s", thousands(s.Rows), s.RowsPerSecond),
		fmt.Sprintf("lag       %s behind the source", lagOf(&s)),
		fmt.Sprintf("topics    single %s · group %s · chatroom %s · other %s · rejected %s", thousands(s.Events["single"]),
			thousands(s.Events["group"]), thousands(s.Events["chatroom"]), thousands(s.Events["other"]), thousands(s.Rejected)),
		fmt.Sprintf("API       %d requests, %d tried again; %d windows committed, %d read again",
			requests(&s), s.Retries, s.Windows, s.Restarts),
		"window    " + windowOf(&s),
		"",
		"messages",
	}
	lines = append(lines, v.latest...)
	var b strings.Builder
	// A line that is too long must not wrap: the block would have more lines than are drawn over the next time.
	b.WriteString("\x1b[?7l")
	if v.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.drawn) // Up to the block's first line.
	}
	for _, line := range lines {
		b.WriteString("\x1b[2K" + line + "\n")
	}
	v.drawn = max(v.drawn, len(lines))
	for range v.drawn - len(lines) {
		b.WriteString("\x1b[2K\n")
	}
	b.WriteString("\x1b[?7h")
	_, _ = io.WriteString(v.out, b.String()) // A closed terminal ends the process by signal.
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

package view_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/internal/view"
)

var update = flag.Bool("update", false, "write testdata anew")

// state is a demo at an instant when so much of its history of eight hours is published.
func state(part float64) *view.State {
	now := time.Date(2026, 11, 28, 12, 30, 45, 0, time.UTC)
	begin := now.Add(-8 * time.Hour)
	committed := begin.Add(time.Duration(part * float64(8*time.Hour)))
	s := &view.State{
		Snapshot: status.Snapshot{
			RowsPerSecond: 12345.6, Events: map[string]int64{"single": 144_321, "group": 100_987, "chatroom": 42_815, "other": 103},
			Published: 288_226, Skipped: 1_771, Repeated: 3, Rejected: 1_103, Windows: 56, Restarts: 3, Retries: 4,
			Requests: map[string]int64{"messages": 1_214}, Streams: []status.StreamSnapshot{{Committed: committed}},
		},
		Begin: begin, Started: now.Add(-12 * time.Second), Now: now, Length: 30 * time.Second, Zone: time.FixedZone("Asia/Shanghai", 8*3600),
		StatusURL: "http://127.0.0.1:41234",
	}
	for i := range 200 {
		s.Rates = append(s.Rates, float64(i*i%977))
	}
	for i := range 50 {
		s.Latest = append(s.Latest, view.Message{
			Time: committed.Add(-time.Duration(i) * time.Second), Topic: "chatroom", From: "李四 (Li Si)",
			Text: strings.Repeat("明天放假,请大家注意安全 👍 ", i%5),
		})
	}
	return s
}

// TestFrame draws what testdata has; -update writes it anew, to be looked at.
func TestFrame(t *testing.T) {
	history, live, ended := state(0.42), state(0.9999), state(0.42)
	ended.Ended, ended.Latest = true, nil
	for name, test := range map[string]struct {
		state         *view.State
		width, height int
	}{
		"history-80": {history, 80, 24}, "history-120": {history, 120, 30}, "history-60": {history, 60, 24}, "history-40": {history, 40, 24},
		"live-80": {live, 80, 24}, "ended-80": {ended, 80, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name+".txt")
			got := ansi.Strip(view.Frame(test.state, test.width, test.height)) + "\n"
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s has another frame than this one:\n%s", path, got)
			}
		})
	}
}

// TestFrameFits: no line is wider than the terminal, no frame is higher, and no number is cut or broken, however narrow it is.
func TestFrameFits(t *testing.T) {
	started := state(0)
	started.Streams, started.Latest, started.Rates = nil, nil, nil
	for _, s := range []*view.State{state(0.42), state(1), started} {
		for width := 24; width <= 200; width++ {
			for _, height := range []int{1, 16, 24} {
				lines := strings.Split(view.Frame(s, width, height), "\n")
				if len(lines) > height {
					t.Errorf("%dx%d: %d lines", width, height, len(lines))
				}
				for _, line := range lines {
					if got := lipgloss.Width(line); got > width {
						t.Errorf("%dx%d: %d columns: %s", width, height, got, line)
					}
				}
			}
			text := ansi.Strip(view.Frame(s, width, 40))
			for _, number := range []string{"288,226", "1,103", "12,345", "144,321", "100,987", "42,815", "103", "1,214", "1,774", s.StatusURL} {
				if !strings.Contains(text, number) {
					t.Fatalf("%d columns: %s is not whole in\n%s", width, number, text)
				}
			}
		}
	}
}

// TestFrameShowsMessagesOfStrangers: a wide character takes two columns, and nothing that a message says moves the cursor or turns
// the direction of the text.
func TestFrameShowsMessagesOfStrangers(t *testing.T) {
	s := state(1)
	for _, text := range []string{
		strings.Repeat("放假", 60), strings.Repeat("👍🏽", 60), "\x1b[2J\x1b[31mred\a\r\n\ttext", "a\u202egnp\u2066x\u200d", "\u009b2J", strings.Repeat("é", 200), "\xff\xfe",
	} {
		s.Latest = []view.Message{{Time: s.Now, Topic: "group", From: text, Text: text}}
		lines := strings.Split(view.Frame(s, 80, 24), "\n")
		last := lines[len(lines)-1]
		if lipgloss.Width(last) > 80 {
			t.Errorf("%q is %d columns wide", last, lipgloss.Width(last))
		}
		if strings.ContainsAny(ansi.Strip(last), "\x1b\a\r\t\u009b\u202e\u2066\u200d") || strings.Contains(last, "\x1b[2J") {
			t.Errorf("%q", last)
		}
	}
}

// TestFrameSaysOfWhatTimeMessagesAre: history is not taken for what is sent now.
func TestFrameSaysOfWhatTimeMessagesAre(t *testing.T) {
	for part, want := range map[float64]string{
		0.5: "newest messages so far, sent up to 2026-11-28 16:30:45, 4h0m0s ago", 1: "newest messages, live",
	} {
		if text := ansi.Strip(view.Frame(state(part), 120, 30)); !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

// TestFrameEstimates: the time left is what the rest takes at the speed so far, while the clock goes on.
func TestFrameEstimates(t *testing.T) {
	s := state(0.5)
	s.Started = s.Now.Add(-time.Minute)
	if text := ansi.Strip(view.Frame(s, 80, 24)); !strings.Contains(text, "50 % · about 1m0s left") {
		t.Error(text)
	}
	s.Started = s.Now.Add(-5 * time.Hour) // Slower than the clock: the end cannot be told.
	if text := ansi.Strip(view.Frame(s, 80, 24)); !strings.Contains(text, "50 %") || strings.Contains(text, "left") {
		t.Error(text)
	}
}

func ExampleThousands() {
	fmt.Println(view.Thousands(7), view.Thousands(1234), view.Thousands(-1234567))
	// Output: 7 1,234 -1,234,567
}

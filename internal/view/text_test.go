package view_test

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/view"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
	"github.com/jmpub/jmpub/source"
)

// TestTextsForPeople expects every text to have its times in the app's zone, which it names, with their dates; to fit 80 columns; and to
// count one thing as one.
func TestTextsForPeople(t *testing.T) {
	zone := time.FixedZone("Asia/Shanghai", 8*60*60)
	begin := time.Date(2026, 11, 27, 20, 30, 0, 0, time.UTC) // The next day in Shanghai.
	messages := pipeline.Stream{Kind: pipeline.StreamMessages}
	window := pipeline.Window{Begin: begin, End: begin.Add(time.Hour)}
	ledger := &pipeline.Ledger{Stream: messages, Window: window, Rows: 1234567, Published: 1234560, Skipped: 6, Rejected: 1, Requests: 1, Restarts: 1}
	for i := range int32(20) {
		ledger.Offsets = append(ledger.Offsets, pipeline.OffsetRange{Topic: "jmessage.chatroom", Partition: i, First: 12_345_678, Last: 12_345_999})
	}
	sums := audit.NewSums(time.Hour, zone)
	sums.Add(ledger)
	checkpoint := pipeline.Checkpoint{Stream: messages, End: begin, SavedAt: begin, Backlog: []pipeline.Backlog{{End: begin.Add(-time.Hour), Until: begin}}}
	replay := checkpoint
	unreadable := pipeline.Checkpoint{Stream: messages, Damage: errors.New(strings.Repeat("it is damaged, and 消息 tells how. ", 10))}
	var paused pipeline.Pause
	for i := range 20 {
		paused = paused.With(pipeline.Stream{Kind: pipeline.StreamGroups, Name: strconv.Itoa(10055201 + i)}, true)
	}
	paused.By, paused.At = "alice", begin
	replay.Replay, replay.Backlog = "20261127T200000Z-20261127T210000Z-0e9a4695", nil

	var out bytes.Buffer
	p := &view.Printer{Out: &out, Zone: zone}
	report := &view.AuditReport{Printer: p, Notes: &out}
	for name, show := range map[string]func() error{
		"positions": func() error {
			return p.Positions([]pipeline.Checkpoint{checkpoint, replay, unreadable}, &paused, begin.Add(time.Minute))
		},
		"paused": func() error { return p.Pause(&paused) },
		"reset":  func() error { return p.Reset(&checkpoint, begin) },
		"windows": func() error {
			if err := p.WindowHeading(); err != nil {
				return err
			}
			return p.Window(ledger)
		},
		"sums":  func() error { return p.Sums(sums) },
		"holes": func() error { return p.Holes([]audit.Hole{{Stream: "messages", Window: window}}) },
		"cost": func() error {
			return p.Cost(&operate.Cost{From: begin, To: window.End, Rows: 1, Windows: 1, Requests: 1, Rate: source.Rate{Requests: 1, Per: time.Second}}, "jmessage.*")
		},
		"replay": func() error {
			return p.ReplayResult(&operate.ReplayResult{Published: 1, Rejected: 1, ThisRun: 1, Windows: 1, Requests: 1}, "jmessage.*")
		},
		"apps": func() error { return p.Fleet(fleetAt(begin), "jmessage", begin) },
		"audit": func() error {
			return report.Result(&operate.AuditResult{Windows: 1, Rows: 1, Requests: 1, Holes: 1})
		},
	} {
		out.Reset()
		if err := show(); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		for line := range strings.Lines(text) {
			if utf8.RuneCountInString(line) > 81 {
				t.Errorf("%s: wider than 80 columns: %s", name, line)
			}
		}
		zoned := strings.Contains(text, "+08:00") && strings.Contains(text, "2026-11-28")
		if timeless := name == "replay" || name == "audit"; !timeless && !zoned || strings.Contains(text, "2026-11-27") {
			t.Errorf("%s: not in the app's zone, or without it, or without a date:\n%s", name, text)
		}
		for _, many := range []string{" 1 rows", " 1 windows", " 1 requests", "1 events", "1 rejected rows", "1 times", "1 stretches", "1 windows were"} {
			if strings.Contains(" "+text, many) {
				t.Errorf("%s: %q in\n%s", name, many, text)
			}
		}
	}
}

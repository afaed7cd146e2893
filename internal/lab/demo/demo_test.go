package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/view"
)

// TestScreenAndVerdictAgree: an interrupted demo is judged all the same, and what the screen shows last is what the topics are found
// to hold, in text and in JSON.
func TestScreenAndVerdictAgree(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	o := Defaults()
	o.History = 20 * time.Minute
	var screen, verdict bytes.Buffer
	summary, err := Run(ctx, o, &screen)
	if err != nil {
		t.Fatal(err)
	}
	if !summary.OK() || summary.Published+summary.Rejected != int64(summary.Records) {
		t.Errorf("%+v", summary)
	}
	summary.WriteText(&verdict)
	published, rejected := view.Thousands(summary.Published), view.Thousands(summary.Rejected)
	for text, want := range map[string]string{
		screen.String():  fmt.Sprintf("published  %s messages · %s rejected\n", published, rejected),
		verdict.String(): fmt.Sprintf("published  %s messages and %s rejected rows\n", published, rejected),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	var document struct {
		Seconds   float64 `json:"seconds"`
		Published int64   `json:"published"`
		Records   int64   `json:"records"`
	}
	text, err := json.Marshal(summary)
	if err != nil {
		t.Fatal(err)
	}
	if err = json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	if document.Seconds < 3 || document.Published != summary.Published || document.Records == 0 {
		t.Errorf("%s", text)
	}
}

// TestSummarySaysWhatDiffers: counts that do not agree are no success, even if no row is missing.
func TestSummarySaysWhatDiffers(t *testing.T) {
	s := Summary{Published: 1_500, Rejected: 1, Records: 1_500, zone: time.UTC}
	var text bytes.Buffer
	s.WriteText(&text)
	if s.OK() || !strings.Contains(text.String(), "1,500 of 1,501 records") || !strings.Contains(text.String(), "NOT as it should be") {
		t.Errorf("OK is %t: %s", s.OK(), text.String())
	}
}

// TestFollowerKeepsWhatWasSentLast: by the messages' own time, however they arrive.
func TestFollowerKeepsWhatWasSentLast(t *testing.T) {
	noon := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	record := func(minute int) *kgo.Record {
		return &kgo.Record{Topic: "jmessage.group", Value: fmt.Appendf(nil, `{"time":%q,"msg_type":"text","text":"%d"}`,
			noon.Add(time.Duration(minute)*time.Minute).Format(time.RFC3339), minute)}
	}
	var f follower
	f.take([]*kgo.Record{record(99), record(100)}) // Live,
	for minute := range 80 {                       // and then history from another partition.
		f.take([]*kgo.Record{record(minute), {Value: []byte("no event")}})
	}
	newest := f.newest()
	if len(newest) != kept || newest[0].Text != "100" || newest[1].Text != "99" || newest[2].Text != "79" || newest[0].Topic != "group" {
		t.Errorf("%d messages: %+v", len(newest), newest[:min(3, len(newest))])
	}
}

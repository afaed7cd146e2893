package operate

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// TestLogIsNotFlooded repeats the same trouble for an hour and expects a line a minute, which counts the others.
func TestLogIsNotFlooded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		o := logObserver(slog.New(slog.NewJSONHandler(&out, nil)))
		for range 3600 {
			o.Retry("produce to jmessage.single", errors.New("no leader"), time.Second)
			o.Retry("commit the transaction", errors.New("busy"), 20*time.Millisecond) // Everyday business.
			o.Tell(pipeline.RowRejected{
				Stream: pipeline.Stream{Kind: pipeline.StreamMessages}, Rejection: event.Rejection{Reason: event.ReasonMsgIDAbsent},
			})
			time.Sleep(time.Second)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) < 100 || len(lines) > 130 {
			t.Errorf("%d lines in an hour, want about 120", len(lines))
		}
		if !strings.Contains(out.String(), `"not_logged":59`) {
			t.Errorf("no line counts what was not logged: %s", lines[2])
		}
	})
}

// TestDurationsHaveUnits reads what is logged of durations, in JSON, where a bare number would not tell its unit.
func TestDurationsHaveUnits(t *testing.T) {
	var out bytes.Buffer
	o := logObserver(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	o.Retry("get page", errors.New("busy"), 282*time.Millisecond+time.Microsecond)
	o.Tell(pipeline.WindowCommitted{Ledger: &pipeline.Ledger{Duration: 1500 * time.Millisecond}})
	o.Tell(pipeline.StreamsDiscovered{Sweep: 90 * time.Second})
	for _, want := range []string{`"wait":"282ms"`, `"took":"1.5s"`, `"sweep":"1m30s"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log lacks %s: %s", want, out.String())
		}
	}
}

// TestClocksThatDisagreeAreLogged logs that the clocks begin to disagree and that it is over, and nothing of the replies between.
func TestClocksThatDisagreeAreLogged(t *testing.T) {
	var out bytes.Buffer
	o := logObserver(slog.New(slog.NewJSONHandler(&out, nil)))
	local := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	ahead := local.Add(70 * 24 * time.Hour)
	for _, c := range []pipeline.ClocksCompared{
		{Server: ahead, Local: local, Disagree: true, Changed: true},
		{Server: ahead, Local: local, Disagree: true},
		{Server: local, Local: local, Changed: true},
		{Server: local, Local: local},
	} {
		o.Tell(c)
	}
	log := out.String()
	for _, want := range []string{
		`"level":"WARN"`, `"api":"2027-02-02T10:00:00Z","local":"2026-11-24T10:00:00Z","difference":"1680h0m0s"`, `agree again`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s: %s", want, log)
		}
	}
	if n := strings.Count(log, "\n"); n != 2 {
		t.Errorf("%d lines: %s", n, log)
	}
}

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

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
)

// TestCheckpointInTheFuture starts a run whose position a clock that was wrong has left in the future, by days or by centuries: it
// leaves at once with the command that corrects it, and goes on after that command from the time that it names, without losing a row.
func TestCheckpointInTheFuture(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	dir := filepath.Join(t.TempDir(), "positions")
	s.env["JMPUB_CHECKPOINT"] = "file:" + dir
	stop := s.run()
	s.await(s.end)
	stop()
	stopped := time.Now()
	stood, _ := s.position()
	to := stood.End.UTC()
	files, err := filepath.Glob(filepath.Join(dir, "*.checkpoint.json"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	for _, future := range []string{time.Now().AddDate(0, 0, 10).UTC().Format("2006-01-02T15:04:05Z"), "2306-01-01T00:00:00Z"} {
		content, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		own := regexp.MustCompile(`"end_time": ?"[^"]*"`).Find(content) // The first; the others are those of ranges.
		changed := bytes.Replace(content, own, fmt.Appendf(nil, `"end_time":%q`, future), 1)
		if err = os.WriteFile(files[0], changed, 0o600); err != nil { //nolint:gosec // The test's own folder.
			t.Fatal(err)
		}
		if got := try(t, s.env, "run"); got.code != exitFailed || !strings.Contains(got.stderr, "jmpub checkpoint reset messages --to") ||
			!strings.Contains(got.stderr, future) {
			t.Errorf("run: exit code %d: %s", got.code, got.stderr)
		}
		if got := try(t, s.env, "checkpoint", "reset", "messages", "--to", to.Format(time.RFC3339), "--yes"); got.code != exitDone {
			t.Fatalf("reset: exit code %d: %s", got.code, got.stderr)
		}
	}
	stop = s.run()
	s.await(time.Now().Add(-5 * time.Second))
	stop()
	after, _ := s.position()
	s.compare("jmessage", func(yield func(verify.TruthRow) bool) {
		for r := range s.api.Truth(sim.Range{Begin: s.begin, End: time.Now()}) {
			row := verify.TruthRow{MsgID: r.MsgID, HasMsgID: r.HasMsgID, Target: r.Target, Row: r.Raw, Optional: !r.Time.Before(after.End)}
			if !yield(row) {
				return
			}
			// The second in which the position was has been published already, and what was published early behind it.
			row.Optional = true
			if within(r.Time, to, stopped) == 1 && !yield(row) {
				return
			}
		}
	})
}

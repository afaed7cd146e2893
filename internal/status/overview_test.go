package status_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/pipeline"
)

// TestVerdict has the one sentence say what holds.
func TestVerdict(t *testing.T) {
	behind := func(s *status.Status, backlog time.Duration) {
		publishSome(s)
		c := window(messages(), time.Now().Add(-10*time.Second), 5)
		c.Checkpoint.Backlog = []pipeline.Backlog{{End: time.Now().Add(-backlog), Until: time.Now().Add(-time.Minute)}}
		s.Observer().Tell(c)
	}
	for name, tc := range map[string]struct {
		set  func(first, second *status.Status)
		code string
		// text has a part of the sentence.
		text string
	}{
		"nothing was read yet":  {func(_, _ *status.Status) {}, status.VerdictStarting, "nothing was read yet"},
		"all is published":      {func(a, b *status.Status) { publishSome(a); publishSome(b) }, status.VerdictPublished, "everything up to 2000-01-01 07:59:50 is in Kafka"},
		"another process's":     {func(a, b *status.Status) { a.StandBy(true); b.StandBy(true) }, status.VerdictStandby, "stands by"},
		"one failed":            {func(a, b *status.Status) { publishSome(a); b.Fail(errors.New("refused")) }, status.VerdictFailed, "1 of 2 apps is not published: second: refused"},
		"history is on its way": {func(a, b *status.Status) { publishSome(a); behind(b, time.Hour) }, status.VerdictCatchingUp, "new messages up to 2000-01-01 07:59:50 are in Kafka, and history up to 2000-01-01 07:00:00"},
		"one is paused": {func(a, b *status.Status) {
			publishSome(a)
			publishSome(b)
			b.Observer().Tell(pipeline.PauseRead{Pause: pipeline.Pause{App: true, By: "ops", At: time.Now()}})
		}, status.VerdictPaused, "second: "},
		"the API forgets it soon": {func(a, b *status.Status) { publishSome(a); behind(b, 58*24*time.Hour) }, status.VerdictWarning, "second: "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := status.NewProcess(status.ProcessOptions{Many: true})
				add := func(key string) *status.Status {
					o := app(key, "")
					o.Zone = time.FixedZone("Asia/Shanghai", 8*60*60)
					s := p.Add(o)
					s.StandBy(false)
					return s
				}
				tc.set(add("first"), add("second"))
				got := p.Overview()
				if got.Verdict.Code != tc.code || !strings.Contains(got.Verdict.Text, tc.text) || got.TimeZone != "Asia/Shanghai" {
					t.Errorf("%+v of %s, want %s with %q", got.Verdict, got.TimeZone, tc.code, tc.text)
				}
			})
		})
	}
}

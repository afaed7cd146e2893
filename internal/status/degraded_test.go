package status_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/pipeline"
)

// TestDegraded tells of an API and a Kafka that do not answer, while the app is ready still.
func TestDegraded(t *testing.T) {
	for _, many := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var silent time.Time
			p := status.NewProcess(status.ProcessOptions{Many: many, KafkaSilentSince: func() time.Time { return silent }})
			s := p.Add(app("a", ""))
			s.StandBy(false)
			publishSome(s)
			ask := func(class string, took time.Duration) {
				s.Observer().Tell(pipeline.RequestAnswered{Stream: messages(), Class: class, Took: took})
			}
			expect := func(says ...string) {
				t.Helper()
				code, body := get(t, p, "/readyz")
				if code != http.StatusOK || strings.Contains(body, "degraded") != (len(says) > 0) {
					t.Errorf("many apps: %t, %d: %s", many, code, body)
				}
				for _, want := range says {
					if !strings.Contains(strings.ReplaceAll(body, `": `, `":`), want) {
						t.Errorf("many apps: %t, it lacks %s: %s", many, want, body)
					}
				}
			}
			stamp := func(at time.Time) string {
				return `"since":"` + at.UTC().Truncate(time.Second).Format(time.RFC3339) + `"`
			}
			time.Sleep(time.Minute)
			began := time.Now()
			ask("server_error", 0)
			time.Sleep(29 * time.Second)
			ask("network", 0)
			expect()
			time.Sleep(time.Second)
			expect("the API gives no answer of use: network", stamp(began))
			ask("rate_limited", 0)
			expect()
			ask("network", 30*time.Second) // It was waited for.
			expect("the API gives no answer of use: network", stamp(time.Now().Add(-30*time.Second)))
			s.StandBy(true)
			silent = time.Now().Add(-40 * time.Second)
			expect("Kafka does not answer", stamp(silent))
			silent = time.Now().Add(-20 * time.Second)
			expect()
		})
	}
}

// TestSummary says what the process does, and whether it does it.
func TestSummary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := time.Time{}
		p := status.NewProcess(status.ProcessOptions{Many: true, KafkaSilentSince: func() time.Time { return silent }})
		expect := func(want string, works bool) {
			t.Helper()
			if got, does := p.Summary(); got != want || does != works {
				t.Errorf("%q, %t; want %q, %t", got, does, want, works)
			}
		}
		a := p.Add(app("a", ""))
		expect("starting", false)
		a.StandBy(true)
		expect("standing by: another process publishes the app", true)
		a.StandBy(false)
		expect("starting", false)
		publishSome(a)
		expect("publishing, 10 s behind the clock, 0 rows/s", true)
		silent = time.Now().Add(-time.Minute)
		expect("publishing, 10 s behind the clock, 0 rows/s; Kafka does not answer since 1999-12-31T23:59:00Z", true)
		silent = time.Time{}
		b := p.Add(app("b", ""))
		expect("2 apps: 1 published, 1 starting, 0 failed, 0 with other processes; b: nothing was read of messages in the last 5m0s", true)
		b.StandBy(true)
		expect("2 apps: 1 published, 0 starting, 0 failed, 1 with other processes", true)
	})
}

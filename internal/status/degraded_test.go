package status_test

import (
	"errors"
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
			ask("not_found", 0)
			expect()
			ask("network", 30*time.Second) // It was waited for.
			expect("the API gives no answer of use: network", stamp(time.Now().Add(-30*time.Second)))
			s.StandBy(true)
			silent = time.Now().Add(-40 * time.Second)
			expect("Kafka does not answer", stamp(silent))
			silent = time.Now().Add(-20 * time.Second)
			expect()
			if err := p.KafkaSilent(); err == nil {
				t.Error("somebody would wait for an answer that did not come in 20 s")
			}
			silent = time.Now().Add(-9 * time.Second)
			if err := p.KafkaSilent(); err != nil {
				t.Errorf("after 9 s: %v", err)
			}
		})
	}
}

// TestLateMessagesAreExplained has messages come late, for each reason that the process can know: what is said of it is the same for people,
// on the page and by commands, and for programs. Nothing is said while they come in time, or when it is over.
func TestLateMessagesAreExplained(t *testing.T) {
	const long = time.Minute
	for name, tc := range map[string]struct {
		code, text string
		// begin makes it so, again and again for a while.
		begin func(s *status.Status)
		// end is the first thing that works again.
		end func(s *status.Status)
	}{
		"somebody else has used the quota up": {
			status.WarningQuota, "this process has made 4 in the last minute of 100, since ",
			func(s *status.Status) {
				s.Observer().Tell(pipeline.QuotaTold{Limit: 100})
				s.Observer().Tell(pipeline.RequestAnswered{Stream: messages(), Class: "rate_limited"})
			},
			func(*status.Status) { time.Sleep(long) }, // Quotas are for a minute.
		},
		"the API is slow": {
			status.WarningAPISlow, "the API takes 20s for an answer, since ",
			func(s *status.Status) {
				s.Observer().Tell(pipeline.RequestAnswered{Stream: messages(), Class: "ok", Took: 20 * time.Second})
			},
			func(s *status.Status) {
				s.Observer().Tell(pipeline.RequestAnswered{Stream: messages(), Class: "ok", Took: time.Second})
			},
		},
		"Kafka is slow": {
			status.WarningKafkaSlow, "Kafka takes 8s for a transaction, since ",
			func(s *status.Status) {
				s.Observer().Tell(pipeline.TransactionEnded{Result: pipeline.Committed, Took: 8 * time.Second})
			},
			func(s *status.Status) {
				s.Observer().Tell(pipeline.TransactionEnded{Result: pipeline.Committed, Took: time.Second})
			},
		},
		"Kafka takes nothing": {
			status.WarningRetries, "what fails is tried again and again: not enough replicas, since ",
			func(s *status.Status) {
				s.Observer().Tell(pipeline.RetryScheduled{Op: "produce", Err: errors.New("not enough replicas")})
			},
			func(s *status.Status) {
				s.Observer().Tell(pipeline.TransactionEnded{Result: pipeline.Committed, Took: time.Second})
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := status.NewProcess(status.ProcessOptions{Many: true})
				s := p.Add(app("a", ""))
				s.StandBy(false)
				publishSome(s)
				says := func() (code, text string) {
					detail, _ := p.App(status.AppName{AppKey: "a"})
					overview := p.Overview()
					if len(detail.Warnings) != len(overview.Warnings) {
						t.Errorf("of the app %v, of all %v", detail.Warnings, overview.Warnings)
					}
					_, ready := get(t, p, "/readyz")
					for _, w := range detail.Warnings {
						code, text = w.Code, w.Text
						if !strings.Contains(ready, strings.Split(w.Text, ", since")[0]) || overview.Verdict.Level != status.LevelWarning {
							t.Errorf("%+v; ready: %s", overview.Verdict, ready)
						}
					}
					return code, text
				}
				for range 2 {
					tc.begin(s)
					s.Observer().Tell(pipeline.HeadRead{Stream: messages(), End: time.Now()}) // In time all the same.
					s.Observer().Tell(window(messages(), time.Now(), 1))
					time.Sleep(10 * time.Second)
				}
				if code, text := says(); code != "" {
					t.Errorf("in time: %s, %s", code, text)
				}
				for range 5 {
					tc.begin(s)
					time.Sleep(14 * time.Second)
				}
				if code, text := says(); code != tc.code || !strings.Contains(text, tc.text) {
					t.Errorf("late: %s, %q; want %s, %q", code, text, tc.code, tc.text)
				}
				time.Sleep(long)
				tc.end(s)
				if code, text := says(); code != "" {
					t.Errorf("once it is over: %s, %s", code, text)
				}
			})
		})
	}
}

// TestHiccupsOfASilentStreamAreNoTrouble: its position stands still for minutes, and a request that fails now and then is answered at the next try.
func TestHiccupsOfASilentStreamAreNoTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := status.NewProcess(status.ProcessOptions{})
		s := p.Add(app("a", ""))
		s.StandBy(false)
		publishSome(s)
		for range 5 {
			s.Observer().Tell(pipeline.RetryScheduled{Op: "get", Err: errors.New("HTTP 502")})
			time.Sleep(time.Second)
			s.Observer().Tell(pipeline.RequestAnswered{Stream: messages(), Class: "ok"})
			s.Observer().Tell(pipeline.HeadRead{Stream: messages(), End: time.Now()})
			time.Sleep(39 * time.Second)
			if w := p.Overview().Warnings; len(w) > 0 {
				t.Fatalf("%+v", w)
			}
		}
	})
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

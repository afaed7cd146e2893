package source

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// gatewayAnswers are refusals that are not the API's own.
var gatewayAnswers = map[string]answer{
	"gateway's 404":            {status: 404, body: "<html>404 page not found</html>"},
	"gateway's 404, as JSON":   {status: 404, body: `{"message":"no Route matched with those values"}`},
	"gateway's 404, as a code": {status: 404, body: `{"code":404,"message":"Not Found"}`},
	"proxy's 403":              {status: 403, body: "<html>blocked</html>"},
	"login page":               {status: 302, header: map[string]string{"Location": "https://login.test/"}},
	"bare 401":                 {status: 401},
	"proxy's 407":              {status: 407},
	"bare 400":                 {status: 400, body: "Bad Request"},
	"gone":                     {status: 410},
}

// TestGatewayAnswersAreTriedAgain reads a window, and then one whose request somebody else answers for a while.
func TestGatewayAnswersAreTriedAgain(t *testing.T) {
	for name, refusal := range gatewayAnswers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				back := time.Now().Add(29 * time.Minute)
				refusal.date = time.Hour
				good, bad := &script{answers: []answer{page(0, "")}}, &script{answers: []answer{refusal}}
				cfg := testConfig(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if len(good.requests()) > 0 && time.Now().Before(back) {
						bad.ServeHTTP(w, r)
						return
					}
					good.ServeHTTP(w, r)
				}))
				var told []time.Time
				cfg.GiveUp = 30 * time.Minute
				cfg.Retry.Notify = func(string, error, time.Duration) { told = append(told, time.Now()) }
				var ahead time.Duration
				cfg.Observer = func(o pipeline.Observation) {
					if clocks, ok := o.(pipeline.ClocksCompared); ok {
						ahead = max(ahead, clocks.Server.Sub(clocks.Local))
					}
				}
				c := newTestClient(t, cfg)
				for range 2 {
					if _, err := readAll(t.Context(), c, messages(), settled(time.Minute)); err != nil {
						t.Fatal(err)
					}
				}
				if ahead > time.Minute {
					t.Errorf("the API's clock is taken to be %v ahead, by the Date of somebody else", ahead)
				}
				if len(told) == 0 || told[0].Sub(back.Add(-29*time.Minute)) > time.Second {
					t.Errorf("told at %v, want at once", told)
				}
				// Where it lasts, the run ends.
				back = time.Now().Add(time.Hour)
				started := time.Now()
				_, err := readAll(t.Context(), c, messages(), settled(time.Minute))
				if _ = wantFault(t, err, pipeline.Permanent); !errors.Is(err, ErrGateway) {
					t.Errorf("got %v, want %v", err, ErrGateway)
				}
				if took := time.Since(started); took < 30*time.Minute || took > 31*time.Minute {
					t.Errorf("given up after %v, want half an hour", took)
				}
			})
		})
	}
}

// TestGatewayAnswersAtTheStartEndIt does not wait for an API that has never answered: the address may be wrong.
func TestGatewayAnswersAtTheStartEndIt(t *testing.T) {
	for name, refusal := range gatewayAnswers {
		s := &script{answers: []answer{refusal}}
		cfg := testConfig(s)
		cfg.GiveUp = 30 * time.Minute
		_, err := newTestClient(t, cfg).Now(t.Context(), messages())
		if _ = wantFault(t, err, pipeline.Permanent); !errors.Is(err, ErrGateway) || len(s.requests()) != 1 {
			t.Errorf("%s: %d requests, %v, want %v at once", name, len(s.requests()), err, ErrGateway)
		}
	}
}

// TestDenialsAreTriedAFewTimes is one of several nodes that does not know the app, and then all of them.
func TestDenialsAreTriedAFewTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		denied := answer{status: 401, body: apiErrorBody(899008)}
		for _, test := range []struct {
			times int
			fails bool
		}{{1, false}, {mostDenials, false}, {mostDenials + 1, true}} {
			s := &script{answers: []answer{page(0, "")}}
			for range test.times {
				s.answers = append(s.answers, denied)
			}
			s.answers = append(s.answers, page(0, ""))
			c := newTestClient(t, testConfig(s))
			if _, err := readAll(t.Context(), c, messages(), settled(time.Minute)); err != nil {
				t.Fatal(err)
			}
			_, err := readAll(t.Context(), c, messages(), settled(time.Minute))
			if (err != nil) != test.fails {
				t.Errorf("denied %d times: %v", test.times, err)
			}
			if err != nil && errors.Is(wantFault(t, err, pipeline.Permanent), ErrGateway) {
				t.Errorf("%v is not the API's own", err)
			}
		}
	})
}

// TestTheAPIsOwnCodesAreFinal does not repeat what the API has understood and refused.
func TestTheAPIsOwnCodesAreFinal(t *testing.T) {
	s := &script{answers: []answer{page(0, ""), {status: 400, body: apiErrorBody(899003)}}}
	cfg := testConfig(s)
	cfg.GiveUp = time.Hour
	c := newTestClient(t, cfg)
	if _, err := readAll(t.Context(), c, messages(), settled(time.Minute)); err != nil {
		t.Fatal(err)
	}
	_, err := readAll(t.Context(), c, messages(), settled(time.Minute))
	if _ = wantFault(t, err, pipeline.Permanent); len(s.requests()) != 2 {
		t.Errorf("%d requests, want 2", len(s.requests()))
	}
}

// TestOneServiceSaysNothingOfAnother leaves statistics at once that the app has no right to, however well messages are answered.
func TestOneServiceSaysNothingOfAnother(t *testing.T) {
	s := &script{answers: []answer{page(0, ""), {status: 403}}}
	cfg := testConfig(s)
	cfg.GiveUp = time.Hour
	c := newTestClient(t, cfg)
	if _, err := readAll(t.Context(), c, messages(), settled(time.Minute)); err != nil {
		t.Fatal(err)
	}
	day := pipeline.PeriodOf(pipeline.Day, time.Now().In(cfg.TimeZone))
	_, _, err := c.Statistics(t.Context(), pipeline.Stream{Kind: pipeline.StreamStatistics, Name: "users"}, day, 1)
	if _ = wantFault(t, err, pipeline.Drop); len(s.requests()) != 2 {
		t.Errorf("%d requests, want 2", len(s.requests()))
	}
}

// strangerOnce is a host with another certificate that answers the second request.
type strangerOnce struct {
	inMemory

	n int
}

// RoundTrip refuses the second host.
func (s *strangerOnce) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.n++; s.n == 2 {
		return nil, &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
	}
	return s.inMemory.RoundTrip(r)
}

// TestStrangersCertificatePasses has another host answer once in between.
func TestStrangersCertificatePasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(nil)
		cfg.GiveUp = time.Minute
		cfg.Transport = &strangerOnce{inMemory: inMemory{&script{answers: []answer{page(0, "")}}}}
		c := newTestClient(t, cfg)
		for range 2 {
			if _, err := readAll(t.Context(), c, messages(), settled(time.Minute)); err != nil {
				t.Error(err)
			}
		}
	})
}

package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const alice = "0123456789abcdef"

// ask makes a request as a friend makes it, unless it is changed.
func ask(t *testing.T, h http.Handler, method, path, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://localhost:9464"+apiPath+path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:1234"
	r.Header.Set("Authorization", "Bearer "+alice)
	r.Header.Set(changeHeader, "1")
	r.Header.Set("Content-Type", "application/json")
	for _, do := range change {
		do(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// header is a change of a request's header; without values it has none.
func header(name string, values ...string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Del(name)
		for _, value := range values {
			r.Header.Add(name, value)
		}
	}
}

// changes are all calls that need a token, and what a friend is answered.
var changes = []struct {
	method, path, pattern, body string
	code                        int
}{
	{"POST", "/apps/app/reset", "/apps/{app_key}/reset", `{"stream":"messages","to":"1h","dry_run":true}`, 200},
	{"POST", "/apps/app/replays", "/apps/{app_key}/replays", `{"from":"2h","to":"1h"}`, 409},
	{"DELETE", "/apps/app/replays/again", "/apps/{app_key}/replays/{id}", "", 200},
	{"POST", "/apps/app/audits", "/apps/{app_key}/audits", `{"from":"2h","to":"1h"}`, 202},
	{"GET", "/apps/app/audits/1", "/apps/{app_key}/audits/{id}", "", 200},
	{"GET", "/apps/app/audits/2", "/apps/{app_key}/audits/{id}", "", 404},
	{"POST", "/apps/app/pause", "/apps/{app_key}/pause", `{"stream":"messages"}`, 200},
	{"POST", "/apps/app/resume", "/apps/{app_key}/resume", `{}`, 200},
}

// TestChangesNeedAToken: whoever has none, a wrong one, one in another place or only a part of one changes nothing, and is told nothing.
func TestChangesNeedAToken(t *testing.T) {
	doc := api(t)
	for _, c := range changes {
		answered := func(local bool, want int, change ...func(*http.Request)) {
			t.Helper()
			w := ask(t, apiServer().root(local), c.method, c.path, c.body, change...)
			if w.Code != want {
				t.Errorf("%s %s: %d, want %d: %s", c.method, c.path, w.Code, want, w.Body)
			}
			if w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: headers %v", c.method, c.path, w.Header())
			}
			if !local && len(change) == 1 && (want == http.StatusMethodNotAllowed || want == http.StatusNotFound) {
				return // It is not there.
			}
			if err := doc.Answer(c.method+" "+apiPath+c.pattern, w.Code, w.Header().Get("Content-Type"), w.Body.Bytes()); err != nil {
				t.Error(err)
			}
		}
		for _, local := range []bool{true, false} {
			answered(local, c.code)
			answered(local, c.code, header("Authorization", "bearer fedcba9876543210"))
			for _, wrong := range [][]string{
				{"Bearer 0123456789abcdeX"},
				{"Bearer " + alice[:15]},
				{"Bearer " + alice + "0"},
				{"Bearer"},
				{"Bearer "},
				{"Bearer  " + alice},
				{alice},
				{"Basic " + alice},
				{""},
				{"Bearer " + alice, "Bearer " + alice},
			} {
				answered(local, http.StatusUnauthorized, header("Authorization", wrong...))
			}
		}
		none := http.StatusNotFound
		if c.method != http.MethodGet {
			none = http.StatusMethodNotAllowed
		}
		nothing := header("Authorization")
		answered(true, http.StatusUnauthorized, nothing)
		answered(false, none, nothing)
		answered(true, http.StatusUnauthorized, nothing, func(r *http.Request) { r.URL.RawQuery = "token=" + alice + "&access_token=" + alice })
		answered(true, http.StatusUnauthorized, nothing, header("Cookie", "token="+alice), header("X-Jmpub-Token", alice))
		without := apiServer()
		o := without.opts
		o.Tokens = nil
		for _, local := range []bool{true, false} {
			if w := ask(t, New(o).root(local), c.method, c.path, c.body); w.Code != none {
				t.Errorf("%s %s, and there are no tokens: %d, want %d", c.method, c.path, w.Code, none)
			}
		}
	}
}

// TestATokenShowsEverything to who comes from another machine, and nothing is shown without.
func TestATokenShowsEverything(t *testing.T) {
	h := apiServer().root(false)
	for _, path := range []string{"/overview", "/apps", "/apps/app/checkpoints"} {
		if w := ask(t, h, http.MethodGet, path, ""); w.Code != http.StatusOK {
			t.Errorf("%s: %d: %s", path, w.Code, w.Body)
		}
		if w := ask(t, h, http.MethodGet, path, "", header("Authorization")); w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "app") {
			t.Errorf("%s to strangers: %d: %s", path, w.Code, w.Body)
		}
	}
}

// TestOtherSitesChangeNothing: a web page that has a browser call this server, with a token that the browser was given or without.
func TestOtherSitesChangeNothing(t *testing.T) {
	h := apiServer().root(true)
	for _, c := range changes {
		if c.method == http.MethodGet {
			continue
		}
		for want, requests := range map[int][][]func(*http.Request){
			http.StatusForbidden: {
				{header(changeHeader)},
				{header(changeHeader, "0")},
				{header("Sec-Fetch-Site", "cross-site")},
				{header("Sec-Fetch-Site", "same-site")},
				{header("Origin", "http://evil.example")},
				{header("Origin", "http://localhost:8080")},
				{header("Origin", "null")},
			},
			http.StatusMisdirectedRequest: {
				{func(r *http.Request) { r.Host = "evil.example" }},
				{func(r *http.Request) { r.Host = "evil.example" }, header("Origin", "http://evil.example"), header("Sec-Fetch-Site", "same-origin")},
			},
			c.code: {
				{header("Sec-Fetch-Site", "same-origin"), header("Origin", "http://localhost:9464")},
				{header("Origin", "http://localhost:9464")},
			},
		} {
			for i, change := range requests {
				if w := ask(t, h, c.method, c.path, c.body, change...); w.Code != want {
					t.Errorf("%s %s, request %d: %d, want %d: %s", c.method, c.path, i, w.Code, want, w.Body)
				} else if w.Header().Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("%s: another site may read the answer", c.path)
				}
			}
		}
	}
	w := ask(t, h, http.MethodOptions, "/apps/app/reset", "", header("Origin", "http://evil.example"), header("Authorization"),
		header("Access-Control-Request-Method", "POST"))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a browser that asks first is answered %d, %v", w.Code, w.Header())
	}
}

// TestBodiesAreSmallAndKnown refuses every other one, and says why.
func TestBodiesAreSmallAndKnown(t *testing.T) {
	h := apiServer().root(true)
	for _, c := range []struct {
		body, media string
		code        int
		says        string
	}{
		{`{"stream":"messages","to":"1h"}`, "application/json; charset=utf-8", 200, ""},
		{`{"stream":"messages","to":"1h"}`, "text/plain", 415, "application/json"},
		{`stream=messages&to=1h`, "application/x-www-form-urlencoded", 415, ""},
		{`{"stream":"messages","to":"1h"}`, "", 415, ""},
		{`{"stream":"messages","t0":"1h"}`, "application/json", 400, "t0"},
		{`{"stream":"messages","to":"1h"}{}`, "application/json", 400, "follows"},
		{`{"stream":["messages"],"to":"1h"}`, "application/json", 400, "stream"},
		{`{"stream":`, "application/json", 400, ""},
		{``, "application/json", 400, ""},
		{strings.Repeat("[", 60<<10), "application/json", 400, ""},
		{`{"stream":"` + strings.Repeat("x", 64<<10) + `"}`, "application/json", 413, "64 KiB"},
		{strings.Repeat(" ", 70<<10) + `{}`, "application/json", 413, ""},
	} {
		w := ask(t, h, http.MethodPost, "/apps/app/reset", c.body, header("Content-Type", c.media))
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%.40q as %q: %d, want %d and %q: %s", c.body, c.media, w.Code, c.code, c.says, w.Body)
		}
	}
}

// TestGuessingIsSlow: an address that has shown ten wrong tokens within a minute is not heard until that is over, others are, and memory is
// bounded however many they are.
func TestGuessingIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := apiServer()
		h := s.root(false)
		from := func(address string) func(*http.Request) { return func(r *http.Request) { r.RemoteAddr = address } }
		guess := func(address string, want int) {
			t.Helper()
			if w := ask(t, h, http.MethodGet, "/overview", "", from(address), header("Authorization", "Bearer guess")); w.Code != want {
				t.Errorf("%s: %d, want %d", address, w.Code, want)
			}
		}
		for i := range 10 {
			guess(fmt.Sprintf("[2001:db8::%d]:1", i), http.StatusUnauthorized) // All of one network are one.
		}
		guess("[2001:db8::ffff:1]:1", http.StatusTooManyRequests)
		if w := ask(t, h, http.MethodGet, "/overview", "", from("[2001:db8::1]:1")); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
			t.Errorf("the right one is answered %d", w.Code)
		}
		guess("[2001:db8:1::1]:1", http.StatusUnauthorized)
		if w := ask(t, h, http.MethodGet, "/overview", "", from("192.0.2.1:1")); w.Code != http.StatusOK {
			t.Errorf("another address: %d", w.Code)
		}
		time.Sleep(time.Minute)
		if w := ask(t, h, http.MethodGet, "/overview", "", from("[2001:db8::1]:1")); w.Code != http.StatusOK {
			t.Errorf("after a minute: %d", w.Code)
		}
		for i := range 3 * maxAddresses {
			guess(fmt.Sprintf("10.%d.%d.1:1", i/256, i%256), http.StatusUnauthorized)
		}
		if n := len(s.gate.failures); n > maxAddresses {
			t.Errorf("%d addresses are remembered", n)
		}
	})
}

// TestChangesStandInTheLog with who has made them, from where, and what they came to, and without a token.
func TestChangesStandInTheLog(t *testing.T) {
	var said bytes.Buffer
	o := apiServer().opts
	o.Log = slog.New(slog.NewTextHandler(&said, nil))
	h := New(o).root(true)
	ask(t, h, http.MethodPost, "/apps/app/reset", `{"stream":"messages","to":"1h"}`)
	ask(t, h, http.MethodPost, "/apps/app/replays", `{"from":"2h","to":"1h"}`, header("Authorization", "Bearer fedcba9876543210"))
	ask(t, h, http.MethodPost, "/apps/app/replays", `{"from":"2h","to":"1h"}`, header("Authorization", "Bearer guessed-guessed-guess"))
	for _, want := range []string{
		`msg="a call through the API was made" what="reset messages" app_key=app by=alice from=127.0.0.1`,
		`msg="a call through the API failed" what="replay 2h to 1h" app_key=app by=bob from=127.0.0.1 error="nothing was changed: it is running"`,
		`msg="a wrong token was shown to the API" from=127.0.0.1`,
	} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, said.String())
		}
	}
	for _, hidden := range []string{alice, "fedcba9876543210", "guessed"} {
		if strings.Contains(said.String(), hidden) {
			t.Errorf("the log has %s", hidden)
		}
	}
}

// slowOperator takes its time.
type slowOperator struct {
	doer

	began, ends chan struct{}
	ended       error
}

func (o *slowOperator) Reset(ctx context.Context, _ Call, _ ResetRequest) (*ResetAnswer, error) {
	close(o.began)
	<-o.ends
	o.ended = ctx.Err()
	return &ResetAnswer{}, nil
}

// TestAChangeGoesOnWithoutItsClient, and the next one waits for it.
func TestAChangeGoesOnWithoutItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := apiServer().opts
		slow := &slowOperator{began: make(chan struct{}), ends: make(chan struct{})}
		o.Operator = slow
		h := New(o).root(true)
		leave := make(chan struct{})
		first, second := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(first)
			ask(t, h, http.MethodPost, "/apps/app/reset", `{"stream":"messages","to":"1h"}`, func(r *http.Request) {
				ctx, cancel := context.WithCancel(r.Context())
				go func() { <-leave; cancel() }()
				*r = *r.WithContext(ctx)
			})
		}()
		<-slow.began
		close(leave)
		go func() {
			defer close(second)
			if w := ask(t, h, http.MethodPost, "/apps/app/pause", `{}`); w.Code != http.StatusOK {
				t.Errorf("the second one: %d: %s", w.Code, w.Body)
			}
		}()
		synctest.Wait()
		select {
		case <-second:
			t.Error("two changes were made at a time")
		default:
		}
		close(slow.ends)
		<-first
		<-second
		if slow.ended != nil {
			t.Errorf("it ended with its client: %v", slow.ended)
		}
	})
}

// TestListenersAreFew, and one too many is told so.
func TestListenersAreFew(t *testing.T) {
	s := apiServer()
	for range maxListeners {
		if _, ok := s.listeners.join(); !ok {
			t.Fatal("there are fewer than there may be")
		}
	}
	w := ask(t, s.root(true), http.MethodGet, "/events", "")
	if err := api(t).Answer("GET "+apiPath+"/events", w.Code, w.Header().Get("Content-Type"), w.Body.Bytes()); w.Code != http.StatusServiceUnavailable || err != nil {
		t.Errorf("%d, %v", w.Code, err)
	}
}

// TestReadsAreMadeOneAtATime, kept for some seconds, and given up in time.
func TestReadsAreMadeOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var silent error
		r := newReads(func() error { return silent })
		made := 0
		quick := func(context.Context) ([]byte, error) { made++; return bytes.Repeat([]byte("x"), 1<<20), nil }
		for range 3 {
			if body, err := r.get(t.Context(), "a", quick); len(body) == 0 || err != nil || made != 1 {
				t.Errorf("%d bytes, %v, made %d times", len(body), err, made)
			}
		}
		time.Sleep(readAge)
		for i := range 100 {
			if _, err := r.get(t.Context(), strconv.Itoa(i), quick); err != nil {
				t.Error(err)
			}
		}
		if made != 101 || len(r.kept) > keptReads || r.bytes > keptBytes+1<<20 {
			t.Errorf("made %d times, %d kept with %d bytes", made, len(r.kept), r.bytes)
		}
		began := time.Now()
		_, err := r.get(t.Context(), "slow", func(ctx context.Context) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() })
		if took := time.Since(began); took != readTime || err == nil || !strings.Contains(err.Error(), "shorter range") {
			t.Errorf("%v after %s", err, took)
		}
		away := errors.New("Kafka has not answered")
		began = time.Now()
		_, err = r.get(t.Context(), "silenced", func(ctx context.Context) ([]byte, error) { silent = away; <-ctx.Done(); return nil, ctx.Err() })
		if took := time.Since(began); took != readTime || !errors.Is(err, away) {
			t.Errorf("while Kafka falls silent: %v after %s", err, took)
		}
		began = time.Now()
		if _, err = r.get(t.Context(), "silent", quick); !errors.Is(err, away) || time.Since(began) != 0 {
			t.Errorf("while Kafka is silent: %v after %s", err, time.Since(began))
		}
	})
}

// TestHistoryIsThatOfAnHour, whatever the clock does, and its samples tell what passed between them.
func TestHistoryIsThatOfAnHour(t *testing.T) {
	s := apiServer()
	var h history
	now := time.Now()
	for i := range 2 * samples {
		o := s.opts.Status.Overview()
		o.Now = now.Add(time.Duration(i-2*samples) * sampleEvery)
		o.Targets[0].Published = int64(i * 50)
		h.take(o)
		h.take(o) // At the same moment nothing has passed.
	}
	all := h.since(time.Time{})
	if len(all) != samples || all[0].RowsPerSecond["single"] != 5 || !all[samples-1].At.Equal(now.Add(-sampleEvery)) {
		t.Errorf("%d samples, the first %+v, the last %+v", len(all), all[0], all[len(all)-1])
	}
	if n := len(h.since(now.Add(-5 * time.Minute))); n != 29 {
		t.Errorf("%d samples of the last 5 minutes", n)
	}
}

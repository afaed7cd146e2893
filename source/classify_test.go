package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// TestEveryErrorHasItsClass gives each reply once, to the very first request and to a cursor's. A transient one is followed by a
// page. Credentials that were good are tried again.
func TestEveryErrorHasItsClass(t *testing.T) {
	const ok = pipeline.Class(255) // transient: tried again, and then there is a page
	html := "<html><head><title>error</title></head></html>"
	for _, test := range []struct {
		name   string
		answer answer
		first  pipeline.Class
		cursor pipeline.Class
		class  string
		hint   string // part of the first request's hint
	}{
		{"no authentication", answer{status: 401, body: apiErrorBody(899007)}, pipeline.Permanent, ok, classUnauthorized, "JMPUB_MASTER_SECRET"},
		{"wrong authentication", answer{status: 400, body: apiErrorBody(899008)}, pipeline.Permanent, ok, classUnauthorized, "JMPUB_APP_KEY"},
		{"no such app key", answer{status: 400, body: apiErrorBody(899009)}, pipeline.Permanent, ok, classUnauthorized, "JMPUB_APP_KEY"},
		{"other app's key", answer{status: 403, body: `{"code":899020,"message":"m"}`}, pipeline.Permanent, ok, classUnauthorized, "JMPUB_APP_KEY"},
		{"blacklisted", answer{status: 403, body: apiErrorBody(2003)}, pipeline.Permanent, ok, classUnauthorized, "JMPUB_APP_KEY"},
		{"bare 401", answer{status: 401}, pipeline.Permanent, pipeline.Permanent, classUnauthorized, "JMPUB_APP_KEY"},
		{"bare 403", answer{status: 403, body: html}, pipeline.Permanent, pipeline.Permanent, classUnauthorized, "JMPUB_APP_KEY"},
		{"error with status 200", answer{body: apiErrorBody(899008)}, pipeline.Permanent, ok, classUnauthorized, "JMPUB_APP_KEY"},
		{"no such user", answer{status: 400, body: apiErrorBody(899002)}, pipeline.Drop, pipeline.Restart, classRefused, ""},
		{"no such user, as an array", answer{status: 404, body: `[{"error":{"code":899002,"message":"m"}}]`}, pipeline.Drop, pipeline.Restart, classRefused, ""},
		{"no such group", answer{status: 403, body: apiErrorBody(899006)}, pipeline.Drop, pipeline.Restart, classRefused, ""},
		{"group gone", answer{status: 400, body: apiErrorBody(899045)}, pipeline.Drop, pipeline.Restart, classRefused, ""},
		{"no such chatroom", answer{status: 400, body: apiErrorBody(899081)}, pipeline.Drop, pipeline.Restart, classRefused, ""},
		{"parameter invalid", answer{status: 400, body: apiErrorBody(899003)}, pipeline.Permanent, pipeline.Restart, classRefused, "/v2/groups/7/messages?count="},
		{"unknown code", answer{status: 400, body: apiErrorBody(899999)}, pipeline.Permanent, pipeline.Restart, classRefused, "GET"},
		{"bare 400", answer{status: 400, body: html}, pipeline.Permanent, pipeline.Restart, classRefused, "GET"},
		{"not found", answer{status: 404, body: html}, pipeline.Permanent, pipeline.Restart, classRefused, "JMPUB_API_URL"},
		{"gone", answer{status: 410}, pipeline.Permanent, pipeline.Restart, classRefused, "GET"},
		{"proxy", answer{status: 407}, pipeline.Permanent, pipeline.Restart, classRefused, "HTTPS_PROXY"},
		{"moved", answer{status: 302, header: map[string]string{"Location": "https://elsewhere.test/v2"}}, pipeline.Permanent, pipeline.Permanent, classRefused, "JMPUB_API_URL"},
		{"moved nowhere", answer{status: 301, header: map[string]string{"Location": "%zz:"}}, pipeline.Permanent, pipeline.Permanent, classRefused, "JMPUB_API_URL"},
		{"moved for good", answer{status: 308}, pipeline.Permanent, pipeline.Permanent, classRefused, "JMPUB_API_URL"},
		{"internal", answer{status: 400, body: apiErrorBody(899000)}, ok, pipeline.Restart, classServerError, ""},
		{"time out at the API", answer{status: 500, body: apiErrorBody(899030)}, ok, ok, classServerError, ""},
		{"500", answer{status: 500, body: apiErrorBody(899000)}, ok, ok, classServerError, ""},
		{"502", answer{status: 502, body: html}, ok, ok, classServerError, ""},
		{"503", answer{status: 503, header: map[string]string{"Retry-After": "3"}}, ok, ok, classServerError, ""},
		{"504", answer{status: 504}, ok, ok, classServerError, ""},
		{"request time out", answer{status: 408}, ok, pipeline.Restart, classServerError, ""},
		{"429", answer{status: 429}, ok, ok, classRateLimited, ""},
		{"429 with a code", answer{status: 429, body: apiErrorBody(2002)}, ok, ok, classRateLimited, ""},
		{"rate code of old", answer{status: 400, body: apiErrorBody(2001)}, ok, ok, classRateLimited, ""},
		{"rate code with 403", answer{status: 403, body: apiErrorBody(2002)}, ok, ok, classRateLimited, ""},
		{"html page", answer{body: html}, ok, ok, classMalformed, ""},
		{"truncated page", answer{body: `{"total":1,"messages":[{"a"`}, ok, ok, classMalformed, ""},
		{"wrong count", answer{body: `{"total":1,"count":2,"messages":[{}]}`}, ok, ok, classMalformed, ""},
		{"too many rows", page(1001, "", rowsOf(1, 1001)...), ok, ok, classMalformed, ""},
		{"empty body", answer{}, ok, ok, classMalformed, ""},
		{"no content", answer{status: 204}, ok, ok, classMalformed, ""},
		{"connection closed", answer{abort: true}, ok, ok, classNetwork, ""},
		{"connection closed midway", answer{body: `{"total":1,"messa`, abort: true}, ok, ok, classNetwork, ""},
		{"unknown encoding", answer{body: "x", header: map[string]string{"Content-Encoding": "br"}}, ok, ok, classNetwork, ""},
		{"broken gzip", answer{body: "\x1f\x8b{}", header: map[string]string{"Content-Encoding": "gzip"}}, ok, ok, classNetwork, ""},
		{"empty gzip", answer{header: map[string]string{"Content-Encoding": "gzip"}}, ok, ok, classNetwork, ""},
		{"too slow", answer{body: pageJSON(0, ""), after: 70 * time.Second}, ok, ok, classNetwork, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen recorder
				s := &script{answers: []answer{test.answer, page(1, "", "{}")}}
				cfg := testConfig(s)
				cfg.Observer = seen.observer()
				group := pipeline.Stream{Kind: pipeline.StreamGroups, Name: "7"}
				_, err := readAll(t.Context(), newTestClient(t, cfg), group, settled(time.Minute))
				if test.first == ok {
					if err != nil {
						t.Fatalf("first request: %v", err)
					}
				} else if fault := wantFault(t, err, test.first); !strings.Contains(fault.Hint, test.hint) || !strings.Contains(fault.Op, "get page 1 of groups/7 [") {
					t.Errorf("got op %q and hint %q, want %q in the hint", fault.Op, fault.Hint, test.hint)
				}
				if seen.classes[0] != test.class {
					t.Errorf("first request: the observer got %q, want %q", seen.classes[0], test.class)
				}
				if err != nil {
					showsNoSecret(t, err)
				}

				s = &script{answers: []answer{page(2, "C", "{}"), test.answer, page(2, "", "{}")}}
				cfg.Transport = inMemory{s}
				_, err = readAll(t.Context(), newTestClient(t, cfg), group, settled(time.Minute))
				if test.cursor == ok {
					if err != nil {
						t.Fatalf("cursor request: %v", err)
					}
					if uris := s.requests(); len(uris) != 3 || uris[1] != uris[2] || !strings.HasSuffix(uris[1], "/v2/groups/7/messages?cursor=C") {
						t.Errorf("got requests %q", uris)
					}
					return
				}
				if fault := wantFault(t, err, test.cursor); !strings.Contains(fault.Op, "get page 2 of groups/7 [") {
					t.Errorf("got op %q", fault.Op)
				}
				showsNoSecret(t, err)
			})
		})
	}
}

func showsNoSecret(t *testing.T, err error) {
	t.Helper()
	text := fmt.Sprintf("%v %+v %#v", err, err, err)
	for _, form := range []string{testSecret, base64.StdEncoding.EncodeToString([]byte(testKey + ":" + testSecret))} {
		if strings.Contains(text, form) {
			t.Errorf("the secret is shown in %s", text)
		}
	}
}

// TestTextOfOthersIsTamed is a proxy that shows the request that it got, and more than anyone wants to read.
func TestTextOfOthersIsTamed(t *testing.T) {
	basic := base64.StdEncoding.EncodeToString([]byte(testKey + ":" + testSecret))
	body := "Authorization: Basic " + basic + "\x1b[31m\r\n" + testSecret + strings.Repeat("x", 10_000)
	for _, a := range []answer{
		{status: 400, body: body},
		{status: 400, body: fmt.Sprintf(`{"error":{"code":899003,"message":%q}}`, testSecret+strings.Repeat("x", 10_000))},
		{status: 302, header: map[string]string{"Location": "https://x.test/" + basic + strings.Repeat("x", 3000)}},
	} {
		_, err := newTestClient(t, testConfig(&script{answers: []answer{a}})).Open(t.Context(), messages(), settled(time.Minute))
		_ = wantFault(t, err, pipeline.Permanent)
		showsNoSecret(t, err)
		if text := err.Error(); len(text) > 900 || strings.ContainsAny(text, "\x1b\r\n") {
			t.Errorf("got %d bytes: %q", len(text), text)
		}
	}
}

// TestTransportErrors are those that no reply comes of.
func TestTransportErrors(t *testing.T) {
	verification := &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
	for _, test := range []struct {
		err   error
		class pipeline.Class
		hint  string
	}{
		{&net.DNSError{Err: "no such host", Name: "report.test", IsNotFound: true}, pipeline.Transient, "network"},
		{&net.OpError{Op: "dial", Err: errors.New("connection refused")}, pipeline.Transient, "network"},
		{context.DeadlineExceeded, pipeline.Transient, "network"},
		{verification, pipeline.Permanent, "certificate"},
		{fmt.Errorf("proxyconnect: %w", verification), pipeline.Permanent, "certificate"},
		{&net.OpError{Op: "remote error", Err: verification}, pipeline.Permanent, "certificate"},
		{http.ErrSchemeMismatch, pipeline.Permanent, "JMPUB_API_URL"},
		{fmt.Errorf("connect: %w", errProxyLogin), pipeline.Permanent, "HTTPS_PROXY"},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, pipeline.Permanent, "JMPUB_API_URL"},
	} {
		fault := networkFault(&call{op: "op", endpoint: &endpoint{setting: "JMPUB_API_URL"}}, test.err)
		if fault.Class != test.class || !strings.Contains(fault.Hint, test.hint) || !errors.Is(fault, test.err) {
			t.Errorf("%v: got class %s and hint %q", test.err, fault.Class, fault.Hint)
		}
	}
}

// TestDamagedPageIsTakenAtLast serves a row that is no JSON: two tries to get it right, then it is taken as it is.
func TestDamagedPageIsTakenAtLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := []string{`{"msgid":1}`, "{\"msgid\":2,\"text\":\"\x01\"}", `{"msgid":3}`}
		s := &script{answers: []answer{page(3, "", rows...)}}
		pages, err := readAll(t.Context(), newTestClient(t, testConfig(s)), messages(), settled(time.Minute))
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		if got := texts(pages[0].Rows); strings.Join(got, "") != strings.Join(rows, "") {
			t.Errorf("got %q, want %q", got, rows)
		}
		if n := len(s.requests()); n != damagedAfter+1 {
			t.Errorf("%d requests, want %d", n, damagedAfter+1)
		}
	})
}

// TestDamageOnTheWayIsNotTaken serves a good row that is damaged in another place each time.
func TestDamageOnTheWayIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := `{"msgid":2,"text":"abcdef"}`
		var answers []answer
		for i := range 5 {
			damaged := []byte(good)
			damaged[len(damaged)-8+i] = 1
			answers = append(answers, page(1, "", string(damaged)))
		}
		s := &script{answers: append(answers, page(1, "", good))}
		pages, err := readAll(t.Context(), newTestClient(t, testConfig(s)), messages(), settled(time.Minute))
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		if got := texts(pages[0].Rows); strings.Join(got, "") != good {
			t.Errorf("got %q, want %q", got, good)
		}
	})
}

func TestRefusalIsToldOnce(t *testing.T) {
	s := &script{answers: []answer{{status: http.StatusUnauthorized}}}
	if _, err := newTestClient(t, testConfig(s)).Now(t.Context(), messages()); err == nil {
		t.Error("no error")
	}
	if n := len(s.requests()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

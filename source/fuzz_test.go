package source

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jmpub/jmpub/pipeline"
)

// hostileTransport answers with replies as a fuzzer drew them, one after another, and then as the API does.
type hostileTransport struct {
	drawn []byte
	// good is the body behind the drawn replies.
	good     string
	requests int
}

// part cuts off what stands up to a byte that hardly stands in a reply.
func (h *hostileTransport) part() []byte {
	part, rest, _ := bytes.Cut(h.drawn, []byte{0})
	h.drawn = rest
	return part
}

// RoundTrip makes a reply of a status, header lines and a body; a status that is none breaks the connection off.
func (h *hostileTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	h.requests++
	if err := context.Cause(r.Context()); err != nil {
		return nil, err
	}
	header := http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}}
	if len(h.drawn) == 0 {
		return &http.Response{StatusCode: http.StatusOK, Header: header, Body: io.NopCloser(strings.NewReader(h.good))}, nil
	}
	status, err := strconv.ParseUint(string(h.part()), 10, 16)
	if err != nil || status < 200 || status > 999 {
		return nil, errors.New("connection reset by peer")
	}
	for line := range strings.SplitSeq(string(h.part()), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			header.Set(name, value)
		}
	}
	length, _ := strconv.ParseInt(header.Get("Content-Length"), 10, 64)
	res := &http.Response{StatusCode: int(status), Header: header, ContentLength: length, Body: io.NopCloser(bytes.NewReader(h.part()))}
	return res, nil
}

// drawn writes replies the way [hostileTransport] reads them.
func drawn(parts ...string) []byte { return []byte(strings.Join(parts, "\x00")) }

// FuzzHostileAPI gives whole replies, headers included, to all that reads some: it returns, once the API is itself again soon and
// otherwise when it is told to, in bounded memory, with errors that can be shown to anybody.
func FuzzHostileAPI(f *testing.F) {
	basic := base64.StdEncoding.EncodeToString([]byte(testKey + ":" + testSecret))
	f.Add(byte(0), drawn("200", "", pageJSON(3, "C", rowsOf(1, 2)...), "200", "", pageJSON(3, "", rowsOf(3, 1)...)))
	f.Add(byte(0), drawn("200", "Content-Length:1099511627776", `{"total":9223372036854775807,"cursor":"C","messages":[`+strings.Repeat("1,", 1200)+`1]}`))
	f.Add(byte(0), drawn("200", "", `{"total":2,"messages":[{"a":},1]}`, "200", "", `{"total":2,"messages":[{"a":},1]}`, "200", "", `{"total":2,"messages":[{"a":},1]}`))
	f.Add(byte(0), drawn("200", "", `{"cursor":"`+strings.Repeat("x", maxCursor+1)+`"}`, "204", "", "", "200", "", "\ufeff{}"))
	f.Add(byte(0), drawn("429", "Retry-After:1e300", apiErrorBody(2002), "503", "X-Rate-Limit-Remaining:0\nX-Rate-Limit-Reset:99999999999", "<html>"))
	f.Add(byte(0), drawn("401", "WWW-Authenticate:Basic "+basic, "Authorization: Basic "+basic+"\x1b[31m", "302", "Location:https://x/"+testSecret, ""))
	f.Add(byte(0), drawn("200", "Date:Fri, 31 Dec 9999 23:59:59 GMT\nContent-Encoding:br", "\x1f\x8b"))
	f.Add(byte(1), drawn("200", "", `{"total":9,"users":["a","b"]}`, "200", "", `{"total":9,"users":["a","b"]}`, "200", "", `{"total":9,"users":["b",".."]}`))
	f.Add(byte(1), drawn("200", "", `{"total":9223372036854775807,"users":[{"username":"a"}]}`, "x", "200", "Content-Encoding:gzip", zipped(`{"users":[]}`)))
	f.Add(byte(2), drawn("200", "", `[{"date":"2017-03-01"},{"date":"9999-12-31"}]`, "403", "", apiErrorBody(899016)))
	f.Add(byte(3), drawn("500", "Date:x", "[[[[", "200", "", `{"total":1}`))
	f.Fuzz(func(t *testing.T, what byte, replies []byte) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 12*time.Hour) // Several replies may ask for an hour.
			defer cancel()
			api := &hostileTransport{drawn: replies, good: pageJSON(0, "")}
			cfg := testConfig(nil)
			cfg.Transport = api
			cfg.Retry.Notify = func(_ string, err error, _ time.Duration) { presentable(t, err, basic) }
			c, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			switch what % 4 {
			case 0:
				_, err = readAll(ctx, c, messages(), settled(time.Minute))
			case 1:
				api.good = `{"total":0,"users":[]}`
				_, err = c.List(ctx, pipeline.StreamUsers)
			case 2:
				api.good = `[]`
				_, _, err = c.Statistics(ctx, statisticsOf("users"), dayOf("2017-03-01"), 3)
			default:
				_, err = c.Now(ctx, messages())
			}
			runtime.ReadMemStats(&after)
			if ctx.Err() != nil && len(replies) < 24 { // Too short for several pauses.
				t.Errorf("it did not return: %v", err)
			}
			presentable(t, err, basic)
			if api.requests > len(replies)+16 {
				t.Errorf("%d requests for %d bytes", api.requests, len(replies))
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > uint64(api.requests)*(24<<20)+uint64(len(replies))*1000 {
				t.Errorf("%d MiB were allocated for %d requests", used>>20, api.requests)
			}
		})
	})
}

// presentable checks that an error shows no secret, no control character and no text without an end.
func presentable(t *testing.T, err error, basic string) {
	t.Helper()
	if err == nil {
		return
	}
	text := err.Error()
	if len(text) > 1500 || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		t.Errorf("an error of %d bytes: %.300q", len(text), text)
	}
	if strings.Contains(text, testSecret) || strings.Contains(text, basic) {
		t.Errorf("the secret is shown in %s", text)
	}
}

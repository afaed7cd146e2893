package source

import (
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name string
		h    http.Header
		want time.Duration
	}{
		{"none", http.Header{}, 0},
		{"reset", http.Header{"X-Rate-Limit-Reset": {"37"}}, 37 * time.Second},
		{"seconds", http.Header{"Retry-After": {"12"}}, 12 * time.Second},
		{"fraction", http.Header{"Retry-After": {"0.5"}}, 500 * time.Millisecond},
		{"date", http.Header{"Retry-After": {"Tue, 24 Nov 2026 10:00:41 GMT"}}, 41 * time.Second},
		{"date of the past", http.Header{"Retry-After": {"Tue, 24 Nov 2026 09:00:00 GMT"}}, 0},
		{"both", http.Header{"X-Rate-Limit-Reset": {"3"}, "Retry-After": {"5"}}, 5 * time.Second},
		{"unix time", http.Header{"X-Rate-Limit-Reset": {"1795514437"}}, 37 * time.Second},
		{"unix time with a fraction", http.Header{"X-Rate-Limit-Reset": {"1795514437.5"}}, 37500 * time.Millisecond},
		{"unix time in milliseconds", http.Header{"X-Rate-Limit-Reset": {"1795514437500"}}, 37500 * time.Millisecond},
		{"unix time in nanoseconds", http.Header{"X-Rate-Limit-Reset": {"1795514437500000000"}}, 37500 * time.Millisecond},
		{"unix time of the past", http.Header{"X-Rate-Limit-Reset": {"1795514399"}}, 0},
		{"unix time to retry at", http.Header{"Retry-After": {"1795514437"}}, 37 * time.Second},
		{"milliseconds to retry at", http.Header{"Retry-After": {"1795514437000"}}, 37 * time.Second},
		{"date of the reset", http.Header{"X-Rate-Limit-Reset": {"Tue, 24 Nov 2026 10:00:41 GMT"}}, 41 * time.Second},
		{"reset in RFC 3339", http.Header{"X-Rate-Limit-Reset": {"2026-11-24T18:00:41+08:00"}}, 41 * time.Second},
		{"reset of another clock", http.Header{"X-Rate-Limit-Reset": {"1795543200"}}, 0},
		{"reset in milliseconds", http.Header{"X-Rate-Limit-Reset": {"37000"}}, 37 * time.Second},
		{"reset without end", http.Header{"X-Rate-Limit-Reset": {"Inf"}}, 0},
		{"more than an hour", http.Header{"Retry-After": {"7200"}}, maxPause},
		{"far date", http.Header{"Retry-After": {"Wed, 24 Nov 2100 10:00:41 GMT"}}, maxPause},
		{"negative", http.Header{"Retry-After": {"-1"}}, 0},
		{"no number", http.Header{"Retry-After": {"NaN"}, "X-Rate-Limit-Reset": {"soon"}}, 0},
	} {
		if got := retryAfter(test.h, now); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

func TestExhausted(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name string
		h    http.Header
		want time.Duration
	}{
		{"none", http.Header{}, 0},
		{"some left", http.Header{"X-Rate-Limit-Limit": {"600"}, "X-Rate-Limit-Remaining": {"1"}, "X-Rate-Limit-Reset": {"9"}}, 0},
		{"none left", http.Header{"X-Rate-Limit-Limit": {"600"}, "X-Rate-Limit-Remaining": {"0"}, "X-Rate-Limit-Reset": {"9"}}, 9 * time.Second},
		{"other spelling", http.Header{"X-Rate-Limit-Quota": {"600"}, "X-Rate-Limit-Remaining": {"0"}, "X-Rate-Limit-Reset": {"9"}}, 9 * time.Second},
		{"no reset", http.Header{"X-Rate-Limit-Remaining": {"0"}}, 0},
		{"no number", http.Header{"X-Rate-Limit-Remaining": {"none"}, "X-Rate-Limit-Reset": {"9"}}, 0},
		{"reset alone", http.Header{"X-Rate-Limit-Reset": {"9"}}, 0},
		{"unix time", http.Header{"X-Rate-Limit-Remaining": {"0"}, "X-Rate-Limit-Reset": {"1795514409"}}, 9 * time.Second},
	} {
		if got := exhausted(test.h, 0, now); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

// TestQuotaOf reads the rate headers in either spelling.
func TestQuotaOf(t *testing.T) {
	for _, test := range []struct {
		h                http.Header
		limit, remaining int
		ok               bool
	}{
		{http.Header{"X-Rate-Limit-Limit": {"600"}, "X-Rate-Limit-Remaining": {"599"}}, 600, 599, true},
		{http.Header{"X-Rate-Limit-Quota": {"600"}, "X-Rate-Limit-Remaining": {"0"}}, 600, 0, true},
		{http.Header{"X-Rate-Limit-Remaining": {"7"}}, 0, 7, true},
		{http.Header{"X-Rate-Limit-Limit": {"600"}}, 0, 0, false},
		{http.Header{"X-Rate-Limit-Limit": {"many"}, "X-Rate-Limit-Remaining": {"some"}}, 0, 0, false},
	} {
		if limit, remaining, ok := quotaOf(test.h); limit != test.limit || remaining != test.remaining || ok != test.ok {
			t.Errorf("%v: %d of %d, %t", test.h, remaining, limit, ok)
		}
	}
}

// TestQuotaIsTold with each reply of the API that says something of it, also with one that refuses; the lists have a quota of their own.
func TestQuotaIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limited := page(0, "")
		limited.header = map[string]string{"X-Rate-Limit-Limit": "600", "X-Rate-Limit-Remaining": "599", "X-Rate-Limit-Reset": "30"}
		refused := answer{status: http.StatusTooManyRequests, body: apiErrorBody(2002), header: map[string]string{
			"X-Rate-Limit-Quota": "600", "X-Rate-Limit-Remaining": "-1", "X-Rate-Limit-Reset": "1",
		}}
		cfg := testConfig(&script{answers: []answer{limited, page(0, ""), refused, page(0, "")}})
		var told []pipeline.QuotaTold
		cfg.Observer = func(o pipeline.Observation) {
			if quota, ok := o.(pipeline.QuotaTold); ok {
				told = append(told, quota)
			}
		}
		c := newTestClient(t, cfg)
		for range 3 {
			if _, err := readAll(t.Context(), c, messages(), settled(time.Minute)); err != nil {
				t.Fatal(err)
			}
		}
		if want := []pipeline.QuotaTold{{Limit: 600, Remaining: 599}, {Limit: 600}}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
		told = nil
		list := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Rate-Limit-Remaining", "5")
			w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
			_, _ = io.WriteString(w, `{"total":0,"start":0,"count":0,"users":[]}`)
		})
		cfg.Transport, cfg.ListsURL = inMemory{list}, "https://api.test/v1"
		if _, err := newTestClient(t, cfg).List(t.Context(), pipeline.StreamUsers); err != nil || len(told) > 0 {
			t.Errorf("%v; the lists told %v", err, told)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("12", "Tue, 24 Nov 2026 10:00:41 GMT")
	f.Add("1e308", "-0")
	f.Add("0x1p-2", "9999999999999999999")
	f.Fuzz(func(t *testing.T, reset, after string) {
		h := http.Header{"X-Rate-Limit-Reset": {reset}, "Retry-After": {after}}
		now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
		if got := retryAfter(h, now); got < 0 || got > maxPause {
			t.Errorf("retryAfter(%q, %q) = %v", reset, after, got)
		}
	})
}

func FuzzRateHeaders(f *testing.F) {
	f.Add("0", "30")
	f.Add("-1", "Inf")
	f.Fuzz(func(t *testing.T, remaining, reset string) {
		h := http.Header{"X-Rate-Limit-Remaining": {remaining}, "X-Rate-Limit-Reset": {reset}}
		now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
		if got := exhausted(h, 0, now); got < 0 || got > maxPause {
			t.Errorf("exhausted(%q, %q) = %v", remaining, reset, got)
		}
	})
}

// TestReserveIsLeftToOthers pauses before the quota is used up.
func TestReserveIsLeftToOthers(t *testing.T) {
	for _, test := range []struct {
		limit, remaining string
		reserve          float64
		want             time.Duration
	}{
		{"100", "21", 0.2, 0},
		{"100", "20", 0.2, 30 * time.Second},
		{"100", "20", 0, 0},
		{"", "20", 0.2, 0},
		{"", "0", 0.2, 30 * time.Second},
	} {
		for _, name := range []string{"X-Rate-Limit-Limit", "X-Rate-Limit-Quota"} {
			h := http.Header{"X-Rate-Limit-Remaining": {test.remaining}, "X-Rate-Limit-Reset": {"30"}}
			h.Set(name, test.limit)
			if got := exhausted(h, test.reserve, time.Now()); got != test.want {
				t.Errorf("%v with a reserve of %v: %v, want %v", h, test.reserve, got, test.want)
			}
		}
	}
}

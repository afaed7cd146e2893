package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
	"github.com/jmpub/jmpub/source"
)

func testHistory(t *testing.T, n int) *history {
	t.Helper()
	h, err := newHistory(n, 446, time.Now().Add(-time.Hour).Truncate(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestAPIAnswersAsTheReportAPI reads the history through jmpub's own client, in windows that end in the middle of it, and expects each row once.
func TestAPIAnswersAsTheReportAPI(t *testing.T) {
	const n, pageSize = 4321, 500
	h := testHistory(t, n)
	server := httptest.NewServer(newAPI(h))
	defer server.Close()
	cfg := source.Config{
		BaseURL: server.URL + "/v2", ListsURL: server.URL + "/v1", AppKey: appKey, MasterSecret: secret.New(masterSecret), TimeZone: newAPI(h).zone,
		Rate: source.Rate{Requests: 1_000_000, Per: time.Minute}, PageSize: pageSize, Overlap: 2 * time.Second, Settle: 5 * time.Second, Poll: 2 * time.Second,
	}
	client, err := source.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	next := 0
	for begin := h.begin; next < n; begin = begin.Add(100 * time.Second) {
		w := pipeline.Window{Begin: begin, End: begin.Add(99 * time.Second)} // The last second is in it.
		pages, err := client.Open(t.Context(), pipeline.Stream{Kind: pipeline.StreamMessages}, w)
		if err != nil {
			t.Fatal(err)
		}
		for {
			page, err := pages.Next(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range page.Rows {
				if want := h.appendRow(nil, next); string(row) != string(want) {
					t.Fatalf("row %d is %s, want %s", next, row, want)
				}
				next++
			}
		}
	}
	if next != n {
		t.Errorf("%d rows, want %d", next, n)
	}
}

// TestRowsAreAlike has rows of one size, each of which makes an event.
func TestRowsAreAlike(t *testing.T) {
	h := testHistory(t, 10_000)
	normalizer := event.NewNormalizer(appKey)
	for i := range h.n {
		row := h.appendRow(nil, i)
		e, rejection := normalizer.Normalize(row)
		if rejection != nil || len(row) != h.size || e.Target.String() != target(i) || e.MsgID != firstMsgID+int64(i) || !json.Valid(row) {
			t.Fatalf("row %d of %d bytes: %s, %v", i, len(row), row, rejection)
		}
	}
	if _, err := newHistory(1, 100, time.Now()); err == nil {
		t.Error("a row of 100 bytes has no room for what it needs")
	}
}

// TestTable prints medians, and ratios within a round.
func TestTable(t *testing.T) {
	var rounds []round
	for i, cpu := range []time.Duration{3 * time.Second, time.Second, 2 * time.Second} {
		r := round{
			ofFetch: {CPU: cpu, Wall: time.Second, Requests: 7}, ofProduce: {CPU: cpu, Wall: time.Second},
			ofJmpub: {CPU: time.Duration(4*(i+1)) * time.Second, Wall: 4 * time.Second, PeakRSS: 64 << 20, Requests: 7},
		}
		r.addLimit()
		rounds = append(rounds, r)
	}
	var out strings.Builder
	writeTable(&out, 1000, rounds)
	for _, want := range []string{
		"| the limit | 4.00 | 1.00 | 6.00 2.00 4.00 | 500 | 2.00 |  | 7 |\n",
		"| jmpub, exactly once | 8.00 | 3.00 | 4.00 8.00 12.00 | 250 | 4.00 | 64 | 7 |\n", // 4/6, 8/2 and 12/4.
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s\ndoes not have %s", out.String(), want)
		}
	}
	if strings.Contains(out.String(), "Bento") {
		t.Errorf("%s has what was not run", out.String())
	}
}

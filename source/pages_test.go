package source

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// msgids are the rows of pages, in short.
func msgids(pages []pipeline.Page) string {
	var text strings.Builder
	for _, page := range pages {
		for _, row := range page.Rows {
			text.Write(row[len(`{"msgid":`) : len(row)-1])
		}
	}
	return text.String()
}

// TestPagingGoesOnWhileRowsAreMissing reads windows whose cursors do not do what one expects, to the last row.
func TestPagingGoesOnWhileRowsAreMissing(t *testing.T) {
	for _, test := range []struct {
		name     string
		answers  []answer
		want     string
		requests int
	}{
		{"cursors that change", []answer{page(3, "A", rowsOf(1, 2)...), page(3, "", rowsOf(3, 1)...)}, "123", 2},
		{"empty page behind the last", []answer{page(2, "A", rowsOf(1, 2)...), page(0, "")}, "12", 2},
		{"empty page with the last cursor", []answer{page(2, "A", rowsOf(1, 2)...), page(2, "A")}, "12", 2},
		{"empty page in the middle", []answer{page(3, "A", rowsOf(1, 2)...), page(3, "B"), page(3, "", rowsOf(3, 1)...)}, "123", 3},
		{"empty first page", []answer{page(2, "A"), page(2, "", rowsOf(1, 2)...)}, "12", 2},
		{"empty pages, as many as may be", []answer{
			page(3, "A", rowsOf(1, 2)...), page(3, "B"), page(3, "C"), page(3, "D"), page(3, "E"), page(3, "F"), page(3, "G"),
			page(3, "H"), page(3, "", rowsOf(3, 1)...),
		}, "123", 9},
		{"one cursor for all", []answer{
			page(5, "S", rowsOf(1, 2)...), page(5, "S", rowsOf(3, 2)...), page(5, "S", rowsOf(5, 1)...), page(5, "S"),
		}, "12345", 4},
		{"two cursors that take turns", []answer{
			page(4, "S", rowsOf(1, 1)...), page(4, "T", rowsOf(2, 1)...), page(4, "S", rowsOf(3, 1)...), page(4, "", rowsOf(4, 1)...),
		}, "1234", 4},
		{"a page that comes twice", []answer{
			page(4, "S", rowsOf(1, 2)...), page(4, "S", rowsOf(1, 2)...), page(4, "S", rowsOf(3, 2)...), page(4, "S"),
		}, "121234", 4},
		{"more than announced", []answer{page(2, "A", rowsOf(1, 2)...), page(2, "B", rowsOf(3, 1)...), page(2, "C")}, "123", 3},
		{"nothing at all", []answer{page(0, "A")}, "", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: test.answers}
				pages, err := readAll(t.Context(), newTestClient(t, testConfig(s)), messages(), settled(time.Hour))
				if err != nil {
					t.Fatalf("read: %v", err)
				}
				if got := msgids(pages); got != test.want {
					t.Errorf("got rows %q, want %q", got, test.want)
				}
				if n := len(s.requests()); n != test.requests {
					t.Errorf("%d requests, want %d", n, test.requests)
				}
			})
		})
	}
}

// endless answers page after page of 30 rows, each as a function of its number, all with a cursor.
func endless(rows func(n int) []string) http.HandlerFunc {
	n := 0
	return func(w http.ResponseWriter, _ *http.Request) {
		n++
		w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
		_, _ = fmt.Fprint(w, pageJSON(30, "C"+strconv.Itoa(n), rows(n)...))
	}
}

// TestPagingThatLeadsNowhereEnds asks for shorter windows where cursors go on and bring nothing, and gives the cursor up where there
// are none, whatever is answered.
func TestPagingThatLeadsNowhereEnds(t *testing.T) {
	for name, answers := range map[string]func() http.HandlerFunc{
		"empty pages": func() http.HandlerFunc { return endless(func(int) []string { return nil }) },
		"empty pages behind the first": func() http.HandlerFunc {
			return endless(func(n int) []string { return rowsOf(1, max(0, 2-n)) })
		},
		"the same page":         func() http.HandlerFunc { return endless(func(int) []string { return rowsOf(1, 10) }) },
		"pages that take turns": func() http.HandlerFunc { return endless(func(n int) []string { return rowsOf(1+10*(n%2), 10) }) },
		"other rows all the time": func() http.HandlerFunc {
			return endless(func(n int) []string { return rowsOf(1+1000*n, 1000) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := testConfig(answers())
				_, err := readAll(t.Context(), newTestClient(t, cfg), messages(), settled(time.Hour))
				fault := wantFault(t, err, pipeline.Restart)
				if fault.Span <= 0 || fault.Span > 30*time.Minute {
					t.Errorf("an hour is to be asked for as %v, want half of it at most", fault.Span)
				}
				cfg.Transport = inMemory{answers()}
				if _, err = readAll(t.Context(), newTestClient(t, cfg), messages(), settled(cfg.Overlap+time.Second)); err != nil {
					t.Errorf("a second: %v, want what came of it", err)
				}
			})
		})
	}
}

// TestUselessTotalsDoNotShortenForEver has a server that always gives a cursor and announces too many rows: once seconds have shown it,
// long windows are read as they are.
func TestUselessTotalsDoNotShortenForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(endless(func(int) []string { return rowsOf(1, 10) }))
		cfg.Rate = Rate{Requests: 100_000, Per: time.Minute}
		c := newTestClient(t, cfg)
		for range futileWindows {
			if _, err := readAll(t.Context(), c, messages(), settled(cfg.Overlap+time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := readAll(t.Context(), c, messages(), settled(time.Hour)); err != nil {
			t.Errorf("an hour: %v, want what came of it", err)
		}
		cfg.Transport = inMemory{&script{answers: []answer{page(1, "", rowsOf(1, 1)...)}}}
		c.cfg.Transport = cfg.Transport
		if _, err := readAll(t.Context(), c, messages(), settled(time.Hour)); err != nil {
			t.Fatal(err)
		}
		c.cfg.Transport = inMemory{endless(func(int) []string { return rowsOf(1, 10) })}
		if _, err := readAll(t.Context(), c, messages(), settled(time.Hour)); !errors.Is(err, errIdle) {
			t.Errorf("after a window that was whole: %v, want %v", err, errIdle)
		}
	})
}

// TestWindowsGrowWhereCursorsSayNothing has a server that states no totals and gives a cursor with each page. A cursor may lead to rows, so windows keep their
// length at first; once one has led to nothing, those that bring little get longer.
func TestWindowsGrowWhereCursorsSayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestClient(t, testConfig(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
			_, _ = fmt.Fprint(w, `{"cursor":"S","count":0,"messages":[]}`)
		})))
		w := settled(time.Hour)
		for _, want := range []time.Duration{w.End.Sub(w.Begin), 2 * w.End.Sub(w.Begin)} {
			pages, err := readAll(t.Context(), c, messages(), w)
			if err != nil {
				t.Fatal(err)
			}
			if got := pages[0].Span; got.Round(time.Minute) != want {
				t.Errorf("the next window is to have %s, want about %s", got, want)
			}
		}
	})
}

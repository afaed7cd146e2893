package source

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/hostile"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// shelf is an API that has rows, all within one window, and gives as many of them as it is asked for.
type shelf struct {
	rows []string
	// deaf has it give all of them whatever is asked for; total, where set, is what it says that there are.
	deaf  bool
	total int

	count int
	// counts are those that it was asked for.
	counts []int
}

func (h *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begin := 0
	if cursor := r.URL.Query().Get("cursor"); cursor != "" {
		begin, _ = strconv.Atoi(cursor)
	} else {
		h.count, _ = strconv.Atoi(r.URL.Query().Get("count"))
		h.counts = append(h.counts, h.count)
	}
	end := min(len(h.rows), begin+h.count)
	if h.deaf {
		end = len(h.rows)
	}
	cursor := ""
	if end < len(h.rows) {
		cursor = strconv.Itoa(end)
	}
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	_, _ = io.WriteString(w, pageJSON(max(h.total, len(h.rows)), cursor, h.rows[begin:end]...))
}

// rowsOfSize makes n different rows of about so many bytes.
func rowsOfSize(n, size int) []string {
	rows := make([]string, n)
	for i := range rows {
		rows[i] = fmt.Sprintf(`{"msgid":%d,"text":%q}`, i, strings.Repeat("x", size))
	}
	return rows
}

// TestLargeRowsAreAskedForInFewerRows reads rows of which a page takes too much: first fewer of them at a time, and more again when
// they are small.
func TestLargeRowsAreAskedForInFewerRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &shelf{rows: rowsOfSize(300, 16_400)}
		c := newTestClient(t, testConfig(h))
		for _, test := range []struct {
			rows   []string
			counts []int
		}{
			{h.rows, []int{1000, 250, 62}},
			{h.rows, []int{124}},
			{rowsOf(1, 10), []int{124}}, // What it learned of it is for the next window.
			{rowsOf(1, 10), []int{248}},
			{rowsOf(1, 10), []int{496}},
			{rowsOf(1, 10), []int{992}},
			{rowsOf(1, 10), []int{1000}},
		} {
			h.rows, h.counts = test.rows, nil
			pages, err := readAll(t.Context(), c, messages(), settled(time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, page := range pages {
				n += len(page.Rows)
			}
			if n != len(test.rows) || !slices.Equal(h.counts, test.counts) {
				t.Errorf("got %d of %d rows, asked for %d; want %d", n, len(test.rows), h.counts, test.counts)
			}
		}
	})
}

// TestPagesSuitTheirRows has pages that could be read, and are larger than they should be: the next window is asked for in smaller ones, of
// one size each, and small rows in as many as there may be, however few came before.
func TestPagesSuitTheirRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 30_000
		h := &shelf{}
		c := newTestClient(t, testConfig(h))
		for _, test := range []struct {
			rows   []string
			counts []int
			pages  int
		}{
			{rowsOf(1, 3), []int{1000}, 1},
			{rowsOfSize(1, size), []int{1000}, 1},   // One row shows nothing.
			{rowsOfSize(100, size), []int{1000}, 1}, // 3 MB.
			{rowsOfSize(100, size), []int{68}, 2},
			{append(rowsOfSize(60, 100), rowsOfSize(60, size)...), []int{68}, 2},
			{rowsOfSize(10, size), []int{136}, 1},
			{rowsOf(1, 1000), []int{272}, 4}, // A window keeps its size.
			{rowsOf(1, 1000), []int{544}, 2},
			{rowsOf(1, 1000), []int{1000}, 1},
		} {
			h.rows, h.counts = test.rows, nil
			pages, err := readAll(t.Context(), c, messages(), settled(time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(h.counts, test.counts) || len(pages) != test.pages {
				t.Errorf("asked for %d and got %d pages; want %d and %d", h.counts, len(pages), test.counts, test.pages)
			}
			for _, page := range pages {
				if page.Bytes < len(page.Rows[0])*len(page.Rows)/2 {
					t.Errorf("a page of %d rows of %d bytes has %d", len(page.Rows), len(page.Rows[0]), page.Bytes)
				}
			}
		}
	})
}

// TestDenseWindowOfLargeRowsGetsShorter has a window that would take thousands of pages of the few rows that fit.
func TestDenseWindowOfLargeRowsGetsShorter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &shelf{rows: rowsOfSize(100, 50_000), total: 10_000}
		_, err := newTestClient(t, testConfig(h)).Open(t.Context(), messages(), settled(time.Hour))
		if fault := wantFault(t, err, pipeline.Restart); !errors.Is(err, pipeline.ErrTooManyRows) || fault.Span > 4*time.Minute {
			t.Errorf("got %v, to be asked for as %v", err, fault.Span)
		}
	})
}

// TestTotalAloneTakesNoMemory has a second, which cannot be shorter, of which far more is announced than comes.
func TestTotalAloneTakesNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestClient(t, testConfig(&script{answers: []answer{page(2_000_000, "", rowsOf(1, 2)...)}}))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := c.Open(t.Context(), messages(), settled(c.cfg.Overlap+time.Second)); err != nil {
			t.Fatalf("open: %v", err)
		}
		if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 16<<20 {
			t.Errorf("two rows took %d bytes", after.TotalAlloc-before.TotalAlloc)
		}
	})
}

// TestLargeReplyIsNoEnd has an API that gives too much whatever it is asked for, until it is itself again: a shorter window is asked
// for, and what needs no window waits.
func TestLargeReplyIsNoEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &shelf{rows: rowsOfSize(50, 100_000), deaf: true}
		c := newTestClient(t, testConfig(h))
		_, err := c.Open(t.Context(), messages(), settled(time.Hour))
		if fault := wantFault(t, err, pipeline.Restart); !errors.Is(err, errTooLarge) || fault.Span <= 0 || fault.Span > 30*time.Minute {
			t.Errorf("an hour: got %v, to be asked for as %v", err, fault.Span)
		}
		_, err = c.Open(t.Context(), messages(), settled(c.cfg.Overlap+time.Second))
		if fault := wantFault(t, err, pipeline.Restart); fault.Span != 0 || !strings.Contains(fault.Hint, "JMPUB_API_URL") {
			t.Errorf("a second: got %v, to be asked for as %v", err, fault.Span)
		}
		c = newTestClient(t, testConfig(h)) // At its start.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.Now(ctx, messages()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the clock: got %v, want it asked for until the minute is over", err)
		}
		h.rows = h.rows[:1]
		if _, err := c.Now(t.Context(), messages()); err != nil {
			t.Errorf("the clock, once it is told: %v", err)
		}
	})
}

// TestLargePageBehindTheFirst begins the window anew with fewer rows.
func TestLargePageBehindTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &shelf{rows: append(rowsOf(1, 1000), rowsOfSize(100, 100_000)...)}
		c := newTestClient(t, testConfig(h))
		_, err := readAll(t.Context(), c, messages(), settled(time.Hour))
		_ = wantFault(t, err, pipeline.Restart)
		if _, err = c.Open(t.Context(), messages(), settled(time.Minute)); err != nil || !slices.Equal(h.counts, []int{1000, 250}) {
			t.Errorf("%v, asked for %d rows", err, h.counts)
		}
	})
}

// TestRowThatIsTooLargeIsCut gives such a row as far as it is read, the same bytes each time, and goes on behind it.
func TestRowThatIsTooLargeIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		large := fmt.Sprintf(`{"msgid":2,"text":"%s"}`, strings.Repeat("x", maxBody))
		var rows []string
		for _, cursor := range []string{"C", "another"} {
			c := newTestClient(t, testConfig(&script{answers: []answer{
				page(2, cursor, large, `{"msgid":1}`), page(2, cursor, large), page(2, cursor, large), page(2, cursor, large), page(2, cursor, large), page(2, cursor, large),
				page(2, "", `{"msgid":1}`),
			}}))
			pages, err := readAll(t.Context(), c, messages(), settled(time.Minute))
			if err != nil || len(pages) != 2 || len(pages[0].Rows) != 1 {
				t.Fatalf("%d pages, %v", len(pages), err)
			}
			rows = append(rows, string(pages[0].Rows[0]))
			if _, rejection := event.NewNormalizer(testKey).Normalize(pages[0].Rows[0]); rejection == nil {
				t.Error("half a row became an event")
			}
		}
		if rows[0] != rows[1] || !strings.HasPrefix(large, rows[0]) {
			t.Errorf("%d and %d bytes of a row, which differ", len(rows[0]), len(rows[1]))
		}
	})
}

// TestManySmallRowsAreMalformed is not about how large they are.
func TestManySmallRowsAreMalformed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen recorder
		many := page(1, "", rowsOf(1, maxPageSize+1)...)
		more := answer{body: `{"total":1,"messages":[` + strings.Repeat("1,", maxBody) + `1]}`}
		cfg := testConfig(&script{answers: []answer{many, more, page(1, "", rowsOf(1, 1)...)}})
		cfg.Observer = seen.observer()
		cfg.Retry.Notify = func(_ string, err error, _ time.Duration) {
			if !errors.Is(err, errTooMany) {
				t.Errorf("told of %v, want %v", err, errTooMany)
			}
		}
		if _, err := readAll(t.Context(), newTestClient(t, cfg), messages(), settled(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if want := []string{classMalformed, classMalformed, classOK}; !slices.Equal(seen.classes, want) {
			t.Errorf("got classes %q, want %q", seen.classes, want)
		}
	})
}

// TestCursorsAreShort takes no cursor that no server would take back.
func TestCursorsAreShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		longest := strings.Repeat("/", maxCursor)
		s := &script{answers: []answer{page(2, longest+"/", rowsOf(1, 1)...), page(2, longest, rowsOf(1, 1)...), page(2, "", rowsOf(2, 1)...)}}
		pages, err := readAll(t.Context(), newTestClient(t, testConfig(s)), messages(), settled(time.Minute))
		if err != nil || msgids(pages) != "12" {
			t.Errorf("got %q, %v", msgids(pages), err)
		}
		if uris := s.requests(); len(uris) != 3 || uris[0] != uris[1] || !strings.HasSuffix(uris[2], "?cursor="+escape(longest)) {
			t.Errorf("%d requests, want the first one again and then one by the cursor", len(uris))
		}
	})
}

// TestWindowEndsWhateverTheTotal has a second with rows without an end, and says that there are more than can be counted.
func TestWindowEndsWhateverTheTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		cfg := testConfig(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			n++
			rows := fmt.Appendf(nil, `{"total":9223372036854775807,"cursor":"C%d","messages":[0`, n)
			for i := range maxPageSize - 1 {
				rows = strconv.AppendInt(append(rows, ','), int64(n*maxPageSize+i), 10)
			}
			w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
			_, _ = w.Write(append(rows, "]}"...))
		}))
		cfg.Rate = Rate{Requests: 100_000, Per: time.Minute}
		client := newTestClient(t, cfg)
		client.mostRows = 50_000
		if _, err := readAll(t.Context(), client, messages(), settled(cfg.Overlap+time.Second)); err != nil {
			t.Error(err)
		}
		if want := int(client.mostRows)/(maxPageSize-1) + 1; n != want {
			t.Errorf("%d pages were read, want %d", n, want)
		}
	})
}

// TestPagesThatBringNothingAreNoWay has an API that sends the same row again and again, each time with another cursor, and says that there
// are more.
func TestPagesThatBringNothingAreNoWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		cfg := testConfig(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			n++
			w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
			_, _ = fmt.Fprintf(w, `{"total":100,"cursor":"C%d","messages":[{"msgid":1}]}`, n)
		}))
		cfg.Rate = Rate{Requests: 100_000, Per: time.Minute}
		_, err := readAll(t.Context(), newTestClient(t, cfg), messages(), settled(time.Hour))
		if pipeline.ClassOf(err) != pipeline.Restart || !errors.Is(err, errIdle) || n > mostIdle+2 {
			t.Errorf("after %d requests: %v", n, err)
		}
	})
}

// TestCursorIsNotFollowedAfterItsLife comes back to a window when its cursor must have expired.
func TestCursorIsNotFollowedAfterItsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{page(2, "C", `{"msgid":1}`), page(2, "", `{"msgid":2}`)}}
		pages, err := newTestClient(t, testConfig(s)).Open(t.Context(), messages(), settled(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = pages.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(cursorLife)
		if _, err = pages.Next(t.Context()); pipeline.ClassOf(err) != pipeline.Restart || len(s.requests()) != 1 {
			t.Errorf("%v after %d requests", err, len(s.requests()))
		}
	})
}

// TestDamageIsFoundInOneGo reads a page of many broken rows with about the memory of four copies of it: each broken row is passed
// once, and the page is not decoded again for it.
func TestDamageIsFoundInOneGo(t *testing.T) {
	broken := strings.TrimSuffix(strings.Repeat(`{"text":"`+strings.Repeat("x", 4000)+`",},`, 999), ",")
	body := []byte(`{"total":1000,"count":1000,"messages":[{"msgid":1},` + broken + `]}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	page, _, err := decodeDamaged(body, maxPageSize)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 4*uint64(len(body)) {
		t.Errorf("it took %d bytes for a page of %d", took, len(body))
	}
	if err != nil || len(page.rows) != 1000 || string(page.rows[0]) != `{"msgid":1}` || !bytes.HasSuffix(page.rows[999], []byte(`x",}`)) {
		t.Errorf("%d rows, %v", len(page.rows), err)
	}
}

// repeating is a list whose pages do not depend on what is asked for.
func repeating(total int, names ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"total":%d,"users":["%s"]}`, total, strings.Join(names, `","`))
	}
}

// TestListThatRepeatsEnds uses what came, and tells that it cannot be all.
func TestListThatRepeatsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, list := range map[string]http.HandlerFunc{
			"full pages": repeating(100_000, names(0, listCount)...), "short pages": repeating(100_000, names(0, 7)...),
		} {
			requests := 0
			cfg := testConfig(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { requests++; list(w, r) }))
			var warned []string
			cfg.Warn = func(message string, _ ...slog.Attr) { warned = append(warned, message) }
			got, err := newTestClient(t, cfg).List(t.Context(), pipeline.StreamUsers)
			if err != nil || got.Whole || len(got.Streams) == 0 || requests > 2*listAttempts || len(warned) != 1 || !strings.Contains(warned[0], "repeat") {
				t.Errorf("%s: %d streams, whole: %v, %v, %d requests, warned %q", name, len(got.Streams), got.Whole, err, requests, warned)
			}
		}
	})
}

// TestListThatGrowsEnds reads no more of it than there may be, within bounded memory.
func TestListThatGrowsEnds(t *testing.T) {
	for name, test := range map[string]struct {
		most    int // In a page.
		total   string
		entries int
		reason  string
	}{
		"as it is read": {listCount, `"total":9223372036854775807,`, mostEntries, "entries"},
		"small pages":   {3, `"total":1000000,`, 2*mostListPages + 1, "requests"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				requests := 0
				cfg := testConfig(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					requests++
					start, _ := strconv.Atoi(r.URL.Query().Get("start"))
					fmt.Fprintf(w, `{%s"users":["%s"]}`, test.total, strings.Join(names(start, test.most), `","`))
				}))
				cfg.Rate = Rate{Requests: 100_000, Per: time.Minute}
				var warned []string
				cfg.Warn = func(message string, attrs ...slog.Attr) { warned = append(warned, fmt.Sprint(message, attrs)) }
				got, err := newTestClient(t, cfg).List(t.Context(), pipeline.StreamUsers)
				if err != nil || got.Whole || len(got.Streams) != test.entries || requests > mostListPages {
					t.Errorf("%d streams, whole: %v, %v, %d requests; want %d streams", len(got.Streams), got.Whole, err, requests, test.entries)
				}
				if len(warned) != 1 || !strings.Contains(warned[0], "not read to its end") || !strings.Contains(warned[0], test.reason) {
					t.Errorf("warned %q", warned)
				}
			})
		})
	}
}

// TestLargeListIsAskedForInFewerEntries reads a list whose entries are large.
func TestLargeListIsAskedForInFewerEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var counts []int
		cfg := testConfig(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			start, _ := strconv.Atoi(r.URL.Query().Get("start"))
			count, _ := strconv.Atoi(r.URL.Query().Get("count"))
			counts = append(counts, count)
			var entries []string
			for _, name := range names(start, max(0, min(count, 200-start))) {
				entries = append(entries, fmt.Sprintf(`{"username":%q,"signature":%q}`, name, strings.Repeat("x", 35_000)))
			}
			fmt.Fprintf(w, `{"total":200,"users":[%s]}`, strings.Join(entries, ","))
		}))
		got, err := newTestClient(t, cfg).List(t.Context(), pipeline.StreamUsers)
		if err != nil || !got.Whole || len(got.Streams) != 200 || !slices.Equal(counts[:4], []int{500, 125, 31, 31}) {
			t.Errorf("%d streams, whole: %v, %v, asked for %d", len(got.Streams), got.Whole, err, counts)
		}
	})
}

// TestStatisticsOfOtherTimesAreRefused takes neither more periods than there can be nor those that nobody asked for.
func TestStatisticsOfOtherTimesAreRefused(t *testing.T) {
	day := func(n int) string { return `{"date":"` + dayOf("2017-03-01").Add(n).String() + `"}` }
	var many, far []string
	for i := range 2*mostPeriods + 1 {
		many = append(many, day(i-mostPeriods))
	}
	far = append(far, day(0), `{"date":"9999-12-31"}`)
	for _, rows := range [][]string{many, far} {
		d := statisticsDecoder{zone: shanghai(), first: dayOf("2017-03-01"), asked: 1}
		if err := d.rows([]byte("["+strings.Join(rows, ",")+"]"), "date"); err == nil {
			t.Errorf("%d rows are taken", len(d.found))
		}
	}
}

// endlessBody is a reply without an end: a beginning, and then a part again and again.
type endlessBody struct {
	begin, part string
	n           int
}

func (b *endlessBody) Read(p []byte) (int, error) {
	n := copy(p, b.begin)
	b.begin = b.begin[n:]
	for n < len(p) {
		copied := copy(p[n:], b.part[b.n%len(b.part):])
		n, b.n = n+copied, b.n+copied
	}
	return n, nil
}

func endlessly(begin, part string) io.Reader {
	return &endlessBody{begin: begin, part: strings.Repeat(part, 1000)}
}

// bomb is gzip of more than is read of a reply.
func bomb(begin, part string) io.Reader {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	_, _ = io.CopyN(z, endlessly(begin, part), 60<<20)
	_ = z.Close()
	return &b
}

// roundTrip is a transport of a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// worstReplies are made to take as much memory as they can, by what they are.
func worstReplies() map[string]func() io.Reader {
	const page, list = `{"total":9,"cursor":"C","messages":[`, `{"total":9,"users":[`
	row := func(begin, part, end string) io.Reader {
		const fits = maxBody - 200
		return strings.NewReader(`{"total":1,"cursor":"","count":1,"messages":[` + begin + strings.Repeat(part, fits/len(part)) + end + `]}`)
	}
	return map[string]func() io.Reader{
		"tiny rows":          func() io.Reader { return bomb(page, "1,") },
		"nothing":            func() io.Reader { return bomb("", "\x00") },
		"one string":         func() io.Reader { return endlessly(page+`"`, "x") },
		"one row":            func() io.Reader { return endlessly(page+`{"msgid":1,"text":"`, "x") },
		"nesting":            func() io.Reader { return endlessly(page, "[") },
		"nesting of objects": func() io.Reader { return endlessly(page, `{"a":`) },
		"a number":           func() io.Reader { return endlessly(page, "1") },
		"members":            func() io.Reader { return endlessly(`{`, `"a":1,`) },
		"broken rows":        func() io.Reader { return endlessly(page, `{"a":},`) },
		"a cursor":           func() io.Reader { return endlessly(`{"cursor":"`, `\u0041`) },
		"white space":        func() io.Reader { return endlessly(page, " ") },
		"a list":             func() io.Reader { return endlessly(list, `"a",`) },
		"a list of one":      func() io.Reader { return endlessly(list+`"`, `a`) },
		"statistics":         func() io.Reader { return endlessly(`[`, `{"date":"2017-03-01"},`) },
		"a row of members":   func() io.Reader { return row(`{"msgid":1`, `,"a":1`, `}`) },
		"a row of text":      func() io.Reader { return row(`{"msgid":1,"msg_type":"text","msg_body":{"text":"`, `x`, `"}}`) },
		"a row of escapes": func() io.Reader {
			return row(`{"msgid":1,"target_type":"single","from_id":"a","target_id":"`, `\u4e2d`, `"}`)
		},
		"a row of separators": func() io.Reader {
			return row(`{"msgid":1,"target_type":"single","from_id":"a","target_id":"`, `|`, `"}`)
		},
		"a row of white space":   func() io.Reader { return row(`{"msgid":1,"msg_body":[`, `1, `, `1]}`) },
		"a row with a number":    func() io.Reader { return row(`{"msgid":1,"target_type":"group","target_id":`, `1`, `}`) },
		"a row with a long name": func() io.Reader { return row(`{"msgid":1,"`, `\u4e2d`, `":1}`) },
		"members of statistics":  func() io.Reader { return strings.NewReader(`[{` + members(maxStatistics-20) + `}]`) },
	}
}

// readReply asks an API that answers with nothing but a reply, until it is refused or its rows are events.
func readReply(t *testing.T, name string, reply func() io.Reader) (told error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cfg := testConfig(nil)
	reader := reply()
	cfg.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
		header := http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}}
		return &http.Response{StatusCode: http.StatusOK, Header: header, Body: io.NopCloser(reader), ContentLength: 1 << 40}, nil
	})
	cfg.Retry.Notify = func(_ string, err error, _ time.Duration) { told = err; cancel() }
	c := newTestClient(t, cfg)
	switch {
	case strings.Contains(name, "list"):
		_, _ = c.List(ctx, pipeline.StreamUsers)
	case strings.Contains(name, "statistics"):
		_, _, _ = c.Statistics(ctx, statisticsOf("users"), dayOf("2017-03-01"), 60)
	default:
		pages, _ := readAll(ctx, c, messages(), settled(time.Second))
		n := event.NewNormalizer(testKey)
		for _, page := range pages {
			for _, row := range page.Rows {
				n.Normalize(row)
			}
		}
	}
	return told
}

// TestMemoryOfTheWorstReplies bounds what is allocated in all, so also what is held at any time, from the reply until its rows are
// events.
func TestMemoryOfTheWorstReplies(t *testing.T) {
	const most = 128 << 20
	for name, reply := range worstReplies() {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			told := readReply(t, name, reply)
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > most {
				t.Errorf("%d MiB are allocated, want at most %d", used>>20, most>>20)
			} else {
				t.Logf("%d MiB", used>>20)
			}
			if told != nil && len(told.Error()) > 1000 {
				t.Errorf("told in %d bytes", len(told.Error()))
			}
		})
	}
}

// TestMemoryOfTheWorstRepliesAtOnce has as many of them at the same time as JMPUB_API_PARALLEL allows, with the limit that a run sets.
func TestMemoryOfTheWorstRepliesAtOnce(t *testing.T) {
	const parallel, most = 12, 256 << 20
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(64<<20 + parallel*12<<20))
	for name, reply := range worstReplies() {
		t.Run(name, func(t *testing.T) {
			peak := hostile.PeakHeap(func() {
				var all sync.WaitGroup
				for range parallel {
					all.Go(func() { _ = readReply(t, name, reply) })
				}
				all.Wait()
			})
			if t.Logf("%d MiB", peak>>20); peak > most {
				t.Errorf("the heap grows by %d MiB, want at most %d", peak>>20, most>>20)
			}
		})
	}
}

// members are different ones.
func members(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size-20; i++ {
		fmt.Fprintf(&b, `"%x":1,`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

// TestNamesCannotClimb sends each name as one part of the path, in which nothing stands for another path.
func TestNamesCannotClimb(t *testing.T) {
	c := newTestClient(t, testConfig(nil))
	for _, name := range []string{
		"a", "a.b", "...", "a..", ".a", "a/b", "a//b", "a;b=c", "a?b#c", `a\b`, "%2e%2e", "%2f", "a b+c", "用户", "~a@b,c&d=e", "a:b",
	} {
		stream, err := pipeline.ParseStream("users/" + name)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		req, err := c.newRequest(t.Context(), &c.rowsRequest(stream, "op", "count=1").call)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		sent := req.URL.RequestURI() // What net/http writes on the wire.
		if want := "/v2/users/" + escape(name) + "/messages?count=1"; sent != want || strings.Count(sent, "/") != 4 {
			t.Errorf("%q is sent as %s, want %s", name, sent, want)
		}
	}
}

// TestRowsOfAnotherYearProveNoZone has rows that lie about their time by more than any zone.
func TestRowsOfAnotherYearProveNoZone(t *testing.T) {
	w := settled(time.Minute)
	for off, want := range map[time.Duration]bool{0: true, 26 * time.Hour: true, -26 * time.Hour: true, 27 * time.Hour: false, -8760 * time.Hour: false} {
		row := fmt.Appendf(nil, `{"msgid":1,"msg_ctime":%d}`, w.Begin.Add(30*time.Second+off).UnixMilli())
		if shift, known := shiftOf(row, w); known != want || known && shift != off {
			t.Errorf("%s off: a shift of %s, known: %v", off, shift, known)
		}
	}
}

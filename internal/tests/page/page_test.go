//go:build integration

// Package page drives the page in Chromium: jmpub runs against the simulated API and the embedded broker, with 60 days of history of which
// half is a backlog, and a thousand apps of which others have most.
package page_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

var (
	axe      = flag.String("page.axe", "", "axe.min.js of axe-core")
	pictures = flag.String("page.pictures", "", "folder to keep pictures of the page in")
)

var languages = []string{"en-US", "zh-CN"}

func TestPage(t *testing.T) {
	l := newLab(t)
	one, many := freeAddress(t), freeAddress(t)
	app := []string{"JMPUB_APP_KEY=" + l.apps[0].AppKey, "JMPUB_MASTER_SECRET=" + l.apps[0].MasterSecret}
	gap := l.leaveGap()
	running := l.run(one, append(app, "JMPUB_START=58d", "JMPUB_ADMIN_TOKEN="+token)...)
	await(t, "an app is published", func() bool {
		return ask[struct {
			Events int `json:"events"`
		}](t, running, "overview").Events > 5000
	})
	l.replay(app)
	apps := filepath.Join(t.TempDir(), "apps.yaml")
	if err := os.WriteFile(apps, []byte(sim.AppsFile(l.apps)), 0o600); err != nil {
		t.Fatal(err)
	}
	all := l.run(many, "JMPUB_APPS_FILE="+apps, "JMPUB_TOPIC_PREFIX=many", "JMPUB_START=1h")
	await(t, "the topic of processes is there", func() bool {
		return len(ask[struct {
			Processes []any `json:"processes"`
		}](t, all, "apps").Processes) > 0
	})
	var first atomic.Pointer[string]
	first.Store(new("7c19e02d5ab40000aa11bb22"))
	silence := l.others("many.processes", "jmpub", 997, &first)

	t.Run("one app", func(t *testing.T) { testOneApp(t, running, gap) })
	t.Run("keys alone", func(t *testing.T) { testKeys(t, running) })
	t.Run("a thousand apps", func(t *testing.T) { testThousand(t, all, &first) })
	t.Run("languages", func(t *testing.T) { testLanguages(t, running) })
	t.Run("accessible", func(t *testing.T) { testAccessible(t, running, all) })
	t.Run("operate", func(t *testing.T) { testOperate(t, running) })
	t.Run("reset", func(t *testing.T) { testReset(t, l, running) })
	t.Run("drag", func(t *testing.T) { testDrag(t, running) })
	t.Run("connection", func(t *testing.T) { testConnection(t, l, running, one, app) })
	t.Run("Kafka away", func(t *testing.T) { testKafkaAway(t, l, all, silence) })
}

// ask is an answer of the API.
func ask[T any](t *testing.T, p *process, path string) T {
	t.Helper()
	var value T
	answer, err := p.get(t, "/api/v1/"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if err := json.NewDecoder(answer.Body).Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// The sentence, the map, its numbers, and the windows of an hour with their offsets.
func testOneApp(t *testing.T, p *process, gap time.Time) {
	b := newTab(t, "en-US")
	b.theme(light)
	b.open(p.url + "/")
	until[bool](b, `document.querySelectorAll(".map .cell.read").length > 200 && document.querySelectorAll(".map .cell.replayed").length > 20`)
	if got := b.text("#verdict"); !regexp.MustCompile(`^New messages up to \d\d:\d\d:\d\d are in Kafka, and history up to 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d; the rest is on its way\.$`).MatchString(got) {
		t.Errorf("the sentence is %q", got)
	}
	if got := b.text("#zone"); !strings.Contains(got, "Asia/Shanghai (UTC+08:00)") {
		t.Errorf("the zone is %q", got)
	}
	counts := evaluate[map[string]int](b, `Object.fromEntries(["read", "empty", "backlog", "gap", "unread", "replayed"].map((s) => [s, document.querySelectorAll(".map .cell." + s).length]))`)
	if counts["gap"] != 10 || counts["backlog"] < 500 || counts["empty"] == 0 || counts["replayed"] < 24 {
		t.Errorf("the map has %v", counts)
	}
	b.picture("page-one-app", false)
	b.theme(dark)
	b.picture("page-one-app-dark", false)
	b.theme(light)

	label := `[...document.querySelectorAll(".map .cell.read")].at(-1)`
	b.t.Log(evaluate[string](b, label+".getAttribute('aria-label')"))
	evaluate[bool](b, label+".setAttribute('data-test', 'read') ?? true")
	b.point("[data-test=read]", false)
	tip := until[string](b, `!document.getElementById("tip").hidden && document.getElementById("tip").innerText`)
	if !regexp.MustCompile(`(?s)^20\d\d-\d\d-\d\d \d\d:00–\d\d:00\nread\n\d+ rows, \d+ published`).MatchString(tip) {
		t.Errorf("the numbers of an hour are %q", tip)
	}
	b.picture("tip", false)
	b.point("[data-test=read]", true)
	until[bool](b, `document.querySelector(".opened tbody tr .offset") !== null`)
	hash := evaluate[string](b, "location.hash")
	begin, err := time.Parse(time.RFC3339, regexp.MustCompile(`hour=([^&]+)`).FindStringSubmatch(unescaped(t, hash))[1])
	if err != nil {
		t.Fatal(err)
	}
	type windows struct {
		Windows []struct {
			Offsets []struct {
				Topic string `json:"topic"`
				First int64  `json:"first"`
			} `json:"offsets"`
		} `json:"windows"`
	}
	key := ask[struct {
		Apps []struct {
			AppKey string `json:"app_key"`
		} `json:"apps"`
	}](t, p, "apps").Apps[0].AppKey
	want := ask[windows](t, p, fmt.Sprintf("apps/%s/windows?stream=messages&from=%s&to=%s", key, begin.Format(time.RFC3339), begin.Add(time.Hour).Format(time.RFC3339)))
	if got := evaluate[int](b, `document.querySelectorAll(".opened tbody tr").length`); got != len(want.Windows) || got == 0 {
		t.Errorf("the hour has %d windows, the ledger %d", got, len(want.Windows))
	}
	for _, o := range want.Windows[0].Offsets {
		if got := b.text(".opened tbody tr"); !strings.Contains(got, o.Topic) || !strings.Contains(got, strconv.FormatInt(o.First, 10)) {
			t.Errorf("the first window of the hour is %q, without %s at %d", got, o.Topic, o.First)
		}
	}
	b.picture("hour", false)

	// An address with an hour opens it again, also one that was lost.
	b.open(p.url + "/#/apps/" + key + "?stream=messages&hour=" + gap.Format(time.RFC3339))
	until[bool](b, `document.querySelector(".opened:not([hidden]) h3")?.innerText.startsWith("Windows from 20")`)
}

func unescaped(t *testing.T, text string) string {
	t.Helper()
	plain, err := url.QueryUnescape(text)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// focused says what has the focus: its role or tag, and its name.
const focused = `(() => { const e = document.activeElement; return (e.getAttribute("role") ?? e.tagName.toLowerCase()) + " " + (e.getAttribute("aria-label") ?? e.labels?.[0]?.innerText ?? e.innerText).trim(); })()`

// Everything is reached and done with keys alone.
func testKeys(t *testing.T, p *process) {
	b := newTab(t, "en-US")
	b.theme(light)
	b.open(p.url + "/")
	until[bool](b, `document.querySelectorAll(".map .cell.read").length > 200`)
	var seen []string
	for range 40 {
		b.press(kb.Tab)
		at := evaluate[string](b, focused)
		if strings.HasPrefix(at, "body ") || slices.Contains(seen, at) && !strings.HasPrefix(at, "region") {
			break
		}
		seen = append(seen, at)
		if outline := evaluate[string](b, `getComputedStyle(document.activeElement).outlineStyle`); outline == "none" {
			t.Errorf("the focus on %q is not seen", at)
		}
		if strings.HasPrefix(at, "gridcell ") {
			testMapKeys(b)
		}
	}
	all := strings.Join(seen, "\n")
	for _, want := range []string{"a Skip to the content", "button 中文", "gridcell ", "summary Operate", "a /metrics", "button Earlier"} {
		if !strings.Contains(all, want) {
			t.Errorf("Tab does not reach %q, but\n%s", want, all)
		}
	}
}

// testMapKeys walks over the map, selects a range, opens an hour and closes it again.
func testMapKeys(b *tab) {
	b.t.Helper()
	at := func() string {
		return evaluate[string](b, `document.activeElement.getAttribute("aria-label").slice(0, 22)`)
	}
	now := at()
	b.press(kb.ArrowLeft)
	if got := at(); got[11:] != now[11:] || got >= now {
		b.t.Errorf("a day before %q is %q", now, got)
	}
	if shown := evaluate[bool](b, `!document.getElementById("tip").hidden`); !shown {
		b.t.Error("the numbers of the hour in focus are not shown")
	}
	b.press(kb.ArrowUp)
	b.pressShift(kb.ArrowUp)
	if n := evaluate[int](b, `document.querySelectorAll(".map [aria-selected=true]").length`); n != 2 {
		b.t.Errorf("%d hours are selected", n)
	}
	b.press(kb.Escape)
	b.press(kb.Home)
	for range 5 {
		b.press(kb.ArrowRight)
	}
	b.press(kb.Enter)
	until[bool](b, `document.activeElement.tagName === "H3" && document.activeElement.innerText.startsWith("Windows from")`)
	b.press(kb.Tab)
	b.press(kb.Enter)
	until[bool](b, `document.activeElement.getAttribute("role") === "gridcell" && document.querySelector(".opened").hidden`)
}

// A thousand apps are searched, sorted and paged; what is wrong stands first. Names and errors of others are text, whatever they say.
func testThousand(t *testing.T, p *process, first *atomic.Pointer[string]) {
	b := newTab(t, "en-US")
	b.theme(light)
	b.open(p.url + "/")
	until[bool](b, `document.querySelector(".pager .muted")?.innerText === "1–25 of 1,000" && document.querySelector("#verdict").innerText.includes("4 of 1,000")`)
	until[bool](b, `document.querySelectorAll(".chart canvas").length > 0`)
	b.picture("page-apps", false)
	b.theme(dark)
	b.picture("page-apps-dark", false)

	first.Store(new(hostile))
	until[bool](b, fmt.Sprintf(`document.querySelector(".problems").innerText.includes(%q)`, hostile))
	const keys = `[...document.querySelectorAll("tbody tr th.key")].map((e) => e.innerText)`
	if got := evaluate[[]string](b, keys); !slices.Contains(got[:4], hostile) {
		t.Errorf("the first apps are %q", got[:4])
	}
	if got := b.text(".problems"); !strings.Contains(got, "<script>document.title='taken'</script>") {
		t.Errorf("what is wrong is %q", got)
	}
	if n := evaluate[int](b, `document.querySelectorAll("main img, main script").length`); n != 0 || strings.Contains(evaluate[string](b, "document.title"), "taken") {
		t.Errorf("a name has become %d elements; the title is %q", n, evaluate[string](b, "document.title"))
	}

	evaluate[bool](b, `document.querySelector("[data-sort=app] button").click() ?? true`)
	sorted := evaluate[[]string](b, keys)
	if !slices.IsSorted(sorted) || len(sorted) != 25 || evaluate[string](b, `document.querySelector("[data-sort=app]").ariaSort`) != "ascending" {
		t.Errorf("sorted by key, %d apps are %.300q", len(sorted), sorted)
	}
	evaluate[bool](b, `[...document.querySelectorAll(".pager button")].at(-1).click() ?? true`)
	if second := evaluate[[]string](b, keys); len(second) != 25 || second[0] <= sorted[24] || b.text(".pager .muted") != "26–50 of 1,000" {
		t.Errorf("the second page is %q: %.300q", b.text(".pager .muted"), second)
	}
	evaluate[bool](b, `(() => { const s = document.querySelector("[type=search]"); s.value = "IMG SRC"; s.dispatchEvent(new Event("input")); return true; })()`)
	if got := evaluate[[]string](b, keys); !slices.Equal(got, []string{hostile}) {
		t.Errorf("found are %q", got)
	}
	b.point("tbody th.key a", true)
	until[bool](b, `document.querySelector(".crumbs")?.innerText.includes("<img src=x onerror=")`)
	until[bool](b, `document.querySelector("#verdict").innerText.includes("is not published") || document.querySelector("#verdict").innerText.startsWith("Nothing after")`)
	if title := evaluate[string](b, "document.title"); strings.Contains(title, "taken") {
		t.Errorf("the title is %q", title)
	}
	b.picture("hostile", false)
}

// The page speaks the browser's language, and the one that was chosen from then on.
func testLanguages(t *testing.T, p *process) {
	b := newTab(t, "zh-CN")
	b.open(p.url + "/")
	until[bool](b, `/消息.*已在 Kafka 中/.test(document.querySelector("#verdict")?.innerText)`)
	evaluate[bool](b, `document.querySelector("#language").click() ?? true`)
	until[bool](b, `document.querySelector("#verdict").innerText.includes("are in Kafka") && document.documentElement.lang === "en"`)
	b.open(p.url + "/metrics")
	b.open(p.url + "/")
	until[bool](b, `document.querySelector("#verdict")?.innerText.includes("are in Kafka")`)
}

// axe-core finds nothing: of each view in each language, and in the dark what is about colours.
func testAccessible(t *testing.T, one, many *process) {
	b := newTab(t, languages[0])
	for _, view := range []struct{ name, url, shown, then string }{
		{"all", many.url, `document.querySelectorAll("tbody tr").length > 20 && document.querySelectorAll(".chart canvas").length > 0`, "true"},
		{
			"one", one.url, `document.querySelectorAll(".map .cell.read").length > 200`,
			`(() => { document.querySelector("details").open = true; document.querySelector(".map .cell.read").click(); return true; })()`,
		},
	} {
		for _, language := range languages {
			b.theme(light)
			b.open(view.url + "/")
			until[bool](b, view.shown)
			if !strings.HasPrefix(language, evaluate[string](b, "document.documentElement.lang")) {
				evaluate[bool](b, `document.querySelector("#language").click() ?? true`)
				until[bool](b, view.shown)
			}
			evaluate[bool](b, view.then)
			until[bool](b, `document.querySelector(".opened") === null || document.querySelector(".opened tbody tr") !== null`)
			b.accessible(view.name+" in "+language, everyRule)
			b.picture(view.name+"-"+language+"-1280-light", true)
			b.theme(dark)
			b.accessible(view.name+" in "+language+", dark", contrast)
			b.picture(view.name+"-"+language+"-1280-dark", true)
			b.resize(400)
			b.accessible(view.name+" in "+language+", narrow", narrowRules)
			if wide := evaluate[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide > 0 {
				t.Errorf("%s in %s is %d pixels wider than a narrow window", view.name, language, wide)
			}
			b.picture(view.name+"-"+language+"-400-dark", true)
			b.theme(light)
			b.picture(view.name+"-"+language+"-400-light", true)
			b.resize(1280)
		}
	}
}

const token = "a-token-of-the-page-s-test"

// With a token a range is published again and an app is paused, once what that brings about was read and confirmed. Without one, or with a wrong one,
// nothing is.
func testOperate(t *testing.T, p *process) {
	b := newTab(t, "en-US")
	b.open(p.url + "/")
	until[bool](b, `document.querySelectorAll(".map .cell.read").length > 200 && !document.querySelector("form.operate").hidden`)
	press := func(name string) {
		evaluate[bool](b, fmt.Sprintf(`[...document.querySelectorAll("form.operate button, dialog button")].find((e) => e.innerText === %q).click() ?? true`, name))
	}
	says := func(want string) {
		t.Helper()
		until[bool](b, fmt.Sprintf(`document.querySelector(".said").textContent.includes(%q)`, want))
	}
	evaluate[bool](b, `(document.querySelector("details").open = true)`)
	press("Pause")
	says("Type in the token first.")
	b.fill("[type=password]", "a-token-that-is-not-the-one")
	press("Publish again …")
	says("Give both times")
	evaluate[bool](b, `(() => { const [from, to] = document.querySelectorAll("form.operate [inputmode]"), at = document.querySelector(".map .cell.read");
		at.focus(); from.value = at.getAttribute("aria-label").slice(0, 16) + ":00"; to.value = from.value.slice(0, 14) + "59:59"; return true; })()`)
	press("Publish again …")
	says("The token is not accepted.")
	b.fill("[type=password]", token)
	press("Publish again …")
	question := until[string](b, `document.querySelector("dialog").open && document.querySelector("dialog .question").innerText`)
	if !strings.Contains(question, "messages") {
		t.Errorf("the question is %q", question)
	}
	b.picture("question", false)
	press("Cancel")
	until[bool](b, `!document.querySelector("dialog").open && document.querySelector(".said").textContent === ""`)
	press("Pause")
	until[bool](b, `document.querySelector("dialog").open`)
	press("Yes, do it")
	says("nothing of the app is published")
	press("Resume")
	until[bool](b, `document.querySelector("dialog").open`)
	press("Yes, do it")
	until[bool](b, `[...document.querySelectorAll("form.operate button")].some((e) => e.innerText === "Pause") && !document.querySelector(".said").textContent.includes("nothing of the app")`)
	if kept := evaluate[string](b, `JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])`); strings.Contains(kept, "token") {
		t.Errorf("the token is kept in %s", kept)
	}
}

// An hour is published again from the page while the run goes on: an independent reader finds each of its rows once more, and every other row
// as before. The page tells that it was done.
func testReset(t *testing.T, l *lab, p *process) {
	b := newTab(t, "en-US")
	b.open(p.url + "/")
	until[bool](b, `document.querySelectorAll(".map .cell.read").length > 200 && !document.querySelector("form.operate").hidden`)
	hour := evaluate[string](b, `(() => {
		document.querySelector("details").open = true;
		const [from, to] = document.querySelectorAll("form.operate [inputmode]");
		const cell = [...document.querySelectorAll(".map .cell.read")].sort((a, b) => (a.getAttribute("aria-label") < b.getAttribute("aria-label") ? -1 : 1))[300];
		from.value = cell.getAttribute("aria-label").slice(0, 16) + ":00"; to.value = from.value.slice(0, 14) + "59:59";
		return from.value; })()`)
	begin, err := time.ParseInLocation(time.DateTime, hour, time.FixedZone("", 8*3600))
	if err != nil {
		t.Fatal(err)
	}
	b.fill("[type=password]", token)
	press := func(name string) {
		evaluate[bool](b, fmt.Sprintf(`[...document.querySelectorAll("form.operate button, dialog button")].find((e) => e.innerText === %q).click() ?? true`, name))
	}
	press("Publish again …")
	until[bool](b, `document.querySelector("dialog").open`)
	press("Yes, do it")
	until[bool](b, `!document.querySelector("dialog").open && !["", "Working …"].includes(document.querySelector(".said").textContent)`)
	again := [2]time.Time{begin, begin.Add(time.Hour - time.Nanosecond)}
	differs := ""
	defer func() {
		if t.Failed() {
			t.Log(differs)
		}
	}()
	await(t, "the hour "+hour+" is there once more", func() bool {
		differs = l.compare(again)
		return differs == ""
	})
	until[bool](b, `[...document.querySelectorAll("table")].some((e) => e.innerText.includes("this time is published once more"))`)
	b.picture("reset", true)
}

// Three hours are chosen with the mouse, audited, and replayed into other topics: each is asked first, done once it is confirmed, and told among
// the tasks.
func testDrag(t *testing.T, p *process) {
	b := newTab(t, "en-US")
	b.open(p.url + "/")
	until[bool](b, `document.querySelectorAll(".map .cell.read").length > 200 && !document.querySelector("form.operate").hidden`)
	const hours = 3
	// The hours of a day stand below each other; one of the oldest that were read.
	places := evaluate[[][2]float64](b, fmt.Sprintf(`(() => {
		document.querySelector(".map").scrollIntoView({ block: "center" });
		const named = (e) => e.getAttribute("aria-label").slice(0, 16);
		const all = [...document.querySelectorAll(".map .cell.read")].sort((a, b) => (named(a) < named(b) ? -1 : 1));
		const first = all.findIndex((e, i) => i > 100 && named(e).endsWith("04:00"));
		return all.slice(first, first + %d).map((e) => { const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }); })()`, hours))
	mouse := func(kind input.DispatchMouseEventType, at [2]float64) {
		t.Helper()
		event := input.DispatchMouseEventParams{Type: kind, X: at[0], Y: at[1], Button: input.MouseButtonLeft, Buttons: 1, ClickCount: 1}
		if _, err := chromedp.Call(b.ctx, input.DispatchMouseEvent, event); err != nil {
			t.Fatal(err)
		}
	}
	mouse(input.DispatchMouseEventTypeMousePressed, places[0])
	for _, at := range places[1:] {
		mouse(input.DispatchMouseEventTypeMouseMoved, at)
	}
	mouse(input.DispatchMouseEventTypeMouseReleased, places[hours-1])
	chosen := until[string](b, `document.querySelector("details").open && [...document.querySelectorAll("form.operate [inputmode]")].map((e) => e.value.slice(11)).join()`)
	if chosen != "04:00:00,06:59:59" {
		t.Errorf("chosen is %s", chosen)
	}
	b.fill("[type=password]", token)
	do := func(name, asks, done string) {
		t.Helper()
		press := func(name string) {
			evaluate[bool](b, fmt.Sprintf(`[...document.querySelectorAll("form.operate button, dialog button")].find((e) => e.innerText === %q).click() ?? true`, name))
		}
		press(name)
		question := until[string](b, `document.querySelector("dialog").open && document.querySelector("dialog .question").innerText`)
		if !strings.Contains(question, asks) {
			t.Errorf("%s asks %q", name, question)
		}
		press("Yes, do it")
		until[bool](b, fmt.Sprintf(`[...document.querySelectorAll(".tasks li")].some((e) => e.innerText.includes("complete") && e.innerText.includes(%q))`, done))
	}
	do("Audit …", "It takes ", "0 missing, 0 too many")
	b.fill(`[placeholder="the same topics"]`, "elsewhere")
	do("Replay, marked …", " rows, and takes ", "06:59:59")
	b.picture("tasks", true)
}

// testKafkaAway opens the page while Kafka does not answer, which is when people look at it: it shows what the process knows by itself.
func testKafkaAway(t *testing.T, l *lab, p *process, silence func()) {
	silence() // Others could not speak either.
	if err := l.broker.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, "Kafka is known to be silent", func() bool {
		return ask[struct {
			Incomplete string `json:"incomplete"`
		}](t, p, "apps").Incomplete != ""
	})
	b := newTab(t, "zh-CN")
	b.open(p.url + "/#/apps/" + l.apps[0].AppKey)
	until[bool](b, `document.querySelector("#verdict")?.innerText.includes("已在 Kafka 中")`)
	until[bool](b, `document.querySelector("#main").innerText.includes("no answer from Kafka since")`)
	b.picture("kafka-away", false)
	b.open(p.url + "/#/")
	until[bool](b, `document.querySelector(".problems")?.innerText.includes("其他进程的情况未知")`)
}

// A connection that is lost is told, with the time, until it is back.
func testConnection(t *testing.T, l *lab, p *process, listen string, app []string) {
	b := newTab(t, "en-US")
	b.open(p.url + "/")
	until[bool](b, `document.querySelector("#verdict")?.innerText.includes("are in Kafka")`)
	if evaluate[bool](b, `!document.querySelector("#lost").hidden`) {
		t.Error("a connection that is there is said to be lost")
	}
	p.stop()
	lost := until[string](b, `!document.querySelector("#lost").hidden && document.querySelector("#lost").innerText`)
	if !regexp.MustCompile(`^No connection to jmpub since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.`).MatchString(lost) {
		t.Errorf("the page says %q", lost)
	}
	b.picture("lost", false)
	l.run(listen, append(app, "JMPUB_START=58d", "JMPUB_ADMIN_TOKEN="+token)...)
	until[bool](b, `document.querySelector("#lost").hidden`)
}

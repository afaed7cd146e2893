//go:build integration

package page_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// The themes.
const (
	light = "light"
	dark  = "dark"
)

// tab is a tab of Chromium. Whatever its console says is a failure of the test, but for requests that find nobody.
type tab struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // It is the tab, as chromedp has it.
	mu  sync.Mutex      // Guards said.
	// said are the lines of its console.
	said []string
}

// newTab opens a browser in a language.
func newTab(t *testing.T, language string) *tab {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{chromedp.Flag("lang", language), chromedp.Flag("accept-lang", language)}
	if os.Geteuid() == 0 { // Chromium does not make a sandbox for root.
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel := chromedp.NewContext(t.Context(), chromedp.WithAllocatorOptions(options...))
	b := &tab{t: t, ctx: ctx}
	b.resize(1280)
	var listening sync.WaitGroup
	messages := chromedp.Console(ctx)
	listening.Go(func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.said = append(b.said, m.String()+" "+m.URL)
			b.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		cancel()
		listening.Wait()
		for _, line := range b.said {
			if !strings.Contains(line, "net::ERR_") && !strings.Contains(line, "the server responded with a status of") {
				t.Errorf("the console says: %s", line)
			}
		}
	})
	return b
}

func (b *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := b.within()
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

func (b *tab) within() (context.Context, context.CancelFunc) {
	if chromedp.FromContext(b.ctx).Target == nil { // The first call's deadline would be the browser's.
		return b.ctx, func() {}
	}
	return context.WithTimeout(b.ctx, 40*time.Second)
}

// open goes to an address.
func (b *tab) open(url string) {
	b.t.Helper()
	b.do("open "+url, chromedp.Navigate(url))
}

// theme has the page be light or dark.
func (b *tab) theme(scheme string) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	}); err != nil {
		b.t.Fatal(err)
	}
}

// evaluate is the value of an expression; that of a promise where it is one.
func evaluate[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := b.within()
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%.200s: %v", expression, err)
	}
	return value
}

// until waits until an expression is true, and gives its value.
func until[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := b.within()
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Poll[T](expression, chromedp.WithPollingInterval(50*time.Millisecond)))
	if err != nil {
		shown, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		b.t.Fatalf("in vain was waited until %s: %v; the page says\n%.3000s", expression, err, shown)
	}
	return value
}

// text is that of the first element which is selected.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return evaluate[string](b, fmt.Sprintf("document.querySelector(%q).innerText", selector))
}

// press presses keys.
func (b *tab) press(keys string, modifiers ...chromedp.KeyOption) {
	b.t.Helper()
	b.do("press a key", chromedp.KeyEvent(keys, modifiers...))
}

func (b *tab) pressShift(keys string) { b.press(keys, chromedp.KeyModifiers(kb.ModifierShift)) }

// point moves the mouse to the middle of the first element which is selected, and clicks there if told.
func (b *tab) point(selector string, click bool) {
	b.t.Helper()
	at := evaluate[[]float64](b, fmt.Sprintf(
		"(() => { const e = document.querySelector(%q); e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()",
		selector))
	b.do("point at "+selector, chromedp.MouseEvent("mouseMoved", at[0], at[1]))
	if click {
		b.do("click "+selector, chromedp.MouseClickXY(at[0], at[1]))
	}
}

// fill has a field have a text, as if it were typed in.
func (b *tab) fill(selector, text string) {
	b.t.Helper()
	evaluate[bool](b, fmt.Sprintf(`(() => { const e = document.querySelector(%q); e.value = %q; e.dispatchEvent(new Event("input")); return true; })()`, selector, text))
}

// picture keeps a picture of what is seen, or of the whole page, in the folder of pictures.
func (b *tab) picture(name string, whole bool) {
	b.t.Helper()
	if *pictures == "" {
		return
	}
	take := chromedp.CaptureScreenshot()
	if whole {
		take = chromedp.FullScreenshot(100)
	}
	ctx, cancel := b.within()
	defer cancel()
	png, err := chromedp.Run(ctx, take)
	if err == nil {
		err = os.WriteFile(filepath.Join(*pictures, name+".png"), png, 0o644) //nolint:gosec // To be looked at.
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// resize makes the window as wide as told.
func (b *tab) resize(width int64) {
	b.t.Helper()
	const height = 900
	b.do("size the window", chromedp.EmulateViewport(width, height))
}

// What axe-core looks for: everything, or what another theme or width can change.
const (
	everyRule   = `{resultTypes: ["violations"]}`
	contrast    = `{resultTypes: ["violations"], runOnly: ["color-contrast"]}`
	narrowRules = `{resultTypes: ["violations"], runOnly: ["scrollable-region-focusable", "link-name", "button-name", "label"]}`
)

// accessible has axe-core look at the page.
func (b *tab) accessible(what, rules string) {
	b.t.Helper()
	if evaluate[string](b, "typeof axe") != "object" {
		source, err := os.ReadFile(*axe)
		if err != nil {
			b.t.Fatalf("read axe-core, which `make page` fetches: %v", err)
		}
		// The page's policy lets no script in but its own; the browser's debugger may.
		if _, err := chromedp.Call(b.ctx, runtime.Evaluate, runtime.EvaluateParams{Expression: string(source)}); err != nil {
			b.t.Fatal(err)
		}
	}
	for _, one := range evaluate[[]string](b, `axe.run(document, `+rules+`).then((r) => [
		...r.violations.flatMap((v) => v.nodes.map((n) => v.id + ": " + n.target + ": " + n.failureSummary)), ...(r.passes.length < 1 ? ["axe-core looked at nothing"] : [])])`) {
		b.t.Errorf("%s: %s", what, one)
	}
}

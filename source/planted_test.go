package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/internal/tests/hostile"
	"github.com/jmpub/jmpub/internal/words"
	"github.com/jmpub/jmpub/pipeline"
)

// heard is all that a client tells.
type heard struct {
	mu sync.Mutex
	strings.Builder
}

func (h *heard) add(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fmt.Fprintf(h, format+"\n", args...)
}

// asks are the requests for rows, for a list and for statistics.
func asks() []func(context.Context, *Client) error {
	return []func(context.Context, *Client) error{
		func(ctx context.Context, c *Client) error {
			_, err := readAll(ctx, c, messages(), settled(time.Hour))
			return err
		},
		func(ctx context.Context, c *Client) error {
			found, err := c.List(ctx, pipeline.StreamUsers)
			for _, s := range found.Streams {
				err = errors.Join(err, fmt.Errorf("found %s", words.Visible(s.String()))) // As every output has it.
			}
			return err
		},
		func(ctx context.Context, c *Client) error {
			day := pipeline.PeriodOf(pipeline.Day, time.Now().Add(-48*time.Hour).In(c.cfg.TimeZone))
			_, _, err := c.Statistics(ctx, pipeline.Stream{Kind: pipeline.StreamStatistics, Name: "users"}, day, 1)
			return err
		},
	}
}

// ask asks a server once, and keeps what is told of it.
func (h *heard) ask(t *testing.T, addr, password string, ask func(context.Context, *Client) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cfg := testConfig(nil)
	cfg.MasterSecret = secret.New(password)
	cfg.BaseURL, cfg.ListsURL, cfg.Transport = "http://"+addr+"/v2", "http://"+addr+"/v1", nil
	cfg.Warn = func(message string, attrs ...slog.Attr) { h.add("%s %v", message, attrs) }
	cfg.Observer = func(o pipeline.Observation) { h.add("%+v", o) }
	cfg.Retry.Notify = func(op string, err error, _ time.Duration) { h.add("%s: %v", op, err); cancel() }
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for err = ask(ctx, c); err != nil; err = errors.Unwrap(err) { // Nor is there one within.
		h.add("%v %+v", err, err)
	}
}

// TestPlantedSecrets has a server show the credentials in every place of its answers, and none in what comes of them. In which ways
// they may be written is the matter of package secret.
func TestPlantedSecrets(t *testing.T) {
	const password = `Zq7&kW/2n+X"<é'8\Lm`
	forms := hostile.Forms(testKey, password)
	var answer string
	addr := hostile.Serve(t, func(request string) string {
		if strings.Contains(request, "cursor=") { // The first page was good.
			return hostile.Answer(400, `{"error":{"code":899999,"message":"no such cursor"}}`)
		}
		return answer
	})
	try := func(name, whole string, ask func(context.Context, *Client) error) {
		t.Helper()
		answer = whole
		var h heard
		h.ask(t, addr, password, ask)
		shown, obeyed := hostile.Shown(h.String(), forms), hostile.Obeyed(h.String())
		if shown != "" || obeyed != "" || h.Len() == 0 || h.Len() > 30_000 {
			t.Errorf("%s: %s, %s is in %d bytes: %.2000q", name, shown, obeyed, h.Len(), h.String())
		}
	}
	pages := asks()[0]
	for _, form := range []string{"plain", "token", "unicode"} {
		text := forms[form]
		for name, whole := range hostile.Answers(text + hostile.Controls) {
			try(form+", "+name, whole, pages)
		}
		try(form+", long header", "HTTP/1.1 200 OK\r\n"+strings.Repeat(text, 1000)+"\r\n\r\n", pages)
		try(form+", good cursor", hostile.Answer(200, `{"total":2,"cursor":"`+strconv.QuoteToASCII(text)[1:]+`,"count":1,"messages":[{"msgid":1}]}`), pages)
		for name, body := range hostile.Bodies(text) {
			for _, ask := range asks() {
				try(form+", 200 "+name, hostile.Answer(200, body), ask)
			}
			try(form+", 400 "+name, hostile.Answer(400, body), pages)
		}
	}
}

package view_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/internal/tests/hostile"
	"github.com/jmpub/jmpub/internal/view"
)

// lines gives out what is written, write by write.
type lines chan string

// Write hands a line on.
func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

// TestLibrariesLogWithoutContent lets a server send more than its Content-Length says: net/http quotes it in the standard log.
func TestLibrariesLogWithoutContent(t *testing.T) {
	logged := make(lines, 10)
	view.TakeLibraryLogs(view.NewLogger(logged, slog.LevelInfo, "json", secret.Redactor{}))

	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		conn, acceptErr := listener.Accept()
		if acceptErr != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		r := bufio.NewReader(conn)
		_, _ = http.ReadRequest(r)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
		time.Sleep(50 * time.Millisecond) // The rest comes when the connection is idle.
		_, _ = io.WriteString(conn, `{"text":"what people say"}`)
		_, _ = r.ReadByte()
	}()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listener.Addr().String(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadAll(res.Body)
	_ = res.Body.Close()
	select {
	case line := <-logged:
		if !strings.Contains(line, `"level":"WARN"`) || !strings.Contains(line, "Unsolicited response") || strings.Contains(line, "people") {
			t.Errorf("the log has %s", line)
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing was logged")
	}
}

// TestLogIsPlain logs what a terminal obeys, credentials and a text without end.
func TestLogIsPlain(t *testing.T) {
	const password = "pass-phrase"
	r := secret.NewRedactor(secret.Credentials{User: "u", Password: secret.New(password)})
	for _, form := range []string{"text", "json"} {
		var out strings.Builder
		long := hostile.Controls + strings.Repeat("x", 9<<10) + password
		view.NewLogger(&out, slog.LevelInfo, form, r).Info("a message", slog.String("text", long), slog.Any("error", errors.New(long)),
			slog.Any("list", []string{hostile.Controls}), slog.String("said", password))
		line := out.String()
		if obeyed := hostile.Obeyed(line); obeyed != "" || strings.Count(line, "\n") != 1 || len(line) > 20_000 ||
			strings.Contains(line, password) || !strings.Contains(line, secret.Mask) {
			t.Errorf("%s: %s in %.500q", form, obeyed, line)
		}
		if form == "json" && !json.Valid([]byte(line)) {
			t.Errorf("it is no JSON: %.500q", line)
		}
	}
}

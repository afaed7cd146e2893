package main

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSupervisorIsTold runs as systemd runs a service of Type=notify with a watchdog.
func TestSupervisorIsTold(t *testing.T) {
	t.Parallel()
	env := working(t)
	env["JMPUB_POLL"] = "200ms"
	dir, err := os.MkdirTemp("", "notify") //nolint:usetesting // The test's own folder may have a name too long for a socket.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "socket")
	var lc net.ListenConfig
	l, err := lc.ListenPacket(t.Context(), "unixgram", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	env["NOTIFY_SOCKET"], env["WATCHDOG_USEC"] = socket, "300000"
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() { ended <- command(ctx, env, io.Discard, io.Discard, "run") }()
	var heard []string
	await := func(want string) {
		t.Helper()
		if err := l.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		for buf := make([]byte, 1<<16); ; {
			n, _, err := l.ReadFrom(buf)
			if err != nil {
				t.Fatalf("%s did not come, but %q: %v", want, heard, err)
			}
			lines := strings.Split(string(buf[:n]), "\n")
			heard = append(heard, lines...)
			if slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, want) }) {
				return
			}
		}
	}
	await("STATUS=starting")
	await("READY=1")
	if !slices.ContainsFunc(heard, func(line string) bool { return strings.HasPrefix(line, "STATUS=publishing, ") }) {
		t.Errorf("ready, and said before: %q", heard)
	}
	await("WATCHDOG=1")
	await("WATCHDOG=1")
	stop()
	await("STOPPING=1")
	if code := <-ended; code != exitDone {
		t.Errorf("exit code %d", code)
	}
	if n := len(slices.DeleteFunc(heard, func(line string) bool { return line != "READY=1" })); n != 1 {
		t.Errorf("ready was told %d times", n)
	}
}

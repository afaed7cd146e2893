package broker_test

import (
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/broker"
)

func connect(t *testing.T, b *broker.Broker) net.Conn {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", b.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil { // So that a mistake ends the test.
		t.Fatal(err)
	}
	return c
}

// TestHostileRequests sends what no client does. Whoever sends it is hung up on, the others are served, and no memory is taken for what
// only is claimed.
func TestHostileRequests(t *testing.T) {
	b := start(t, broker.Options{})
	createTopic(t, b)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for name, frame := range map[string]string{
		"11 bytes":           "00000007 03e7 0000 000001",
		"11 bytes, known":    "00000007 0012 0003 000001",
		"unknown key":        "0000000a 03e7 0000 00000001 ffff",
		"negative key":       "0000000a ffff 0000 00000001 ffff",
		"negative version":   "0000000a 0003 ffff 00000001 ffff",
		"no length":          "00000000 0012 0000 00000001 ffff",
		"length of a byte":   "00000001 00 12 0000 00000001 ffff",
		"length of 4 GiB":    "ffffffff 0000 0000 00000001 ffff",
		"length of 2 GiB":    "7fffffff 0003 0000 00000001 ffff",
		"long client id":     "0000000a 0012 0000 00000001 7fff",
		"long array":         "00000012 0003 0000 00000001 ffff 7fffffff 00000000",
		"many tags":          "00000010 0012 0003 00000001 ffff ffffffff0f00",
		"HTTP":               hex.EncodeToString([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")),
		"TLS":                "16030100 2e 0100002a 0303" + strings.Repeat("00", 40),
		"body is missing":    "0000000a 0000 0003 00000001 ffff",
		"body is cut in two": "00000010 0000 0003 00000001 ffff 0000 0000 0000",
	} {
		c := connect(t, b)
		data, err := hex.DecodeString(strings.ReplaceAll(frame, " ", ""))
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := c.Write(data); err != nil {
			t.Fatal(name, err)
		}
		if n, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) || n > 0 {
			t.Errorf("%s: %d bytes of an answer, %v", name, n, err)
		}
	}
	long := connect(t, b) // It claims to have 60 MiB, and sends none of them.
	if _, err := long.Write([]byte{3, 0xc0, 0, 0, 0, 0, 0, 3}); err != nil {
		t.Fatal(err)
	}
	write(t, b, "a")
	if got := read(t, b); len(got) != 1 || got[0] != "a" {
		t.Errorf("others find %v", got)
	}
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 32<<20 {
		t.Errorf("%d MiB were taken", taken>>20)
	}
}

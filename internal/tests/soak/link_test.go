package soak

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// echo is a server that answers with what it gets, and a link to it.
func echo(t *testing.T) *Link {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				_, _ = io.Copy(conn, conn) // It ends as the link has it.
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(serving.Wait) // Which leaves after the link, whose clean-up was added later.
	t.Cleanup(func() { _ = listener.Close() })
	return NewLink(t, "echo", "127.0.0.1:0", listener.Addr().String())
}

func dial(t *testing.T, l *Link) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// pingPong sends bytes and reads as many within a time, and says how long that took.
func pingPong(t *testing.T, conn net.Conn, n int, within time.Duration) (took time.Duration, err error) {
	t.Helper()
	sent, got := bytes.Repeat([]byte("jmpub"), n/5), make([]byte, n/5*5)
	began := time.Now()
	if err = conn.SetDeadline(began.Add(within)); err != nil {
		t.Fatal(err)
	}
	writing := make(chan error, 1)
	go func() {
		_, writeErr := conn.Write(sent)
		writing <- writeErr
	}()
	_, err = io.ReadFull(conn, got)
	if err = errors.Join(err, <-writing); err == nil && !bytes.Equal(sent, got) {
		t.Error("other bytes came than were sent")
	}
	return time.Since(began), err
}

const long = 20 * time.Second // For what must succeed, on a busy machine.

func TestLinkPassesAllBytes(t *testing.T) {
	t.Parallel()
	conn := dial(t, echo(t))
	for _, n := range []int{5, 100_000, 5_000_000} {
		if _, err := pingPong(t, conn, n, long); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

func TestLinkIsCutAndHealed(t *testing.T) {
	t.Parallel()
	l := echo(t)
	conn, address := dial(t, l), l.Addr()
	if _, err := pingPong(t, conn, 5, long); err != nil {
		t.Fatal(err)
	}
	l.Cut(t)
	if _, err := pingPong(t, conn, 5, long); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection outlives the cut: %v", err)
	}
	if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address); err == nil {
		_ = conn.Close()
		t.Error("a link that is cut takes new connections")
	}
	l.Heal(t)
	if _, err := pingPong(t, dial(t, l), 5, long); err != nil || l.Addr() != address {
		t.Errorf("healed: %v, at %s", err, l.Addr())
	}
}

func TestLinkDelaysAndNarrows(t *testing.T) {
	t.Parallel()
	l := echo(t)
	conn := dial(t, l)
	l.Delay(200 * time.Millisecond)
	if took, err := pingPong(t, conn, 5, long); err != nil || took < 200*time.Millisecond { // There and back, half of it at least.
		t.Errorf("delayed: %v, %v", took, err)
	}
	l.Heal(t)
	l.Narrow(100)
	if took, err := pingPong(t, conn, 100<<10, long); err != nil || took < 500*time.Millisecond { // The last chunk need not wait.
		t.Errorf("narrow: %v, %v", took, err)
	}
	l.Heal(t)
	if _, err := pingPong(t, conn, 1_000_000, long); err != nil {
		t.Errorf("healed, the same connection: %v", err)
	}
}

func TestLinkSwallows(t *testing.T) {
	t.Parallel()
	l := echo(t)
	conn := dial(t, l)
	l.Swallow()
	if _, err := pingPong(t, conn, 5, 100*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("swallowed: %v, want silence", err)
	}
	l.Heal(t)
	if _, err := pingPong(t, conn, 5, long); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("healed: %v, want the connection with the hole ended", err)
	}
	if _, err := pingPong(t, dial(t, l), 5, long); err != nil {
		t.Errorf("healed, a new connection: %v", err)
	}
}

func TestLinkResets(t *testing.T) {
	t.Parallel()
	l := echo(t)
	conn := dial(t, l)
	l.Reset(30_000)
	if _, err := pingPong(t, conn, 20_000, long); err != nil {
		t.Errorf("before the limit: %v", err)
	}
	if _, err := pingPong(t, conn, 20_000, long); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("at the limit: %v, want a reset", err)
	}
}

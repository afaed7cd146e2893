package sim

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// Serve answers what comes in at a listener until ctx is done.
func Serve(ctx context.Context, l net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // Nothing is in flight that would be missed.
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// TakeSpaces wraps a listener so that a space in a request's query, which net/http refuses before any handler sees it, arrives as a
// plus. The Java SDK asks for statistics of an hour that way.
func TakeSpaces(l net.Listener) net.Listener { return spaceListener{l} }

type spaceListener struct{ net.Listener }

func (l spaceListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return spaceConn{c}, nil
}

type spaceConn struct{ net.Conn }

// Read changes a request's first line, "GET /path?query HTTP/1.1", where it is all in what was read: a client that waits for its answers
// sends it at once. Its first bytes may be missing, for net/http reads one ahead.
func (c spaceConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	line, _, _ := bytes.Cut(p[:n], []byte("\r\n"))
	query, end := bytes.IndexByte(line, '?'), bytes.LastIndex(line, []byte(" HTTP/1."))
	if query >= 0 && query < end {
		for i := query; i < end; i++ {
			if line[i] == ' ' {
				line[i] = '+'
			}
		}
	}
	return n, err
}

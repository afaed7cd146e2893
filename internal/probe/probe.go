// Package probe finds out what answers at an address where what was expected did not: Kafka or HTTP, with TLS or without. It is
// what an error about a port that speaks something else goes by.
package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// Answer is what speaks at an address. All of it is false where nothing answers, or nothing that is known.
type Answer struct {
	// TLS is set where TLS is spoken; what is spoken within it may not be known.
	TLS         bool
	Kafka, HTTP bool
}

// timeout bounds all of it. What is asked is answered at once, or never.
const timeout = 3 * time.Second

// At asks an address, host:port. Credentials are not sent, and certificates do not matter.
func At(ctx context.Context, address string) Answer {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	host, _, _ := net.SplitHostPort(address)                           // Dialling says if it is none.
	anybody := &tls.Config{ServerName: host, InsecureSkipVerify: true} //nolint:gosec // Nothing is said to whoever answers that it may not know.
	var plain, encrypted Answer
	var asking sync.WaitGroup
	for _, ask := range []func(){
		func() { plain.Kafka, _ = answers(ctx, &net.Dialer{}, address, isKafka) },
		func() { plain.HTTP, _ = answers(ctx, &net.Dialer{}, address, isHTTP) },
		func() { encrypted.Kafka, encrypted.TLS = answers(ctx, &tls.Dialer{Config: anybody}, address, isKafka) },
		func() { encrypted.HTTP, _ = answers(ctx, &tls.Dialer{Config: anybody}, address, isHTTP) },
	} {
		asking.Go(ask)
	}
	asking.Wait()
	if encrypted.TLS { // A server of HTTPS may answer plain HTTP too, with what is wrong about it.
		return encrypted
	}
	return plain
}

type dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// answers tells whether an address answers in a protocol, and whether it could be dialled.
func answers(ctx context.Context, by dialer, address string, speaks func(io.ReadWriter) bool) (answered, dialled bool) {
	conn, err := by.DialContext(ctx, "tcp", address)
	if err != nil {
		_, refused := errors.AsType[tls.AlertError](err)
		return false, refused || strings.Contains(err.Error(), "remote error: tls") // Who refuses a TLS connection speaks TLS.
	}
	defer conn.Close() //nolint:errcheck // It was only looked at.
	deadline, _ := ctx.Deadline()
	return conn.SetDeadline(deadline) == nil && speaks(conn), true
}

// isKafka asks which versions a broker has, which each of them answers, also to whoever has no credentials.
func isKafka(conn io.ReadWriter) bool {
	const request = "\x00\x00\x00\x0a" + "\x00\x12" + "\x00\x00" + "jmpb" + "\xff\xff" // Size, ApiVersions, version 0, a mark, no client.
	if _, err := io.WriteString(conn, request); err != nil {
		return false
	}
	head := make([]byte, len("size")+len("jmpb"))
	_, err := io.ReadFull(conn, head)
	return err == nil && string(head[len("size"):]) == "jmpb"
}

// isHTTP asks for a page.
func isHTTP(conn io.ReadWriter) bool {
	if _, err := io.WriteString(conn, "HEAD / HTTP/1.0\r\n\r\n"); err != nil {
		return false
	}
	const version = "HTTP/"
	head := make([]byte, len(version))
	_, err := io.ReadFull(conn, head)
	return err == nil && string(head) == version
}

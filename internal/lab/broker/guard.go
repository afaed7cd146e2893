package broker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The most that a request takes: one that produces has a record batch for a topic of the largest messages.
const (
	maxRequest = 1 << 20
	maxProduce = 64 << 20
)

// guardedConn hands kfake whole requests that it can read. On others kfake panics in a goroutine of its own, which ends the process, or
// allocates what the request claims to be long; so the client that sends one is hung up on.
type guardedConn struct {
	net.Conn

	request []byte // What is left of the one that was read last, its length included.
	failed  error
}

// Read is only called by one goroutine at a time.
func (c *guardedConn) Read(p []byte) (int, error) {
	if len(c.request) == 0 && c.failed == nil {
		c.request, c.failed = readRequest(c.Conn)
	}
	if len(c.request) == 0 {
		return 0, c.failed
	}
	n := copy(p, c.request)
	c.request = c.request[n:]
	return n, nil
}

// readRequest reads a request with its length, and no more memory is taken than was sent.
func readRequest(r io.Reader) ([]byte, error) {
	const key = 2 // Bytes.
	head := make([]byte, 4+key)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	most := uint32(maxRequest)
	if binary.BigEndian.Uint16(head[4:]) == uint16(kmsg.Produce) {
		most = maxProduce
	}
	size := binary.BigEndian.Uint32(head)
	if size < key || size > most {
		return nil, fmt.Errorf("a request of %d bytes", size)
	}
	request := bytes.NewBuffer(head)
	if _, err := io.CopyN(request, r, int64(size)-key); err != nil {
		return nil, err
	}
	if err := checkRequest(request.Bytes()[4:]); err != nil {
		return nil, err
	}
	return request.Bytes(), nil
}

// checkRequest reads a request as kfake does, and returns an error where kfake would panic.
func checkRequest(body []byte) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("a request that cannot be read: %v", reason)
		}
	}()
	r := kbin.Reader{Src: body}
	key, version := r.Int16(), r.Int16()
	r.Int32()
	r.NullableString()
	request := kmsg.RequestForKey(key)
	if request == nil || version < 0 || !r.Ok() {
		return errors.New("a request that is none")
	}
	request.SetVersion(version)
	if request.IsFlexible() {
		kmsg.SkipTags(&r)
	}
	return request.ReadFrom(r.Src)
}

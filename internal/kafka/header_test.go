package kafka

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"testing"
)

// recordRest is a value and what stands behind it in a record.
func recordRest(value string, headers ...string) []byte {
	rest := []byte(value)
	rest = binary.AppendVarint(rest, int64(len(headers)/2))
	for _, text := range headers {
		rest = append(binary.AppendVarint(rest, int64(len(text))), text...)
	}
	return rest
}

func headersOf(rest []byte, size int) []Header {
	s := &section{from: &io.LimitedReader{R: bufio.NewReader(bytes.NewReader(rest)), N: int64(len(rest))}, size: size}
	return s.headers()
}

func TestHeaders(t *testing.T) {
	rest := recordRest("value", "a", "1", "b", "", "a", "2")
	got := headersOf(rest, len("value"))
	if len(got) != 3 || got[0].Key != "a" || string(got[2].Value) != "2" || len(got[1].Value) != 0 {
		t.Errorf("%+v", got)
	}
	if got = headersOf(rest[:len(rest)-1], len("value")); len(got) != 2 {
		t.Errorf("of a record that is cut: %+v", got)
	}
}

// FuzzHeaders takes no more memory than came, whatever lengths are claimed.
func FuzzHeaders(f *testing.F) {
	f.Add(recordRest("value", "a", "1"), 5)
	f.Add(binary.AppendVarint(nil, 1<<60), 0)
	f.Add(binary.AppendVarint(binary.AppendVarint(nil, 1), 1<<60), 0)
	f.Fuzz(func(t *testing.T, rest []byte, size int) {
		size = max(0, min(size, len(rest)))
		held := 0
		for _, h := range headersOf(rest, size) {
			held += len(h.Key) + len(h.Value)
		}
		if held > len(rest)-size {
			t.Errorf("%d bytes of %d", held, len(rest)-size)
		}
	})
}

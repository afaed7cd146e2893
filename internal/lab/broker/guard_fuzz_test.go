package broker

import (
	"bytes"
	"runtime/metrics"
	"testing"
)

// FuzzRequest reads requests of any bytes: whole ones that kfake can read, or an error, and no more memory than a multiple of what came.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		"\x00\x00\x00\x07\x03\xe7\x00\x00\x00\x00\x01", "\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff", "\xff\xff\xff\xff\x00\x00",
		"\x00\x00\x00\x0e\x00\x03\x00\x00\x00\x00\x00\x01\xff\xff\x7f\xff\xff\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		before := allocated()
		request, err := readRequest(bytes.NewReader(sent))
		if (err == nil) != (len(request) > 0) || !bytes.HasPrefix(sent, request) {
			t.Errorf("%x of %x, %v", request, sent, err)
		}
		if taken := allocated() - before; taken > 1<<20+uint64(len(sent))*1000 {
			t.Errorf("%d bytes were taken for %d", taken, len(sent))
		}
	})
}

// allocated is how many bytes the process has taken so far. Unlike runtime.ReadMemStats it stops nothing.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

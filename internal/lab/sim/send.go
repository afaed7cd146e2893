package sim

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
)

// send writes a page, or what a fault leaves of it. It does not keep body, but may change it.
func (s *Server) send(x *exchange, body []byte) {
	body = s.spoil(x, body)
	header := x.w.Header()
	header.Set("Content-Type", "application/json; charset=utf-8")
	const worthwhile = 1024
	if s.Gzip && len(body) >= worthwhile && acceptsGzip(x.r.Header) {
		z, _ := s.zippers.Get().(*gzip.Writer)
		defer s.zippers.Put(z)
		var out bytes.Buffer
		z.Reset(&out)
		_, _ = z.Write(body) // To memory.
		_ = z.Close()
		body = out.Bytes()
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	s.hangUp(x, body)
	_, _ = x.w.Write(body) // A client that went away is no news.
}

// acceptsGzip reads Accept-Encoding (RFC 9110 §12.5.3), of which a quality of zero is a refusal.
func acceptsGzip(h http.Header) bool {
	for _, line := range h.Values("Accept-Encoding") {
		for coding := range strings.SplitSeq(line, ",") {
			name, quality, _ := strings.Cut(strings.TrimSpace(coding), ";")
			if name = strings.TrimSpace(name); name != "gzip" && name != "*" {
				continue
			}
			q, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(quality), "q="), 64)
			return err != nil || q > 0
		}
	}
	return false
}

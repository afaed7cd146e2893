package sim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
)

// cursor is where a page begins. It holds all that is needed, so the server keeps nothing; its signature is made with the
// app's secret, so one that this API did not give is known.
type cursor struct {
	window
	count  int   // rows a page
	total  int64 // as the first request found it
	given  int64 // rows so far
	after  position
	issued int64 // unix milliseconds
}

// signatureSize is the length of a cursor's signature in bytes; the first of it disguise the rest.
const signatureSize = 12

func (c *cursor) numbers() []int64 {
	return []int64{
		int64(c.stream.kind), int64(c.stream.idx), c.lo, c.hi, c.seen, int64(c.count), c.total, c.given,
		c.after.clock, c.after.sec, int64(c.after.i), c.issued,
	}
}

// text is the cursor as clients get it. Base64 makes it what a cursor must be taken for: text that has to be escaped in a
// query, since it has + and / and = in it.
func (s *Server) text(c *cursor) string {
	var body []byte
	for _, v := range c.numbers() {
		body = binary.AppendVarint(body, v)
	}
	sum := s.sign(body)
	disguise(body, sum)
	return base64.StdEncoding.EncodeToString(append(sum, body...))
}

func (s *Server) sign(body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(s.MasterSecret))
	mac.Write(body)
	return mac.Sum(nil)[:signatureSize]
}

// disguise makes a body unreadable, and readable again, so that nobody can rely on what is in it.
func disguise(body, sum []byte) {
	mask := binary.LittleEndian.Uint64(sum)
	for i := range body {
		mask = mix(mask)
		body[i] ^= byte(mask)
	}
}

// open reads a cursor. One of another path, an expired and a made-up one are all refused in the same way; what the API
// answers is unknown, so Unknowns say it.
func (s *Server) open(text string, which stream) (cursor, *apiError) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < signatureSize {
		return cursor{}, s.expired()
	}
	sum, rest := b[:signatureSize], b[signatureSize:]
	disguise(rest, sum)
	if !hmac.Equal(s.sign(rest), sum) {
		return cursor{}, s.expired()
	}
	var v []int64
	for len(rest) > 0 {
		n, size := binary.Varint(rest)
		if size <= 0 {
			return cursor{}, s.expired()
		}
		v, rest = append(v, n), rest[size:]
	}
	c := cursor{window: window{stream: which}}
	if len(v) != len(c.numbers()) || !slices.Equal(v[:2], c.numbers()[:2]) {
		return cursor{}, s.expired()
	}
	c.lo, c.hi, c.seen, c.count, c.total, c.given = v[2], v[3], v[4], int(v[5]), v[6], v[7]
	c.after, c.issued = position{v[8], v[9], int(v[10])}, v[11]
	if s.Now().UnixMilli()-c.issued > s.CursorTTL.Milliseconds() {
		s.counters.count(func(t *Stats) { t.Expired++ })
		return cursor{}, s.expired()
	}
	return c, nil
}

package verify

import (
	"hash/maphash"
	"math/bits"

	"github.com/jmpub/jmpub/internal/rawjson"
)

// hasher hashes rows so that those which mean the same, in the sense of internal/tests/canonical, have the same hash: whatever
// their whitespace, the order of their members, and how their strings are escaped. It does not sort, and it is a second
// opinion: that is why it does not hash a canonical form. (Only two members of one name whose order was changed are taken for
// the same.) Hashes of one hasher, and of its copies, can be compared. Safe for concurrent use.
type hasher struct{ seed maphash.Seed }

func newHasher() hasher { return hasher{maphash.MakeSeed()} }

// bytes is the hash of a text that is compared as it is.
func (h hasher) bytes(text []byte) uint64 { return maphash.Bytes(h.seed, text) }

// row is the hash of a JSON value; one that is broken is compared as it is.
func (h hasher) row(value []byte) uint64 {
	r := rawjson.Lenient()
	r.Open(value)
	sum := h.value(r)
	if r.End(); r.Err() != nil {
		return h.bytes(value)
	}
	return sum
}

// What a hash is of. Values of different kinds have different hashes although their texts are the same.
const (
	kindObject = 0x9e3779b97f4a7c15 + 2*iota
	kindArray
	kindText
	kindRaw
	kindScalar
)

func (h hasher) value(r *rawjson.Reader) uint64 {
	switch r.Kind() {
	case '{':
		// Members are added up, so their order does not matter.
		sum := uint64(kindObject)
		for r.Enter('{'); r.Member(); {
			name := h.text(r.QuotedName())
			sum += mix(name, h.value(r))
		}
		return mix(sum, kindObject)
	case '[':
		sum := uint64(kindArray)
		for r.Enter('['); r.Element(); {
			sum = mix(sum, h.value(r))
		}
		return mix(sum, kindArray)
	case '"':
		return h.text(r.Value())
	default:
		return mix(h.bytes(r.Value()), kindScalar)
	}
}

// text is the hash of a JSON string. One that is no text (an escaped lone surrogate) equals only itself.
func (h hasher) text(quoted []byte) uint64 {
	if text := rawjson.Unquote(quoted); text != nil {
		return mix(h.bytes(text), kindText)
	}
	return mix(h.bytes(quoted), kindRaw)
}

// mix makes one hash of two, in this order.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x2d358dccaa6c78a5, bits.RotateLeft64(b, 31)^0x8bb84b93962eacc9)
	return hi ^ lo
}

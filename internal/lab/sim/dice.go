package sim

import (
	"math/bits"
	"strconv"
)

// dice draw one independent number after another from a hash.
type dice uint64

// roll draws 64 bits.
func (d *dice) roll() uint64 {
	*d = dice(mix(uint64(*d)))
	return uint64(*d)
}

// below draws from 0 to n-1.
func (d *dice) below(n uint64) uint64 {
	hi, _ := bits.Mul64(d.roll(), n)
	return hi
}

// oneIn is true once in n times.
func (d *dice) oneIn(n uint64) bool { return d.below(n) == 0 }

// base36 draws letters and digits.
func (d *dice) base36() string { return strconv.FormatUint(d.roll(), 36) }

// choose draws one of the words.
func choose(d *dice, words []string) string { return words[d.below(uint64(len(words)))] }

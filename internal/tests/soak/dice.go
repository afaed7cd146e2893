package soak

import (
	"math/rand/v2"
	"time"
)

// Dice draws how long and where; its seed makes a run repeatable as far as the world allows.
type Dice struct{ *rand.Rand }

// NewDice is a source of chance.
func NewDice(seed uint64) Dice { return Dice{rand.New(rand.NewPCG(seed, 0))} } //nolint:gosec // Not for secrets.

// Between draws a time.
func (d Dice) Between(least, most time.Duration) time.Duration {
	return least + time.Duration(d.Int64N(int64(most-least)))
}

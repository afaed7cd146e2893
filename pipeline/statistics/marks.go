package statistics

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// marks tell what was last published of each period: a number each, in which the period and a hash of the value are. They
// stand in the checkpoint in ascending order. The hash has 39 bits, so one change in 5*10^11 would be taken for none.
type marks map[int64]int64

// How a mark is laid out, from above: unit, hour since 1970 of the period's begin, hash.
const (
	hashBits = 39
	hourBits = 22
	hashMask = 1<<hashBits - 1
	hourMask = 1<<hourBits - 1
)

func unitNumber(u pipeline.Unit) int64 {
	return map[pipeline.Unit]int64{pipeline.Hour: 1, pipeline.Day: 2, pipeline.Month: 3}[u]
}

// slot is the part of a mark that stands for the period.
func slot(p pipeline.Period) int64 {
	return unitNumber(p.Unit)<<hourBits | p.Begin.Unix()/int64(time.Hour/time.Second)&hourMask
}

func marksOf(seen []int64) marks {
	m := make(marks, len(seen))
	for _, mark := range seen {
		m[mark>>hashBits] = mark
	}
	return m
}

// have tells whether anything of a unit was ever published and is remembered.
func (m marks) have(u pipeline.Unit) bool {
	for s := range m {
		if s>>hourBits == unitNumber(u) {
			return true
		}
	}
	return false
}

// set marks what is published of a period, and tells whether that is new.
func (m marks) set(p pipeline.Period, value []byte) bool {
	sum := sha256.Sum256(value)
	at := slot(p)
	mark := at<<hashBits | int64(binary.BigEndian.Uint64(sum[:8])&hashMask)
	if m[at] == mark {
		return false
	}
	m[at] = mark
	return true
}

// Periods that began so long ago cannot be read any more.
const (
	shortest = 26 * time.Hour
	longest  = 95 * 24 * time.Hour
)

// forget drops the marks of periods that cannot be read any more.
func (m marks) forget(now time.Time) {
	maps.DeleteFunc(m, func(s, _ int64) bool {
		keep := longest
		if s>>hourBits == unitNumber(pipeline.Hour) {
			keep = shortest
		}
		return now.Sub(time.Unix((s&hourMask)*int64(time.Hour/time.Second), 0)) > keep
	})
}

// sorted is what a checkpoint carries.
func (m marks) sorted() []int64 { return slices.Sorted(maps.Values(m)) }

package pipeline

import (
	"fmt"
	"time"
)

// zoneProof holds the configured time zone against the rows. One of a row's clocks is the one that the API filtered by,
// so if the zone is right each row has a clock inside its window.
type zoneProof struct {
	proven  bool
	outside int
}

const (
	zoneSlack   = 15 * time.Minute // Less than the smallest step between two zones' offsets.
	zoneSamples = 20
)

func (z *zoneProof) see(w Window, clocks ...int64) {
	if z.proven {
		return
	}
	begin, end := w.Begin.Add(-zoneSlack).UnixMilli(), w.End.Add(zoneSlack).UnixMilli()
	known := false
	for _, clock := range clocks {
		known = known || clock > 0
		z.proven = z.proven || begin <= clock && clock <= end
	}
	if known {
		z.outside++
	}
}

// add takes in what another window of the stream showed.
func (z *zoneProof) add(other *zoneProof) {
	z.proven = z.proven || other.proven
	z.outside += other.outside
}

// check refuses a zone if enough rows were seen, and none of them lay in the window that it was asked for with.
func (z *zoneProof) check(s Stream, w Window) error {
	if z.proven || z.outside < zoneSamples {
		return nil
	}
	return &Fault{
		Class: Permanent, Op: fmt.Sprintf("read %s %s", s, w),
		Err:  fmt.Errorf("none of the first %d messages lies in the time that was asked for", zoneSamples),
		Hint: "the API seems to use another time zone: set JMPUB_API_TIME_ZONE",
	}
}

package pipeline

import (
	"bytes"
	"hash/fnv"
	"slices"
	"time"

	"github.com/jmpub/jmpub/pipeline/event"
)

// assembly collects one window: it normalizes rows, drops what came already, and counts.
type assembly struct {
	window  Window
	overlap time.Duration
	// edge is what earlier windows published near this one's begin. It is nil until this one's turn has come; then rows are
	// left out whenever a batch is taken.
	edge  *edge
	norm  *event.Normalizer
	batch *Batch
	// ids and hashes are all rows of this window; near* are those that its checkpoint has to carry.
	ids, hashes         map[int64]struct{}
	nearIDs, nearHashes map[int64]int64
	ledger              Ledger
	zone                zoneProof
	// joint is where the stream's past ends, if this window may bring rows of it; jointIDs and jointHashes are those.
	joint                 time.Time
	jointIDs, jointHashes []int64
	// foreign tells that all rows are the live position's: it is a past's window of which the API holds nothing any more.
	foreign bool
	// set is a sum over the different rows, in any order: two readings that brought the same rows have the same.
	set uint64
	// unsteady tells that the window's pages state different totals.
	unsteady bool
}

// eventOverhead is about what an event holds beside its value: the struct, its conversation id and time.
const eventOverhead = 192

func newAssembly(w Window, overlap time.Duration, appKey string, s Stream) *assembly {
	a := &assembly{
		window: w, overlap: overlap, norm: event.NewNormalizer(appKey),
		ids: make(map[int64]struct{}), hashes: make(map[int64]struct{}),
		nearIDs: make(map[int64]int64), nearHashes: make(map[int64]int64),
		ledger: Ledger{AppKey: appKey, Stream: s, Window: w},
	}
	a.batch = a.emptyBatch()
	return a
}

func (a *assembly) emptyBatch() *Batch {
	return &Batch{AppKey: a.ledger.AppKey, Stream: a.ledger.Stream, Window: a.window}
}

// take hands over what was collected and goes on with an empty batch.
func (a *assembly) take() *Batch {
	if a.edge != nil {
		a.leaveOut(a.edge)
	}
	b := a.batch
	a.batch = a.emptyBatch()
	return b
}

// leaveOut drops from the batch what earlier windows published.
func (a *assembly) leaveOut(before *edge) {
	a.batch.Events = slices.DeleteFunc(a.batch.Events, func(e event.Event) bool {
		published := a.foreign || before.has(e.MsgID)
		if published {
			a.ledger.Skipped++
			a.ledger.Published--
			a.batch.Bytes -= len(e.Value) + eventOverhead
		}
		return published
	})
	a.batch.Rejected = slices.DeleteFunc(a.batch.Rejected, func(r event.Rejection) bool {
		published := a.foreign || r.HasMsgID && before.has(r.MsgID) || !r.HasMsgID && before.hasRejected(contentHash(r.Row))
		if published {
			a.ledger.Skipped++
			a.ledger.Rejected--
			a.batch.Bytes -= len(r.Row) + eventOverhead
		}
		return published
	})
}

// add takes in one page.
func (a *assembly) add(page Page) {
	a.unsteady = a.unsteady || a.ledger.Pages > 0 && page.Total != a.ledger.Total
	a.ledger.Pages++
	a.ledger.Total = page.Total
	for _, row := range page.Rows {
		a.ledger.Rows++
		e, rejection := a.norm.Normalize(row)
		if rejection != nil {
			a.reject(rejection)
			continue
		}
		a.addEvent(e)
	}
}

func (a *assembly) addEvent(e event.Event) {
	if _, again := a.ids[e.MsgID]; again {
		a.ledger.Repeated++
		return
	}
	a.ids[e.MsgID] = struct{}{}
	a.set += mixed(e.MsgID)
	a.zone.see(a.window, e.ServerTime, e.ClientTime)
	clock := clockOf(a.window.End, e.ServerTime, e.ClientTime)
	if nearEnd(a.window.End, a.overlap, clock) {
		a.nearIDs[e.MsgID] = clock
	}
	if !a.joint.IsZero() && atJoint(a.joint, e.ServerTime, e.ClientTime) {
		a.jointIDs = append(a.jointIDs, e.MsgID)
	}
	a.ledger.Published++
	a.batch.Events = append(a.batch.Events, e)
	a.batch.Bytes += len(e.Value) + eventOverhead
}

// reject takes in a row that is no event. Without a msgid it is known by its bytes; it has no clock that could be
// trusted, so it stays in the edge until a window has passed that does not bring it again.
func (a *assembly) reject(rejection *event.Rejection) {
	key, all, near := rejection.MsgID, a.ids, a.nearIDs
	if !rejection.HasMsgID {
		key, all, near = contentHash(rejection.Row), a.hashes, a.nearHashes
	}
	if _, again := all[key]; again {
		a.ledger.Repeated++
		return
	}
	all[key] = struct{}{}
	a.set += mixed(key)
	near[key] = clockOf(a.window.End, 0)
	switch {
	case a.joint.IsZero():
	case rejection.HasMsgID:
		a.jointIDs = append(a.jointIDs, key)
	default:
		a.jointHashes = append(a.jointHashes, key)
	}
	a.ledger.Rejected++
	kept := *rejection
	kept.Row = bytes.Clone(rejection.Row) // The page's buffer would otherwise live as long as this row.
	a.batch.Rejected = append(a.batch.Rejected, kept)
	a.batch.Bytes += len(kept.Row) + eventOverhead
}

// different is the number of different rows that the window brought.
func (a *assembly) different() int64 { return a.ledger.Rows - a.ledger.Repeated }

// checkpoint is the stream's position once this window is committed. e is the edge before it.
func (a *assembly) checkpoint(e *edge, span time.Duration) (Checkpoint, *edge) {
	next := e.advance(a.window.End, a.nearIDs, a.nearHashes)
	return Checkpoint{
		AppKey:       a.ledger.AppKey,
		Stream:       a.ledger.Stream,
		End:          a.window.End,
		Span:         span,
		Seen:         sorted(next.ids),
		SeenRejected: sorted(next.hashes),
	}, next
}

// mixed scatters an id over 64 bits (the finalizer of SplitMix64), so that sums tell sets apart.
func mixed(id int64) uint64 {
	x := uint64(id) + 0x9e3779b97f4a7c15 //nolint:gosec // A bit pattern.
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func contentHash(row []byte) int64 {
	h := fnv.New64a()
	h.Write(row)
	return int64(h.Sum64()) //nolint:gosec // A hash is a bit pattern; the sign carries no meaning.
}

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

// add takes in what another part of the stream's rows showed.
func (z *zoneProof) add(other *zoneProof) {
	z.proven = z.proven || other.proven
	z.outside += other.outside
}

// wrong tells that enough rows were seen, and none of them lay in the window it was asked for.
func (z *zoneProof) wrong() bool { return !z.proven && z.outside >= zoneSamples }

package pipeline

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"github.com/jmpub/jmpub/internal/compact"
	"github.com/jmpub/jmpub/internal/spares"
	"github.com/jmpub/jmpub/pipeline/event"
)

// rowCollector collects the rows of one window: it normalizes them, drops those that came already, and counts.
type rowCollector struct {
	window Window
	// overlap has what earlier windows published. It is nil until all of them are handed on; then their rows are left out
	// whenever a batch is taken.
	overlap *overlapIDs
	norm    *event.Normalizer
	batch   *Batch
	// ids are the events of this window, hashes its rejected rows; near are those that its checkpoint has to carry, with the later of
	// their clocks.
	ids    compact.Table[firstEvent]
	hashes map[int64]struct{}
	near   map[RowKey]int64
	// wereEarly are those that were published early.
	wereEarly []RowKey
	seed      maphash.Seed
	ledger    Ledger
	zone      zoneProof
	// backlogEnds are where ranges of the backlog end whose last windows could bring rows of this one; nearBacklog are those
	// rows, as far as this window publishes them.
	backlogEnds []time.Time
	nearBacklog map[time.Time]*RowSet
	// isLive tells that all rows are the live position's: it is a backlog's window of which the API holds nothing any more.
	isLive bool
	// checksum is a sum over the different rows, in any order: two readings that brought the same rows have the same.
	checksum uint64
	// unsteady tells that the window's pages state different totals.
	unsteady bool
	edges    edgeProof
	margin   time.Duration
	// taken is how many events were collected before those in the batch, part how many of them were in the one before it.
	taken, part int
}

// firstEvent is the event that came first with its msgid: a sum of its row's bytes, and its number in the window.
type firstEvent struct{ sum, number uint32 }

// eventOverhead is about what an event holds besides its value: the struct, its conversation id and time.
const eventOverhead = 192

// newRowCollector collects the rows of a window; overlap is how far windows reach back.
func newRowCollector(w Window, overlap time.Duration, appKey string, s Stream) *rowCollector {
	c := &rowCollector{
		window: w, margin: overlap, norm: event.NewNormalizer(appKey),
		hashes: make(map[int64]struct{}), near: make(map[RowKey]int64), seed: maphash.MakeSeed(),
		ledger: Ledger{AppKey: appKey, Stream: s, Window: w},
	}
	c.batch = c.emptyBatch()
	return c
}

func (c *rowCollector) emptyBatch() *Batch {
	return &Batch{AppKey: c.ledger.AppKey, Stream: c.ledger.Stream, Window: c.window}
}

// take hands over what was collected and goes on with an empty batch.
func (c *rowCollector) take() *Batch {
	c.part = len(c.batch.Events)
	c.taken += c.part
	if c.overlap != nil {
		c.leaveOut(c.overlap)
	}
	b := c.batch
	b.memory = c.norm.TakeMemory()
	c.batch = c.emptyBatch()
	return b
}

// leaveOut drops from the batch what earlier windows published. An event that is another row than theirs with the same msgid is
// rejected.
func (c *rowCollector) leaveOut(earlier *overlapIDs) {
	var conflicts []event.Rejection
	c.batch.Events = slices.DeleteFunc(c.batch.Events, func(e event.Event) bool {
		what := published
		if !c.isLive {
			what = earlier.compare(&e)
		}
		switch what {
		case published:
			if len(c.nearBacklog) > 0 {
				c.dropNearBacklog(eventKey(&e), contentKey(&e))
			}
			c.countKnown(earlier, eventKey(&e), contentKey(&e))
		case conflict:
			row, _ := event.Rebuild(e.Value) // It was made here.
			conflicts = append(conflicts, conflictOf(row, e.MsgID))
			c.ledger.Rejected++
			c.batch.Bytes += len(row) + eventOverhead
		default:
			return false
		}
		c.ledger.Published--
		c.batch.Bytes -= len(e.Value) + eventOverhead
		return true
	})
	c.batch.Rejected = slices.DeleteFunc(c.batch.Rejected, func(r event.Rejection) bool {
		key := c.rejectedKey(&r)
		known := c.isLive || earlier.has(key)
		if known {
			c.dropNearBacklog(key)
			c.countKnown(earlier, key)
			c.ledger.Rejected--
			c.batch.Bytes -= len(r.Row) + eventOverhead
		}
		return known
	})
	c.batch.Rejected = append(c.batch.Rejected, conflicts...)
}

// countKnown counts a row that is known already.
func (c *rowCollector) countKnown(earlier *overlapIDs, keys ...RowKey) {
	if slices.ContainsFunc(keys, earlier.isEarly) {
		c.ledger.EarlyRows++
		c.wereEarly = append(c.wereEarly, keys...)
	} else {
		c.ledger.Skipped++
	}
}

// rejectedKey is what a rejected row is known by: as the event that it was or could be, if it is one only for its msgid.
func (c *rowCollector) rejectedKey(r *event.Rejection) RowKey {
	if r.Reason == event.ReasonMsgIDConflict {
		if e, rejection := c.norm.Normalize(r.Row); rejection == nil {
			return contentKey(&e)
		}
	}
	return rejectedKey(r)
}

// conflictOf rejects a row whose msgid another row has, which is not the same.
func conflictOf(row []byte, id int64) event.Rejection {
	return event.Rejection{
		Row: row, Reason: event.ReasonMsgIDConflict, MsgID: id, HasMsgID: true,
		Detail: fmt.Sprintf("another row has the msgid %d, and is published under it", id),
	}
}

// addPage takes in one page.
func (c *rowCollector) addPage(page Page) {
	c.unsteady = c.unsteady || c.ledger.Pages > 0 && c.ledger.Total >= 0 && page.Total != c.ledger.Total
	if c.ledger.Pages == 0 {
		c.makeRoom(min(max(page.Total, 0), int64(usualPages*len(page.Rows))))
	}
	c.ledger.Pages++
	c.ledger.Total = page.Total
	for _, row := range page.Rows {
		c.ledger.Rows++
		e, rejection := c.norm.Normalize(row)
		if rejection != nil {
			c.addRejected(rejection)
			continue
		}
		c.addEvent(e, row)
	}
}

// usualPages is for how many pages like the first one room is made, if the total says so many rows.
const usualPages = 16

func (c *rowCollector) makeRoom(rows int64) {
	if rows >= leastEvents {
		c.ids, _ = keptIDs.Take()
	}
	c.ids.Expect(int(rows))
	c.batch.Events = roomFor(int(rows))
}

// freeIDs has other windows use the memory in which it told rows apart. No more of them come.
func (c *rowCollector) freeIDs() {
	if c.ids.Cap() >= leastEvents { // A small one costs less than it takes to keep it.
		keptIDs.Give(c.ids.Emptied())
	}
	c.ids = compact.Table[firstEvent]{}
}

// keptIDs are empty tables, with memory for so many rows: those of a dozen of usual windows.
var keptIDs = spares.New(60_000, compact.Table[firstEvent].Cap) //nolint:gochecknoglobals // All windows share them.

func (c *rowCollector) addEvent(e event.Event, row []byte) {
	sum := uint32(maphash.Bytes(c.seed, row))                      //nolint:gosec // Half of a hash is one.
	this := firstEvent{sum, uint32(c.taken + len(c.batch.Events))} //nolint:gosec // A window has far fewer.
	key := uint64(e.MsgID)                                         //nolint:gosec // A bit pattern.
	if first, again := c.ids.Get(key); again {
		if first.sum == sum || c.sameAsFirst(first, &e) {
			c.ledger.Repeated++
			return
		}
		rejection := conflictOf(row, e.MsgID)
		c.addRejected(&rejection)
		return
	}
	c.ids.Add(key, this)
	c.checksum += mixed(e.MsgID)
	c.zone.see(c.window, e.ServerTime, e.ClientTime)
	c.edges.see(c.window, e.ServerTime, e.ClientTime)
	clock := laterClock(c.window.End, e.ServerTime, e.ClientTime)
	if nearEnd(c.window.End, c.margin, clock) {
		c.near[eventKey(&e)], c.near[contentKey(&e)] = clock, clock
	}
	if len(c.backlogEnds) > 0 {
		c.addNearBacklog(eventKey(&e), e.ServerTime, e.ClientTime)
		c.addNearBacklog(contentKey(&e), e.ServerTime, e.ClientTime)
	}
	c.ledger.Published++
	if c.batch.Events == nil && c.part > 0 {
		c.batch.Events = roomFor(c.part)
	}
	c.batch.Events = append(c.batch.Events, e)
	c.batch.Bytes += len(e.Value) + eventOverhead
}

// sameAsFirst tells that the event which came first with the same msgid means the same. What was handed on meanwhile cannot be
// compared.
func (c *rowCollector) sameAsFirst(first firstEvent, e *event.Event) bool {
	i := int(first.number) - c.taken
	return i >= 0 && bytes.Equal(c.batch.Events[i].Value, e.Value)
}

// addRejected takes in a row that is no event. It is known by its content; it has no clock that could be trusted, so it stays among the overlap ids until a window has passed that does not bring it again.
func (c *rowCollector) addRejected(rejection *event.Rejection) {
	key := c.rejectedKey(rejection)
	if _, again := c.hashes[key.Value]; again {
		c.ledger.Repeated++
		return
	}
	c.hashes[key.Value] = struct{}{}
	c.checksum += mixed(key.Value)
	c.near[key] = laterClock(c.window.End, 0)
	c.addNearBacklog(key, 0)
	c.ledger.Rejected++
	kept := *rejection
	kept.Row = bytes.Clone(rejection.Row) // The page's buffer would otherwise live as long as this row.
	c.batch.Rejected = append(c.batch.Rejected, kept)
	c.batch.Bytes += len(kept.Row) + eventOverhead
}

// addNearBacklog keeps a row that the last window of a range of the backlog could bring too.
func (c *rowCollector) addNearBacklog(key RowKey, clocks ...int64) {
	for _, end := range c.backlogEnds {
		if !canReach(end, clocks...) {
			continue
		}
		if c.nearBacklog == nil {
			c.nearBacklog = make(map[time.Time]*RowSet)
		}
		if c.nearBacklog[end] == nil {
			c.nearBacklog[end] = &RowSet{}
		}
		c.nearBacklog[end].Add(key)
	}
}

// dropNearBacklog takes out a row that this window does not publish.
func (c *rowCollector) dropNearBacklog(keys ...RowKey) {
	for _, rows := range c.nearBacklog {
		for _, key := range keys {
			delete(rows.keys, key)
		}
	}
}

// different is the number of different rows that the window brought.
func (c *rowCollector) different() int64 { return c.ledger.Rows - c.ledger.Repeated }

// mixed scatters an id over 64 bits (the finalizer of SplitMix64), so that sums tell sets apart.
func mixed(id int64) uint64 {
	x := uint64(id) + 0x9e3779b97f4a7c15 //nolint:gosec // A bit pattern.
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

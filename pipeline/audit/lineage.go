package audit

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// Lineage is how the positions of an app's streams came to where they are: which windows count for which time, and which of
// them knew one another. It is built from the ledger and holds 40 bytes a record. Statistics and replays do not take part. The
// zero value is ready; it is used by one goroutine at a time.
type Lineage struct {
	streams map[pipeline.Stream]*history
}

// Add takes in a record. Those of a stream that stand in one partition have to come in the order of that.
func (l *Lineage) Add(record *pipeline.Ledger, at Place) {
	if record.Replay != "" || record.Stream.Kind == pipeline.StreamStatistics {
		return
	}
	if l.streams == nil {
		l.streams = make(map[pipeline.Stream]*history)
	}
	h := l.streams[record.Stream]
	if h == nil {
		h = &history{}
		l.streams[record.Stream] = h
	}
	h.add(record, at)
}

// Chains returns the chains of all streams, by stream and time, as far as their windows are wanted: a chain is cut at both ends
// to the first and the last window that is, and left out if none is.
func (l *Lineage) Chains(wanted func(pipeline.Stream, pipeline.Window) bool) []Chain {
	var chains []Chain
	for stream, h := range l.streams {
		for _, c := range h.chains(stream) {
			if c = c.trim(func(w pipeline.Window) bool { return wanted(stream, w) }); c.n > 0 {
				chains = append(chains, c)
			}
		}
	}
	slices.SortFunc(chains, func(a, b Chain) int {
		return cmp.Or(strings.Compare(a.Stream.String(), b.Stream.String()), cmp.Compare(a.first().begin, b.first().begin))
	})
	return chains
}

// record is a ledger record, made small. Times are seconds since 1970, which 32 bits hold until 2106.
type record struct {
	place packedPlace
	// next is the index of the window that was read next and knew this one; or one of the values below.
	next uint32
	// from and to are the interval by which it moved a position; both are zero in a record of late rows.
	from, to   uint32
	begin, end uint32
	started    uint32
	// skipped rows were published by the window before; own rows were published or rejected by this one, or early, or were late in it.
	skipped, own uint32
}

// What a record's next says besides an index.
const (
	last     = math.MaxUint32 - iota // no window follows it
	replaced                         // later windows have moved a position over all of its interval
)

func (r *record) moves() bool { return r.from < r.to }

func (r *record) window() pipeline.Window {
	return pipeline.Window{Begin: timeOf(r.begin), End: timeOf(r.end)}
}

func timeOf(seconds uint32) time.Time { return time.Unix(int64(seconds), 0).UTC() }

func secondsOf(t time.Time) uint32 {
	return uint32(min(max(t.Unix(), 0), math.MaxUint32))
}

func count(n int64) uint32 {
	return uint32(min(max(n, 0), math.MaxUint32))
}

// packedPlace is a [Place] in 64 bits.
type packedPlace uint64

const partitionBits = 16

func pack(p Place) packedPlace {
	return packedPlace(uint64(p.Offset)<<partitionBits | uint64(p.Partition)&(1<<partitionBits-1)) //nolint:gosec // Neither is negative.
}

func (p packedPlace) place() Place {
	return Place{Partition: int32(p & (1<<partitionBits - 1)), Offset: int64(p >> partitionBits)}
}

// history is what is known of one stream.
type history struct {
	records blocks
	// logs are the stretches of records that came from one partition, in the order in which they came.
	logs []logged
	// heads are the first windows of chains.
	heads    []uint32
	resolved bool
}

// logged is a stretch of records of one partition.
type logged struct {
	partition int32
	// begin is the index of the first record, sequence its number.
	begin    int
	sequence int64
}

func (h *history) add(l *pipeline.Ledger, at Place) {
	r := record{
		place: pack(at), next: last, begin: secondsOf(l.Begin), end: secondsOf(l.End), started: secondsOf(l.Started),
		skipped: count(l.Skipped), own: count(l.Published + l.Rejected),
	}
	r.own += count(l.EarlyRows)
	switch {
	case l.Early:
		r.own = 0 // The windows that are read of its time count its rows.
	case !l.Late:
		r.from, r.to = secondsOf(l.MovedFrom), secondsOf(l.MovedTo)
		if !r.moves() {
			return
		}
	}
	if n := len(h.logs); n == 0 || h.logs[n-1].partition != at.Partition {
		h.logs = append(h.logs, logged{at.Partition, h.records.n, l.Sequence})
	}
	h.records.add(r)
	h.resolved = false
}

// resolve finds out which windows count, and which of them form chains.
func (h *history) resolve() {
	if h.resolved {
		return
	}
	h.order()
	h.findReplaced()
	h.link()
	h.resolved = true
}

// order puts the stretches of several partitions into the order of their numbers. There are several only where the topic was
// given more partitions.
func (h *history) order() {
	if len(h.logs) < 2 {
		return
	}
	end := h.records.n
	type stretch struct {
		logged
		end int
	}
	var all []stretch
	for _, l := range slices.Backward(h.logs) {
		all = append(all, stretch{l, end})
		end = l.begin
	}
	slices.SortFunc(all, func(a, b stretch) int { return cmp.Compare(a.sequence, b.sequence) })
	var sorted blocks
	var logs []logged
	for _, s := range all {
		logs = append(logs, logged{s.partition, sorted.n, s.sequence})
		for i := s.begin; i < s.end; i++ {
			sorted.add(*h.records.at(i))
		}
	}
	h.records, h.logs = sorted, logs
}

// find is the record at a place; nil where there is none.
func (h *history) find(at Place) *record {
	want := pack(at)
	for i, l := range h.logs {
		begin, end := l.begin, h.records.n
		if i+1 < len(h.logs) {
			end = h.logs[i+1].begin
		}
		if l.partition != at.Partition {
			continue
		}
		found := begin + sort.Search(end-begin, func(j int) bool { return h.records.at(begin+j).place >= want })
		if found < end && h.records.at(found).place == want {
			return h.records.at(found)
		}
	}
	return nil
}

// chains are all chains of the stream, in the order of time.
func (h *history) chains(s pipeline.Stream) []Chain {
	h.resolve()
	chains := make([]Chain, 0, len(h.heads))
	for _, head := range h.heads {
		c := Chain{Stream: s, history: h, head: head}
		for range h.from(head, math.MaxInt) {
			c.n++
		}
		chains = append(chains, c)
	}
	return chains
}

// findReplaced marks the windows over whose whole interval later ones have moved a position.
func (h *history) findReplaced() {
	var later spans
	for i := h.records.n - 1; i >= 0; i-- {
		r := h.records.at(i)
		r.next = last
		if !r.moves() {
			continue
		}
		if later.cover(span{r.from, r.to}) {
			r.next = replaced
		}
		later = later.add(span{r.from, r.to})
	}
}

// link makes chains, and adds late rows to the windows that they belong to.
//
// A window follows another if its interval begins where the other one's ended, and nothing has moved a position over either
// side of that instant in between: then it was read behind the other, by a reader that knew what the other had published. A
// position that was set to that time knows only what the API said of it, and reads time that was read before.
func (h *history) link() {
	h.heads = h.heads[:0]
	var open tails
	late := h.lateWindows()
	for i := range h.records.n {
		r := h.records.at(i)
		if !r.moves() {
			if w := late[span{r.begin, r.end}]; w != last {
				h.records.at(int(w)).own += r.own
				r.own = 0 // They count once, however often this is called.
			}
			continue
		}
		if _, named := late[span{r.begin, r.end}]; named {
			late[span{r.begin, r.end}] = index(i)
		}
		before := open.move(r.from, r.to, index(i))
		switch {
		case r.next == replaced:
		case before != last && h.records.at(int(before)).follows(r):
			h.records.at(int(before)).next = index(i)
		default:
			h.heads = append(h.heads, index(i))
		}
	}
	slices.SortStableFunc(h.heads, func(a, b uint32) int {
		return cmp.Compare(h.records.at(int(a)).begin, h.records.at(int(b)).begin)
	})
}

// follows tells whether a window that was read behind this one can be added up with it: there is no time between them.
func (r *record) follows(next *record) bool { return r.next == last && next.begin <= r.end }

// lateWindows are the windows that late rows belong to, with no record yet.
func (h *history) lateWindows() map[span]uint32 {
	named := make(map[span]uint32)
	for i := range h.records.n {
		if r := h.records.at(i); !r.moves() {
			named[span{r.begin, r.end}] = last
		}
	}
	return named
}

func index(i int) uint32 { return uint32(i) } //nolint:gosec // Memory ends long before 32 bits do.

// from gives a window and those that follow it, n at most, with their indexes.
func (h *history) from(head uint32, n int) iter.Seq2[uint32, *record] {
	return func(yield func(uint32, *record) bool) {
		for i := head; n > 0 && i != last; n-- {
			r := h.records.at(int(i))
			if !yield(i, r) {
				return
			}
			i = r.next
		}
	}
}

// tails are the windows that another can follow, by where their intervals end: one for each position, and one for each place
// that a position was moved away from.
type tails []tail

type tail struct{ at, window uint32 }

// move takes in a window that moved a position, and returns the one that it was read behind; last if there is none. What ends
// within its interval can be followed no longer.
func (t *tails) move(from, to, window uint32) (before uint32) {
	at := func(end uint32) int {
		i, _ := slices.BinarySearchFunc(*t, end, func(one tail, end uint32) int { return cmp.Compare(one.at, end) })
		return i
	}
	begin, end := at(from), at(to+1)
	before = last
	if begin < end && (*t)[begin].at == from {
		before = (*t)[begin].window
	}
	*t = slices.Replace(*t, begin, end, tail{to, window})
	return before
}

// blocks are records in memory that is not moved when more come: the first block has room for 16, each further one for twice as
// many, up to 16,384.
type blocks struct {
	all [][]record
	n   int
}

const (
	firstBlock = 16
	doublings  = 10
	// grown is how many records the blocks hold that are smaller than the largest.
	grown = firstBlock * (1<<doublings - 1)
)

func (b *blocks) add(r record) {
	block, at := b.locate(b.n)
	if at == 0 {
		b.all = append(b.all, make([]record, firstBlock<<min(block, doublings)))
	}
	b.all[block][at] = r
	b.n++
}

func (b *blocks) at(i int) *record {
	block, at := b.locate(i)
	return &b.all[block][at]
}

func (*blocks) locate(i int) (block, at int) {
	if i >= grown {
		rest := i - grown
		return doublings + rest/(firstBlock<<doublings), rest % (firstBlock << doublings)
	}
	for size := firstBlock; i >= size; size *= 2 {
		i -= size
		block++
	}
	return block, i
}

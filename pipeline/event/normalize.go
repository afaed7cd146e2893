package event

import (
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/jmpub/jmpub/internal/rawjson"
	"github.com/jmpub/jmpub/internal/spares"
)

// Normalizer turns the rows of one app into events. It owns the memory that it works in, so a row costs next to no
// allocation. Not safe for concurrent use.
type Normalizer struct {
	// appKey is the event's member, ready to append.
	appKey       []byte
	row          row
	conversation []byte
	calendar     calendar
	// chunk is for most events, large for those that are too large for it.
	chunk, large chunk
}

// NewNormalizer makes a normalizer for the rows of an app.
func NewNormalizer(appKey string) *Normalizer {
	// An app key that is not UTF-8 fits no app; the error means that it stands here with replacement characters.
	member, _ := jsontext.AppendQuote([]byte(`"app_key":`), appKey)
	return &Normalizer{
		appKey: append(member, ','), row: row{reader: rawjson.Lenient()}, chunk: chunk{kind: smallChunks}, large: chunk{kind: largeChunks},
	}
}

// Normalize turns a row, as the API returned it, into an event or a rejection, never both and never neither. It accepts
// any bytes, gives the same result for the same bytes, and never changes them. The event shares no memory with the row
// and is the caller's to keep, until it frees it (see [Normalizer.TakeMemory]); the rejection's Row is the row itself.
//
// An event is made of every JSON object (RFC 8259, valid UTF-8, no deeper than jsontext reads) whose top-level names are
// unique and whose msgid is an integer of 64 bits. Anything else about a row may be missing or of another form: a field goes to its
// place in the event only if its value has the expected type and form, so that [Rebuild] can give it back, and otherwise
// into `attributes`, unchanged. What can still be read from such a field is read: a target_id that is a number gives
// target.id too.
func (n *Normalizer) Normalize(row []byte) (Event, *Rejection) {
	defer n.release()
	reason, detail := n.row.split(row)
	if reason != "" {
		return Event{}, rejected(row, reason, detail)
	}
	msgid := n.row.value(fieldMsgID)
	if msgid == nil {
		return Event{}, rejected(row, ReasonMsgIDAbsent, "the row has no msgid")
	}
	id, ok := integer(msgid)
	if !ok {
		return Event{}, rejected(row, ReasonMsgIDNotInteger, "msgid is "+quote(msgid)+", not an integer of 64 bits")
	}
	// What an event has more than its row: names, an app key, times, a conversation id, and some of its body twice, of which a text may be large.
	size := len(row) + len(n.appKey) + 768
	if string(n.row.text(fieldMsgType)) == "text" {
		size += len(n.row.value(fieldMsgBody))
	}
	return n.event(id, size), nil
}

func (n *Normalizer) release() {
	const usualConversation = 1 << 10
	n.row.release()
	if cap(n.conversation) > usualConversation {
		n.conversation = nil
	}
}

// Memory is what events stand in. It is used by one goroutine at a time.
type Memory struct{ small, large [][]byte }

// TakeMemory hands over the memory of the events that were made since it was handed over last, so that it can be freed once they are not needed any
// more. Who does not care leaves it to the garbage collector.
func (n *Normalizer) TakeMemory() Memory {
	return Memory{n.chunk.take(), n.large.take()}
}

// Free gives the memory to other events. Nobody uses those any more that stand in it: nothing is left of them.
func (m *Memory) Free() {
	smallChunks.keep(m.small)
	largeChunks.keep(m.large)
	m.small, m.large = nil, nil
}

// chunkKind are chunks for events of about a size. Their sizes double from the least, for a stream that has few rows, to the most, and those are
// kept for the next windows, which a catch-up reads as fast as the ones before them are published.
type chunkKind struct {
	least, most int
	kept        *spares.Pool[[]byte]
}

// The most of small ones is Go's largest size class. Of those as many are kept as windows wait that may be committed together, of large ones as
// many as three windows have.
var (
	smallChunks = newChunkKind(4<<10, 32<<10, 12<<20) //nolint:gochecknoglobals // All normalizers share them.
	largeChunks = newChunkKind(64<<10, 1<<20, 24<<20) //nolint:gochecknoglobals // As above.
)

func newChunkKind(least, most, kept int) *chunkKind {
	return &chunkKind{least, most, spares.New(kept, func(c []byte) int { return len(c) })}
}

func (k *chunkKind) keep(chunks [][]byte) {
	for _, c := range chunks {
		clear(c)
		k.kept.Give(c)
	}
}

// chunk is memory for events. Each part of it is handed out once, because events are kept.
type chunk struct {
	kind *chunkKind
	free []byte
	size int
	// used are the largest ones that were begun, whole.
	used [][]byte
}

// fits is how many events a chunk of the most size holds at least: what is left at its end is lost. Larger ones have memory of their own.
const fits = 4

// open returns an empty slice to append to, with room for about size bytes.
func (c *chunk) open(size int) []byte {
	if size > c.kind.most/fits {
		return make([]byte, 0, size)
	}
	if len(c.free) < size {
		c.next(size)
	}
	return c.free[:0]
}

func (c *chunk) next(size int) {
	if c.size = min(max(2*c.size, c.kind.least), c.kind.most); c.size < c.kind.most {
		c.free = make([]byte, max(c.size, size))
		return
	}
	next, ok := c.kind.kept.Take()
	if !ok {
		next = make([]byte, c.kind.most)
	}
	c.free, c.used = next, append(c.used, next)
}

// take hands over those that were used, and begins others.
func (c *chunk) take() [][]byte {
	used := c.used
	c.free, c.used = nil, nil
	return used
}

// close takes what was appended to the slice that open returned out of the chunk. If it outgrew the chunk, append has moved
// it to memory of its own, and the chunk is as it was.
func (c *chunk) close(used []byte) []byte {
	if len(c.free) > 0 && &used[0] == &c.free[0] {
		c.free = c.free[len(used):]
	}
	return slices.Clip(used)
}

package pipeline

import (
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Normalize turns a row of an app into an event, or into a rejection that says why it cannot be one. See
// [Normalizer.Normalize]; many rows are cheaper through one [Normalizer].
func Normalize(appKey string, row []byte) (Event, *Rejection) {
	return NewNormalizer(appKey).Normalize(row)
}

// Normalizer turns the rows of one app into events. It owns the memory that it works in, so a row costs next to no
// allocation. Not safe for concurrent use.
type Normalizer struct {
	// appKey is the event's member, ready to append.
	appKey []byte
	// compact is the row without insignificant whitespace; row points into it.
	compact      []byte
	row          row
	conversation []byte
	calendar     calendar
	chunk        chunk
}

// NewNormalizer makes a normalizer for the rows of an app.
func NewNormalizer(appKey string) *Normalizer {
	// An app key that is not UTF-8 fits no app; the error means that it stands here with replacement characters.
	member, _ := jsontext.AppendQuote([]byte(`"app_key":`), appKey)
	return &Normalizer{appKey: append(member, ',')}
}

// Normalize turns a row, as the API returned it, into an event or a rejection, never both and never neither. It accepts
// any bytes, gives the same result for the same bytes, and never changes them. The event shares no memory with the row
// and is the caller's to keep; the rejection's Row is the row itself.
//
// An event is made of every JSON object (RFC 8259, valid UTF-8, nested at most as deep as jsontext
// reads)
// whose top-level names are unique and whose msgid is an integer of 64 bits. Anything else about a row may be missing or
// odd: a field goes to its place in the event only if its value has the expected type and form, so that [Rebuild] can
// give it back, and otherwise into `attributes`, unchanged. What can still be told from such a field is told:
// a target_id that is a number gives target.id too.
func (n *Normalizer) Normalize(row []byte) (Event, *Rejection) {
	defer n.forget()
	reason, detail := n.read(row)
	if reason != "" {
		return Event{}, rejected(row, reason, detail)
	}
	msgid := n.row.values[fieldMsgID]
	if msgid == nil {
		return Event{}, rejected(row, ReasonMsgIDAbsent, "the row has no msgid")
	}
	id, ok := integer(msgid)
	if !ok {
		return Event{}, rejected(row, ReasonMsgIDNotInteger, "msgid is "+shorten(msgid)+", not an integer of 64 bits")
	}
	return n.event(id), nil
}

// read checks the row and splits it into its fields; reason is empty when it could.
func (n *Normalizer) read(row []byte) (reason Reason, detail string) {
	compact, err := compactJSON(n.compact[:0], row)
	if err != nil {
		return ReasonInvalidJSON, describeSyntax(err)
	}
	n.compact = compact
	if compact[0] != '{' {
		return ReasonNotObject, "the row is " + describe(compact) + ", not an object"
	}
	return n.row.split(compact)
}

// maxScratch bounds the memory that is kept from row to row. Rows have about 500 bytes; the few that are much larger
// must not leave every stream with a buffer of their size.
const maxScratch = 64 << 10

func (n *Normalizer) forget() {
	if cap(n.compact) > maxScratch {
		n.compact = nil
		n.row = row{}
	}
	if cap(n.conversation) > maxScratch {
		n.conversation = nil
	}
}

// chunk is memory for events. Each piece is handed out once and never reused, because events are kept.
type chunk struct {
	free []byte
	size int
}

// The sizes of a chunk: small for a stream that has few rows, doubling up to Go's largest size class (larger pieces
// take the allocator's slow path).
const (
	minChunk = 4 << 10
	maxChunk = 32 << 10
)

// open returns an empty slice to append to, with room for about size bytes.
func (c *chunk) open(size int) []byte {
	if size > maxChunk/4 {
		return make([]byte, 0, size)
	}
	if len(c.free) < size {
		c.size = min(max(2*c.size, minChunk), maxChunk)
		c.free = make([]byte, max(c.size, size))
	}
	return c.free[:0]
}

// close takes what was appended to the slice that open returned out of the chunk. If it outgrew the chunk, append has moved
// it to memory of its own, and the chunk is as it was.
func (c *chunk) close(used []byte) []byte {
	if cap(used) == cap(c.free) {
		c.free = c.free[len(used):]
	}
	return slices.Clip(used)
}

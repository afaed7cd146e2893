package pipeline

import (
	"bytes"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Normalize turns one row, as the API returned it, into an event or a rejection. It is pure and total: any bytes give one
// of the two, the same bytes always the same one. appKey is the app in whose history the row stands.
//
// A field of the row goes to its place in the event only if its value has exactly the type and form from which it can be
// rebuilt; otherwise it is kept in `attributes` as it is, and what can be derived from it is derived nevertheless. So
// [Rebuild] gives the row back from any event.
func Normalize(appKey string, row []byte) (Event, *Rejection) {
	return NewNormalizer(appKey).Normalize(row)
}

// Normalizer normalizes rows of one app, with memory that is shared between them. Not safe for concurrent use.
type Normalizer struct {
	appKey string // As a JSON string.
	// chunk is where values are written. Events keep pointing into it, so it is never reused: a full one is left to its
	// events.
	chunk []byte
	f     fields
}

// chunkSize is large enough that few rows share the cost of an allocation, and small enough that an event that is kept
// does not keep much beside it.
const chunkSize = 128 << 10

// NewNormalizer makes a normalizer for the rows of one app.
func NewNormalizer(appKey string) *Normalizer {
	quoted, err := jsontext.AppendQuote(nil, appKey)
	if err != nil {
		quoted = []byte(`""`) // Not UTF-8: settings refuse such a key.
	}
	return &Normalizer{appKey: string(quoted)}
}

// field is a value of the row, raw.
type field struct {
	name   []byte // decoded
	quoted []byte // as in the row
	value  []byte
	// placed fields can be rebuilt from the event; the others go to attributes.
	placed bool
}

// fields are a row's top-level fields: those with a place by their slot, and all of them in order.
type fields struct {
	all   []field
	known [slotCount]int // 1 + index into all; 0 is absent
	names []byte
}

// slot is a row's field that has a place in the event.
type slot uint8

const (
	slotMsgID slot = iota
	slotTargetType
	slotMsgType
	slotCtime
	slotCreateTime
	slotFromID
	slotFromName
	slotFromType
	slotFromPlatform
	slotFromAppKey
	slotTargetID
	slotTargetName
	slotTargetAppKey
	slotMsgLevel
	slotMsgBody
	slotCount
)

// slotOf finds the slot of a field's name; slotCount where it has none.
func slotOf(name []byte) slot {
	switch string(name) {
	case "msgid":
		return slotMsgID
	case "target_type":
		return slotTargetType
	case "msg_type":
		return slotMsgType
	case "msg_ctime":
		return slotCtime
	case "create_time":
		return slotCreateTime
	case "from_id":
		return slotFromID
	case "from_name":
		return slotFromName
	case "from_type":
		return slotFromType
	case "from_platform":
		return slotFromPlatform
	case "from_appkey":
		return slotFromAppKey
	case "target_id":
		return slotTargetID
	case "target_name":
		return slotTargetName
	case "target_appkey":
		return slotTargetAppKey
	case "msg_level":
		return slotMsgLevel
	case "msg_body":
		return slotMsgBody
	default:
		return slotCount
	}
}

// get returns the field in a slot, or nil.
func (f *fields) get(s slot) *field {
	if i := f.known[s]; i > 0 {
		return &f.all[i-1]
	}
	return nil
}

// Normalize is [Normalize] for the normalizer's app. The row is not kept or changed; a rejection points into it.
func (n *Normalizer) Normalize(row []byte) (Event, *Rejection) {
	if reason, detail := n.scan(row); reason != "" {
		return Event{}, &Rejection{Row: row, Reason: reason, Detail: detail}
	}
	id := n.f.get(slotMsgID)
	if id == nil {
		return Event{}, &Rejection{Row: row, Reason: ReasonMsgIDAbsent, Detail: "the row has no msgid"}
	}
	msgid, ok := integer(id.value)
	if !ok {
		return Event{}, &Rejection{
			Row: row, Reason: ReasonMsgIDNotInteger,
			Detail: "msgid is " + printable(id.value, 40) + ", not an integer of 64 bits",
		}
	}
	id.placed = true
	if cap(n.chunk)-len(n.chunk) < 2*len(row)+512 {
		n.chunk = make([]byte, 0, max(chunkSize, 4*len(row)+1024))
	}
	return n.event(msgid), nil
}

// scan splits the row into its fields.
func (n *Normalizer) scan(row []byte) (Reason, string) {
	if !utf8.Valid(row) {
		return ReasonInvalidJSON, "the row is not valid UTF-8"
	}
	// A name that stands twice inside a body is the sender's business; at the top it is looked for below. An escaped
	// lone surrogate is a string that some senders produce by cutting a text, and it is kept as it is written.
	if !jsontext.Value(row).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
		return ReasonInvalidJSON, "the row is not one JSON value"
	}
	if jsontext.Value(row).Kind() != '{' {
		return ReasonNotObject, "the row is JSON, but no object"
	}
	n.f.all, n.f.names, n.f.known = n.f.all[:0], n.f.names[:0], [slotCount]int{}
	for quoted, value := range members(row) {
		name := n.f.unquote(quoted)
		n.f.all = append(n.f.all, field{name: name, quoted: quoted, value: value})
		if s := slotOf(name); s < slotCount {
			n.f.known[s] = len(n.f.all)
		}
	}
	if name := n.f.duplicate(); name != nil {
		return ReasonDuplicateField, "the field " + printable(name, 40) + " stands twice"
	}
	return "", ""
}

// unquote decodes a string; one without escapes stays where it is.
func (f *fields) unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	start := len(f.names)
	decoded, err := jsontext.AppendUnquote(f.names, quoted)
	if err != nil && len(decoded) == start {
		return quoted // Cannot be: the row was checked. As it is written, it is at least unlike any name.
	}
	f.names = decoded
	return decoded[start:len(decoded):len(decoded)]
}

// duplicate finds a name that stands twice. Rows have some twenty fields, so comparing each with each is cheap; a row
// with very many is sorted.
func (f *fields) duplicate() []byte {
	const few = 32
	if len(f.all) > few {
		byName := slices.Clone(f.all)
		slices.SortFunc(byName, func(a, b field) int { return bytes.Compare(a.name, b.name) })
		for i := 1; i < len(byName); i++ {
			if bytes.Equal(byName[i-1].name, byName[i].name) {
				return byName[i].name
			}
		}
		return nil
	}
	for i := range f.all {
		for j := range i {
			if len(f.all[i].name) == len(f.all[j].name) && bytes.Equal(f.all[i].name, f.all[j].name) {
				return f.all[i].name
			}
		}
	}
	return nil
}

// integer reads a JSON number that is written as an integer of 64 bits: digits, no fraction, no exponent, no minus zero.
func integer(v []byte) (int64, bool) {
	if len(v) == 0 || len(v) > 20 || string(v) == "-0" {
		return 0, false
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	return n, err == nil
}

// The milliseconds of the first and last instant that RFC 3339 can write, and the value from which on create_time counts
// milliseconds: as seconds it would be the year 5138, as milliseconds it is 1973.
const (
	lastRFC3339   = 253402300799999
	millisFrom    = 100_000_000_000
	millisASecond = 1000
)

// instant reads a clock that is positive and has a place in RFC 3339.
func instant(f *field) (int64, bool) {
	if f == nil {
		return 0, false
	}
	n, ok := integer(f.value)
	return n, ok && n > 0 && n <= lastRFC3339
}

// appendInstant writes RFC 3339 in UTC, with three decimals where withMillis is set and none otherwise.
func appendInstant(dst []byte, millis int64, withMillis bool) []byte {
	t := time.UnixMilli(millis).UTC()
	if withMillis {
		return t.AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	}
	return t.AppendFormat(dst, "2006-01-02T15:04:05Z")
}

// printable shortens foreign bytes for a message to people.
func printable(b []byte, limit int) string {
	if len(b) > limit {
		b = append(slices.Clone(b[:limit]), "…"...)
	}
	return strconv.QuoteToGraphic(string(b))
}

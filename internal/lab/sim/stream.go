package sim

import "strings"

// streamKind is what a stream selects by.
type streamKind uint8

const (
	streamMessages streamKind = iota
	streamUsers
	streamGroups
	streamRooms
)

// stream selects rows: all of an app, or those of the idx-th user, group or room.
type stream struct {
	kind streamKind
	idx  int
}

// parseStream reads jmpub's notation of a stream, whose name is everything after the first slash, and tells whether the
// population ever had it. The empty name is messages.
func (h *history) parseStream(name string) (stream, bool) {
	kind, raw, _ := strings.Cut(name, "/")
	gone := h.churn.gone(h.Now().Unix())
	switch kind {
	case "", "messages":
		return stream{}, raw == ""
	case "users":
		i, ok := userIndex(raw, gone+h.Users)
		return stream{streamUsers, i}, ok
	case "groups":
		i, ok := numberIndex(raw, firstGroup, gone+h.Groups)
		return stream{streamGroups, i}, ok
	case "chatrooms":
		i, ok := numberIndex(raw, firstRoom, gone+h.Rooms)
		return stream{streamRooms, i}, ok
	default:
		return stream{}, false
	}
}

// holds tells whether a row is of a stream. A user's rows are those sent by it, and single messages to it.
func (h *history) holds(s stream, m *meta) bool {
	switch s.kind {
	case streamUsers:
		return !m.byAdmin() && m.from == s.idx || m.kind == kindSingle && m.to == s.idx
	case streamGroups:
		return m.kind == kindGroup && m.to == s.idx
	case streamRooms:
		return m.kind == kindRoom && m.to == s.idx
	case streamMessages:
	}
	return m.kind != kindRoom || h.RoomsInMessages
}

// all tells that a stream has every row, so that counting needs no look at them.
func (h *history) all(s stream) bool { return s.kind == streamMessages && h.RoomsInMessages }

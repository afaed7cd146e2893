package sim

import (
	"strconv"
)

// odd is how a row is hard to turn into an event.
type odd uint8

const (
	oddNone   odd = iota
	oddNoID       // cannot become an event: no object, or no msgid that is one
	oddTarget     // unknown target_type
	oddFields     // numeric ids, unknown fields, no clock
)

func (h *history) oddness(m *meta) (odd, uint64) {
	if h.OddRows <= 0 {
		return oddNone, 0
	}
	hash := mix(m.hash ^ 0x0dd)
	if unit(hash) >= h.OddRows {
		return oddNone, 0
	}
	return odd(1 + mix(hash)%3), mix(hash ^ 1)
}

// target is the target_type as the truth has it.
func targetIn(m *meta, o odd) string {
	if o == oddTarget {
		return "broadcast"
	}
	return targetType(m.kind)
}

func targetType(k kind) string {
	switch k {
	case kindSingle:
		return "single"
	case kindGroup:
		return "group"
	default:
		return "chatroom"
	}
}

// append writes the row as JSON.
func (h *history) append(dst []byte, m *meta, i int) ([]byte, odd) {
	o, variant := h.oddness(m)
	id := msgid(m.sec, i)
	if o == oddNoID {
		return appendNoID(dst, id, variant), o
	}
	r := m.hash >> 12
	platform, sender := platformOf(r, m.senderMilli)
	admin := r&0x3f == 9
	dst = append(dst, '{')
	if admin {
		dst = append(dst, `"sui_mtime":`...)
		dst = strconv.AppendInt(dst, m.sec-20, 10)
		dst = append(dst, ',')
		platform = "api"
	} else {
		dst = append(dst, `"set_from_name":`...)
		dst = append(dst, '0'+byte(r>>6&1), ',')
	}
	dst = append(append(dst, `"from_platform":"`...), platform...)
	if !admin {
		dst = append(dst, `","target_name":"`...)
		dst = append(dst, targetNames(r>>7)...)
	}
	kind := bodyKind(m.hash >> 20)
	dst = append(append(dst, `","msg_type":"`...), kind...)
	dst = append(dst, `","version":1,"target_id":`...)
	dst = h.appendTargetID(dst, m, o)
	dst = append(append(dst, `,"from_appkey":"`...), h.AppKey...)
	dst = append(dst, '"')
	crossApp := m.kind == kindSingle && !admin && r>>9&0x1f == 3
	if !admin {
		dst = append(dst, `,"from_name":"`...)
		dst = append(append(dst, fromNames(r>>8)...), `","target_appkey":"`...)
		switch {
		case crossApp:
			dst = append(dst, "dcf71ef5082057832bd44fbd"...)
		case m.kind == kindSingle:
			dst = append(dst, h.AppKey...)
		}
		dst = append(dst, '"')
	}
	dst = append(dst, `,"from_id":`...)
	if admin {
		dst = append(dst, `"admin_01"`...)
	} else {
		dst = strconv.AppendQuote(dst, h.names[m.from])
	}
	dst = append(dst, `,"msg_body":`...)
	dst = appendBody(dst, kind, mix(m.hash))
	dst = appendExtraFields(dst, r, m.kind)
	dst = append(dst, `,"create_time":`...)
	if sender {
		dst = strconv.AppendInt(dst, m.sender, 10)
	} else {
		dst = strconv.AppendInt(dst, m.sender/1000, 10)
	}
	dst = append(append(dst, `,"from_type":"`...), fromType(admin, r>>15)...)
	dst = append(append(dst, `","target_type":"`...), targetIn(m, o)...)
	dst = append(dst, `","msgid":`...)
	dst = strconv.AppendInt(dst, id, 10)
	if o == oddFields {
		dst = append(dst, `,"x_unknown":{"deep":[1,2.50,{"n":9007199254740993}]},"text":"a name of the event"`...)
	}
	if o != oddFields || variant&1 == 0 {
		dst = append(dst, `,"msg_ctime":`...)
		dst = strconv.AppendInt(dst, m.millis, 10)
	}
	dst = append(dst, `,"msg_level":`...)
	if crossApp {
		return append(dst, '1', '}'), o
	}
	return append(dst, '0', '}'), o
}

// appendNoID writes what is no event. Each stays unlike any other, so that it can be told apart without an id.
func appendNoID(dst []byte, id int64, variant uint64) []byte {
	switch variant % 5 {
	case 0:
		return strconv.AppendInt(dst, id, 10)
	case 1:
		return append(strconv.AppendInt(append(dst, '['), id, 10), ']')
	case 2:
		return append(strconv.AppendInt(append(dst, `{"msgid":"`...), id, 10), `","target_type":"single"}`...)
	case 3:
		return append(strconv.AppendInt(append(dst, `{"msg_ctime":`...), id, 10), `,"target_type":"group"}`...)
	default:
		return append(strconv.AppendInt(append(dst, `{"msgid":`...), id, 10), `99999999999,"target_type":"single"}`...)
	}
}

func (h *history) appendTargetID(dst []byte, m *meta, o odd) []byte {
	switch {
	case m.kind == kindSingle:
		return strconv.AppendQuote(dst, h.names[m.to])
	case o == oddFields: // A number where a string is usual.
		if m.kind == kindGroup {
			return append(dst, GroupID(m.to)...)
		}
		return append(dst, RoomID(m.to)...)
	case m.kind == kindGroup:
		return append(append(append(dst, '"'), GroupID(m.to)...), '"')
	default:
		return append(append(append(dst, '"'), RoomID(m.to)...), '"')
	}
}

// platformOf draws a platform and tells whether its senders give milliseconds.
func platformOf(r uint64, millis bool) (string, bool) {
	if millis {
		return [...]string{"web", "j", "i", "x"}[r>>3&3], true
	}
	return [...]string{"a", "i", "w", "a"}[r>>3&3], false
}

func fromType(admin bool, r uint64) string {
	switch {
	case admin:
		return "admin"
	case r&0xff == 77:
		return "robot"
	default:
		return "user"
	}
}

func targetNames(r uint64) string {
	return [...]string{"", "", "", "小明", "29.56160760,106.58279282", "Tom \\\"T\\\"", "客服中心", ""}[r&7]
}

func fromNames(r uint64) string {
	return [...]string{"", "nick", "张三", "李四 (Li Si)", "n", "custom name nnn", "😀 emoji", "O'Neil\\/x"}[r&7]
}

// appendExtraFields writes the fields that only some rows have.
func appendExtraFields(dst []byte, r uint64, k kind) []byte {
	if k == kindGroup && r>>20&7 == 1 {
		dst = append(dst, `,"at_list":[]`...)
	}
	if r>>23&0xf == 2 {
		dst = append(dst, `,"no_offline":false,"no_notification":true`...)
	}
	if r>>27&0x1f == 3 {
		dst = append(dst, `,"notification":{"title":"t","alert":"新消息"}`...)
	}
	return dst
}

package sim

import (
	"fmt"
	"strconv"
	"strings"
)

// draft is a row as it is written.
type draft struct {
	*meta
	d         dice
	irregular irregular
	variant   uint64
	// admin rows come through the REST API, which leaves fields out.
	admin    bool
	crossApp bool
	msgType  string
	create   int64
	platform string
}

func (h *history) draft(m *meta) draft {
	r := draft{meta: m, d: dice(m.hash ^ saltFields), admin: m.byAdmin()}
	r.irregular, r.variant = h.irregularity(m)
	clock, milli := m.senderClock()
	switch {
	case r.admin:
		r.platform, r.create = "api", clock/1000
	case milli:
		r.platform, r.create = choose(&r.d, h.phrases.millis), clock
	default:
		r.platform, r.create = choose(&r.d, h.phrases.secs), clock/1000
	}
	r.crossApp = m.kind == kindSingle && !r.admin && r.d.oneIn(32)
	r.msgType = drawType(&r.d)
	return r
}

// append writes a row as JSON, without white space. The same outline gives the same bytes.
func (h *history) append(dst []byte, m *meta) []byte {
	r := h.draft(m)
	switch r.irregular {
	case irregularNull:
		return append(dst, "null"...)
	case irregularNoID:
		return appendNoID(dst, h.msgid(m.sec, m.i), r.variant)
	case irregularNone, irregularTarget, irregularFields:
	}
	if r.admin {
		return h.appendAdmin(dst, &r)
	}
	return h.appendUser(dst, &r)
}

// appendUser writes what a client sent. Any field of little weight may be absent (the API page's own samples lack some).
func (h *history) appendUser(dst []byte, r *draft) []byte {
	d := &r.d
	spare := d.oneIn(24)
	dst = append(dst, '{')
	if !spare {
		dst = append(append(dst, `"set_from_name":`...), '0'+byte(d.below(2)), ',')
	}
	dst = append(append(dst, `"from_platform":"`...), r.platform...)
	if !d.oneIn(48) {
		dst = append(append(dst, `","target_name":"`...), choose(d, h.phrases.targetNames)...)
	}
	dst = append(append(dst, `","msg_type":"`...), r.msgType...)
	dst = append(dst, `","version":1,"target_id":`...)
	dst = r.appendTargetID(dst)
	from, target := h.AppKey, h.AppKey
	if r.crossApp {
		if d.oneIn(2) {
			from = h.phrases.appKeyOther
		} else {
			target = h.phrases.appKeyOther
		}
	}
	dst = append(append(dst, `,"from_appkey":"`...), from...)
	if !d.oneIn(48) {
		dst = append(append(dst, `","from_name":"`...), choose(d, h.phrases.fromNames)...)
	}
	dst = appendUsername(append(dst, `","from_id":"`...), r.from)
	dst = h.appendBody(append(dst, `","msg_body":`...), r)
	dst = r.appendRare(dst)
	dst = r.appendCreateTime(dst)
	dst = append(append(append(dst, `,"from_type":"`...), fromType(d)...), '"')
	if !spare {
		dst = append(dst, `,"target_appkey":"`...)
		if r.kind == kindSingle {
			dst = append(dst, target...)
		}
		dst = append(dst, '"')
	}
	dst = appendTargetType(dst, r.meta, r.irregular, r.variant)
	dst = append(dst, `,"msgid":`...)
	dst = strconv.AppendInt(dst, h.msgid(r.sec, r.i), 10)
	dst = r.appendServerTime(dst)
	return r.appendEnd(dst)
}

// appendAdmin writes what came through the REST API (REPORT_API: no target_name, from_name, target_appkey; sui_mtime).
func (h *history) appendAdmin(dst []byte, r *draft) []byte {
	dst = append(dst, '{')
	if !r.d.oneIn(4) {
		dst = fmt.Appendf(dst, `"sui_mtime":%d,`, r.create-int64(r.d.below(60)))
	}
	dst = fmt.Appendf(dst, `"version":1,"msg_type":"%s","msgid":%d,"from_platform":"%s","target_id":`,
		r.msgType, h.msgid(r.sec, r.i), r.platform)
	dst = r.appendTargetID(dst)
	dst = appendTargetType(dst, r.meta, r.irregular, r.variant)
	dst = append(dst, `,"from_type":"admin"`...)
	dst = r.appendServerTime(dst)
	dst = h.appendBody(append(dst, `,"msg_body":`...), r)
	dst = r.appendRare(dst)
	dst = r.appendCreateTime(dst)
	dst = fmt.Appendf(dst, `,"from_appkey":"%s","from_id":"%s"`, h.AppKey, h.phrases.admin)
	return r.appendEnd(dst)
}

// appendTargetID writes the value of target_id; an irregular row has a number where a string is usual.
func (r *draft) appendTargetID(dst []byte) []byte {
	if r.kind == kindSingle {
		return append(appendUsername(append(dst, '"'), r.to), '"')
	}
	id := int64(firstGroup + r.to)
	if r.kind == kindRoom {
		id = int64(firstRoom + r.to)
	}
	if r.irregular == irregularFields {
		return strconv.AppendInt(dst, id, 10)
	}
	return append(strconv.AppendInt(append(dst, '"'), id, 10), '"')
}

func (r *draft) appendCreateTime(dst []byte) []byte {
	if r.irregular == irregularFields && r.variant%4 == 1 {
		return dst
	}
	return strconv.AppendInt(append(dst, `,"create_time":`...), r.create, 10)
}

func (r *draft) appendServerTime(dst []byte) []byte {
	if r.irregular == irregularFields && r.variant%4 == 0 {
		return dst
	}
	return strconv.AppendInt(append(dst, `,"msg_ctime":`...), r.millis, 10)
}

// appendRare writes the fields that only some rows have.
func (r *draft) appendRare(dst []byte) []byte {
	if r.kind == kindGroup && r.d.oneIn(8) {
		at := make([]string, r.d.below(3))
		for i := range at {
			at[i] = `"` + Username(int(r.d.below(64))) + `"`
		}
		dst = fmt.Appendf(dst, `,"at_list":[%s]`, strings.Join(at, ","))
	}
	if r.d.oneIn(16) {
		dst = append(dst, `,"no_offline":false,"no_notification":true`...)
	}
	if r.d.oneIn(32) {
		dst = append(dst, `,"notification":{"notifiable":true,"title":"t","alert":"新消息"}`...)
	}
	return dst
}

// appendEnd writes msg_level (API page: 0 within the app, 1 across apps) and what nobody knows.
func (r *draft) appendEnd(dst []byte) []byte {
	if r.irregular == irregularFields {
		dst = append(dst, `,"x_unknown":{"deep":[1,2.50,{"n":9007199254740993}]},"text":"a name of the event"`...)
	}
	level := byte('0')
	if r.crossApp {
		level = '1'
	}
	return append(append(dst, `,"msg_level":`...), level, '}')
}

func fromType(d *dice) string {
	switch d.below(256) {
	case 0:
		return "robot"
	case 1:
		return "system"
	default:
		return "user"
	}
}

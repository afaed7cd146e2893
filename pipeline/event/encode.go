package event

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// event writes the row that was read as an event. Each part that is written ends in a comma; the one that closes an
// object writes over the last.
func (n *Normalizer) event(msgID int64, size int) Event {
	r := &n.row
	e := Event{MsgID: msgID, Target: targetOf(r.text(fieldTargetType))}
	b := n.chunk.open(size)

	r.place(fieldMsgID)
	b = appendMember(b, `{"msgid":`, r.values[fieldMsgID])
	b = append(b, n.appKey...)
	b = r.appendString(b, `"target_type":`, fieldTargetType)
	b = r.appendString(b, `"msg_type":`, fieldMsgType)

	b, conversation := n.appendConversation(b, e.Target)
	b, clock := n.appendTimes(b, &e)

	from := len(b)
	b = append(b, `"from":{`...)
	b = r.appendID(b, fieldFromID)
	b = r.appendString(b, `"name":`, fieldFromName)
	b = r.appendString(b, `"type":`, fieldFromType)
	b = r.appendString(b, `"platform":`, fieldFromPlatform)
	b = r.appendString(b, `"app_key":`, fieldFromAppKey)
	b = closeObject(b, from, `"from":{`)

	target := len(b)
	b = append(b, `"target":{`...)
	b = r.appendID(b, fieldTargetID)
	b = r.appendString(b, `"name":`, fieldTargetName)
	b = r.appendString(b, `"app_key":`, fieldTargetAppKey)
	b = closeObject(b, target, `"target":{`)

	b = r.appendCrossApp(b)
	b = r.appendBody(b)
	b = r.appendAttributes(b)
	b[len(b)-1] = '}'

	value := len(b)
	if conversation.to < 0 {
		b = append(b, n.conversation...)
		conversation = span{value, len(b)}
	}
	b = n.chunk.close(b)
	e.Value = b[:value:value]
	e.Conversation = conversation.of(b)
	e.Time = clock.of(b)
	return e
}

// span is a part of the event under construction, which may yet move.
type span struct{ from, to int }

// of cuts the span out; nil where it is empty.
func (s span) of(b []byte) []byte {
	if s.from >= s.to {
		return nil
	}
	return b[s.from:s.to:s.to]
}

// closeObject ends the object that was begun at start with open, and takes it back if it has no member.
func closeObject(b []byte, start int, open string) []byte {
	if len(b) == start+len(open) {
		return b[:start]
	}
	b[len(b)-1] = '}'
	return append(b, ',')
}

// targetOf is the topic that a target_type asks for.
func targetOf(targetType []byte) Target {
	switch string(targetType) {
	case "single":
		return TargetSingle
	case "group":
		return TargetGroup
	case "chatroom":
		return TargetChatroom
	default:
		return TargetOther
	}
}

// appendString writes a field that is a string under the name it has in the event.
func (r *row) appendString(b []byte, name string, f field) []byte {
	if !isString(r.values[f]) {
		return b
	}
	r.place(f)
	return appendMember(b, name, r.values[f])
}

// appendID writes an id. A number cannot be distinguished from a string in the event, so it stays in attributes too.
func (r *row) appendID(b []byte, f field) []byte {
	if !isDigits(r.values[f]) {
		return r.appendString(b, `"id":`, f)
	}
	b = append(b, `"id":"`...)
	b = append(b, r.values[f]...)
	return append(b, `",`...)
}

// appendCrossApp writes msg_level, whose two known values tell whether the message crosses apps.
func (r *row) appendCrossApp(b []byte) []byte {
	level := string(r.values[fieldMsgLevel])
	if level != "0" && level != "1" {
		return b
	}
	r.place(fieldMsgLevel)
	b = append(b, `"cross_app":`...)
	b = strconv.AppendBool(b, level == "1")
	return append(b, ',')
}

// appendBody writes what is taken out of the body, and the body itself.
func (r *row) appendBody(b []byte) []byte {
	body := r.values[fieldMsgBody]
	if body == nil {
		return b
	}
	b = appendDerived(r.reader, b, r.text(fieldMsgType), body)
	r.place(fieldMsgBody)
	return appendMember(b, `"msg_body":`, body)
}

// appendAttributes writes every field that cannot be rebuilt from its place.
func (r *row) appendAttributes(b []byte) []byte {
	start := len(b)
	b = append(b, `"attributes":{`...)
	for i := range r.members {
		m := &r.members[i]
		if r.isPlaced(m.field) {
			continue
		}
		b = append(b, m.quoted...)
		b = append(b, ':')
		b = append(b, m.value...)
		b = append(b, ',')
	}
	return closeObject(b, start, `"attributes":{`)
}

// appendQuoted writes a text as a JSON string. plain tells that it stands there as it is.
func appendQuoted(b, text []byte) (_ []byte, plain bool) {
	start := len(b)
	b, _ = jsontext.AppendQuote(b, text) // The text is a part of JSON that was checked.
	return b, len(b)-start == len(text)+len(`""`)
}

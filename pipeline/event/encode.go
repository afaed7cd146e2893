package event

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// event writes the row that was read as an event. Each part that is written ends in a comma; the one that closes an
// object writes over the last.
func (n *Normalizer) event(msgID int64, size int) Event {
	r := &n.row
	e := Event{MsgID: msgID, Target: TargetNamed(string(r.targetType.text()))}
	b := n.chunk.open(size)

	r.msgID.placed = true
	b = appendMember(b, `{"msgid":`, r.msgID.value)
	b = append(b, n.appKey...)
	b = r.targetType.appendString(b, `"target_type":`)
	b = r.msgType.appendString(b, `"msg_type":`)

	b, conversation := n.appendConversation(b, e.Target)
	b, clock := n.appendTimes(b, &e)

	from := len(b)
	b = append(b, `"from":{`...)
	b = r.fromID.appendID(b)
	b = r.fromName.appendString(b, `"name":`)
	b = r.fromType.appendString(b, `"type":`)
	b = r.fromPlatform.appendString(b, `"platform":`)
	b = r.fromAppKey.appendString(b, `"app_key":`)
	b = closeList(b, from, `"from":{`, '}')

	target := len(b)
	b = append(b, `"target":{`...)
	b = r.targetID.appendID(b)
	b = r.targetName.appendString(b, `"name":`)
	b = r.targetAppKey.appendString(b, `"app_key":`)
	b = closeList(b, target, `"target":{`, '}')

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

// closeList ends the object or array that was begun at start with open, and takes it back if it has nothing in it.
func closeList(b []byte, start int, open string, bracket byte) []byte {
	if len(b) == start+len(open) {
		return b[:start]
	}
	b[len(b)-1] = bracket
	return append(b, ',')
}

// appendString writes a field that is a string under the name it has in the event.
func (f *field) appendString(b []byte, name string) []byte {
	f.placed = f.placed || isString(f.value)
	return appendString(b, name, f.value)
}

// appendID writes an id. A number cannot be distinguished from a string in the event, so it stays in attributes too.
func (f *field) appendID(b []byte) []byte {
	if !isDigits(f.value) {
		return f.appendString(b, `"id":`)
	}
	b = append(b, `"id":"`...)
	b = append(b, f.value...)
	return append(b, `",`...)
}

// appendCrossApp writes msg_level, whose two known values tell whether the message crosses apps.
func (r *row) appendCrossApp(b []byte) []byte {
	level := string(r.msgLevel.value)
	if level != "0" && level != "1" {
		return b
	}
	r.msgLevel.placed = true
	b = append(b, `"cross_app":`...)
	b = strconv.AppendBool(b, level == "1")
	return append(b, ',')
}

// appendBody writes what is taken out of the body, and the body itself.
func (r *row) appendBody(b []byte) []byte {
	body := r.msgBody.value
	if body == nil {
		return b
	}
	b = appendDerived(r.reader, b, r.msgType.text(), body)
	r.msgBody.placed = true
	return appendMember(b, `"msg_body":`, body)
}

// appendAttributes writes every field that cannot be rebuilt from its place.
func (r *row) appendAttributes(b []byte) []byte {
	start := len(b)
	b = append(b, `"attributes":{`...)
	for i := range r.members {
		m := &r.members[i]
		if m.field != nil && m.field.placed {
			continue
		}
		b = append(b, m.quoted...)
		b = append(b, ':')
		b = append(b, m.value...)
		b = append(b, ',')
	}
	return closeList(b, start, `"attributes":{`, '}')
}

// appendQuoted writes a text as a JSON string. plain tells that it stands there as it is.
func appendQuoted(b, text []byte) (_ []byte, plain bool) {
	start := len(b)
	b, _ = jsontext.AppendQuote(b, text) // The text is a part of JSON that was checked.
	return b, len(b)-start == len(text)+len(`""`)
}

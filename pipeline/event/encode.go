package event

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// event writes the row that was read as an event. Each part that is written ends in a comma; the one that closes an
// object writes over the last.
func (n *Normalizer) event(id int64, size int) Event {
	r := &n.row
	e := Event{MsgID: id, Target: TargetNamed(string(r.text(fieldTargetType)))}
	chunk := &n.chunk
	if size > chunk.kind.most/fits {
		chunk = &n.large
	}
	b := chunk.open(size)

	r.placed[fieldMsgID] = true
	b = appendMember(b, `{"msgid":`, r.value(fieldMsgID))
	b = append(b, n.appKey...)
	b = r.appendString(b, fieldTargetType, `"target_type":`)
	b = r.appendString(b, fieldMsgType, `"msg_type":`)

	b, conversation := n.appendConversation(b, e.Target)
	b, clock := n.appendTimes(b, &e)

	from := len(b)
	b = append(b, `"from":{`...)
	b = r.appendID(b, fieldFromID)
	b = r.appendString(b, fieldFromName, `"name":`)
	b = r.appendString(b, fieldFromType, `"type":`)
	b = r.appendString(b, fieldFromPlatform, `"platform":`)
	b = r.appendString(b, fieldFromAppKey, `"app_key":`)
	b = closeList(b, from, `"from":{`, '}')

	target := len(b)
	b = append(b, `"target":{`...)
	b = r.appendID(b, fieldTargetID)
	b = r.appendString(b, fieldTargetName, `"name":`)
	b = r.appendString(b, fieldTargetAppKey, `"app_key":`)
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
	b = chunk.close(b)
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
func (r *row) appendString(b []byte, f field, name string) []byte {
	value := r.value(f)
	if !isString(value) {
		return b
	}
	r.placed[f] = true
	return appendMember(b, name, value)
}

// appendID writes an id. A number cannot be distinguished from a string in the event, so it stays in attributes too.
func (r *row) appendID(b []byte, f field) []byte {
	value := r.value(f)
	if !isDigits(value) {
		return r.appendString(b, f, `"id":`)
	}
	b = append(b, `"id":"`...)
	b = append(b, value...)
	return append(b, `",`...)
}

// appendCrossApp writes msg_level, whose two known values tell whether the message crosses apps.
func (r *row) appendCrossApp(b []byte) []byte {
	level := string(r.value(fieldMsgLevel))
	if level != "0" && level != "1" {
		return b
	}
	r.placed[fieldMsgLevel] = true
	b = append(b, `"cross_app":`...)
	b = strconv.AppendBool(b, level == "1")
	return append(b, ',')
}

// appendBody writes what is taken out of the body, and the body itself.
func (r *row) appendBody(b []byte) []byte {
	body := r.value(fieldMsgBody)
	if body == nil {
		return b
	}
	b = appendDerived(r.reader, b, r.text(fieldMsgType), body)
	r.placed[fieldMsgBody] = true
	return appendMember(b, `"msg_body":`, body)
}

// appendAttributes writes every field that cannot be rebuilt from its place.
func (r *row) appendAttributes(b []byte) []byte {
	start := len(b)
	b = append(b, `"attributes":{`...)
	for i := range r.members {
		m := &r.members[i]
		if r.placed[m.field] {
			continue
		}
		b = append(b, r.at(m.name)...)
		b = append(b, ':')
		b = append(b, r.at(m.value)...)
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

package pipeline

import (
	"bytes"
	"strconv"
)

// event writes the scanned row as an event. The order of the fields is that of docs/events.md.
func (n *Normalizer) event(msgid int64) Event {
	e := Event{MsgID: msgid}
	f := &n.f
	start := len(n.chunk)
	b := append(n.chunk, `{"msgid":`...)
	b = strconv.AppendInt(b, msgid, 10)
	b = append(append(b, `,"app_key":`...), n.appKey...)
	b = f.place(b, `,"target_type":`, slotTargetType)
	b = f.place(b, `,"msg_type":`, slotMsgType)
	targetType := f.text(slotTargetType)
	e.Target = targetOf(targetType)

	from, target := f.id(slotFromID), f.id(slotTargetID)
	var conversation []byte
	b, conversation = f.conversation(b, e.Target, targetType, from, target)
	b = f.clocks(b, &e)
	b = f.party(b, `,"from":{`, from, []partyField{
		{`"name":`, slotFromName}, {`"type":`, slotFromType}, {`"platform":`, slotFromPlatform}, {`"app_key":`, slotFromAppKey},
	})
	b = f.party(b, `,"target":{`, target, []partyField{{`"name":`, slotTargetName}, {`"app_key":`, slotTargetAppKey}})
	b = f.crossApp(b)
	if body := f.get(slotMsgBody); body != nil {
		body.placed = true
		b = f.derived(b, f.text(slotMsgType), body.value)
		b = append(b, `,"msg_body":`...)
		b = appendCompact(b, body.value)
	}
	b = f.attributes(b)
	b = append(b, '}')
	n.chunk = b
	e.Value = b[start:len(b):len(b)]
	e.Conversation = conversation
	return e
}

// targetOf is the topic for a decoded target_type.
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

// place writes a string field under a name of the event; any other type is left to the attributes.
func (f *fields) place(b []byte, name string, s slot) []byte {
	fd := f.get(s)
	if fd == nil || !isString(fd.value) {
		return b
	}
	fd.placed = true
	return append(append(b, name...), fd.value...)
}

// text is a string field's decoded value; nil where the field is absent or no string.
func (f *fields) text(s slot) []byte {
	if fd := f.get(s); fd != nil && isString(fd.value) {
		return f.unquote(fd.value)
	}
	return nil
}

// identity is an id as JSON and decoded. A number is taken for its digits, and stays in the attributes too.
type identity struct {
	quoted, decoded []byte
}

func (f *fields) id(s slot) identity {
	fd := f.get(s)
	if fd == nil {
		return identity{}
	}
	if isString(fd.value) {
		fd.placed = true
		return identity{quoted: fd.value, decoded: f.unquote(fd.value)}
	}
	if _, ok := integer(fd.value); ok {
		quoted := append(append([]byte{'"'}, fd.value...), '"')
		return identity{quoted: quoted, decoded: fd.value}
	}
	return identity{}
}

// conversation writes the conversation id and returns it decoded.
//
// A single chat's id is the same for both directions. The two parts are sorted bytewise; `%`, `|` and `/` inside them are
// percent-encoded, so that different pairs never share an id.
func (f *fields) conversation(b []byte, target Target, targetType []byte, from, to identity) (event, id []byte) {
	if len(to.decoded) == 0 || len(targetType) == 0 {
		return b, nil
	}
	raw := make([]byte, 0, len(targetType)+len(from.decoded)+len(to.decoded)+64)
	raw = append(append(raw, targetType...), ':')
	if target != TargetSingle {
		raw = append(raw, to.decoded...)
	} else {
		if len(from.decoded) == 0 {
			return b, nil
		}
		first, second := escapePart(from.decoded), escapePart(to.decoded)
		fromApp, toApp := f.text(slotFromAppKey), f.text(slotTargetAppKey)
		if len(fromApp) > 0 && len(toApp) > 0 && !bytes.Equal(fromApp, toApp) {
			first = append(append(escapePart(fromApp), '/'), first...)
			second = append(append(escapePart(toApp), '/'), second...)
		}
		if bytes.Compare(first, second) > 0 {
			first, second = second, first
		}
		raw = append(append(append(raw, first...), '|'), second...)
	}
	b = append(b, `,"conversation_id":`...)
	return appendQuoted(b, raw), raw
}

func escapePart(part []byte) []byte {
	escaped := make([]byte, 0, len(part)+32)
	for _, c := range part {
		switch c {
		case '%':
			escaped = append(escaped, "%25"...)
		case '|':
			escaped = append(escaped, "%7C"...)
		case '/':
			escaped = append(escaped, "%2F"...)
		default:
			escaped = append(escaped, c)
		}
	}
	return escaped
}

// clocks writes time and client_time. The decimals tell the unit in which create_time came: none for seconds, three for
// milliseconds.
func (f *fields) clocks(b []byte, e *Event) []byte {
	server, hasServer := instant(f.get(slotCtime))
	client, hasClient := instant(f.get(slotCreateTime))
	clientMillis := client >= millisFrom
	if hasClient && !clientMillis {
		client *= millisASecond
	}
	if hasServer {
		f.get(slotCtime).placed = true
		e.ServerTime = server
	}
	if hasClient {
		f.get(slotCreateTime).placed = true
		e.ClientTime = client
	}
	if hasServer || hasClient {
		b = append(b, `,"time":"`...)
		start := len(b)
		if hasServer {
			b = appendInstant(b, server, true)
		} else {
			b = appendInstant(b, client, true)
		}
		e.Time = b[start:len(b):len(b)]
		b = append(b, '"')
		if !hasServer {
			b = append(b, `,"time_source":"client_time"`...)
		}
	}
	if hasClient {
		b = append(b, `,"client_time":"`...)
		b = appendInstant(b, client, clientMillis)
		b = append(b, '"')
	}
	return b
}

// partyField is a member of `from` or `target`.
type partyField struct {
	name string
	slot slot
}

// party writes `from` or `target`, unless it has no member.
func (f *fields) party(b []byte, open string, id identity, parts []partyField) []byte {
	before := len(b)
	b = append(b, open...)
	start := len(b)
	if id.quoted != nil {
		b = append(append(b, `"id":`...), id.quoted...)
	}
	for _, part := range parts {
		fd := f.get(part.slot)
		if fd == nil || !isString(fd.value) {
			continue
		}
		if len(b) > start {
			b = append(b, ',')
		}
		b = f.place(b, part.name, part.slot)
	}
	if len(b) == start {
		return b[:before]
	}
	return append(b, '}')
}

// crossApp writes msg_level 0 and 1 as cross_app.
func (f *fields) crossApp(b []byte) []byte {
	fd := f.get(slotMsgLevel)
	if fd == nil || len(fd.value) != 1 || fd.value[0] != '0' && fd.value[0] != '1' {
		return b
	}
	fd.placed = true
	return strconv.AppendBool(append(b, `,"cross_app":`...), fd.value[0] == '1')
}

// attributes writes every field that was given no place.
func (f *fields) attributes(b []byte) []byte {
	first := true
	for i := range f.all {
		fd := &f.all[i]
		if fd.placed {
			continue
		}
		if first {
			b = append(b, `,"attributes":{`...)
			first = false
		} else {
			b = append(b, ',')
		}
		b = append(append(b, fd.quoted...), ':')
		b = appendCompact(b, fd.value)
	}
	if first {
		return b
	}
	return append(b, '}')
}

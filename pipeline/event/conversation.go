package event

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// appendConversation writes the conversation id, and leaves it in n.conversation. It returns where it stands in b; a
// negative end means that it is not written there as it is, because JSON had to escape it.
//
//	group:<gid>  chatroom:<id>  <other target_type>:<target id>
//	single:<a>|<b>                          the two user ids, sorted: the same for both directions
//	single:<appkey>/<a>|<appkey>/<b>        where the two belong to different apps
//
// Two users of different apps may have the same name, so the app keys decide whether a chat crosses apps; msg_level 1
// with one of them missing cannot be distinguished from one within, and with both the same it does not cross. The characters
// `%`, `|`, `/` and `:` inside a part are percent-encoded, so that different partners never share an id: users are named
// with letters, digits and `_.-@` (IM REST documents), but nothing here relies on it. So are the characters that CloudEvents
// forbids in a text, because the id is the event's subject. The two are sorted as they are written, bytewise.
//
// A row without one of these parts, or with one that is empty or longer than [longestPart], has no conversation.
func (n *Normalizer) appendConversation(b []byte, target Target) ([]byte, span) {
	r := &n.row
	n.conversation = n.conversation[:0]
	targetType, to := r.text(fieldTargetType), r.id(fieldTargetID)
	if !isPart(to) || !isPart(targetType) {
		return b, span{}
	}
	if target == TargetSingle {
		from := r.id(fieldFromID)
		fromApp, toApp := r.text(fieldFromAppKey), r.text(fieldTargetAppKey)
		if !isPart(from) || len(fromApp) > longestPart || len(toApp) > longestPart {
			return b, span{}
		}
		n.conversation = append(n.conversation, "single:"...)
		if len(fromApp) == 0 || len(toApp) == 0 || bytes.Equal(fromApp, toApp) {
			fromApp, toApp = nil, nil
		}
		n.appendPair(fromApp, from, toApp, to)
	} else {
		n.conversation = appendPart(n.conversation, targetType)
		n.conversation = append(n.conversation, ':')
		n.conversation = appendPart(n.conversation, to)
	}
	b = append(b, `"conversation_id":`...)
	start := len(b) + 1
	b, plain := appendQuoted(b, n.conversation)
	where := span{start, len(b) - 1}
	if !plain {
		where = span{0, -1}
	}
	return append(b, ','), where
}

// longestPart is far longer than names (128 bytes, IM REST documents). What is longer would be written three times as long, into the
// event and into a header.
const longestPart = 4 << 10

func isPart(text []byte) bool { return 0 < len(text) && len(text) <= longestPart }

// appendPair writes the two users of a single chat, sorted. The app keys are empty where they are the same.
func (n *Normalizer) appendPair(appA, a, appB, b []byte) {
	start := len(n.conversation)
	c := appendUser(n.conversation, appA, a)
	bar := len(c)
	c = append(c, '|')
	c = appendUser(c, appB, b)
	if bytes.Compare(c[start:bar], c[bar+1:]) > 0 {
		c = appendUser(c[:start], appB, b)
		c = append(c, '|')
		c = appendUser(c, appA, a)
	}
	n.conversation = c
}

func appendUser(c, app, id []byte) []byte {
	if app != nil {
		c = appendPart(c, app)
		c = append(c, '/')
	}
	return appendPart(c, id)
}

// appendPart writes a part of a conversation id with the characters percent-encoded that stand between parts or in no text.
func appendPart(c, part []byte) []byte {
	for i, char := range part {
		if char < ' ' || char > '~' || isSeparator(rune(char)) {
			return appendEncoded(append(c, part[:i]...), part[i:])
		}
	}
	return append(c, part...)
}

func appendEncoded(c, part []byte) []byte {
	const digits = "0123456789ABCDEF"
	for len(part) > 0 {
		char, size := utf8.DecodeRune(part)
		if isSeparator(char) || unicode.IsControl(char) || isNoncharacter(char) {
			for _, b := range part[:size] {
				c = append(c, '%', digits[b>>4], digits[b&0xf])
			}
		} else {
			c = append(c, part[:size]...)
		}
		part = part[size:]
	}
	return c
}

func isSeparator(char rune) bool { return char == '%' || char == '|' || char == '/' || char == ':' }

// isNoncharacter tells whether Unicode will never give the code point a meaning.
func isNoncharacter(char rune) bool {
	return char&0xfffe == 0xfffe || 0xfdd0 <= char && char <= 0xfdef
}

package event

import (
	"bytes"
	"errors"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/jmpub/jmpub/internal/rawjson"
)

// rejected makes a rejection, with the row's msgid where it can be known.
func rejected(row []byte, reason Reason, detail string) *Rejection {
	id, ok := findMsgID(row)
	return &Rejection{Row: row, Reason: reason, Detail: detail, MsgID: id, HasMsgID: ok}
}

// findMsgID reads a row that may be broken as far as it goes. It takes a msgid that stands once, and only if something
// follows it: in a row that was cut off within the number, what is left of it is another id. Where a second value follows
// the object, which of them is the row is unknown.
func findMsgID(row []byte) (msgID int64, found bool) {
	times := 0
	reader := rawjson.Lenient()
	openObject(reader, row)
	for m := (member{}); nextMember(reader, &m); {
		if string(rawjson.Unquote(m.quoted)) != "msgid" {
			continue
		}
		times++
		msgID, found = integer(m.value)
		found = found && reader.Offset() < len(row)
	}
	if times != 1 || !found || errors.Is(reader.Err(), rawjson.ErrTrailing) {
		return 0, false
	}
	return msgID, true
}

// describe names the type of a JSON value that is no object, for people.
func describe(v []byte) string {
	switch jsontext.Value(v).Kind() {
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '[':
		return "an array"
	default:
		return string(v) // null, true or false
	}
}

// describeSyntax says where the JSON is broken.
func describeSyntax(err error) string {
	if errors.Is(err, io.EOF) {
		return "there is no value"
	}
	return err.Error()
}

// quote quotes a bit of the row so that it is printable. A long one is left out: cut, it could be half of a secret that is masked
// as a whole.
func quote(text []byte) string {
	const limit = 64
	text = bytes.TrimPrefix(text, []byte(noText))
	if len(text) > limit {
		return "of " + strconv.Itoa(len(text)) + " bytes"
	}
	return strconv.QuoteToASCII(string(text))
}

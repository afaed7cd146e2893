package pipeline

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// rejected makes a rejection, with the row's msgid where it can be known.
func rejected(row []byte, reason Reason, detail string) *Rejection {
	id, ok := findMsgID(row)
	return &Rejection{Row: row, Reason: reason, Detail: detail, MsgID: id, HasMsgID: ok}
}

// findMsgID reads a row that may be broken as far as it goes. It takes a msgid that stands once, and only if something
// follows it: in a row that was cut off within the number, what is left of it is another id.
func findMsgID(row []byte) (msgID int64, found bool) {
	d := jsontext.NewDecoder(bytes.NewBuffer(row),
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if token, err := d.ReadToken(); err != nil || token.Kind() != '{' {
		return 0, false
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			break
		}
		isID := name.String() == "msgid"
		value, err := d.ReadValue()
		if err != nil {
			break
		}
		if !isID {
			continue
		}
		if found {
			return 0, false
		}
		id, ok := integer(value)
		if !ok || int(d.InputOffset()) == len(row) {
			return 0, false
		}
		msgID, found = id, true
	}
	return msgID, found
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

// describeSyntax says where the JSON is broken. The path that jsontext would add has names of any length in it.
func describeSyntax(err error) string {
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) && syntax.Err != nil {
		return "byte " + strconv.FormatInt(syntax.ByteOffset, 10) + ": " + syntax.Err.Error()
	}
	return err.Error()
}

// describeDuplicate says which field stands twice.
func describeDuplicate(name []byte) string { return "the field " + shorten(name) + " stands twice" }

// describeDepth says which field nests too deep.
func describeDepth(name []byte) string { return "the field " + shorten(name) + " nests too deep" }

// shorten quotes a piece of the row so that it is short and printable.
func shorten(piece []byte) string {
	const limit = 64
	return strconv.QuoteToASCII(string(piece[:min(len(piece), limit)]))
}

package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// reply is a decoded page.
type reply struct {
	total  int64
	cursor string
	rows   [][]byte
}

// decodePage reads {"total","cursor","count","messages"}. The envelope is strict; a row is only cut out, and judged later,
// so that one bad row does not poison its page. Rows point into body.
func decodePage(body []byte) (reply, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	page := reply{total: -1}
	count, seen := int64(-1), false
	if err := expect(dec, '{'); err != nil {
		return page, err
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return page, err
		}
		switch name.String() {
		case "total":
			page.total, err = readCount(dec, "total")
		case "count":
			count, err = readCount(dec, "count")
		case "cursor":
			page.cursor, err = readCursor(dec)
		case "messages":
			seen = true
			page.rows, err = readRows(dec, body)
		default:
			err = dec.SkipValue()
		}
		if err != nil {
			return page, err
		}
	}
	if err := expect(dec, '}'); err != nil {
		return page, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return page, errors.New("something follows the page's end")
	}
	switch {
	case !seen:
		return page, errors.New("there is no messages")
	case page.total < 0:
		return page, errors.New("there is no total")
	case count >= 0 && count != int64(len(page.rows)):
		return page, fmt.Errorf("count is %d, but %d messages are there", count, len(page.rows))
	}
	return page, nil
}

func expect(dec *jsontext.Decoder, kind jsontext.Kind) error {
	token, err := dec.ReadToken()
	if err != nil {
		return err
	}
	if token.Kind() != kind {
		return fmt.Errorf("%s stands where %s should", token.Kind(), kind)
	}
	return nil
}

func readCount(dec *jsontext.Decoder, name string) (int64, error) {
	value, err := dec.ReadValue()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s is %.40q, not a number of rows", name, value)
	}
	return n, nil
}

// readCursor takes an absent cursor in any form: null and the empty string are none. A number is taken by its digits.
func readCursor(dec *jsontext.Decoder) (string, error) {
	value, err := dec.ReadValue()
	if err != nil {
		return "", err
	}
	switch value.Kind() {
	case 'n':
		return "", nil
	case '0':
		return string(value), nil
	case '"':
		text, err := jsontext.AppendUnquote(nil, value)
		return string(text), err
	default:
		return "", fmt.Errorf("cursor is %.40q, not a text", value)
	}
}

// readRows cuts the rows out of body, at the places where the decoder finds them.
func readRows(dec *jsontext.Decoder, body []byte) ([][]byte, error) {
	if dec.PeekKind() == 'n' {
		return nil, dec.SkipValue()
	}
	if err := expect(dec, '['); err != nil {
		return nil, fmt.Errorf("messages: %w", err)
	}
	rows := make([][]byte, 0, maxPageSize)
	for {
		kind := dec.PeekKind()
		if kind == ']' {
			_, err := dec.ReadToken()
			return rows, err
		}
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		end := dec.InputOffset()
		rows = append(rows, body[end-int64(len(value)):end:end])
	}
}

// apiError is what an error reply says, as far as it can be read.
type apiError struct {
	code    int
	message string
}

// decodeError reads {"error":{"code","message"}}, the flat form, and arrays of either; anything else gives code 0.
func decodeError(body []byte) apiError {
	dec := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	var found apiError
	for {
		token, err := dec.ReadToken()
		if err != nil {
			break
		}
		if token.Kind() != '"' || dec.StackDepth() == 0 {
			continue
		}
		if kind, index := dec.StackIndex(dec.StackDepth()); kind != '{' || index%2 == 0 {
			continue // Not a member's name.
		}
		switch token.String() {
		case "code":
			if n, err := readCode(dec); err == nil && found.code == 0 {
				found.code = n
			}
		case "message":
			if dec.PeekKind() == '"' && found.message == "" {
				if text, err := dec.ReadToken(); err == nil {
					found.message = text.String()
				}
			}
		}
	}
	if found.code == 0 {
		found.message = string(bytes.TrimSpace(body))
	}
	return found
}

// readCode reads a code that is a number, or one in quotes.
func readCode(dec *jsontext.Decoder) (int, error) {
	if kind := dec.PeekKind(); kind != '0' && kind != '"' {
		return 0, errors.New("no code")
	}
	value, err := dec.ReadValue()
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(bytes.Trim(value, `"`)))
}

package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// reply is a decoded page.
type reply struct {
	// total and count are -1 where the page has none.
	total, count int64
	cursor       string
	rows         [][]byte
	// bytes is the page's size.
	bytes int
	// received is when its header came, by the local clock; date is the server's (dated tells that it has one).
	received, date time.Time
	dated          bool
}

var (
	errNoMessages = errors.New("there is no messages")
	errNoTotal    = errors.New("there is no total")
	errNoFigures  = errors.New("there are no statistics")
	errNoEntries  = errors.New("there is no list")
)

// isAbsent tells that a reply lacks what was asked for; it may be an error whose status is wrong.
func isAbsent(err error) bool {
	return errors.Is(err, errNoMessages) || errors.Is(err, errNoFigures) || errors.Is(err, errNoEntries)
}

// decodePage reads {"total","cursor","count","messages"}, and passes over what it does not know. The envelope is strict:
// one object and nothing after it, each known name once. A row has to be JSON, of which only the extent matters here: it
// is cut out as it is and judged later, so duplicate names or bytes that are no UTF-8 do not poison its page. Rows point
// into body.
func decodePage(body []byte) (reply, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	page := reply{total: -1, count: -1}
	if err := expect(dec, '{'); err != nil {
		return page, err
	}
	var seen [4]bool
	for dec.PeekKind() == '"' {
		if err := page.readMember(dec, body, &seen); err != nil {
			return page, err
		}
	}
	if err := expect(dec, '}'); err != nil {
		return page, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return page, errors.New("something follows the page's end")
	}
	if !seen[memberMessages] {
		return page, errNoMessages
	}
	if page.count >= 0 && page.count != int64(len(page.rows)) {
		return page, fmt.Errorf("count is %d, but there are %d messages", page.count, len(page.rows))
	}
	return page, nil
}

// check holds a page against what was asked for. Only a window's first page has to state the total.
func (p *reply) check(cursor bool, pageSize int) error {
	if p.total < 0 && !cursor {
		return errNoTotal
	}
	if len(p.rows) > pageSize {
		return fmt.Errorf("%d messages came, at most %d were asked for", len(p.rows), pageSize)
	}
	return nil
}

const (
	memberTotal = iota
	memberCursor
	memberCount
	memberMessages
)

func (p *reply) readMember(dec *jsontext.Decoder, body []byte, seen *[4]bool) error {
	token, err := dec.ReadToken()
	if err != nil {
		return err
	}
	once := func(member int, name string) error {
		if seen[member] {
			return fmt.Errorf("%s stands twice", name)
		}
		seen[member] = true
		return nil
	}
	switch name := token.String(); name {
	case "total":
		if err = once(memberTotal, name); err == nil {
			p.total, err = readNumber(dec, name)
		}
	case "count":
		if err = once(memberCount, name); err == nil {
			p.count, err = readNumber(dec, name)
		}
	case "cursor":
		if err = once(memberCursor, name); err == nil {
			p.cursor, err = readCursor(dec)
		}
	case "messages":
		if err = once(memberMessages, name); err == nil {
			p.rows, err = readRows(dec, body, p.count)
		}
	default:
		err = dec.SkipValue()
	}
	return err
}

// expect reads a bracket.
func expect(dec *jsontext.Decoder, kind jsontext.Kind) error {
	token, err := dec.ReadToken()
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	if token.Kind() != kind {
		return fmt.Errorf("%s stands where %s should", token.Kind(), kind)
	}
	return nil
}

// readNumber reads a number of rows.
func readNumber(dec *jsontext.Decoder, name string) (int64, error) {
	value, err := dec.ReadValue()
	if err != nil {
		return -1, err
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || n < 0 {
		return -1, fmt.Errorf("%s is %s, not a number of rows", name, printable(string(value)))
	}
	return n, nil
}

// readCursor reads a cursor; null is none.
func readCursor(dec *jsontext.Decoder) (string, error) {
	token, err := dec.ReadToken()
	if err != nil {
		return "", err
	}
	switch token.Kind() {
	case 'n':
		return "", nil
	case '"':
		return token.String(), nil
	default:
		return "", fmt.Errorf("cursor is %s, not a string", token.Kind())
	}
}

// rowError is a row that is no JSON.
type rowError struct {
	// offset is where the row begins, or white space or a comma before it.
	offset int64
	err    error
}

// Error tells where the row is.
func (e *rowError) Error() string {
	return fmt.Sprintf("the row at byte %d is no JSON: %s", e.offset, e.err.Error())
}

// Unwrap gives the cause.
func (e *rowError) Unwrap() error { return e.err }

// readRows cuts out the rows. null is no rows; count is how many are likely, -1 where that is unknown.
func readRows(dec *jsontext.Decoder, body []byte, count int64) ([][]byte, error) {
	if dec.PeekKind() == 'n' {
		return nil, dec.SkipValue()
	}
	if err := expect(dec, '['); err != nil {
		return nil, fmt.Errorf("messages: %w", err)
	}
	rows := make([][]byte, 0, min(max(count, 0), maxPageSize))
	for dec.PeekKind() != ']' {
		begin := dec.InputOffset()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, &rowError{begin, err}
		}
		end := dec.InputOffset()
		rows = append(rows, body[end-int64(len(value)):end:end])
	}
	_, err := dec.ReadToken()
	return rows, err
}

package source

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jmpub/jmpub/internal/rawjson"
)

// reply is a decoded page.
type reply struct {
	// total and count are -1 where the page has none.
	total, count int64
	cursor       string
	rows         [][]byte
	// known tells that it has a member that pages have.
	known bool
	// deviations are in what it is not as documented, although it has one meaning.
	deviations []string
}

// The deviations.
const (
	deviatesMessages = "an empty page without messages"
	deviatesNumber   = "a number in another form"
	deviatesCount    = "a count that is not that of the messages"
	deviatesTotal    = "a page without total"
	deviatesBOM      = "a byte order mark"
	deviatesStatus   = "status 204 for an empty page"
	deviatesEncoding = "a Content-Encoding that is not that of the body"
	deviatesSize     = "a row that is too large to be read, and is rejected"
)

var (
	errNoMessages   = errors.New("there is no messages")
	errNoStatistics = errors.New("there are no statistics")
	errNoEntries    = errors.New("there is no list")
	errCount        = errors.New("the count is not that of the messages")
	// errTooMany is more than was asked for.
	errTooMany = errors.New("more came than was asked for")
)

// isAbsent reports whether a reply lacks what was asked for; it may be an error whose status is wrong.
func isAbsent(err error) bool {
	return errors.Is(err, errNoMessages) || errors.Is(err, errNoStatistics) || errors.Is(err, errNoEntries)
}

// decodePage reads {"total","cursor","count","messages"}, and passes over what it does not know. The envelope is strict:
// one object and nothing after it, each known name once. A row has to be JSON, of which only the extent matters here: it
// is cut out as it is and judged later, so duplicate names or bytes that are no UTF-8 do not poison its page. Rows point
// into body, and are listed in room, or in new memory. It reads no further than to the first row beyond the most that may come.
func decodePage(body []byte, most int, room [][]byte) (reply, error) {
	d := newPageDecoder(body, most)
	d.room = room
	for d.Enter('{'); d.Member(); {
		d.readMember()
	}
	d.End()
	page := d.page
	page.known = len(d.seen) > 0
	switch {
	case d.damage != nil:
		return page, d.damage
	case d.Err() != nil:
		return page, d.Err()
	case page.rows == nil && page.total != 0:
		return page, errNoMessages
	case page.count >= 0 && page.count != int64(len(page.rows)):
		return page, fmt.Errorf("%w: count is %d, but there are %d", errCount, page.count, len(page.rows))
	case !d.seen["messages"]:
		page.deviations = append(page.deviations, deviatesMessages)
	}
	return page, nil
}

// pageDecoder takes a page apart.
type pageDecoder struct {
	*rawjson.Reader

	page reply
	seen map[string]bool
	// most is how many rows may come.
	most int
	// room is memory for the list of rows; nil is none.
	room [][]byte
	// damage is set where the reader has failed at a row.
	damage *rowError
}

// decodeCut reads a page of one row that breaks off within it, because it is too large to be read: the row is what a row may have at
// most, so that it is the same each time. What stands behind it is not known. It is false where the page has another form.
func decodeCut(body []byte) (reply, bool) {
	d := newPageDecoder(body, 1)
	for d.Enter('{'); d.Member(); {
		d.readMember()
	}
	if d.damage == nil || len(d.page.rows) > 0 || d.page.count > 1 {
		return reply{}, false
	}
	begin, end := rowExtent(body, d.damage.offset)
	if end > begin || len(body)-begin < maxRow {
		return reply{}, false
	}
	d.page.rows = [][]byte{body[begin : begin+maxRow : begin+maxRow]}
	d.page.deviations = append(d.page.deviations, deviatesSize)
	return d.page, true
}

// maxRow is how much is kept of a row that is too large to be read.
const maxRow = maxBody - 64<<10

func newPageDecoder(body []byte, most int) *pageDecoder {
	d := &pageDecoder{Reader: rawjson.Lenient(), page: reply{total: -1, count: -1}, seen: make(map[string]bool), most: most}
	d.Open(body)
	return d
}

// readMember reads a member. Those that are known must not stand twice.
func (d *pageDecoder) readMember() {
	name := string(d.Name())
	if d.seen[name] {
		d.Fail(fmt.Errorf("%s stands twice", name))
	}
	switch name {
	case "total":
		d.page.total = d.readNumber(name)
	case "count":
		d.page.count = d.readNumber(name)
	case "cursor":
		d.page.cursor = readCursor(d.Reader)
	case "messages":
		d.readRows()
	default:
		d.Skip()
		return
	}
	d.seen[name] = true
}

// readNumber reads a number of rows, and notes another form than that of digits.
func (d *pageDecoder) readNumber(name string) int64 {
	n, plain := readNumber(d.Reader, name)
	if !plain {
		d.page.deviations = append(d.page.deviations, deviatesNumber)
	}
	return n
}

// readNumber reads a number of rows, also one in quotes or with a fraction of zero; plain tells that it is neither. It is -1 where there
// is none, or null.
func readNumber(r *rawjson.Reader, name string) (n int64, plain bool) {
	value := string(r.Value())
	if value == "null" {
		return -1, true
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if plain = err == nil; !plain {
		unquoted := strings.TrimSuffix(strings.TrimPrefix(value, `"`), `"`)
		digits, fraction, _ := strings.Cut(unquoted, ".")
		if n, err = strconv.ParseInt(digits, 10, 64); strings.Trim(fraction, "0") != "" {
			err = strconv.ErrSyntax
		}
	}
	if err != nil || n < 0 {
		r.Fail(fmt.Errorf("%s is %s, not a number of rows", name, printable(value)))
		return -1, plain
	}
	return n, plain
}

// maxCursor bounds a cursor in bytes: it is sent back in an address, in which each byte may take three.
const maxCursor = 4 << 10

// readCursor reads a cursor; null is none.
func readCursor(r *rawjson.Reader) string {
	value := r.Value()
	if string(value) == "null" {
		return ""
	}
	cursor := rawjson.Unquote(value)
	if len(cursor) > maxCursor {
		r.Fail(fmt.Errorf("the cursor has %d bytes, more than %d", len(cursor), maxCursor))
		return ""
	}
	if cursor == nil {
		r.Fail(fmt.Errorf("cursor is %s, not a string", printable(string(value))))
	}
	return string(cursor)
}

// rowError is a row that is no JSON.
type rowError struct {
	// offset is where the row begins, or white space or a comma before it.
	offset int
	err    error
}

// Error says where the row is.
func (e *rowError) Error() string {
	return fmt.Sprintf("the row at byte %d is no JSON: %s", e.offset, e.err.Error())
}

// Unwrap gives the cause.
func (e *rowError) Unwrap() error { return e.err }

// readRows cuts out the rows; null is no rows, and so is an object without members.
func (d *pageDecoder) readRows() {
	switch d.Kind() {
	case 'n':
		d.Skip()
		return
	case '{':
		for d.Enter('{'); d.Member(); {
			d.Fail(errors.New("messages is an object, not an array"))
		}
		d.page.deviations = append(d.page.deviations, deviatesMessages)
		return
	default:
	}
	rows := d.room[:0]
	if size := min(max(d.page.count, 0), int64(d.most)); rows == nil || int64(cap(rows)) < size {
		rows = make([][]byte, 0, size)
	}
	for d.Enter('['); d.Element(); {
		if len(rows) == d.most {
			d.Fail(fmt.Errorf("%w: more than %d messages", errTooMany, d.most))
			return
		}
		begin := d.Offset()
		row := d.Value()
		if d.Err() != nil {
			d.damage, d.page.rows = &rowError{begin, d.Err()}, rows
			return
		}
		rows = append(rows, row)
	}
	d.page.rows = rows
}

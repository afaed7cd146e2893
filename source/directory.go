package source

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/jmpub/jmpub/internal/rawjson"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/discovery"
)

const (
	// listCount is how many entries are asked for at once (IM REST document, list of groups; the official SDKs hold all
	// lists to it).
	listCount = 500
	// leastListCount is the entry by which a page is held against the one before it, and one more.
	leastListCount = 2
	// listAttempts is how often a list is read that moves while it is read.
	listAttempts = 3
	// mostEntries bounds a list, and mostListPages the requests for it, whatever the replies say: more streams than that would take
	// hours for a sweep.
	mostEntries   = 100_000
	mostListPages = 1000
)

// listPath is where a kind is listed, under which name the entries stand, and which of their members has the name.
func listPath(kind pipeline.StreamKind) (path, member, name string) {
	switch kind {
	case pipeline.StreamUsers:
		return "/users/", "users", "username"
	case pipeline.StreamGroups:
		return "/groups/", "groups", "gid"
	default:
		return "/chatroom", "rooms", "id"
	}
}

// List reads a list of the IM REST API, page by page; see [discovery.Directory].
//
// Pages are counted by entries, so an entry that is deleted meanwhile moves one out of reach. That is why each page begins
// with the last entry of the page before: if another stands there, the list has moved, and it is read again. What all
// readings brought is returned.
func (c *Client) List(ctx context.Context, kind pipeline.StreamKind) (discovery.Listing, error) {
	c.listing.Do(func() { c.warnOfPlainText(c.lists) })
	l := lister{client: c, kind: kind, count: listCount, seen: make(map[uint64]int), hash: maphash.MakeSeed()}
	for l.reading = 1; l.reading <= listAttempts && !l.found.Whole && l.unread == ""; l.reading++ {
		whole, err := l.readOnce(ctx)
		if err != nil {
			return discovery.Listing{}, err
		}
		l.found.Whole = whole
	}
	l.warn()
	return l.found, nil
}

// Peek asks for the begin of a list, which shows whether the app may read it, and returns how many entries it has; -1 where that is not said.
// Errors are those of List.
func (c *Client) Peek(ctx context.Context, kind pipeline.StreamKind) (entries int64, err error) {
	c.listing.Do(func() { c.warnOfPlainText(c.lists) })
	l := lister{client: c, kind: kind, count: leastListCount, seen: make(map[uint64]int), hash: maphash.MakeSeed()}
	page, err := l.page(ctx, 0)
	return page.total, err
}

// lister reads one list.
type lister struct {
	client *Client
	kind   pipeline.StreamKind
	found  discovery.Listing
	// count is how many entries are asked for at once; pages counts the replies.
	count, pages int
	// seen has hashes of the names, with the last reading that brought them; reading counts from 1.
	seen    map[uint64]int
	hash    maphash.Seed
	reading int
	// repeats tells that a page brought nothing new although there should be more, unread why the rest of the list is not read.
	repeats bool
	unread  string
	// unusable counts the names that no stream can have; examples are some of them.
	unusable int
	examples []string
}

// warn tells what is unusual about the list.
func (l *lister) warn() {
	kind := slog.String("kind", string(l.kind))
	if l.unusable > 0 {
		l.client.cfg.Warn("a list has entries whose names no stream can have", kind, slog.Int("entries", l.unusable),
			slog.String("examples", strings.Join(l.examples, " ")))
	}
	if l.repeats {
		l.client.cfg.Warn("the pages of a list repeat although it should have more entries", kind,
			slog.Int("entries", len(l.seen)), slog.String("hint", "streams that it did not show are not read"))
	}
	if l.unread != "" {
		l.client.cfg.Warn("a list is not read to its end", kind, slog.String("reason", l.unread),
			slog.Int("entries", len(l.seen)), slog.String("hint", "what was found is read; read so many by the stream messages"))
	}
}

// readOnce goes through the list once, and reports whether it stood still.
func (l *lister) readOnce(ctx context.Context) (whole bool, err error) {
	var last string
	whole, l.repeats = true, false
	for start, read := 0, 0; ; {
		page, err := l.page(ctx, start)
		if err != nil {
			return false, err
		}
		names, full := page.names, len(page.names) >= l.count
		if read > 0 {
			if len(names) == 0 || names[0] != last {
				whole = false
			} else {
				names = names[1:]
			}
		}
		fresh := l.addNames(names)
		read += len(names)
		// A server may give fewer than it was asked for, so only the total shows that a page is the last one; and a total
		// may be wrong, so a full page is never taken for it. A page without a new name is the last one, whatever the total says.
		switch {
		case l.unread != "":
			return false, nil
		case len(names) == 0, page.total >= 0 && int64(read) >= page.total && !full, page.total < 0 && !fresh:
			return whole && (page.total < 0 || int64(read) == page.total), nil
		case !fresh:
			l.repeats = true
			return false, nil
		case l.pages >= mostListPages:
			l.unread = fmt.Sprintf("it takes more than %d requests", mostListPages)
			return false, nil
		}
		last, start = names[len(names)-1], read-1
	}
}

// addNames takes entries in, and reports whether one of them is new in this reading.
func (l *lister) addNames(names []string) bool {
	fresh := false
	for _, name := range names {
		key := maphash.String(l.hash, name)
		before := l.seen[key]
		if before == l.reading {
			continue
		}
		if before == 0 && len(l.seen) == mostEntries {
			l.unread = fmt.Sprintf("it has more than %d entries", mostEntries)
			return true
		}
		l.seen[key], fresh = l.reading, true
		if before == 0 {
			l.add(name)
		}
	}
	return fresh
}

// add takes in an entry that is new.
func (l *lister) add(name string) {
	stream, err := pipeline.ParseStream(string(l.kind) + "/" + name)
	if err == nil && l.client.redactor.Redact(name) == name { // What a server shows of a request is nobody's name.
		l.found.Streams = append(l.found.Streams, stream)
		return
	}
	const shown = 3
	if l.unusable++; l.unusable <= shown {
		l.examples = append(l.examples, l.client.excerpt([]byte(name)))
	}
}

// listPage is a reply of a list; total is -1 where it has none.
type listPage struct {
	total int64
	names []string
}

func (l *lister) page(ctx context.Context, start int) (listPage, error) {
	path, member, name := listPath(l.kind)
	var page listPage
	r := &extraRequest{
		call: call{
			op:     fmt.Sprintf("list %s from %d on", l.kind, start),
			stream: pipeline.Stream{Kind: l.kind, Name: "*"}, endpoint: l.client.lists, path: path, service: path,
			handicap: extraHandicap,
		},
		read: func(body []byte) (err error) { page, err = decodeList(body, member, name); return err },
	}
	query := func() string { return "start=" + strconv.Itoa(start) + "&count=" + strconv.Itoa(l.count) }
	r.query = query()
	r.fewer = func() bool {
		if l.count == leastListCount {
			return false
		}
		l.count = max(leastListCount, fewerRows(l.count))
		r.query = query()
		return true
	}
	l.pages++
	_, err := l.client.ask(ctx, r)
	return page, err
}

// decodeList reads {"total","start","count","users":[{"username",…},…]}; entries may be bare names or numbers, too, as older
// editions of the API's page have them. What it does not know it passes over.
func decodeList(body []byte, member, name string) (listPage, error) {
	page := listPage{total: -1}
	r := rawjson.Lenient()
	r.Open(body)
	if r.Kind() != '{' {
		return page, errNoEntries
	}
	found := false
	for r.Enter('{'); r.Member(); {
		switch string(r.Name()) {
		case "total":
			page.total, _ = readNumber(r, "total")
		case member:
			found = true
			page.names = readEntries(r, name)
		default:
			r.Skip()
		}
	}
	if r.End(); r.Err() == nil && !found {
		r.Fail(errNoEntries)
	}
	return page, r.Err()
}

// readEntries reads the names of an array's entries. null is no entries.
func readEntries(r *rawjson.Reader, name string) []string {
	if r.Kind() == 'n' {
		r.Skip()
		return nil
	}
	var names []string
	for r.Enter('['); r.Element(); {
		if len(names) == mostEntries {
			r.Fail(fmt.Errorf("%w: more than %d entries", errTooMany, mostEntries))
			return nil
		}
		entry, ok := readEntry(r, name)
		if !ok {
			r.Fail(fmt.Errorf("an entry has no %s", name))
		}
		names = append(names, entry)
	}
	return names
}

// readEntry reads an entry's name: the entry itself, or its member of that name.
func readEntry(r *rawjson.Reader, name string) (entry string, ok bool) {
	if r.Kind() != '{' {
		return nameIn(r.Value())
	}
	for r.Enter('{'); r.Member(); {
		if value := r.Value(); string(r.Name()) == name {
			entry, ok = nameIn(value)
		}
	}
	return entry, ok
}

// nameIn is a name or a number, as it is written; anything else is none.
func nameIn(value []byte) (name string, ok bool) {
	switch jsontext.Value(value).Kind() {
	case '"':
		return string(rawjson.Unquote(value)), true
	case '0':
		return string(value), true
	default:
		return "", false
	}
}

package source

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/jmpub/jmpub/internal/rawjson"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/discovery"
)

const (
	// listCount is how many entries are asked for at once (IM REST document, list of groups; the official SDKs hold all
	// lists to it).
	listCount = 500
	// listAttempts is how often a list is read that moves while it is read.
	listAttempts = 3
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
	l := lister{client: c, kind: kind, seen: make(map[string]bool)}
	for range listAttempts {
		whole, err := l.readOnce(ctx)
		if err != nil {
			return discovery.Listing{}, err
		}
		if whole {
			l.found.Whole = true
			break
		}
	}
	if l.unusable > 0 {
		c.cfg.Warn("a list has entries whose names no stream can have", slog.String("kind", string(kind)), slog.Int("entries", l.unusable))
	}
	return l.found, nil
}

// lister reads one list.
type lister struct {
	client   *Client
	kind     pipeline.StreamKind
	found    discovery.Listing
	seen     map[string]bool
	unusable int
}

// readOnce goes through the list once, and reports whether it stood still.
func (l *lister) readOnce(ctx context.Context) (whole bool, err error) {
	var last string
	whole = true
	for start, read := 0, 0; ; {
		page, err := l.page(ctx, start)
		if err != nil {
			return false, err
		}
		names, full := page.names, len(page.names) >= listCount
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
		// may be wrong, so a full page is never taken for it.
		if len(names) == 0 || page.total >= 0 && int64(read) >= page.total && !full || page.total < 0 && !fresh {
			return whole && (page.total < 0 || int64(read) == page.total), nil
		}
		last, start = names[len(names)-1], read-1
	}
}

// addNames takes entries in, and reports whether one of them is new.
func (l *lister) addNames(names []string) bool {
	fresh := false
	for _, name := range names {
		if l.seen[name] {
			continue
		}
		l.seen[name], fresh = true, true
		stream, err := pipeline.ParseStream(string(l.kind) + "/" + name)
		if err != nil || l.client.redactor.Redact(name) != name { // What a server shows of a request is nobody's name.
			l.unusable++
			continue
		}
		l.found.Streams = append(l.found.Streams, stream)
	}
	return fresh
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
			query:    "start=" + strconv.Itoa(start) + "&count=" + strconv.Itoa(listCount),
			handicap: extraHandicap,
		},
		read: func(body []byte) (err error) { page, err = decodeList(body, member, name); return err },
	}
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

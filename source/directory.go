package source

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

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
	if plainText(c.cfg.ListsURL) {
		c.listing.Do(func() {
			c.cfg.Warn("JMPUB_IM_URL is not https: the app key and master secret can be read on the way")
		})
	}
	l := lister{client: c, kind: kind, seen: make(map[string]bool)}
	for range listAttempts {
		whole, err := l.read(ctx)
		if err != nil {
			return discovery.Listing{}, err
		}
		if whole {
			l.found.Whole = true
			break
		}
	}
	if l.unusable > 0 {
		c.cfg.Warn(fmt.Sprintf("the list of %s has %d entries whose names no stream can have", kind, l.unusable))
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

// read goes through the list once, and tells whether it stood still.
func (l *lister) read(ctx context.Context) (whole bool, err error) {
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
		fresh := l.add(names)
		read += len(names)
		// A server may give fewer than it was asked for, so only the total tells that a page is the last one; and a total
		// may be wrong, so a full page is never taken for it.
		if len(names) == 0 || page.total >= 0 && int64(read) >= page.total && !full || page.total < 0 && !fresh {
			return whole && (page.total < 0 || int64(read) == page.total), nil
		}
		last, start = names[len(names)-1], read-1
	}
}

// add takes entries in, and tells whether one of them is new.
func (l *lister) add(names []string) bool {
	fresh := false
	for _, name := range names {
		if l.seen[name] {
			continue
		}
		l.seen[name], fresh = true, true
		stream, err := pipeline.ParseStream(string(l.kind) + "/" + name)
		if err != nil {
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
	r := &request{
		stream: pipeline.Stream{Kind: l.kind, Name: "*"}, path: path, lists: true,
		query:  "start=" + strconv.Itoa(start) + "&count=" + strconv.Itoa(listCount),
		op:     fmt.Sprintf("list %s from %d on", l.kind, start),
		decode: func(body []byte) (err error) { page, err = decodeList(body, member, name); return err },
	}
	_, err := l.client.ask(ctx, r)
	return page, err
}

// decodeList reads {"total","start","count","users":[{"username",…},…]}; entries may be bare names or numbers, too, as older
// editions of the API's page have them. What it does not know it passes over.
func decodeList(body []byte, member, name string) (listPage, error) {
	page := listPage{total: -1}
	dec := jsontext.NewDecoder(bytes.NewBuffer(body), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	if dec.PeekKind() != '{' {
		return page, errNoEntries
	}
	if err := expect(dec, '{'); err != nil {
		return page, err
	}
	found := false
	for dec.PeekKind() == '"' {
		token, err := dec.ReadToken()
		if err != nil {
			return page, err
		}
		switch token.String() {
		case "total":
			page.total, err = readNumber(dec, "total")
		case member:
			found = true
			page.names, err = readEntries(dec, name)
		default:
			err = dec.SkipValue()
		}
		if err != nil {
			return page, err
		}
	}
	if err := end(dec, '}'); err != nil {
		return page, err
	}
	if !found {
		return page, errNoEntries
	}
	return page, nil
}

// readEntries reads the names of an array's entries. null is no entries.
func readEntries(dec *jsontext.Decoder, name string) ([]string, error) {
	if dec.PeekKind() == 'n' {
		return nil, dec.SkipValue()
	}
	if err := expect(dec, '['); err != nil {
		return nil, err
	}
	var names []string
	for dec.PeekKind() != ']' {
		entry, ok, err := readEntry(dec, name)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("an entry has no %s", name)
		}
		names = append(names, entry)
	}
	_, err := dec.ReadToken()
	return names, err
}

// readEntry reads an entry's name: the entry itself, or its member of that name.
func readEntry(dec *jsontext.Decoder, name string) (entry string, ok bool, err error) {
	if dec.PeekKind() != '{' {
		return readName(dec)
	}
	if _, err = dec.ReadToken(); err != nil {
		return "", false, err
	}
	for dec.PeekKind() == '"' {
		member, err := dec.ReadToken()
		if err != nil {
			return "", false, err
		}
		if member.String() != name {
			if err = dec.SkipValue(); err != nil {
				return "", false, err
			}
			continue
		}
		if entry, ok, err = readName(dec); err != nil {
			return "", false, err
		}
	}
	return entry, ok, expect(dec, '}')
}

// readName reads a name or a number, as it is written; anything else is none.
func readName(dec *jsontext.Decoder) (name string, ok bool, err error) {
	switch dec.PeekKind() {
	case '"':
		token, err := dec.ReadToken()
		return token.String(), err == nil, err
	case '0':
		value, err := dec.ReadValue()
		return string(value), err == nil, err
	default:
		return "", false, dec.SkipValue()
	}
}

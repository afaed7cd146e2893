package sim

import "slices"

// messages is the endpoint of one message history.
func (s *Server) messages(which stream) endpoint {
	return func(x *exchange) *apiError {
		c, apiErr := s.parseMessages(x, which)
		if apiErr != nil {
			return apiErr
		}
		if x.fault == ExpiredEarly && c.issued > 0 {
			s.counters.fault(x.fault)
			return s.expired()
		}
		scratch, _ := s.scratch.Get().(*scratch)
		defer s.scratch.Put(scratch)
		page := s.page(&c, scratch.rows[:0])
		s.counters.count(func(t *Stats) {
			t.Pages++
			t.Rows += int64(len(page.rows))
		})
		if page.disturb(x.fault, x.hash) {
			s.counters.fault(x.fault)
		}
		scratch.rows = page.rows
		scratch.body = s.appendReply(scratch.body[:0], &page)
		s.send(x, scratch.body)
		return nil
	}
}

// scratch is memory that one request after another uses.
type scratch struct {
	rows []meta
	body []byte
}

// page makes the page of a cursor. The same cursor gives the same rows again, unless windows drift.
func (s *Server) page(c *cursor, rows []meta) reply {
	now := s.Now().UnixMilli()
	if s.Drift {
		c.seen = now
		c.total = s.history.total(&c.window)
	}
	// One row more than the page has room for tells whether there is a next one. If the total tells it, there is no need to
	// look through the rest of the window.
	want := min(int64(c.count)+1, c.total-c.given)
	if c.empty > 0 {
		want = 0
	}
	rows = s.history.collect(slices.Grow(rows, c.count+1), &c.window, c.after, int(want))
	more := len(rows) > c.count
	rows = rows[:min(len(rows), c.count)]
	page := reply{total: c.total, rows: rows}
	if !more && c.empty == 0 && !s.ConstantCursor && (!s.CursorAtEnd || len(rows) == 0) {
		return page
	}
	next := *c
	next.given += int64(len(rows))
	if len(rows) > 0 {
		next.after = rows[len(rows)-1].position(s.history)
	}
	next.issued, next.empty = now, 0
	if s.EmptyPages && more {
		next.empty = 1
	}
	if page.cursor = c.scroll; c.scroll == "" {
		page.cursor = s.text(&next)
	} else {
		s.scrolls.set(c.scroll, next)
	}
	return page
}

package sim

import (
	"slices"
	"strconv"
)

// place is a row within a window: its meta and its index within its second.
type place struct {
	meta
	i int
}

// matches tells whether a row is within the bounds of a query, visible by now, and of its stream.
func (s *Server) matches(q *query, m *meta, now int64) bool {
	return s.inBounds(q, s.clockOf(m)) && s.history.holds(q.stream, m) && s.history.appears(m) <= now
}

func (s *Server) clockOf(m *meta) int64 {
	if s.Clock == SenderClock {
		return m.sender
	}
	return m.millis
}

func (s *Server) inBounds(q *query, clock int64) bool {
	sec := clock / 1000
	if sec < q.begin || s.BeginStrict && sec == q.begin {
		return false
	}
	switch {
	case s.EndStrict:
		return clock < q.end*1000
	case s.EndMillis:
		return clock <= q.end*1000
	default:
		return sec <= q.end
	}
}

// The sender's clock is at most so far from the server's, in seconds.
const (
	senderBehind = 41
	senderAhead  = 6
)

// second lists the rows whose clock lies in a second, in the order of the API, into dst.
func (s *Server) second(dst []place, q *query, sec, now int64) []place {
	h := s.history
	add := func(server int64) {
		n := h.count(server)
		for i := range n {
			m := h.meta(server, i, n)
			if s.clockOf(&m)/1000 == sec && s.matches(q, &m, now) {
				dst = append(dst, place{m, i})
			}
		}
	}
	if s.Clock == ServerClock {
		add(sec)
		return dst
	}
	for server := sec - senderAhead; server <= sec+senderBehind; server++ {
		add(server)
	}
	slices.SortStableFunc(dst, func(a, b place) int { return int(a.sender - b.sender) })
	return dst
}

// totalOf counts the rows of a query.
func (s *Server) totalOf(q *query, now int64) int64 {
	h := s.history
	total := int64(0)
	first, last := q.begin, q.end
	if s.Clock == SenderClock {
		first, last = first-senderAhead, last+senderBehind
	}
	// Seconds well inside the bounds, all of whose rows are visible, need no look at the rows.
	whole := s.Clock == ServerClock && h.all(q.stream) && s.Late <= 0
	for sec := first; sec <= last && sec <= now/1000; sec++ {
		n := h.count(sec)
		if whole && sec > q.begin && sec < q.end && sec < now/1000 {
			total += int64(n)
			continue
		}
		for i := range n {
			m := h.meta(sec, i, n)
			if s.matches(q, &m, now) {
				total++
			}
		}
	}
	return total
}

// page collects the rows of a query's page and the query of the next one; more tells whether there is any.
func (s *Server) page(q query, now int64) (rows []place, next query, more bool) {
	next = q
	last := min(q.end, now/1000)
	if s.Clock == SenderClock {
		last = min(q.end, now/1000+senderAhead)
	}
	var second []place
	for sec := q.sec; sec <= last; sec++ {
		second = s.second(second[:0], &q, sec, now)
		from := 0
		if sec == q.sec {
			from = min(q.idx, len(second))
		}
		for i, p := range second[from:] {
			if len(rows) == q.count {
				next.sec, next.idx = sec, from+i
				return rows, next, true
			}
			rows = append(rows, p)
		}
	}
	next.sec, next.idx = last+1, 0
	return rows, next, false
}

// reply writes a page as the API does.
func (s *Server) reply(dst []byte, q *query, rows []place, cursor string, fault Fault, hash uint64) []byte {
	total := q.total
	if fault == WrongTotal {
		total += int64(hash%7) - 3
		if total == q.total {
			total++
		}
	}
	count := len(rows)
	repeatAt, displaceAt := -1, -1
	if len(rows) > 1 {
		switch fault {
		case Repeated:
			repeatAt = int(hash % uint64(len(rows)))
			count++
		case Displaced:
			displaceAt = 1 + int(hash%uint64(len(rows)-1))
		default:
		}
	}
	dst = append(dst, `{"total":`...)
	dst = strconv.AppendInt(dst, total, 10)
	if cursor != "" {
		dst = append(append(append(dst, `,"cursor":"`...), cursor...), '"')
	}
	dst = append(dst, `,"count":`...)
	dst = strconv.AppendInt(dst, int64(count), 10)
	dst = append(dst, `,"messages":[`...)
	for i := range rows {
		p := &rows[i]
		if i == displaceAt {
			p = &rows[i-1]
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst, _ = s.history.append(dst, &p.meta, p.i)
		if i == repeatAt {
			dst = append(dst, ',')
			dst, _ = s.history.append(dst, &p.meta, p.i)
		}
	}
	return append(dst, "]}"...)
}

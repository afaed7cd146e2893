package sim

import (
	"slices"
	"strconv"
)

// reply is a page before it is written.
type reply struct {
	total  int64
	cursor string
	rows   []meta
}

// disturb does to a page what a fault does to its rows or its total, and tells whether it could: a page of one row has no
// order.
func (p *reply) disturb(fault Fault, hash uint64) bool {
	d := dice(hash)
	n := uint64(len(p.rows))
	switch {
	case fault == WrongTotal:
		wrong := max(0, p.total+int64(d.below(7))-3)
		if wrong == p.total {
			wrong++
		}
		p.total = wrong
	case n > 0 && fault == Repeated:
		at := int(d.below(n))
		p.rows = slices.Insert(p.rows, at+int(d.below(n-uint64(at)))+1, p.rows[at])
	case n > 1 && fault == Displaced:
		at := d.below(n - 1)
		p.rows[at+1] = p.rows[at]
	case n > 1 && fault == Shuffled:
		d.shuffle(p.rows)
	default:
		return false
	}
	return true
}

// shuffle changes the order of two rows at least.
func (d *dice) shuffle(rows []meta) {
	for i := len(rows) - 1; i > 0; i-- {
		j := int(d.below(uint64(i))) // Never i itself, so every row moves (Sattolo).
		rows[i], rows[j] = rows[j], rows[i]
	}
}

// appendReply writes a page as the API does. count is the number of rows in it.
func (s *Server) appendReply(dst []byte, p *reply) []byte {
	dst = append(dst, '{')
	if !s.NoTotal {
		dst = append(strconv.AppendInt(append(dst, `"total":`...), p.total, 10), ',')
	}
	if p.cursor != "" || s.EmptyCursor {
		dst = append(append(append(dst, `"cursor":"`...), p.cursor...), `",`...)
	}
	dst = strconv.AppendInt(append(dst, `"count":`...), int64(len(p.rows)), 10)
	dst = append(dst, `,"messages":[`...)
	for i := range p.rows {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = s.history.append(dst, &p.rows[i])
	}
	return append(dst, "]}"...)
}

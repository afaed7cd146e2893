package sim

import (
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"time"
)

// Row is a row of the truth.
type Row struct {
	// MsgID is the row's msgid, if it has one that can be used (HasMsgID).
	MsgID    int64
	HasMsgID bool
	// Target is the row's target_type: single, group, chatroom, or what an irregular row has; empty where that is no string.
	Target string
	// Raw is the row as the API returns it; the receiver's to keep.
	Raw []byte
	// Time is msg_ctime, Appears when the row can first be read; both to the millisecond.
	Time, Appears time.Time
}

// Range selects from the truth: rows whose msg_ctime lies in the closed interval [Begin, End], of a stream in jmpub's
// notation; empty is messages. A zero Begin is the begin of what the API still has, a zero End is now.
type Range struct {
	Begin, End time.Time
	Stream     string
}

// Truth lists what the history holds, in the order of msg_ctime, whatever the bounds, clocks, faults and late rows that
// the API would show, and also what is yet to come where End is later than now. An unknown stream holds nothing.
func (s *Server) Truth(r Range) iter.Seq[Row] {
	h := s.history
	which, ok := h.parseStream(r.Stream)
	begin, end := r.Begin, r.End
	if begin.IsZero() {
		begin = s.Now().Add(-s.History)
	}
	if end.IsZero() {
		end = s.Now()
	}
	return func(yield func(Row) bool) {
		if !ok {
			return
		}
		lo, hi := begin.UnixMilli(), end.UnixMilli()
		for m := range h.rows(max(lo/1000, h.begin), 0, min(hi/1000, h.end-1)) {
			h.date(m)
			if m.millis >= lo && m.millis <= hi && h.holds(which, m) && !yield(h.row(m)) {
				return
			}
		}
	}
}

func (h *history) row(m *meta) Row {
	o, variant := h.irregularity(m)
	const usual = 768
	_, target := targetIn(m, o, variant)
	row := Row{
		HasMsgID: o.hasMsgID(), Target: target, Raw: h.append(make([]byte, 0, usual), m),
		Time: time.UnixMilli(m.millis).UTC(), Appears: time.UnixMilli(h.appears(m)).UTC(),
	}
	if row.HasMsgID {
		row.MsgID = h.msgid(m.sec, m.i)
	}
	return row
}

// serveTruth lists the truth of ?begin=&end=[&stream=] (RFC 3339, stream in jmpub's notation) as JSON lines:
//
//	{"msgid":1,"target_type":"single","time":"2026-11-01T10:00:00Z","appears":"2026-11-01T10:00:00Z","row":{...}}
//
// where msgid is left out if the row has none that can be used, and row is as the API returns it, byte for byte.
func (s *Server) serveTruth(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	begin, beginErr := time.Parse(time.RFC3339, query.Get("begin"))
	end, endErr := time.Parse(time.RFC3339, query.Get("end"))
	if err := errors.Join(beginErr, endErr); err != nil {
		http.Error(w, "begin and end are times in RFC 3339: "+err.Error(), http.StatusBadRequest)
		return
	}
	which := query.Get("stream")
	if _, ok := s.history.parseStream(which); !ok {
		http.Error(w, "no such stream: "+strconv.Quote(which), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	for row := range s.Truth(Range{Begin: begin, End: end, Stream: which}) {
		msgid := ""
		if row.HasMsgID {
			msgid = fmt.Sprintf(`"msgid":%d,`, row.MsgID)
		}
		_, err := fmt.Fprintf(w, `{%s"target_type":"%s","time":"%s","appears":"%s","row":%s}`+"\n", msgid, row.Target,
			row.Time.Format(time.RFC3339Nano), row.Appears.Format(time.RFC3339Nano), row.Raw)
		if err != nil {
			return // The client went away.
		}
	}
}

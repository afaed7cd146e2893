package sim

import (
	"fmt"
	"strings"
)

// routeStatistic finds a statistic by its name.
func (s *Server) routeStatistic(name string) (endpoint, *apiError) {
	var entry func(p period, f *statistics) string
	switch name {
	case "users":
		entry = s.userStatistics
	case "groups":
		entry = s.groupStatistics
	case "messages":
		entry = messageStatistics
	default:
		return nil, noSuchPath()
	}
	if s.NoStatistics {
		return nil, &apiError{s.NoStatisticsStatus, s.NoStatisticsCode, "the app has no right to statistics"}
	}
	return func(x *exchange) *apiError {
		values, apiErr := s.parseQuery(x.r.URL.RawQuery, "time_unit", "start", "duration")
		if apiErr != nil {
			return apiErr
		}
		periods, apiErr := s.parsePeriods(values, name == "messages")
		if apiErr != nil {
			return apiErr
		}
		s.counters.count(func(t *Stats) { t.Statistics++ })
		seen := s.Now().Add(-s.StatisticsLag).UnixMilli()
		var sum statistics
		entries := make([]string, len(periods))
		for i, p := range periods {
			f := s.statisticsOf(p, seen)
			entries[i] = entry(p, &f)
			sum.add(&f)
		}
		body := "[" + strings.Join(entries, ",") + "]"
		if name == "messages" { // Besides, the types of all periods together.
			body = fmt.Sprintf(`{"send_msg_stat":%s,"group_msg_stat":%s,"single_msg_stat":%s}`,
				body, sum.types(kindGroup), sum.types(kindSingle))
		}
		s.send(x, []byte(body))
		return nil
	}, nil
}

// statisticsOf sums up a period by days, so that a month has what its days have; days and hours are counted as they are.
func (s *Server) statisticsOf(p period, seen int64) statistics {
	const daySeconds = 24 * hourSeconds
	if p.end-p.begin <= daySeconds {
		return s.history.statisticsOf(p.stretch, seen)
	}
	var sum statistics
	for begin := p.begin; begin < p.end; begin += daySeconds {
		day := s.history.statisticsOf(stretch{begin, min(begin+daySeconds, p.end)}, seen)
		sum.add(&day)
	}
	return sum
}

// appeared is how many of each kind appeared in a period that has begun.
func (s *Server) appeared(p period) int {
	churn := &s.history.churn
	return churn.gone(min(p.end-1, s.Now().Unix())) - churn.gone(p.begin-1)
}

func (s *Server) userStatistics(p period, f *statistics) string {
	active := min(int64(s.Users), f.senders+f.senders/4) // Some are active without sending.
	return fmt.Sprintf(`{"active_users":%d,"total_users":%d,"send_msg_users":%d,"new_users":%d,"date":"%s"}`,
		active, s.Users, f.senders, s.appeared(p), p.text)
}

func (s *Server) groupStatistics(p period, f *statistics) string {
	return fmt.Sprintf(`{"date":"%s","active_group":%d,"total_group":%d,"new_group":%d}`,
		p.text, f.groups, s.Groups, s.appeared(p))
}

func messageStatistics(p period, f *statistics) string {
	return fmt.Sprintf(`{"time":"%s","group_send_msg":%d,"single_send_msg":%d}`, p.text, f.of(kindGroup), f.of(kindSingle))
}

// types are a kind's rows by type.
func (f *statistics) types(which kind) string {
	sent := &f.sent[which]
	return fmt.Sprintf(`{"txt_msg":%d,"image_msg":%d,"voice_msg":%d,"other_msg":%d}`,
		sent[typeText], sent[typeImage], sent[typeVoice], sent[typeOther])
}

// The types that statistics distinguish.
const (
	typeText = iota
	typeImage
	typeVoice
	typeOther
	typeCount
)

// statistics are those of a stretch of time. Chatroom rows are in none of them: the API has no field for them.
type statistics struct {
	// sent counts rows by kind and type, single and group.
	sent [2][typeCount]int64
	// senders and groups are how many different ones sent or got a row.
	senders, groups int64
}

func (f *statistics) add(other *statistics) {
	for kind := range f.sent {
		for t := range f.sent[kind] {
			f.sent[kind][t] += other.sent[kind][t]
		}
	}
}

// of sums up one kind's rows.
func (f *statistics) of(which kind) int64 {
	sum := int64(0)
	for _, n := range f.sent[which] {
		sum += n
	}
	return sum
}

// stretch is a time in seconds, its end excluded.
type stretch struct{ begin, end int64 }

// maxStretches bounds the remembered statistics; 60 days of days and hours are 1500.
const maxStretches = 1 << 14

// statisticsOf counts the rows of a stretch that have appeared by seen, in unix milliseconds; of the last second, whole ones
// only. The days and hours that cannot change any more are remembered.
func (h *history) statisticsOf(part stretch, seen int64) statistics {
	f, ok := h.stretches.get(part)
	if !ok {
		f = h.countStretch(part, seen)
		if part.end*1000+h.latest() <= seen {
			h.stretches.put(part, f)
		}
	}
	return f
}

// countStretch goes through the rows of a stretch. A rate of 100 rows a second takes about half a second a day.
func (h *history) countStretch(part stretch, seen int64) statistics {
	var f statistics
	senders, groups := make(map[int]bool), make(map[int]bool)
	for m := range h.rows(max(part.begin, h.begin), 0, min(part.end, h.end, seen/1000)-1) {
		if h.date(m); m.kind == kindRoom || h.appears(m) > seen {
			continue
		}
		f.sent[m.kind][h.typeOf(m)]++
		if !m.byAdmin() {
			senders[m.from] = true
		}
		if m.kind == kindGroup {
			groups[m.to] = true
		}
	}
	f.senders, f.groups = int64(len(senders)), int64(len(groups))
	return f
}

// typeOf is how statistics call a row's msg_type.
func (h *history) typeOf(m *meta) int {
	switch r := h.draft(m); r.msgType {
	case "text":
		return typeText
	case "image":
		return typeImage
	case "voice":
		return typeVoice
	default:
		return typeOther
	}
}

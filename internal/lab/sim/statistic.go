package sim

import "strconv"

// routeStatistic finds a statistic by its name.
func (s *Server) routeStatistic(name string) (endpoint, *apiError) {
	var write func(dst []byte, p []period, f []statistics) []byte
	everyUnit := false
	switch name {
	case "users":
		write = s.appendUserStatistics
	case "groups":
		write = s.appendGroupStatistics
	case "messages":
		write, everyUnit = appendMessageStatistics, true
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
		periods, apiErr := s.parsePeriods(values, func(unit string) bool { return everyUnit || unit == "DAY" })
		if apiErr != nil {
			return apiErr
		}
		s.counters.statistics.Add(1)
		seen := s.Now().Add(-s.StatisticsLag).UnixMilli()
		all := make([]statistics, len(periods))
		for i, p := range periods {
			all[i] = s.statisticsOf(p, seen)
		}
		s.send(x, write(nil, periods, all))
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

// appeared is how many of each kind appeared in a period, and how many there are at its end or now.
func (s *Server) appeared(p period, size int) (fresh, total int64) {
	now := s.Now().Unix()
	last := min(p.end-1, now)
	return int64(s.history.churn.gone(last) - s.history.churn.gone(p.begin-1)), int64(size)
}

func (s *Server) appendUserStatistics(dst []byte, periods []period, all []statistics) []byte {
	dst = append(dst, '[')
	for i, p := range periods {
		fresh, total := s.appeared(p, s.Users)
		if i > 0 {
			dst = append(dst, ',')
		}
		// Some are active without sending.
		active := min(total, all[i].senders+all[i].senders/4)
		dst = strconv.AppendInt(append(dst, `{"active_users":`...), active, 10)
		dst = strconv.AppendInt(append(dst, `,"total_users":`...), total, 10)
		dst = strconv.AppendInt(append(dst, `,"send_msg_users":`...), all[i].senders, 10)
		dst = strconv.AppendInt(append(dst, `,"new_users":`...), fresh, 10)
		dst = append(append(append(dst, `,"date":"`...), p.text...), `"}`...)
	}
	return append(dst, ']')
}

func (s *Server) appendGroupStatistics(dst []byte, periods []period, all []statistics) []byte {
	dst = append(dst, '[')
	for i, p := range periods {
		fresh, total := s.appeared(p, s.Groups)
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, `{"date":"`...), p.text...), '"')
		dst = strconv.AppendInt(append(dst, `,"active_group":`...), all[i].groups, 10)
		dst = strconv.AppendInt(append(dst, `,"total_group":`...), total, 10)
		dst = strconv.AppendInt(append(dst, `,"new_group":`...), fresh, 10)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// appendMessageStatistics writes the rows of each period, and the types of all of them together, as the API page has it.
func appendMessageStatistics(dst []byte, periods []period, all []statistics) []byte {
	var sum statistics
	dst = append(dst, `{"send_msg_stat":[`...)
	for i, p := range periods {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, `{"time":"`...), p.text...), '"')
		dst = strconv.AppendInt(append(dst, `,"group_send_msg":`...), all[i].of(kindGroup), 10)
		dst = strconv.AppendInt(append(dst, `,"single_send_msg":`...), all[i].of(kindSingle), 10)
		dst = append(dst, '}')
		sum.add(&all[i])
	}
	dst = append(dst, ']')
	for _, part := range []struct {
		name string
		kind kind
	}{{"group_msg_stat", kindGroup}, {"single_msg_stat", kindSingle}} {
		sent := &sum.sent[part.kind]
		dst = append(append(append(dst, `,"`...), part.name...), `":{"txt_msg":`...)
		dst = strconv.AppendInt(dst, sent[typeText], 10)
		dst = strconv.AppendInt(append(dst, `,"image_msg":`...), sent[typeImage], 10)
		dst = strconv.AppendInt(append(dst, `,"voice_msg":`...), sent[typeVoice], 10)
		dst = strconv.AppendInt(append(dst, `,"other_msg":`...), sent[typeOther], 10)
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

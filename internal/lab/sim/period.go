package sim

import "time"

// timeUnit is a time_unit of the statistics.
type timeUnit struct {
	form string
	// longest is the most that duration may be (API page, statistics).
	longest int
	// Together they are the unit's length.
	months, days int
	hours        time.Duration
}

// timeUnits are in upper case, as the API page writes them.
func timeUnits() map[string]timeUnit {
	return map[string]timeUnit{
		"HOUR":  {form: "2006-01-02 15", longest: 24, hours: time.Hour},
		"DAY":   {form: time.DateOnly, longest: 60, days: 1},
		"MONTH": {form: "2006-01", longest: 2, months: 1},
	}
}

// period is a time of which statistics tell.
type period struct {
	stretch

	text string
}

// parsePeriods reads time_unit, start and duration. Periods that have not begun, and those that ended before the history,
// are not among the result.
func (s *Server) parsePeriods(values map[string]string, everyUnit bool) ([]period, *apiError) {
	name := values["time_unit"]
	u, known := timeUnits()[name]
	if !known || name != "DAY" && !everyUnit {
		return nil, parameter("time_unit is none of those that this path has")
	}
	begin, err := s.parseTime(u.form, values["start"])
	if err != nil {
		return nil, parameter("start is not " + u.form + " in form")
	}
	duration, err := parseCount(values["duration"])
	if err != nil || duration < 1 || duration > u.longest {
		return nil, parameter("duration is not a number that time_unit allows")
	}
	now := s.Now().In(s.Zone)
	oldest := now.Add(-s.History).Format(u.form)
	switch {
	case begin.After(now):
		return nil, parameter("start has not come yet")
	case values["start"] < oldest && s.OldIsError:
		return nil, parameter("start is before the history")
	case name == "HOUR" && begin.Format(time.DateOnly) != now.Format(time.DateOnly):
		return nil, parameter("hours can be asked for the present day alone")
	case name == "HOUR" && begin.Hour()+duration > u.longest:
		return nil, parameter("the hours lead out of the day")
	}
	if s.ExtraPeriod {
		duration++
	}
	var periods []period
	for range duration {
		next := begin.AddDate(0, u.months, u.days).Add(u.hours)
		if text := begin.Format(u.form); text >= oldest && !begin.After(now) {
			periods = append(periods, period{stretch{begin.Unix(), next.Unix()}, text})
		}
		begin = next
	}
	return periods, nil
}

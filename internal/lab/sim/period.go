package sim

import "time"

// timeUnit is a time_unit of the statistics.
type timeUnit struct {
	name, form string
	// longest is the most that duration may be (API page, statistics).
	longest int
	// begin is when the unit that holds a time began; next is when the one after it begins.
	begin, next func(t time.Time) time.Time
}

// findUnit reads a time_unit. It is in upper case, as the API page writes it.
func findUnit(name string) (timeUnit, bool) {
	date := func(t time.Time, month time.Month, day, hour int) time.Time {
		return time.Date(t.Year(), month, day, hour, 0, 0, 0, t.Location())
	}
	switch name {
	case "HOUR":
		return timeUnit{
			name, "2006-01-02 15", 24,
			func(t time.Time) time.Time { return date(t, t.Month(), t.Day(), t.Hour()) },
			func(t time.Time) time.Time { return t.Add(time.Hour) },
		}, true
	case "DAY":
		return timeUnit{
			name, time.DateOnly, 60,
			func(t time.Time) time.Time { return date(t, t.Month(), t.Day(), 0) },
			func(t time.Time) time.Time { return t.AddDate(0, 0, 1) },
		}, true
	case "MONTH":
		return timeUnit{
			name, "2006-01", 2,
			func(t time.Time) time.Time { return date(t, t.Month(), 1, 0) },
			func(t time.Time) time.Time { return t.AddDate(0, 1, 0) },
		}, true
	default:
		return timeUnit{}, false
	}
}

// period is a time of which statistics tell.
type period struct {
	stretch

	text string
}

// parsePeriods reads time_unit, start and duration. Periods that have not begun, and those that ended before the history,
// are not among the result.
func (s *Server) parsePeriods(values map[string]string, allowed func(unit string) bool) ([]period, *apiError) {
	u, known := findUnit(values["time_unit"])
	if !known || !allowed(u.name) {
		return nil, parameter("time_unit is none of those that this path has")
	}
	begin, err := time.ParseInLocation(u.form, values["start"], s.Zone)
	if err != nil || begin.Format(u.form) != values["start"] {
		return nil, parameter("start is not " + u.form + " in form")
	}
	duration, err := parseCount(values["duration"])
	if err != nil || duration < 1 || duration > u.longest {
		return nil, parameter("duration is not a number that time_unit allows")
	}
	now := s.Now().In(s.Zone)
	oldest := u.begin(now.Add(-s.History))
	switch {
	case begin.After(now):
		return nil, parameter("start has not come yet")
	case begin.Before(oldest) && s.OldIsError:
		return nil, parameter("start is before the history")
	case u.name == "HOUR" && !sameDay(begin, now):
		return nil, parameter("hours can be asked for the present day alone")
	case u.name == "HOUR" && begin.Hour()+duration > u.longest:
		return nil, parameter("the hours lead out of the day")
	}
	if s.ExtraPeriod {
		duration++
	}
	var periods []period
	for range duration {
		next := u.next(begin)
		if !begin.Before(oldest) && !begin.After(now) {
			periods = append(periods, period{stretch{begin.Unix(), next.Unix()}, begin.Format(u.form)})
		}
		begin = next
	}
	return periods, nil
}

func sameDay(a, b time.Time) bool { return a.Format(time.DateOnly) == b.Format(time.DateOnly) }

package pipeline

import (
	"fmt"
	"strings"
	"time"
)

// Unit is what statistics are the sum of, as events name it.
type Unit string

// The units of the Report API.
const (
	Hour  Unit = "hour"
	Day   Unit = "day"
	Month Unit = "month"
)

// ParseUnits reads a comma-separated list of units, each named once.
func ParseUnits(list string) ([]Unit, error) {
	var units []Unit
	seen := make(map[Unit]bool)
	for item := range strings.SplitSeq(list, ",") {
		unit := Unit(strings.TrimSpace(item))
		if unit.form() == "" || seen[unit] {
			return nil, fmt.Errorf("%q is not a list of different units such as hour,day,month", list)
		}
		seen[unit] = true
		units = append(units, unit)
	}
	return units, nil
}

// form is how the API writes a period of the unit (API document, statistics); empty for what is no unit.
func (u Unit) form() string {
	switch u {
	case Hour:
		return "2006-01-02 15"
	case Day:
		return time.DateOnly
	case Month:
		return "2006-01"
	default:
		return ""
	}
}

// Period is an hour, a day or a month in the time zone of the API.
type Period struct {
	Unit Unit
	// Begin is its first instant, in that zone.
	Begin time.Time
}

// PeriodOf is the period in which a time lies, in the time's zone.
func PeriodOf(u Unit, t time.Time) Period {
	month, day, hour := t.Month(), 1, 0
	if u != Month {
		day = t.Day()
	}
	if u == Hour {
		hour = t.Hour()
	}
	return Period{u, time.Date(t.Year(), month, day, hour, 0, 0, 0, t.Location())}
}

// ParsePeriod reads the form that String writes, and longer ones of the same beginning, in a zone.
func ParsePeriod(u Unit, text string, zone *time.Location) (Period, error) {
	for _, form := range []string{u.form(), time.DateOnly, "2006-01-02 15:04", time.DateTime} {
		if t, err := time.ParseInLocation(form, text, zone); err == nil {
			return PeriodOf(u, t), nil
		}
	}
	return Period{}, fmt.Errorf("%q is no %s such as %s", text, u, u.form())
}

// Add is the period that comes n periods later.
func (p Period) Add(n int) Period {
	switch p.Unit {
	case Hour:
		return PeriodOf(Hour, p.Begin.Add(time.Duration(n)*time.Hour))
	case Day:
		return PeriodOf(Day, p.Begin.AddDate(0, 0, n))
	default:
		return PeriodOf(p.Unit, p.Begin.AddDate(0, n, 0))
	}
}

// End is the first instant behind the period.
func (p Period) End() time.Time { return p.Add(1).Begin }

// String is the period as the API writes it, 2017-03-01 10, 2017-03-01 or 2017-03. No two periods share it.
func (p Period) String() string { return p.Begin.Format(p.Unit.form()) }

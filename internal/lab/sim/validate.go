package sim

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// What a history can hold. The index of a row within its second has indexBits bits in a msgid.
const (
	maxRate   = 50_000
	indexBits = 20
	maxSecond = 1 << indexBits
	maxText   = 16 << 20
	// The ids of groups and rooms are in ranges of their own.
	maxPopulation = firstRoom - firstGroup
)

// mistakes collects what is wrong with options.
type mistakes []error

func (m *mistakes) check(ok bool, format string, args ...any) {
	if !ok {
		*m = append(*m, fmt.Errorf(format, args...))
	}
}

// validate reports every mistake at once, in the order of the fields.
func (o *Options) validate() error {
	var m mistakes
	m.check(o.AppKey != "" && !strings.Contains(o.AppKey, ":"), "AppKey %q is empty or has a colon, which Basic authentication forbids", o.AppKey)
	m.check(o.MasterSecret != "", "MasterSecret is empty")
	m.check(o.Rate >= 0 && o.Rate <= maxRate, "Rate %g is not between 0 and %d rows a second", o.Rate, maxRate)
	maxBurst := maxSecond - 4*int(min(max(0, o.Rate), maxRate)) - 4 // count makes less than four times the rate
	m.check(o.Burst >= 0 && o.Burst <= maxBurst, "Burst %d is not between 0 and %d rows", o.Burst, maxBurst)
	m.check(o.Burst == 0 || !o.BurstAt.IsZero(), "Burst needs BurstAt, the second in which it happens")
	m.check(o.TextBytes >= 0 && o.TextBytes <= maxText, "TextBytes %d is not between 0 and %d", o.TextBytes, maxText)
	m.check(o.Begin.IsZero() || o.Begin.Unix() >= 0, "Begin %v is before 1970", o.Begin)
	m.check(o.End.IsZero() || o.Begin.Before(o.End), "End %v is not after Begin %v", o.End, o.Begin)
	m.check(o.History > 0, "History %v is not positive", o.History)
	m.check(o.Users >= 2 && o.Users <= maxPopulation, "Users %d is not between 2 and %d", o.Users, maxPopulation)
	m.check(o.Groups >= 1 && o.Groups <= maxPopulation, "Groups %d is not between 1 and %d", o.Groups, maxPopulation)
	m.check(o.Rooms >= 1 && o.Rooms <= maxPopulation, "Rooms %d is not between 1 and %d", o.Rooms, maxPopulation)
	m.check(o.ChurnEvery >= 0 && o.ChurnEvery%time.Second == 0, "ChurnEvery %v is not a number of whole seconds", o.ChurnEvery)
	m.check(o.ChurnEvery <= 0 || o.ChurnSince.Unix() >= 0, "ChurnEvery needs ChurnSince, when it begins, after 1970")
	m.parts([]part{{"IrregularRows", o.IrregularRows}, {"NullRows", o.NullRows}})
	m.check(o.Zone != nil, "Zone is missing")
	o.Unknowns.validate(&m)
	o.Faults.validate(&m)
	o.Limits.validate(&m)
	return errors.Join(m...)
}

// part is an option that is a part of one.
type part struct {
	name  string
	value float64
}

func (m *mistakes) parts(parts []part) {
	sum := 0.0
	for _, p := range parts {
		m.check(p.value >= 0 && p.value <= 1, "%s %g is not between 0 and 1", p.name, p.value) // NaN is not, either.
		sum += p.value
	}
	m.check(sum <= 1 || len(*m) > 0, "%s and the parts after it are %g together, more than 1", parts[0].name, sum)
}

func (m *mistakes) notNegative(name string, d time.Duration) {
	m.check(d >= 0, "%s %v is negative", name, d)
}

func (u *Unknowns) validate(m *mistakes) {
	m.check(u.Clock == ServerClock || u.Clock == SenderClock, "Clock %q is not %s or %s", u.Clock, ServerClock, SenderClock)
	m.parts([]part{{"Late", u.Late}})
	m.notNegative("LateFrom", u.LateFrom)
	m.check(u.LateFrom <= u.LateBy, "LateFrom %v is after LateBy %v", u.LateFrom, u.LateBy)
	m.check(!(u.Late > 0) || u.LateBy > 0, "Late needs LateBy, the time by which rows are late")
	m.check(u.ExpiredStatus >= http.StatusBadRequest && u.ExpiredStatus <= 599,
		"ExpiredStatus %d is not between 400 and 599", u.ExpiredStatus)
	m.check(u.NoStatisticsStatus >= http.StatusBadRequest && u.NoStatisticsStatus <= 599,
		"NoStatisticsStatus %d is not between 400 and 599", u.NoStatisticsStatus)
	m.notNegative("StatisticsLag", u.StatisticsLag)
	m.check(u.GroupCode == codeNoGroup || u.GroupCode == codeNoTargetGroup,
		"GroupCode %d is not %d or %d", u.GroupCode, codeNoGroup, codeNoTargetGroup)
}

func (f *Faults) validate(m *mistakes) {
	m.parts(f.rates())
	m.parts([]part{{"WrongDate", f.WrongDate}})
	m.check(!(f.WrongDate > 0) || f.WrongDateBy != 0, "WrongDate needs WrongDateBy, by how much dates are off")
	m.notNegative("SlowBy", f.SlowBy)
	m.notNegative("StaleBy", f.StaleBy)
	m.check(!(f.Stale > 0) || f.StaleBy > 0, "Stale needs StaleBy, the time that stale replies are behind")
	m.check(!(f.Slow > 0) || f.SlowBy > 0, "Slow needs SlowBy, the time that slow replies take")
}

func (l *Limits) validate(m *mistakes) {
	m.check(l.CursorTTL > 0, "CursorTTL %v is not positive", l.CursorTTL)
	m.check(l.PerMinute >= 0, "PerMinute %d is negative", l.PerMinute)
	m.notNegative("Latency", l.Latency)
	m.notNegative("LatencyJitter", l.LatencyJitter)
}

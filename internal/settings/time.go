package settings

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/usage"
)

// Moment is a time as an operator gives it: a fixed one, or how long ago.
type Moment struct {
	At   time.Time
	Back time.Duration
}

// Resolve is the moment as seen from now, in whole seconds.
func (m Moment) Resolve(now time.Time) time.Time {
	at := m.At
	if at.IsZero() {
		at = now.Add(-m.Back)
	}
	return at.UTC().Truncate(time.Second)
}

// ParseDuration reads a Go duration or a number of days such as 60d or 1.5d.
func ParseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || !(n >= 0 && n <= 36500) { // The comparisons are false for NaN.
			return 0, fmt.Errorf("%q is no number of days", text)
		}
		return time.Duration(n * 24 * float64(time.Hour)), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration", text)
	}
	return d, nil
}

const timeForm = "a time such as 2026-11-01T10:00:00+08:00, 2026-11-01 10:00:00 (in the app's time zone), " +
	"or a duration back such as 36h or 7d"

// parseTime reads RFC 3339, a local time in the app's zone, or a duration back. Of the last it returns the duration.
func parseTime(text string, zone *time.Location) (at time.Time, back time.Duration, err error) {
	if d, err := ParseDuration(text); err == nil && d >= 0 {
		return time.Time{}, d, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.UTC(), 0, nil
	}
	for _, form := range []string{time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(form, text, zone); err == nil {
			return t.UTC(), 0, nil
		}
	}
	return time.Time{}, 0, fmt.Errorf("%q is not %s", text, timeForm)
}

// ParseMoment reads a flag's time: RFC 3339, a local time in the zone, or how long ago.
func ParseMoment(flag, text string, zone *time.Location) (Moment, error) {
	if text == "" {
		return Moment{}, usage.Errorf("%s is missing: give it %s", flag, timeForm)
	}
	at, back, err := parseTime(text, zone)
	if err != nil {
		return Moment{}, usage.Errorf("%s: %w", flag, err)
	}
	return Moment{At: at, Back: back}, nil
}

package source

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Rate is a number of requests in a time. The zero value is no rate.
type Rate struct {
	Requests int
	Per      time.Duration
}

// maxRequests bounds a rate's number; the most that JMessage sells is 200,000 a minute (REPORT API, rate).
const maxRequests = 10_000_000

// ParseRate reads a rate such as 600/m, 10/s or 36000/h.
func ParseRate(text string) (Rate, error) {
	count, unit, _ := strings.Cut(text, "/")
	n, err := strconv.Atoi(count)
	per := rateUnit(unit)
	if err != nil || n < 1 || n > maxRequests || per == 0 || strconv.Itoa(n) != count {
		return Rate{}, fmt.Errorf("%q is not a rate such as 600/m, 10/s or 36000/h", text)
	}
	return Rate{Requests: n, Per: per}, nil
}

// rateUnit is the time that a unit stands for; zero for no unit.
func rateUnit(unit string) time.Duration {
	return map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
}

// String is the form that ParseRate reads; a time that has no unit is written as Go writes it.
func (r Rate) String() string {
	for _, unit := range []string{"s", "m", "h"} {
		if r.Per == rateUnit(unit) {
			return strconv.Itoa(r.Requests) + "/" + unit
		}
	}
	return strconv.Itoa(r.Requests) + "/" + r.Per.String()
}

package checkpoint

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// seconds is a duration. As JSON it is a number of seconds, with decimals down to the nanosecond where it has them: 90,
// 1.5. Unlike a float64, it loses nothing.
type seconds time.Duration

// MarshalJSON fails if the duration is negative.
func (s seconds) MarshalJSON() ([]byte, error) {
	if s < 0 {
		return nil, fmt.Errorf("(bug) negative duration %s", time.Duration(s))
	}
	text := fmt.Sprintf("%d.%09d", s/seconds(time.Second), s%seconds(time.Second))
	return []byte(strings.TrimSuffix(strings.TrimRight(text, "0"), ".")), nil
}

// UnmarshalJSON reads any number that is not negative; what is finer than a nanosecond is not kept.
func (s *seconds) UnmarshalJSON(data []byte) error {
	n, err := strconv.ParseFloat(string(data), 64)
	switch {
	case err != nil:
		return fmt.Errorf("%s is no number of seconds", data)
	case n < 0 || n >= maxSeconds:
		return fmt.Errorf("%s seconds are out of range", data)
	}
	exact, err := time.ParseDuration(string(data) + "s") // It knows no exponents.
	if err != nil {
		exact = time.Duration(math.Round(n * float64(time.Second)))
	}
	*s = seconds(exact)
	return nil
}

// maxSeconds is more than a time.Duration holds: 292 years.
const maxSeconds = math.MaxInt64 / 1_000_000_000

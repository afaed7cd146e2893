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
	whole, rest := time.Duration(s)/time.Second, time.Duration(s)%time.Second
	text := strconv.FormatInt(int64(whole), 10)
	if rest > 0 {
		text += strings.TrimRight(fmt.Sprintf(".%09d", int64(rest)), "0")
	}
	return []byte(text), nil
}

// UnmarshalJSON reads any number that is not negative; what is finer than a nanosecond is rounded.
func (s *seconds) UnmarshalJSON(data []byte) error {
	whole, decimals, _ := strings.Cut(string(data), ".")
	const digits = len("123456789")
	if n, err := strconv.ParseUint(whole, 10, 63); err == nil && len(decimals) <= digits && n < maxSeconds {
		rest, err := strconv.ParseUint(decimals+strings.Repeat("0", digits-len(decimals)), 10, 32)
		if err == nil {
			*s = seconds(time.Duration(n)*time.Second + time.Duration(rest))
			return nil
		}
	}
	n, err := strconv.ParseFloat(string(data), 64)
	switch {
	case err != nil:
		return fmt.Errorf("%s is no number of seconds", data)
	case n < 0 || n >= maxSeconds:
		return fmt.Errorf("%s seconds are out of range", data)
	}
	*s = seconds(math.Round(n * float64(time.Second)))
	return nil
}

// maxSeconds is more than a time.Duration holds: 292 years.
const maxSeconds = math.MaxInt64 / 1_000_000_000

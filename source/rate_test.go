package source

import (
	"testing"
	"time"
)

func TestParseRate(t *testing.T) {
	for text, want := range map[string]Rate{
		"600/m": {600, time.Minute}, "10/s": {10, time.Second}, "36000/h": {36000, time.Hour}, "1/h": {1, time.Hour},
	} {
		got, err := ParseRate(text)
		if err != nil || got != want {
			t.Errorf("ParseRate(%q) = %v, %v, want %v", text, got, err, want)
		}
		if got.String() != text {
			t.Errorf("%v.String() = %q, want %q", want, got, text)
		}
	}
	for _, text := range []string{"", "600", "/m", "0/m", "-1/m", "600/", "600/d", "600 / m", "6e2/m", "+6/m", "06/m", "99999999/s", "600/m/m"} {
		if got, err := ParseRate(text); err == nil {
			t.Errorf("ParseRate(%q) = %v, want an error", text, got)
		}
	}
}

func FuzzParseRate(f *testing.F) {
	for _, text := range []string{"600/m", "10/s", "1/h", "0/m", "x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rate, err := ParseRate(text)
		if err != nil {
			return
		}
		if rate.Requests < 1 || rate.Per <= 0 {
			t.Errorf("ParseRate(%q) = %+v", text, rate)
		}
		if rate.String() != text {
			t.Errorf("ParseRate(%q) is written %q", text, rate)
		}
	})
}

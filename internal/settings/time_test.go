package settings

import (
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	zone := time.FixedZone("UTC+8", 8*60*60)
	for text, want := range map[string]time.Time{
		"2026-11-01T10:00:00+08:00": time.Date(2026, 11, 1, 2, 0, 0, 0, time.UTC),
		"2026-11-01 10:00:00":       time.Date(2026, 11, 1, 2, 0, 0, 0, time.UTC),
		"2026-11-01":                time.Date(2026, 10, 31, 16, 0, 0, 0, time.UTC),
	} {
		if at, _, err := parseTime(text, zone); err != nil || !at.Equal(want) {
			t.Errorf("parseTime(%q) = %v, %v; want %v", text, at, err, want)
		}
	}
	for text, want := range map[string]time.Duration{"36h": 36 * time.Hour, "7d": 7 * 24 * time.Hour, "1.5d": 36 * time.Hour} {
		if _, back, err := parseTime(text, zone); err != nil || back != want {
			t.Errorf("parseTime(%q) = %v, %v; want %v back", text, back, err, want)
		}
	}
	for _, text := range []string{"", "yesterday", "-1h", "1e999d", "NaNd", "2026-13-01"} {
		if _, _, err := parseTime(text, zone); err == nil {
			t.Errorf("parseTime(%q) is no error", text)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, seed := range []string{"60d", "36h", "2026-11-01 10:00:00", "2026-11-01T10:00:00Z", "now", "Infd"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, back, err := parseTime(text, time.UTC); err == nil && back < 0 {
			t.Errorf("parseTime(%q) goes %s back", text, back)
		}
	})
}

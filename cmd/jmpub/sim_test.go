package main

import (
	"strings"
	"testing"
)

// TestSimFlagsReachTheSimulator gives each option a value that the simulator refuses, by name.
func TestSimFlagsReachTheSimulator(t *testing.T) {
	for _, c := range []struct{ flags, name string }{
		{"--null 2", "NullRows"},
		{"--users 1", "Users"},
		{"--groups 0", "Groups"},
		{"--rooms 0", "Rooms"},
		{"--churn 1500ms", "ChurnEvery"},
		{"--late 0.1 --late-from 2m", "LateFrom"},
		{"--group-code 1", "GroupCode"},
		{"--latency-jitter -1s", "LatencyJitter"},
		{"--shuffled 2", "shuffled"},
		{"--dropped-headers 2", "dropped_headers"},
		{"--slow 0.1 --slow-by 0", "SlowBy"},
		{"--wrong-date 2", "WrongDate"},
		{"--wrong-date 0.1 --wrong-date-by 0", "WrongDateBy"},
		{"--no-statistics-status 200", "NoStatisticsStatus"},
		{"--statistics-lag -1s", "StatisticsLag"},
		{"--expired-status 200", "ExpiredStatus"},
		{"--daily --empty-cursor --drift --retry-after --old-is-error --strict --rich-bodies --no-statistics --no-statistics-code 1 " +
			"--extra-period --bare-groups --expired-code 1 --rate -1", "Rate -1"},
	} {
		got := try(t, nil, append([]string{"sim"}, strings.Fields(c.flags)...)...)
		if got.code != 2 || !strings.Contains(got.stderr, c.name) {
			t.Errorf("%s: exit %d, %s; want 2 and %s", c.flags, got.code, got.stderr, c.name)
		}
	}
}

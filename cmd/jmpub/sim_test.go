package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestListeningToOthersIsTold starts the simulator and the broker on addresses that others can reach, and on others.
func TestListeningToOthersIsTold(t *testing.T) {
	t.Parallel()
	for _, server := range []string{"sim", "broker"} {
		for listen, others := range map[string]bool{
			"127.0.0.1:0": false, "localhost:0": false, "[::1]:0": false, "0.0.0.0:0": true, ":0": true, "[::]:0": true,
		} {
			args := []string{server, "--listen", listen}
			if others && server == "broker" {
				args = append(args, "--advertise", "localhost")
			}
			ctx, stop := context.WithCancel(t.Context())
			stderr := &firstWrites{written: make(chan struct{}, 10)}
			code := make(chan int, 1)
			go func() { code <- command(ctx, nil, io.Discard, stderr, args...) }()
			select {
			case <-stderr.written: // The warning stands before everything else.
			case <-time.After(time.Minute):
				t.Fatal("it says nothing")
			}
			stop()
			if c := <-code; c != exitDone && !strings.Contains(stderr.text(), "cannot assign") { // Without IPv6.
				t.Errorf("%v: exit code %d: %s", args, c, stderr.text())
			}
			if told := strings.HasPrefix(stderr.text(), "warning: jmpub "+server+" listens on "+listen); told != others {
				t.Errorf("%v: told %t, want %t: %s", args, told, others, stderr.text())
			}
		}
	}
}

// firstWrites is written by a command that runs, and tells of it.
type firstWrites struct {
	written chan struct{}

	mu  sync.Mutex // Guards buf.
	buf bytes.Buffer
}

func (w *firstWrites) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case w.written <- struct{}{}:
	default:
	}
	return w.buf.Write(p)
}

func (w *firstWrites) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

// TestSimFlagsReachTheSimulator gives each option a value that the simulator refuses, by name.
func TestSimFlagsReachTheSimulator(t *testing.T) {
	t.Parallel()
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
		{"--stale 0.1 --stale-by 0", "StaleBy"},
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

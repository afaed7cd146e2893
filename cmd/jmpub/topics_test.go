//go:build integration

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/jmpub/jmpub/pipeline"
)

// TestTopicGoesAway takes topics away under a run. It learns the topics anew and goes on, or says what is missing: for what it must not
// make it names the command, and positions that are gone are lost.
func TestTopicGoesAway(t *testing.T) {
	t.Parallel()
	const topic = "jmessage.single"
	var wants []func()
	for _, tc := range []struct {
		name   string
		create string
		away   func(*station)
		// ends is what the run says at its end; empty where it goes on.
		ends []string
	}{
		{"deleted", "true", func(s *station) { s.deleteTopic(topic) }, nil},
		{"made anew with one partition", "true", func(s *station) {
			s.deleteTopic(topic)
			if _, err := kadm.NewClient(s.client()).CreateTopic(t.Context(), 1, -1, nil, topic); err != nil {
				t.Fatal(err)
			}
		}, nil},
		{"deleted, and not to be made", "false", func(s *station) { s.deleteTopic(topic) }, []string{"--create --topic " + topic}},
		{"checkpoints deleted", "true", func(s *station) { s.deleteTopic(checkpointsTopic) }, []string{
			"messages is published up to 20", "there is no checkpoint of it", "checkpoint reset",
		}},
	} {
		s := newStation(t)
		s.env["JMPUB_SETTLE"] = "1s"
		run := s.startLive()
		run.live()
		if tc.create == "false" {
			run.stop()
			s.env["JMPUB_TOPICS_CREATE"] = tc.create
			run = s.startLive()
			run.live()
		}
		sessions := run.sessionsNow()
		tc.away(s)
		wants = append(wants, func() { // All of them wait at the same time.
			if tc.ends == nil {
				run.caughtUp(sessions)
				run.stop()
				return
			}
			var err error
			select {
			case err = <-run.left:
			case <-time.After(time.Minute): // So that a mistake ends the test.
				t.Fatalf("%s: the run goes on", tc.name)
			}
			if err == nil || pipeline.ClassOf(err) != pipeline.Permanent {
				t.Fatalf("%s: the run has ended with %v", tc.name, err)
			}
			for _, want := range tc.ends {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: it does not say %q: %v", tc.name, want, err)
				}
			}
		})
	}
	for _, want := range wants {
		want()
	}
}

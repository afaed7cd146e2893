package pipeline_test

import (
	"strings"
	"testing"

	"github.com/jmpub/jmpub/pipeline"
)

func TestParseSelection(t *testing.T) {
	for list, want := range map[string][3]string{
		"messages":         {"messages", "", ""},
		" users/*":         {"", "users", ""},
		"statistics/users": {"", "", "statistics/users"},
		"messages, users/* ,groups/7,chatrooms/*,groups/*,users/a%2Cb,statistics/messages,statistics/groups,": {
			"messages groups/7 users/a,b", "users chatrooms groups", "statistics/messages statistics/groups",
		},
	} {
		got, err := pipeline.ParseSelection(list)
		var kinds []string
		for _, kind := range got.Discover {
			kinds = append(kinds, string(kind))
		}
		if have := [3]string{texts(got.Streams), strings.Join(kinds, " "), texts(got.Statistics)}; err != nil || have != want {
			t.Errorf("%q: %q, %v; want %q", list, have, err, want)
		}
	}
	for list, says := range map[string]string{
		"": "no stream", ",": "no stream", "rooms/*": "rooms/*", "*": "want messages", "users/*,users/*": "twice",
		"statistics/users,statistics/users": "twice", "statistics/rooms": "statistics/groups", "statistics/*": "statistics/groups",
		"statistics": "statistics/groups", "messages/*": "messages/*", "groups/x,users/*": "number",
	} {
		if got, err := pipeline.ParseSelection(list); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, %v; want an error with %q", list, got, err, says)
		}
	}
	// What has no messages cannot be read as if it had.
	if _, err := pipeline.ParseStreams("messages,statistics/users"); err == nil {
		t.Error("statistics were taken for a history")
	}
	s, err := pipeline.ParseStream("statistics/groups")
	if err != nil || s.String() != "statistics/groups" || s.Kind != pipeline.StreamStatistics {
		t.Errorf("%v, %v", s, err)
	}
}

func texts(streams []pipeline.Stream) string {
	var all []string
	for _, s := range streams {
		all = append(all, s.String())
	}
	return strings.Join(all, " ")
}

package checkpoint_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/pipeline"
)

// TestPauseForm: what is paused is read as it was written, and what is damaged, another app's or of a newer jmpub is refused with what helps.
func TestPauseForm(t *testing.T) {
	want := pipeline.Pause{
		App: true, Streams: []pipeline.Stream{{Kind: pipeline.StreamGroups, Name: "10055201"}}, By: "alice", At: time.Unix(1_700_000_022, 0).UTC(),
	}
	value, err := checkpoint.EncodePause(appKey, &want)
	if err != nil || string(value) != pauseForm {
		t.Errorf("%s, %v; want %s", value, err, pauseForm)
	}
	if got, err := checkpoint.DecodePause(value, appKey, "here"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for damaged, says := range map[string]string{
		strings.Replace(pauseForm, appKey, "another", 1):                         "another",
		strings.Replace(pauseForm, `"version":1`, `"version":2`, 1):              "newer jmpub",
		strings.Replace(pauseForm, `"groups/10055201"`, `"rooms/1"`, 1):          "rooms",
		strings.Replace(pauseForm, `,"at":"2023-11-14T22:13:42Z"`, "", 1):        "at is missing",
		strings.Replace(pauseForm, `"by":"alice"`, `"by":"alice","by":"eve"`, 1): "duplicate",
		"{": "damaged",
	} {
		if _, err := checkpoint.DecodePause([]byte(damaged), appKey, "here"); pipeline.ClassOf(err) != pipeline.Permanent || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", damaged, err, says)
		}
	}
}

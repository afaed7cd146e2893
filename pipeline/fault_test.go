package pipeline_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jmpub/jmpub/pipeline"
)

// TestKindOf finds what went wrong however deep it is wrapped.
func TestKindOf(t *testing.T) {
	limited := &pipeline.Fault{Class: pipeline.Transient, Kind: "rate_limited"}
	expired := &pipeline.Fault{Class: pipeline.Restart, Err: fmt.Errorf("the cursor expired: %w", limited)}
	for want, err := range map[string]error{
		"rate_limited": &pipeline.Fault{Class: pipeline.Transient, Err: expired},
		"restart":      &pipeline.Fault{Class: pipeline.Transient, Err: &pipeline.Fault{Class: pipeline.Restart, Err: errors.New("boom")}},
		"permanent":    errors.New("boom"),
	} {
		if got := pipeline.KindOf(err); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

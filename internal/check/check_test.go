package check_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/check"
	"github.com/jmpub/jmpub/pipeline"
)

// looking is a probe that finds these after a time.
func looking(subject string, after time.Duration, found []check.Finding, needs ...*check.Probe) *check.Probe {
	return &check.Probe{Subject: subject, Needs: needs, Within: time.Minute, Look: func(ctx context.Context) []check.Finding {
		if err := pipeline.Sleep(ctx, after); err != nil {
			return []check.Finding{check.Failed(fmt.Errorf("wait: %w", err))}
		}
		return found
	}}
}

func lines(r *check.Report) (all []string) {
	for _, f := range r.Findings {
		all = append(all, fmt.Sprintf("%s %s: %s", f.Level, f.Subject, f.Text))
	}
	return all
}

// TestRun tells findings in the order of the probes, whichever is ready first, and skips what needs something that blocks, and no more.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := looking("slow", 10*time.Second, []check.Finding{check.Fine("a"), {Subject: "own", Level: check.Warning, Text: "b"}})
		bad := looking("bad", 0, check.Blocking(check.Failed(errors.New("c"))))
		only := looking("only", 0, []check.Finding{check.Failed(errors.New("d"))})
		probes := []*check.Probe{
			slow, bad, only, looking("first", 0, nil, slow, bad), looking("second", 0, nil, slow),
			looking("third", 0, []check.Finding{check.Fine("e")}, only), looking("late", 2*time.Minute, nil),
		}
		probes = append(probes, looking("fourth", 0, nil, probes[3]))
		began := time.Now()
		var told []string
		r := check.Run(t.Context(), probes, 3, func(f *check.Finding) { told = append(told, f.Text) })
		want := []string{
			"ok slow: a", "warning own: b", "error bad: c", "error only: d", "skipped first: not checked, because of bad",
			"ok third: e", "error late: wait: given up after 1m0s", "skipped fourth: not checked, because of bad",
		}
		if got := lines(r); !slices.Equal(got, want) || len(told) != len(want) {
			t.Errorf("%s", strings.Join(got, "\n"))
		}
		if r.OK || r.Errors != 3 || r.Warnings != 1 || r.Skipped != 2 {
			t.Errorf("%+v", r)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("it took %s", took)
		}
	})
}

// TestRunIsCutShort ends soon when its context does, and tells nothing of what was not looked at.
func TestRunIsCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var probes []*check.Probe
		for range 100 {
			probes = append(probes, looking("slow", 10*time.Second, nil))
		}
		began := time.Now()
		if r := check.Run(ctx, probes, 2, func(*check.Finding) {}); len(r.Findings) > 0 || time.Since(began) != time.Second {
			t.Errorf("%v after %s", lines(r), time.Since(began))
		}
	})
}

// TestRunHasRoomForSoMany looks at no more at the same time, and what waits for others takes no room.
func TestRunHasRoomForSoMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		last := looking("last", time.Second, nil)
		probes := []*check.Probe{last}
		for range 50 {
			probes = append(probes, &check.Probe{Subject: "x", Needs: []*check.Probe{last}, Within: time.Minute, Look: func(context.Context) []check.Finding {
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(time.Second)
				now.Add(-1)
				return nil
			}})
		}
		check.Run(t.Context(), probes, 4, func(*check.Finding) {})
		if most.Load() != 4 {
			t.Errorf("%d at the same time", most.Load())
		}
	})
}

// TestFailed takes what is to be done out of an error, and leaves what is not at its end.
func TestFailed(t *testing.T) {
	fault := &pipeline.Fault{Op: "do it", Err: errors.New("no"), Hint: "set it\n  command (yes)"}
	for _, tc := range []struct {
		err       error
		text, fix string
	}{
		{fault, "do it: no", "set it\n  command (yes)"},
		{fmt.Errorf("x: %w", fault), "x: do it: no", "set it\n  command (yes)"},
		{fmt.Errorf("%w at y", fault), "do it: no (set it;   command (yes)) at y", ""},
		{errors.Join(errors.New("a"), errors.New("b")), "a; b", ""},
	} {
		if f := check.Failed(tc.err); f.Text != tc.text || f.Fix != tc.fix || f.Level != check.Error {
			t.Errorf("%q, %q", f.Text, f.Fix)
		}
	}
}

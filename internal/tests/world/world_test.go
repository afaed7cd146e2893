package world_test

import (
	"flag"
	"fmt"
	"os"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/world"
)

var (
	seed   = flag.Uint64("world.seed", 100, "the first seed; 0 draws one")
	seeds  = flag.Int("world.seeds", 24, "how many seeds are run, from the first one on")
	most   = flag.Duration("world.most", 30*time.Minute, "for how long things happen in a world, at most; another length is another world")
	with   = flag.String("world.with", "", "run only worlds whose description has this, such as \"apps of a file\"; seeds of others do not count")
	alone  = flag.Bool("world.first", false, "end with the first seed that fails")
	within = flag.Duration("world.for", 0, "for how long further seeds are run")
	shrink = flag.Int("world.shrink", 30, "how many runs may be spent on leaving out what does not matter to a failure")
)

// run lets a plan happen in a bubble of its own.
func run(t *testing.T, p *world.Plan) (out *world.Outcome) {
	t.Helper()
	hangs := time.AfterFunc(longest, func() { standstill(p) })
	defer hangs.Stop()
	synctest.Test(t, func(*testing.T) { out = p.Run() })
	return out
}

// longest is how long a world may take in real time: the slowest takes a minute, and one whose time stands still has no end.
const longest = 10 * time.Minute

// standstill ends the tests: time stands still in a world where a goroutine waits for a mutex whose holder waits for time to pass.
func standstill(p *world.Plan) {
	_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
	panic(fmt.Sprintf("seed %d, most %s has not come to its end within %s; see above who waits for a mutex\n%s", p.Seed, *most, longest, p))
}

// TestSeeds runs worlds that are drawn from seeds, and expects nothing to be wrong in any of them.
func TestSeeds(t *testing.T) { //nolint:tparallel // Groups of seeds follow one another, so that world.for can end them.
	t.Parallel()
	began, first := time.Now(), *seed
	if first == 0 {
		first = uint64(began.UnixNano()) % 1e12
	}
	const together = 64 // As many are drawn at a time.
	for n, next := 0, first; (n < *seeds || time.Since(began) < *within) && (!*alone || !failed.Load()); {
		more := together
		if n < *seeds {
			more = min(together, *seeds-n)
		}
		t.Run(fmt.Sprintf("from %d on", next), func(t *testing.T) {
			for range more {
				plan := world.Draw(next, *most)
				for !strings.Contains(plan.String(), *with) {
					next++
					plan = world.Draw(next, *most)
				}
				next++
				t.Run(fmt.Sprintf("seed %d", plan.Seed), func(t *testing.T) {
					t.Parallel()
					try(t, plan)
				})
			}
		})
		n += more
	}
}

var (
	// ran counts the worlds that have come to their end; failed tells that something was wrong in one.
	ran    atomic.Int64
	failed atomic.Bool
)

// try runs a plan. If it fails, it says what is wrong, and which part of the plan it takes.
func try(t *testing.T, plan *world.Plan) {
	t.Helper()
	if *alone && failed.Load() {
		t.SkipNow()
	}
	began := time.Now()
	out := run(t, plan)
	number := ran.Add(1)
	t.Logf("%s simulated in %s, %d rows, %d processes", out.Simulated.Round(time.Second), time.Since(began).Round(time.Millisecond), out.Rows, out.Starts)
	if len(out.Findings) == 0 {
		return
	}
	failed.Store(true)
	plan, out = smaller(t, plan, out)
	t.Errorf("world %d of this run, seed %d, most %s: %v\n%s\n%s", number, plan.Seed, *most, out.Findings, plan, out.Last(60))
}

// smaller leaves out events, ever fewer at a time, as long as something is wrong still.
func smaller(t *testing.T, plan *world.Plan, out *world.Outcome) (*world.Plan, *world.Outcome) {
	t.Helper()
	runs := 0
	for size := len(plan.Events); size > 0; size /= 2 {
		for at := 0; at < len(plan.Events) && runs < *shrink; runs++ {
			less := plan.Without(func(i int) bool { return i >= at && i < at+size })
			if again := run(t, less); len(again.Findings) > 0 {
				plan, out = less, again
				continue
			}
			at += size
		}
	}
	return plan, out
}

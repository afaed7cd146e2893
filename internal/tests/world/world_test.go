package world_test

import (
	"flag"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/world"
)

var (
	seed  = flag.Uint64("world.seed", 100, "the first seed; 0 draws one")
	seeds = flag.Int("world.seeds", 4, "how many seeds are run, from the first one on")
)

// run lets a plan happen in a bubble of its own.
func run(t *testing.T, p *world.Plan) (out *world.Outcome) {
	t.Helper()
	synctest.Test(t, func(*testing.T) { out = p.Run() })
	return out
}

// TestSeeds runs worlds that are drawn from seeds, and expects nothing to be wrong in any of them.
func TestSeeds(t *testing.T) {
	t.Parallel()
	first := *seed
	if first == 0 {
		first = uint64(time.Now().UnixNano()) % 1e12
	}
	for i := range *seeds {
		s := first + uint64(i)
		t.Run(fmt.Sprintf("seed %d", s), func(t *testing.T) {
			t.Parallel()
			plan, began := world.Draw(s), time.Now()
			out := run(t, plan)
			t.Logf("%s simulated in %s, %d rows, %d processes", out.Simulated.Round(time.Second), time.Since(began).Round(time.Millisecond), out.Rows, out.Starts)
			if len(out.Findings) > 0 {
				t.Errorf("%v\n%s\n%s", out.Findings, plan, out.Last(60))
			}
		})
	}
}

// Package allocations holds what the hot path allocates against what it did when that was last looked at. It counts, and takes no time, so that
// it says the same on any machine, however busy it is. baseline.txt has a line for each operation; `make allocations` writes it anew.
package allocations

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/gofrs/flock"
)

var renew = flag.Bool("allocations.renew", false, "write what is allocated into the baseline") //nolint:gochecknoglobals // As flags are.

// Operation prepares something, and returns what is counted.
type Operation func(tb testing.TB) (run func())

// What may differ: a share, since other releases of Go and of libraries allocate a little more or less, and a number where the share is
// less than one of a thing.
const (
	share      = 10
	slackCount = 2
	slackBytes = 512
)

// cost is what one operation allocates.
type cost struct{ count, bytes uint64 }

// Check counts a package's operations, by their names, and fails if one allocates more or less than the baseline says. No test may run
// beside it.
func Check(t *testing.T, pkg string, operations map[string]Operation) {
	t.Helper()
	file := path(t)
	lock := flock.New(file) // Tests of several packages run at a time.
	if err := lock.Lock(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }() // It ends with the process in any case.
	known, counted := read(t, file), make(map[string]cost)
	var moved []string
	for _, operation := range slices.Sorted(maps.Keys(operations)) {
		got, name := measure(operations[operation](t)), pkg+": "+operation
		want, ok := known[name]
		counted[name] = got
		if !ok || differs(got.count, want.count, slackCount) || differs(got.bytes, want.bytes, slackBytes) {
			moved = append(moved, fmt.Sprintf("%-34s %9d -> %-9d %11d -> %d", name, want.count, got.count, want.bytes, got.bytes))
		}
	}
	if *renew {
		maps.DeleteFunc(known, func(name string, _ cost) bool { return strings.HasPrefix(name, pkg+": ") })
		maps.Copy(known, counted)
		write(t, file, known)
	} else if len(moved) > 0 {
		t.Errorf("the hot path allocates more or less than it did; if that is meant, `make allocations` writes it down:\n%-34s %22s %25s\n%s",
			"an operation", "allocations", "bytes", strings.Join(moved, "\n"))
	}
}

func differs(got, want, slack uint64) bool { return max(got, want)-min(got, want) > want/share+slack }

// measure counts without the garbage collector, which would empty pools, and on one processor, since each has pools of its own. The least of
// several times counts: where goroutines happen to meet, one more of what is kept is made.
func measure(run func()) cost {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	const warmUp, times, runs = 30, 4, 5 // What is kept for the next time grows until all of it is large enough.
	for range warmUp {
		run()
	}
	least := cost{math.MaxUint64, math.MaxUint64}
	for range times {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			run()
		}
		runtime.ReadMemStats(&after)
		least.count = min(least.count, (after.Mallocs-before.Mallocs)/runs)
		least.bytes = min(least.bytes, (after.TotalAlloc-before.TotalAlloc)/runs)
	}
	return least
}

// path finds the baseline from the folder of a package, in which its tests run.
func path(t *testing.T) string {
	t.Helper()
	root, err := os.Getwd()
	for err == nil {
		if _, err = os.Stat(filepath.Join(root, "go.mod")); err == nil {
			return filepath.Join(root, "internal", "tests", "allocations", "baseline.txt")
		}
		if parent := filepath.Dir(root); parent != root {
			root, err = parent, nil
		}
	}
	t.Fatal(err)
	return ""
}

const head = "# What an operation of the hot path allocates: how often, how many bytes, and which it is. `make allocations` writes this.\n"

func read(t *testing.T, file string) map[string]cost {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	all := make(map[string]cost)
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var c cost
		rest := lines.Text()
		if rest == "" || rest[0] == '#' {
			continue
		}
		if _, err := fmt.Sscanf(rest, "%d %d", &c.count, &c.bytes); err != nil {
			t.Fatalf("%s: %q: %v", file, rest, err)
		}
		all[strings.Join(strings.Fields(rest)[2:], " ")] = c
	}
	return all
}

func write(t *testing.T, file string, all map[string]cost) {
	t.Helper()
	text := []byte(head)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		text = fmt.Appendf(text, "%9d %11d  %s\n", all[name].count, all[name].bytes, name)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

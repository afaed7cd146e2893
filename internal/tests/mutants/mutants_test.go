// Package mutants_test puts plausible mistakes into jmpub, one at a time, and tells which tests find each of them: those of the package with
// the mistake, then all that need nothing but Go, then the simulated world. Nothing is written into the source: the compiler gets the
// mistake as an overlay (go help build, -overlay).
package mutants_test

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The catalogue has for each mistake a line with #, what is wrong, then the file, and lines that begin with - and +: what stands there, just
// once, and what stands there instead.
//
//go:embed catalogue.txt
var catalogue string

var (
	try   = flag.Bool("mutants.try", false, "try the mistakes")
	seeds = flag.Int("mutants.world", 0, "how many worlds a mistake is tried in that the quick tests do not find")
	limit = flag.String("mutants.timeout", "4m", "how long the tests may take that look for a mistake")
	only  = flag.Bool("mutants.worldonly", false, "try the world alone")
)

// root is the module's folder.
const root = "../../.."

// mutant is one mistake.
type mutant struct{ name, file, old, new string }

// parse reads the catalogue.
func parse(t *testing.T) (all []mutant) {
	t.Helper()
	for number, line := range strings.Split(catalogue, "\n") {
		name, begins := strings.CutPrefix(line, "# ")
		switch last := len(all) - 1; {
		case begins:
			all = append(all, mutant{name: name})
		case line == "":
		case last < 0:
			t.Fatalf("line %d of the catalogue stands before the first mistake", number+1)
		case line[0] == '-':
			all[last].old += line[1:] + "\n"
		case line[0] == '+':
			all[last].new += line[1:] + "\n"
		default:
			all[last].file = line
		}
	}
	return all
}

// mutated is the file with the mistake.
func (m *mutant) mutated() ([]byte, error) {
	source, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(source, []byte(m.old)); n != 1 || m.old == "" {
		return nil, fmt.Errorf("%s has the text %d times, want once", m.file, n)
	}
	return bytes.Replace(source, []byte(m.old), []byte(m.new), 1), nil
}

// TestCatalogue expects each mistake to be one of the source as it is.
func TestCatalogue(t *testing.T) {
	names := make(map[string]bool)
	for _, m := range parse(t) {
		if _, err := m.mutated(); err != nil || names[m.name] {
			t.Errorf("%s: %v (named twice: %t)", m.name, err, names[m.name])
		}
		names[m.name] = true
	}
}

// TestMutants tries the mistakes, if that was asked for. It passes if each is found.
func TestMutants(t *testing.T) {
	if !*try {
		return // It takes hours.
	}
	for _, m := range parse(t) {
		t.Run(m.name, func(t *testing.T) {
			began := time.Now()
			by := m.killedBy(t)
			if by == "" {
				t.Errorf("nothing finds it (%s)", time.Since(began).Round(time.Second))
				return
			}
			t.Logf("found by %s (%s)", by, time.Since(began).Round(time.Second))
		})
	}
}

// killedBy tells which test fails with the mistake; none where it survives.
func (m *mutant) killedBy(t *testing.T) string {
	t.Helper()
	source, err := m.mutated()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path, pathErr := filepath.Abs(filepath.Join(root, m.file))
	changed, overlay := filepath.Join(dir, filepath.Base(m.file)), filepath.Join(dir, "overlay.json")
	list, listErr := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	if err = errors.Join(pathErr, listErr, os.WriteFile(changed, source, 0o600), os.WriteFile(overlay, list, 0o600)); err != nil {
		t.Fatal(err)
	}
	var steps [][]string
	if !*only {
		steps = append(steps, []string{"./" + filepath.Dir(m.file)}, []string{"./..."})
	}
	if *seeds > 0 {
		steps = append(steps, []string{"-run", "TestSeeds", "./internal/tests/world", "-world.seed=1", "-world.first", "-world.shrink=0", fmt.Sprintf("-world.seeds=%d", *seeds)})
	}
	for _, step := range steps {
		args := append([]string{"test", "-count=1", "-failfast", "-vet=off", "-timeout", *limit, "-overlay", overlay}, step...)
		out, failed := goTool(t, args...)
		if strings.Contains(out, "[build failed]") {
			t.Fatalf("it does not compile: %s", out)
		}
		if failed {
			return first(out)
		}
	}
	return ""
}

// goTool runs go in the module's folder. It has failed, too, if it takes too long: a mistake that makes tests hang is found.
func goTool(t *testing.T, args ...string) (out string, failed bool) {
	t.Helper()
	long, err := time.ParseDuration(*limit)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), long+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // Of the catalogue.
	cmd.Dir = root
	text, err := cmd.CombinedOutput()
	return string(text), err != nil
}

// number is that of a world that has found a mistake, among those that were tried.
var number = regexp.MustCompile(`world (\d+) of this run, seed \d+`)

// first is the name of a test that failed, the innermost one, or else the last line; in a world, which one it was.
func first(out string) string {
	if is := number.FindString(out); is != "" {
		return is
	}
	last, found := "a test that hangs", ""
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "--- FAIL: "); ok {
			found = strings.Fields(name)[0]
		}
		if line != "" {
			last = line
		}
	}
	if found != "" {
		return found
	}
	return last
}

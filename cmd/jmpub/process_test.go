package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// asItself is the variable that has this binary be jmpub instead of its tests.
const asItself = "TEST_AS_JMPUB"

// TestMain has this binary be jmpub where a test asks for it; see [process]. Most tests wait for what processes do, so more of them run at a time
// than there are processors.
func TestMain(m *testing.M) {
	if _, is := os.LookupEnv(asItself); is {
		main()
	}
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "JMPUB_") { // Such as JMPUB_TEST_RUN, which is no setting.
			_ = os.Unsetenv(name) // It was set.
		}
	}
	flag.Parse()
	if most := flag.Lookup("test.parallel"); most.Value.String() == most.DefValue {
		if err := most.Value.Set("8"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// process is jmpub in a process of its own, which has exactly these settings. It is sent SIGTERM when ctx ends.
func process(ctx context.Context, env map[string]string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...) //nolint:gosec // It is this very binary.
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "JMPUB_") {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Env = append(cmd.Env, asItself+"=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	return cmd
}

// outcome is what a command line did.
type outcome struct {
	code           int
	stdout, stderr string
}

// try runs a command line with exactly these JMPUB_ variables.
func try(t *testing.T, env map[string]string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // So that a mistake ends the test.
	defer cancel()
	code := command(ctx, env, &stdout, &stderr, args...)
	return outcome{code, stdout.String(), stderr.String()}
}

// command runs jmpub until it ends, and returns its exit code: -1 where a signal has ended it, or it was not started.
func command(ctx context.Context, env map[string]string, stdout, stderr io.Writer, args ...string) int {
	cmd := process(ctx, env, args...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) && ctx.Err() == nil {
		fmt.Fprintln(stderr, err)
	}
	return cmd.ProcessState.ExitCode()
}

// journal is what a process writes, which can be read meanwhile. It has no method ReadFrom, which would be used instead of Write.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// String is what was written so far.
func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

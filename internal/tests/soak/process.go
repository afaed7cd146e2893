package soak

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/tests/kafkatest"
)

// Build compiles the command once for a test.
func Build(tb testing.TB) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "jmpub")
	out, err := exec.CommandContext(tb.Context(), "go", "build", "-o", path, "github.com/jmpub/jmpub/cmd/jmpub").CombinedOutput() //nolint:gosec // Ours.
	if err != nil {
		tb.Fatalf("build jmpub: %v\n%s", err, out)
	}
	return path
}

// Process is one `jmpub run`.
type Process struct {
	cmd    *exec.Cmd
	log    string
	status string
	done   chan struct{}
	err    error
	// before is how long the log was when the process was started.
	before int64
	// peak is the most memory that was resident when it was last looked at, in bytes.
	peak int64
}

// startProcess starts the command with no environment but env; its log goes to a file.
func startProcess(tb testing.TB, binary, log string, env map[string]string) *Process {
	tb.Helper()
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	p := &Process{log: log, status: fmt.Sprintf("127.0.0.1:%d", kafkatest.FreePorts(tb, 1)[0]), done: make(chan struct{}), before: size(log)}
	p.cmd = exec.Command(binary, "run") //nolint:noctx // It ends as the test has it, most often by a signal.
	p.cmd.Stdout, p.cmd.Stderr = file, file
	p.cmd.Env = environ(p.status, env)
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	_ = file.Close() // The process has it.
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	tb.Cleanup(func() { p.Kill(tb) })
	return p
}

// environ is the environment of a process that listens there.
func environ(listen string, env map[string]string) []string {
	all := []string{"JMPUB_LISTEN=" + listen}
	for name, value := range env {
		all = append(all, name+"="+value)
	}
	return all
}

// size is that of a file; 0 where it cannot be read.
func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// Command runs another of the command's subcommands with the trial's settings, and returns all that it prints and its exit
// code.
func (t *Trial) Command(tb testing.TB, args ...string) (said string, code int) {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), t.binary, args...) //nolint:gosec // Ours.
	cmd.Env = environ("off", t.Env)
	out, err := cmd.CombinedOutput()
	var left *exec.ExitError
	if err != nil && !errors.As(err, &left) {
		tb.Fatalf("jmpub %v: %v", args, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// Kill is kill -9. It returns when the process is gone; one that has ended already is no mistake.
func (p *Process) Kill(tb testing.TB) {
	tb.Helper()
	p.look()
	p.signal(tb, syscall.SIGKILL)
	<-p.done
}

// Pause stops the process where it is.
func (p *Process) Pause(tb testing.TB) { tb.Helper(); p.signal(tb, syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (p *Process) Resume(tb testing.TB) { tb.Helper(); p.signal(tb, syscall.SIGCONT) }

// Terminate asks the process to leave, as an operator or an orchestrator does, and returns its exit code: 0 also if the signal
// itself ended it, which a program cannot prevent before its first instruction. It has logged nothing then.
func (p *Process) Terminate(tb testing.TB) int {
	tb.Helper()
	p.look()
	p.signal(tb, syscall.SIGTERM)
	code := p.Exit(tb, Patience)
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && size(p.log) == p.before {
		return 0
	}
	return code
}

func (p *Process) signal(tb testing.TB, s os.Signal) {
	tb.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		tb.Fatalf("send %v to jmpub: %v", s, err)
	}
}

// look reads the peak of the memory from the kernel, which keeps it (VmHWM) for as long as the process lives.
func (p *Process) look() {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return // It has ended, or this is no Linux.
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			if kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64); err == nil {
				p.peak = max(p.peak, kilobytes<<10)
			}
		}
	}
}

// Running tells whether the process is there still.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Exit waits for the process to leave and returns its exit code.
func (p *Process) Exit(tb testing.TB, within time.Duration) int {
	tb.Helper()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-timer.C:
		tb.Fatalf("jmpub did not leave within %v; its log ends:\n%s", within, p.Tail(20))
		return -1
	}
}

// Tail is the end of the log.
func (p *Process) Tail(lines int) string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimRight(text, "\n"), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}

// Vitals are what is read of a process while it works.
type Vitals struct {
	// End is the end_time up to which all streams are committed; zero before the first window.
	End time.Time
	// Resident is its memory in bytes.
	Resident int64
	// Joined tells that it knows its role: Owner where it publishes, and otherwise it stands by.
	Joined, Owner bool
}

// Vitals reads the process's metrics.
func (p *Process) Vitals(ctx context.Context) (Vitals, error) {
	p.look()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.status+"/metrics", http.NoBody)
	if err != nil {
		return Vitals{}, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return Vitals{}, err
	}
	defer res.Body.Close() //nolint:errcheck // It was read.
	var v Vitals
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		series, text, ok := strings.Cut(lines.Text(), " ")
		value, err := strconv.ParseFloat(text, 64)
		if !ok || err != nil {
			continue
		}
		switch name, _, _ := strings.Cut(series, "{"); name {
		case "jmpub_end_time_timestamp_seconds":
			if at := time.Unix(int64(value), 0).UTC(); v.End.IsZero() || at.Before(v.End) {
				v.End = at
			}
		case "process_resident_memory_bytes":
			v.Resident = int64(value)
		case "jmpub_owner":
			v.Joined, v.Owner = true, value == 1
		}
	}
	if err := lines.Err(); err != nil {
		return Vitals{}, fmt.Errorf("read the metrics: %w", err)
	}
	return v, nil
}

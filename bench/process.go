package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// How long a process may take to end after it was asked to, and how often what it says of itself is looked at.
const (
	patience = 30 * time.Second
	interval = 50 * time.Millisecond
)

// process is one that was started here. What it prints stands in log.
type process struct {
	cmd   *exec.Cmd
	log   string
	began time.Time
	ended chan struct{}
	err   error
	// peak is the most memory that was resident so far, in bytes, when that was last looked at.
	peak int64
}

// start runs a program, whose output goes to a file in the folder, with settings in addition to those of the environment. It is asked to end
// when ctx ends.
func start(ctx context.Context, folder, name string, settings []string, program string, args ...string) (*process, error) {
	log, err := os.Create(filepath.Join(folder, name+".log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // What is measured.
	cmd.Stdout, cmd.Stderr = log, log
	// jmpub refuses what looks like a setting of its own, and those of its tests may be set here.
	of := func(setting string) bool { return strings.HasPrefix(setting, "JMPUB_TEST_") }
	cmd.Env = append(slices.DeleteFunc(cmd.Environ(), of), settings...)
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(syscall.SIGTERM) }, patience
	p := &process{cmd: cmd, log: log.Name(), began: time.Now(), ended: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		p.err = cmd.Wait()
	}()
	return p, nil
}

// fault is an error with the last of what the process has printed.
func (p *process) fault(err error) error {
	text, _ := os.ReadFile(p.log)
	const most = 2000
	return fmt.Errorf("%s: %w\n%s", filepath.Base(p.cmd.Path), err, text[max(0, len(text)-most):])
}

// until waits until something is true, and looks every so often, while the process runs.
func (p *process) until(ctx context.Context, every time.Duration, is func() bool) error {
	for !is() {
		select {
		case <-p.ended:
			return p.fault(errors.Join(errors.New("it ended early"), p.err))
		default:
		}
		p.look()
		if err := pipeline.Sleep(ctx, every); err != nil {
			return p.fault(err)
		}
	}
	return nil
}

// printed is what follows a word on a line of the log, up to the next space or comma, once the process has printed it.
func (p *process) printed(ctx context.Context, word string) (found string, err error) {
	err = p.until(ctx, interval, func() bool {
		text, _ := os.ReadFile(p.log)
		_, rest, ok := strings.Cut(string(text), word)
		if end := strings.IndexAny(rest, " ,\n"); ok && end > 0 {
			found = rest[:end]
		}
		return found != ""
	})
	return found, err
}

// look takes in the peak of the memory, where the system tells it (proc(5), VmHWM). What the system counts of a process that has ended begins
// with the memory of the one that started it.
func (p *process) look() {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kib int64
	if _, err := fmt.Sscanf(rest, "%d kB", &kib); err == nil {
		p.peak = kib << 10
	}
}

// stop asks the process to end, waits for it, and says what it took.
func (p *process) stop() (usage, error) {
	p.look()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // It may have ended.
	return p.wait()
}

// wait waits for the end.
func (p *process) wait() (usage, error) {
	for running := true; running; {
		select {
		case <-p.ended:
			running = false
		case <-time.After(interval):
			p.look()
		}
	}
	u := usage{Wall: time.Since(p.began), PeakRSS: p.peak}
	if r, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.CPU = cpuOf(r)
	}
	if p.err != nil {
		return u, p.fault(p.err)
	}
	return u, nil
}

// output runs a program to its end.
func output(ctx context.Context, program string, args ...string) (string, error) {
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // Named here.
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, bytes.TrimSpace(said.Bytes()))
	}
	return strings.TrimSpace(out.String()), nil
}

// freeAddress is one of this machine that nobody listens at now.
func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

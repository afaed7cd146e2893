package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestPanic lets a process panic, in a goroutine that nobody watches: a signal ends it, so that no supervisor takes it for wrong settings
// (2), and it leaves no core, which would hold the secret.
func TestPanic(t *testing.T) {
	t.Parallel()
	if _, child := os.LookupEnv("TEST_PANIC"); child {
		crashBySignal()
		go func() { panic("on purpose") }()
		select {}
	}
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPanic$") //nolint:gosec // It is this test.
	var stderr bytes.Buffer
	child.Dir, child.Env, child.Stderr = dir, append(os.Environ(), "TEST_PANIC=1", "GOTRACEBACK="), &stderr
	_ = child.Run() // How it ended is looked at below.
	status, _ := child.ProcessState.Sys().(syscall.WaitStatus)
	if !status.Signaled() || status.Signal() != syscall.SIGABRT || status.CoreDump() {
		t.Errorf("it ended with %v", child.ProcessState)
	}
	if !strings.Contains(stderr.String(), "panic: on purpose") {
		t.Errorf("it says %q", stderr.String())
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

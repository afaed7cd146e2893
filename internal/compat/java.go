package compat

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sources is the Java program.
//
//go:embed java/pom.xml java/src
var sources embed.FS

// Java is the compiled Java program of this folder, with the client's jars.
type Java struct{ classpath string }

// buildWithin is long, because the first build on a machine loads Maven's plugins and the jars.
const buildWithin = 10 * time.Minute

// BuildJava compiles the program for the length of the test. Java 17 or later and Maven are needed; without them the test
// fails. Nothing is written beside the sources, so tests may build side by side.
func BuildJava(tb testing.TB) *Java {
	tb.Helper()
	dir := tb.TempDir()
	if err := os.CopyFS(dir, sub(tb, sources, "java")); err != nil {
		tb.Fatalf("copy the Java sources: %v", err)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), buildWithin)
	defer cancel()
	build := exec.CommandContext(ctx, "mvn", "-q", "-B", "compile", "dependency:copy-dependencies", "-DincludeScope=runtime")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		tb.Fatalf("compile the Java client's side: %v (Maven and a JDK of version 17 or later are needed)\n%s", err, out)
	}
	return &Java{filepath.Join(dir, "target", "classes") + ":" + filepath.Join(dir, "target", "dependency", "*")}
}

func sub(tb testing.TB, all fs.FS, dir string) fs.FS {
	tb.Helper()
	part, err := fs.Sub(all, dir)
	if err != nil {
		tb.Fatal(err)
	}
	return part
}

// process is one of the program's mains at work.
type process struct {
	cmd    *exec.Cmd
	name   string
	in     io.WriteCloser
	out    io.ReadCloser
	stderr strings.Builder
}

// start runs a main class. It is killed when the context is done.
func (j *Java) start(ctx context.Context, class string, args ...string) (*process, error) {
	// One collector and one compiler: it starts soon, and tests share few processors.
	all := append([]string{
		"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"-cp", j.classpath, "jmpub." + class,
	}, args...)
	p := &process{name: class, cmd: exec.CommandContext(ctx, "java", all...)} //nolint:gosec // Ours.
	p.cmd.Stderr = &p.stderr
	var inErr, outErr error
	p.in, inErr = p.cmd.StdinPipe()
	p.out, outErr = p.cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr, p.cmd.Start()); err != nil {
		return nil, fmt.Errorf("start java %s: %w", class, err)
	}
	return p, nil
}

// wait returns when the process has ended; its output must have been read. Whatever it complained of is in the error.
func (p *process) wait() error {
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("java %s: %w: %s", p.name, err, strings.TrimSpace(p.stderr.String()))
	}
	return nil
}

// kill is kill -9.
func (p *process) kill() error {
	killed := p.cmd.Process.Kill()
	_ = p.cmd.Wait() // It was killed, which is no success.
	return killed
}

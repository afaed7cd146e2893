//go:build integration

package compat_test

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
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
// fails. Nothing is written next to the sources, so tests may build at the same time.
func BuildJava(tb testing.TB) *Java {
	tb.Helper()
	dir := tb.TempDir()
	if err := os.CopyFS(dir, sources); err != nil {
		tb.Fatalf("copy the Java sources: %v", err)
	}
	dir = filepath.Join(dir, "java")
	ctx, cancel := context.WithTimeout(tb.Context(), buildWithin)
	defer cancel()
	build := exec.CommandContext(ctx, "mvn", "-q", "-B", "compile", "dependency:copy-dependencies", "-DincludeScope=runtime")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		tb.Fatalf("compile the Java client's side: %v (Maven and a JDK of version 17 or later are needed)\n%s", err, out)
	}
	return &Java{filepath.Join(dir, "target", "classes") + ":" + filepath.Join(dir, "target", "dependency", "*")}
}

// Reader is a witness of committed records.
func (j *Java) Reader() *JavaReader { return &JavaReader{j, "read_committed"} }

// UncommittedReader sees the records of aborted transactions too, so that a test can tell that there are any.
func (j *Java) UncommittedReader() *JavaReader { return &JavaReader{j, "read_uncommitted"} }

// process is one of the program's mains at work.
type process struct {
	cmd    *exec.Cmd
	name   string
	in     io.WriteCloser
	lines  *json.Decoder
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
	in, inErr := p.cmd.StdinPipe()
	out, outErr := p.cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr, p.cmd.Start()); err != nil {
		return nil, fmt.Errorf("start java %s: %w", class, err)
	}
	p.in, p.lines = in, json.NewDecoder(out)
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

// lines lists what a main class prints when it is given a text to read. An error is the last thing.
func lines[T any](ctx context.Context, j *Java, in, class string, args ...string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		running, cancel := context.WithCancel(ctx)
		defer cancel()
		var none T
		p, err := j.start(running, class, args...)
		if err != nil {
			yield(none, err)
			return
		}
		_, err = io.WriteString(p.in, in)
		if err = errors.Join(err, p.in.Close()); err != nil {
			yield(none, errors.Join(err, p.wait()))
			return
		}
		for {
			var line T
			if err = p.lines.Decode(&line); err != nil {
				break
			}
			if !yield(line, nil) {
				_ = p.kill() // Nobody wants the rest.
				return
			}
		}
		if errors.Is(err, io.EOF) {
			err = nil
		} else {
			cancel() // It would wait for its output to be read.
		}
		if err = errors.Join(err, p.wait()); err != nil {
			yield(none, err)
		}
	}
}

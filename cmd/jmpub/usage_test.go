package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// TestMisspelt expects whatever is unknown, wherever it stands, to be refused with the exit code of wrong use, to be named, and the
// one that was meant with it.
func TestMisspelt(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"replya":                             `"replya" is no command of jmpub; did you mean replay?`,
		"replya --from 1h --to 0s":           "did you mean replay?",
		"checkpoints list":                   "did you mean checkpoint?",
		"vrsion --json":                      "did you mean version?",
		"zzzz":                               `"zzzz" is no command of jmpub; see`,
		"checkpoint lst":                     `"lst" is no command of jmpub checkpoint; did you mean list?`,
		"checkpoint restet messages --to 1h": "did you mean reset?",
		"help nosuch":                        `"nosuch" is no command of jmpub; see`,
		"help replya":                        "did you mean replay?",
		"help checkpoint lst":                "did you mean list?",
		"completion bsh":                     `"bsh" is no command of jmpub completion; did you mean bash?`,
		"completion bash zsh":                "zsh",
		"replay --form 1h":                   "unknown flag: --form; did you mean --from?",
		"windows --josn":                     "did you mean --json?",
		"--verson":                           "did you mean --version?",
		"demo -x":                            `unknown shorthand flag: 'x' in -x; see`,
		"checkpoint get":                     "takes the name of one stream",
		"version now":                        "takes no arguments",
	} {
		got := try(t, nil, strings.Fields(line)...)
		if got.code != exitUsage || !strings.Contains(got.stderr, want) || got.stdout != "" {
			t.Errorf("jmpub %s: exit code %d, %q, want %q; it printed %q", line, got.code, got.stderr, want, got.stdout)
		}
	}
}

// TestHelpFitsTheTerminal expects the help of every command to be no wider than 80 columns, but for examples, which are to be copied.
func TestHelpFitsTheTerminal(t *testing.T) {
	t.Parallel()
	var look func(path []string, cmd *cobra.Command)
	look = func(path []string, cmd *cobra.Command) {
		before, rest, _ := strings.Cut(try(t, nil, append(path, "--help")...).stdout, "Examples:")
		_, after, _ := strings.Cut(rest, "\n\n")
		for line := range strings.Lines(before + after) {
			if width := utf8.RuneCountInString(strings.TrimRight(line, "\n")); width > 80 && cmd.Parent().Name() != "completion" {
				t.Errorf("jmpub %s --help has %d columns: %s", strings.Join(path, " "), width, line)
			}
		}
		for _, sub := range cmd.Commands() {
			look(append(slices.Clone(path), sub.Name()), sub)
		}
	}
	for _, cmd := range newRoot(nil, nil).Commands() {
		look([]string{cmd.Name()}, cmd)
	}
}

// TestVersion expects the same build in each form.
func TestVersion(t *testing.T) {
	t.Parallel()
	text := try(t, nil, "version")
	for _, flag := range []string{"--version", "-v"} {
		if got := try(t, nil, flag); got != text || !strings.HasPrefix(got.stdout, "jmpub ") {
			t.Errorf("%s: %+v, and version: %+v", flag, got, text)
		}
	}
	var b build
	if err := json.Unmarshal([]byte(try(t, nil, "version", "--json").stdout), &b); err != nil || b.String()+"\n" != text.stdout {
		t.Errorf("as JSON it is %+v, %v", b, err)
	}
}

// TestCompletionIsOffered expects the command in the help, a script for each shell, and names of streams, replays and values.
func TestCompletionIsOffered(t *testing.T) {
	t.Parallel()
	if help := try(t, nil, "--help"); !strings.Contains(help.stdout, "  completion") {
		t.Errorf("the help does not name completion:\n%s", help.stdout)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := try(t, nil, "completion", shell); got.code != exitDone || !strings.Contains(got.stdout, "jmpub") {
			t.Errorf("completion %s: exit code %d, %s", shell, got.code, got.stderr)
		}
	}
	s := newStation(t)
	s.env = with(s.env, "JMPUB_STREAMS", "messages,statistics/users")
	stop := s.run()
	s.await(s.end)
	if code := stop(); code != exitDone {
		t.Fatalf("run: exit code %d", code)
	}
	replay := try(t, s.env, "replay", "--from", s.begin.Format(time.RFC3339), "--to", s.end.Format(time.RFC3339), "--id", "again-1")
	if replay.code != exitDone {
		t.Fatalf("replay: %s", replay.stderr)
	}
	offered := func(args ...string) []string {
		return strings.Fields(try(t, s.env, append([]string{"__complete"}, args...)...).stdout)
	}
	for want, args := range map[string][]string{
		"messages":         {"checkpoint", "reset", ""},
		"statistics/users": {"windows", "--stream", ""},
		"again-1":          {"checkpoint", "delete", "messages", "--replay", ""},
		"day":              {"windows", "--by", ""},
		"checkpoint":       {"help", "ch"},
	} {
		if got := offered(args...); !slices.Contains(got, want) {
			t.Errorf("%q is not among what is offered after %q: %q", want, args, got)
		}
	}
	if got := offered("checkpoint", "get", "messages", ""); slices.Contains(got, "messages") {
		t.Errorf("a second stream is offered: %q", got)
	}
}

// TestCompletionIsQuickAndSilent expects completion to keep nobody waiting, and to say nothing, where settings are wrong or Kafka
// does not answer; the streams that the settings name are offered all the same.
func TestCompletionIsQuickAndSilent(t *testing.T) {
	t.Parallel()
	mute, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0") // It never answers.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mute.Close() })
	env := map[string]string{"JMPUB_APP_KEY": "k", "JMPUB_MASTER_SECRET": "s", "JMPUB_STREAMS": "groups/1", "JMPUB_KAFKA_BROKERS": mute.Addr().String()}
	for want, settings := range map[string]map[string]string{
		"groups/1\n:4\n": env, ":4\n": with(env, "JMPUB_START", "yesterday"),
	} {
		started := time.Now()
		got := try(t, settings, "__complete", "checkpoint", "get", "")
		if got.stdout != want || strings.Contains(got.stderr, "JMPUB") || time.Since(started) > completeTimeout+3*time.Second {
			t.Errorf("after %s: %q, %q, want %q", time.Since(started), got.stdout, got.stderr, want)
		}
	}
}

// TestInterrupted expects of each kind of command the exit code that is documented when somebody ends it.
func TestInterrupted(t *testing.T) {
	s := newStation(t)
	stop := s.run()
	s.await(s.end)
	if code := stop(); code != exitDone {
		t.Errorf("run: exit code %d", code)
	}
	for line, want := range map[string]int{
		"checkpoint list":                        exitInterrupted,
		"windows":                                exitInterrupted,
		"audit --from 10m":                       exitInterrupted,
		"replay --from 10m --to 5m":              exitInterrupted,
		"checkpoint reset messages --to 10m":     exitInterrupted,
		"run":                                    exitDone,
		"demo":                                   exitDone,
		"sim --listen 127.0.0.1:0":               exitDone,
		"broker --listen 127.0.0.1:0 --data dir": exitDone,
	} {
		t.Chdir(t.TempDir())
		setEnv(t, s.env)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var out, said bytes.Buffer
		if code := execute(ctx, strings.Fields(line), &out, &said); code != want {
			t.Errorf("jmpub %s: exit code %d, want %d: %s", line, code, want, said.String())
		}
	}
}

// TestInterruptedAtTheQuestion expects whoever interrupts a question to be let go at once, with nothing changed.
func TestInterruptedAtTheQuestion(t *testing.T) {
	s := newStation(t)
	stop := s.run()
	s.await(s.end)
	if code := stop(); code != exitDone {
		t.Fatalf("run: exit code %d", code)
	}
	before, _ := s.position()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	setEnv(t, s.env)
	var out bytes.Buffer
	root := newRoot(&out, asked{cancel})
	keyboard, never := net.Pipe()
	t.Cleanup(func() { _, _ = keyboard.Close(), never.Close() })
	root.SetIn(keyboard)
	root.SetArgs([]string{"checkpoint", "reset", "messages", "--to", "10m"})
	if err := root.ExecuteContext(ctx); err == nil || ctx.Err() == nil {
		t.Errorf("it ended with %v", err)
	}
	if after, _ := s.position(); !after.End.Equal(before.End) {
		t.Errorf("the position moved from %v to %v", before.End, after.End)
	}
}

// asked interrupts a command that asks something.
type asked struct{ interrupt func() }

// Write implements io.Writer.
func (a asked) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("[y/N]")) {
		a.interrupt()
	}
	return len(p), nil
}

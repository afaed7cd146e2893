// Command jmpub publishes the message history of JMessage apps to Kafka.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"

	_ "time/tzdata" // The API's times are in a named zone, and small container images have no zone files.

	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/words"
	"github.com/jmpub/jmpub/pipeline"
)

// Exit codes, as `jmpub --help` documents them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitFenced      = 3
	exitIncomplete  = 4
	exitInterrupted = 130
	// exitBrokenOutput is a shell's word for what SIGPIPE has ended.
	exitBrokenOutput = 141
)

// longestError is how much is printed of an error, in bytes: a record that cannot be read may be in it.
const longestError = 16 << 10

func main() {
	crashBySignal()
	os.Exit(run())
}

// run executes the process's command line until it ends or a signal ends it.
func run() int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signal.Ignore(syscall.SIGPIPE) // A log or a screen that is gone ends no run; writing there fails instead.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		stop()
		<-signals // The second one does not wait for anything.
		fmt.Fprintln(os.Stderr, "jmpub: stopped at once; what was in flight is read again at the next start")
		os.Exit(exitInterrupted)
	}()
	return execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	// Whatever is printed, others may have written a part of it. What is drawn goes by them, with texts that are safe.
	stdout, stderr = &words.Writer{Out: stdout}, &words.Writer{Out: stderr}
	root := newRoot(stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if isBrokenOutput(err) {
		return exitBrokenOutput
	}
	switch {
	case errors.Is(err, errReported):
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "jmpub: interrupted")
	default:
		text := err.Error()
		if len(text) > longestError {
			text = text[:longestError] + "…"
		}
		fmt.Fprintln(stderr, "jmpub: "+text)
	}
	switch {
	case pipeline.ClassOf(err) == pipeline.Fenced, errors.Is(err, pipeline.ErrReplayDeleted):
		return exitFenced
	case ctx.Err() != nil: // Whatever an interrupted call says went wrong.
		return exitInterrupted
	case errors.As(err, &usage.Error{}):
		return exitUsage
	case errors.Is(err, errIncomplete):
		return exitIncomplete
	default:
		return exitFailed
	}
}

// isBrokenOutput tells that whoever read the command's output, `head` perhaps, has read enough.
func isBrokenOutput(err error) bool {
	failed, ok := errors.AsType[*fs.PathError](err)
	return ok && failed.Path == os.Stdout.Name() && errors.Is(failed, syscall.EPIPE)
}

// errReported is returned by commands that have already shown what is wrong, as their result.
var errReported = errors.New("already reported")

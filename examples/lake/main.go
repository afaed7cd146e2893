// Lake writes jmpub's events as Parquet files, one an hour and target_type, once the hour is complete.
//
//	lake -brokers 127.0.0.1:9092 -dir lake -streams 4f7aef34fb361292c566a1cd/messages
//
// An hour is complete when all of it was read of every stream, as the topic jmessage.coverage says. Events that come after that
// are added in files of their own. Whatever happens to the process, each event is in the lake once.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "lake:", err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "lake:", err)
		os.Exit(1)
	}
}

// errUsage marks wrong arguments.
var errUsage = errors.New("see lake -help")

func usage(format string, args ...any) error {
	return fmt.Errorf("%w (%w)", fmt.Errorf(format, args...), errUsage)
}

func run(ctx context.Context, args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("lake", flag.ContinueOnError)
	flags.SetOutput(stderr)
	brokers := flags.String("brokers", "127.0.0.1:9092", "Kafka's addresses, host:port, comma-separated")
	prefix := flags.String("prefix", "jmessage", "prefix of jmpub's topics")
	dir := flags.String("dir", "lake", "folder of the lake")
	streams := flags.String("streams", "", "`streams` that must cover an hour before it is written: APP_KEY/STREAM, comma-separated (a comma in a name is %2C)")
	from := flags.String("from", "", "`time` at which jmpub's history begins (its JMPUB_START) as in 2026-11-01T12:20:00Z; without it "+
		"the hour in which it begins is never complete")
	every := flags.Duration("every", 10*time.Second, "time between two commits")
	once := flags.Bool("once", false, "end when everything that is in the topics now has been read")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%w (%w)", err, errUsage)
	}
	keys, err := parseStreams(*streams)
	switch {
	case err != nil:
		return err
	case flags.NArg() > 0:
		return usage("unexpected argument %q", flags.Arg(0))
	case *every <= 0:
		return usage("-every: %v is not above zero, as in 10s", *every)
	}
	start, err := optionalTime(*from)
	if err != nil {
		return usage("-from: %q is no time, as in 2026-11-01T12:20:00Z", *from)
	}
	if err := os.MkdirAll(*dir, 0o750); err != nil {
		return fmt.Errorf("make the lake's folder: %w", err)
	}
	lock := flock.New(filepath.Join(*dir, lockName))
	if held, err := lock.TryLock(); err != nil || !held {
		return fmt.Errorf("lock the lake %s: another process writes to it (%w)", *dir, errors.Join(err, errLocked))
	}
	defer lock.Unlock() //nolint:errcheck // The process ends.
	l := &lake{
		disk: &disk{root: *dir}, prefix: *prefix, streams: keys, from: start, now: time.Now,
		log: slog.New(slog.NewTextHandler(stderr, nil)),
	}
	if err := l.open(); err != nil {
		return err
	}
	c := &consumer{lake: l, every: *every, once: *once}
	if err := c.run(ctx, strings.Split(*brokers, ",")); err != nil {
		return err
	}
	l.log.InfoContext(ctx, "stopped", slog.Int("rows_of_hours_that_are_not_complete", l.staged()))
	return nil
}

var errLocked = errors.New("one process a folder")

func parseStreams(list string) ([]string, error) {
	var keys []string
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		if app, stream, ok := strings.Cut(item, "/"); !ok || app == "" || stream == "" {
			return nil, usage("-streams: %q is not APP_KEY/STREAM, as in 4f7aef34fb361292c566a1cd/messages", item)
		}
		keys = append(keys, strings.ReplaceAll(item, "%2C", ","))
	}
	if len(keys) == 0 {
		return nil, usage("-streams is missing; name what must cover an hour, as in 4f7aef34fb361292c566a1cd/messages")
	}
	return keys, nil
}

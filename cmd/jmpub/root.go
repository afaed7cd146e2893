package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/view"
)

const rootHelp = `jmpub publishes the message history of JMessage apps to Kafka.

It pages the IM REST Report V2 API, turns every message into an event keyed by its msgid, and publishes it to one
Kafka topic per target_type, exactly once, from a checkpointed end_time.

Settings are environment variables (JMPUB_...); ` + "`jmpub config`" + ` shows them all with their values.

Exit codes:
  0    done; also run, demo, sim, broker, tail and top that SIGTERM or Ctrl-C ended
  1    failed
  2    wrong use or settings
  3    another process took over, or a replay was deleted while it ran
  4    data incomplete (audit)
  130  interrupted by SIGTERM or Ctrl-C: any other command, or at once by a second signal
  134  a bug (SIGABRT): please report what it printed; 2 as process 1 of a container
  141  whoever read the output has read enough`

const rootExamples = `  # See it work: simulated API, embedded broker and pipeline in one process, no settings.
  jmpub demo

  # The real thing.
  export JMPUB_APP_KEY=... JMPUB_MASTER_SECRET_FILE=/run/secrets/jmpub JMPUB_KAFKA_BROKERS=kafka-1:9092
  jmpub run`

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use: "jmpub", Short: "Publish JMessage history to Kafka", Long: rootHelp, Example: rootExamples, Version: buildVersion(),
		SilenceErrors: true, SilenceUsage: true,
	}
	root.SetVersionTemplate(thisBuild().String() + "\n")
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if cmd.HasSubCommands() { // A flag of a command that is misspelt is not what is wrong.
			if unknown := unknownCommand(cmd, cmd.Flags().Args()); unknown != nil {
				return usage.Wrap(unknown)
			}
		}
		return usage.Errorf("%w%s; see `%s --help`", err, suggestFlag(cmd, err), cmd.CommandPath())
	})
	root.AddCommand(newDemo(), addApp(newCheck()), newRun(), newApps(), newTop(), addApp(newTail()), addApp(newReplay()), newCheckpoint(),
		addApp(newPause()), addApp(newResume()), addApp(newWindows()), addApp(newAudit()), newSim(), newBroker(),
		addApp(newConfig()), newVersion())
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	prepare(root)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", ".FlagUsagesWrapped "+strconv.Itoa(helpWidth)))
	return root
}

// helpWidth is how wide help is: as wide as the narrowest terminal that is usual.
const helpWidth = 80

// prepare has this command and every one below it, cobra's own too, show help that fits a terminal, and end with the exit code of
// wrong use where its arguments are wrong.
func prepare(cmd *cobra.Command) {
	cmd.Long = view.Fill(cmd.Long, helpWidth)
	check := cmd.Args
	switch {
	case cmd.HasSubCommands():
		check = unknownCommand
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	case cmd.Name() == "help":
		check = func(cmd *cobra.Command, args []string) error {
			found, rest, _ := cmd.Root().Find(args) // Every command that has others checks its arguments, so there is no error.
			return unknownCommand(found, rest)
		}
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usage.Wrap(err)
		}
		return nil
	}
	for _, sub := range cmd.Commands() {
		prepare(sub)
	}
}

// unknownCommand refuses what a command that has others was given instead of one of those.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var known []string
	for _, sub := range cmd.Commands() {
		known = append(append(known, sub.Name()), sub.Aliases...)
	}
	return fmt.Errorf("%q is no command of %s%s; see `%s --help`", args[0], cmd.CommandPath(), usage.Suggest(args[0], known), cmd.CommandPath())
}

// suggestFlag names the flag that an unknown one is closest to.
func suggestFlag(cmd *cobra.Command, err error) string {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return ""
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
	return usage.Suggest("--"+unknown.GetSpecifiedName(), known)
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args)
	}
	return nil
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
)

// version is set by the linker (-X main.version=v1.2.3); without that the module's own version stands in.
var version string

const rootHelp = `jmpub publishes the message history of JMessage apps to Kafka.

It pages the IM REST Report V2 API, turns every message into an event keyed by its msgid, and publishes it to one
Kafka topic per target_type, exactly once, from a checkpointed end_time.

Settings are environment variables (JMPUB_...); ` + "`jmpub config`" + ` shows them all with their values.

Exit codes: 0 done, 1 failed, 2 wrong use or settings, 3 another process took over, 4 data
incomplete (audit), 130 interrupted.`

const rootExamples = `  # See it work: simulated API, embedded broker and pipeline in one process, no settings.
  jmpub demo

  # The real thing.
  export JMPUB_APP_KEY=... JMPUB_MASTER_SECRET_FILE=/run/secrets/jmpub JMPUB_KAFKA_BROKERS=kafka-1:9092
  jmpub run`

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:           "jmpub",
		Short:         "Publish JMessage history to Kafka",
		Long:          rootHelp,
		Example:       rootExamples,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage.Errorf("%q is no command; see `jmpub --help`", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage.Errorf("%w; see `%s --help`", err, cmd.CommandPath())
	})
	root.AddCommand(newDemo(), newRun(), newReplay(), newCheckpoint(), newWindows(), newAudit(), newSim(), newBroker(), newConfig(), newVersion())
	return root
}

// noArgs refuses arguments with the exit code of wrong use.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args)
	}
	return nil
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Tell jmpub's version",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "jmpub %s %s %s/%s\n",
				buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func newConfig() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the effective settings, secrets masked",
		Long: `Show every setting with its effective value, secrets masked, and check them all.
A setting that the environment does not have shows its default.`,
		Example: "  jmpub config\n  jmpub config --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := settings.Read()
			if err != nil {
				return err
			}
			if err = showSettings(cmd.OutOrStdout(), s.List(), asJSON); err != nil {
				return err
			}
			_, err = s.Parse()
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func showSettings(w io.Writer, list []settings.Setting, asJSON bool) error {
	if asJSON {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(list)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range list {
		from := "default"
		if s.Set {
			from = "set"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", s.Name, from, s.Value)
	}
	return table.Flush()
}

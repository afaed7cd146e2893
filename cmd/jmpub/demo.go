package main

import (
	"errors"
	"io"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/lab/demo"
	"github.com/jmpub/jmpub/internal/view"
)

const demoHelp = `Show jmpub at work in one process, without settings, network or free standard ports: a simulated Report API with
a history and with faults, an embedded broker, and the pipeline between them. It first catches up with the history and
then follows live.

With --for it ends by itself, reads every topic back with an independent read_committed client, and compares what it
finds with every row that the API held. Any difference makes the exit code 1.`

const demoExamples = `  jmpub demo
  jmpub demo --for 30s
  jmpub demo --for 30s --history 24h --rate 20 --json`

func newDemo() *cobra.Command {
	o := demo.Defaults()
	var asJSON bool
	cmd := &cobra.Command{
		Use: "demo", Short: "Show all of it at work, in one process", Long: demoHelp, Example: demoExamples, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			signal.Reset(syscall.SIGPIPE) // It is there to be watched, and ends when nobody does.
			o.Version = buildVersion()
			out, screen := cmd.OutOrStdout(), cmd.OutOrStdout()
			if asJSON {
				screen = io.Discard
			}
			summary, err := demo.Run(cmd.Context(), o, screen)
			switch {
			case err != nil && cmd.Context().Err() != nil:
				return nil //nolint:nilerr // It was ended before it had begun.
			case err != nil:
				return err
			}
			show := &view.Printer{Out: view.Painted(out), JSON: asJSON}
			if err = show.Document(summary, summary.WriteText); err == nil && !summary.OK() {
				err = errors.Join(errReported, errors.New("the topics differ from what the API held"))
			}
			return err
		},
	}
	f := cmd.Flags()
	f.DurationVar(&o.Length, "for", 0, "end after this time with a summary; without it, Ctrl-C ends the demo")
	f.DurationVar(&o.History, "history", o.History, "length of the history to catch up with")
	f.Float64Var(&o.Rate, "rate", o.Rate, "messages a second")
	f.Uint64Var(&o.Seed, "seed", o.Seed, "another seed is another history")
	f.BoolVar(&o.Faults, "faults", o.Faults, "let the API misbehave now and then")
	f.BoolVar(&asJSON, "json", false, "print the summary as JSON, and nothing else on standard output")
	return cmd
}

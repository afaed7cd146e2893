package main

import (
	"os"
	"os/user"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/view"
	"github.com/jmpub/jmpub/pipeline"
)

const pauseHelp = `Publish nothing more of the app, or of the streams that are named, until ` + "`jmpub resume`" + `.

It works while jmpub runs: it takes the writer's place for a moment, writes beside the positions what is paused, and leaves. Once it has
returned, nothing of that is published any more, whichever process has the app, also after a restart. A process to which nothing comes notices
within half a minute, or 5 minutes after an hour of silence, and asks the API until then. Positions stay where they are: nothing is lost that is resumed before
the API forgets it, after 60 days.

Commands work on what is paused too: a replay publishes, so does audit --repair, and what a reset asks for is published after the resume.`

const pauseExamples = `  jmpub pause
  jmpub pause groups/10055201 groups/10055202
  jmpub pause --app 4f7aef34fb361292c566a1cd messages`

const resumeHelp = `Publish again what ` + "`jmpub pause`" + ` has stopped, from where it stood.

Without a stream, everything that is paused of the app goes on, also streams that were paused by themselves. A running process notices within
some seconds. Where the whole app is paused, a stream does not go on by itself.`

const resumeExamples = `  jmpub resume
  jmpub resume groups/10055201`

func newPause() *cobra.Command {
	return pausing(&cobra.Command{
		Use: "pause [STREAM...]", Short: "Publish nothing of the app, or of streams, until it is resumed", Long: pauseHelp, Example: pauseExamples,
	}, false)
}

func newResume() *cobra.Command {
	return pausing(&cobra.Command{
		Use: "resume [STREAM...]", Short: "Publish again what was paused", Long: resumeHelp, Example: resumeExamples,
	}, true)
}

// pausing has a command pause what its arguments name, or resume it.
func pausing(cmd *cobra.Command, resume bool) *cobra.Command {
	var asJSON bool
	cmd.Args, cmd.ValidArgsFunction = anyStreams, completeStreams
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, log, err := configure(cmd)
		if err != nil {
			return err
		}
		o := operate.PauseOptions{Resume: resume}
		for _, name := range args {
			stream, _ := pipeline.ParseStream(name) // It was checked.
			o.Streams = append(o.Streams, stream)
		}
		o.By, o.Remote = operator()
		paused, err := operate.Pause(cmd.Context(), cfg, log, o)
		if err != nil {
			return err
		}
		show := &view.Printer{Out: cmd.OutOrStdout(), JSON: asJSON, Zone: cfg.Source.TimeZone}
		return show.Pause(paused)
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what is paused now as JSON")
	return cmd
}

// anyStreams wants names of streams, or nothing.
func anyStreams(_ *cobra.Command, args []string) error {
	for _, name := range args {
		if _, err := pipeline.ParseStream(name); err != nil {
			return usage.Wrap(err)
		}
	}
	return nil
}

// operator is who gives the command, and on which host. In a container, a user may have no name.
func operator() (by, host string) {
	by = "uid " + strconv.Itoa(os.Getuid())
	if who, err := user.Current(); err == nil && who.Username != "" {
		by = who.Username
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "a host without a name"
	}
	return by, host
}

package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/pipeline"
)

// completeTimeout is how long somebody who presses Tab may be kept waiting.
const completeTimeout = 2 * time.Second

// completeFlag has a flag's values completed.
func completeFlag(cmd *cobra.Command, name string, values cobra.CompletionFunc) {
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc(name, values)) // It fails only for a flag that is not there.
}

// completeStream completes the one argument that names a stream.
func completeStream(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeStreams(cmd, args, typed)
}

// completeStreams completes the names of streams: those that the settings name, and those that have positions.
func completeStreams(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return complete(cmd, (*settings.Config).Selected, func(cp *pipeline.Checkpoint) string { return cp.Stream.String() })
}

// completeApps completes the keys of the apps of JMPUB_APPS_FILE.
func completeApps(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	s, err := settings.Read()
	if err != nil || s.AppsFile == "" {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	file, _, err := settings.NewAppsFile(s)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return file.Keys(), cobra.ShellCompDirectiveNoFileComp
}

// completeReplay completes the ids of replays.
func completeReplay(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return complete(cmd, func(*settings.Config) []string { return nil }, func(cp *pipeline.Checkpoint) string { return cp.Replay })
}

// complete offers what the settings name, and what name says of each position, as far as Kafka answers in time. What goes wrong is
// not told: it would stand in the middle of a command line.
func complete(
	cmd *cobra.Command, named func(*settings.Config) []string, name func(*pipeline.Checkpoint) string,
) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	s, err := readApp(cmd)
	if err != nil {
		return nil, directive
	}
	s.Topics.Create = "false"
	cfg, err := s.Parse()
	if err != nil {
		return nil, directive
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
	defer cancel()
	answer := make(chan []pipeline.Checkpoint, 1)
	go func() { // Not all of what is asked can be cut short.
		positions, _ := operate.Positions(ctx, cfg, slog.New(slog.DiscardHandler))
		answer <- positions
	}()
	names := named(cfg)
	select {
	case positions := <-answer:
		for i := range positions {
			names = append(names, name(&positions[i]))
		}
	case <-ctx.Done():
	}
	return names, directive
}

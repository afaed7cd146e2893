package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/view"
)

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
			show := &view.Printer{Out: cmd.OutOrStdout(), JSON: asJSON}
			if err = show.Settings(s.List()); err != nil {
				return err
			}
			cfg, err := s.Parse()
			for _, w := range cfg.Warnings {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s: %s (%s)\n", w.Setting, w.Detail, w.Hint)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

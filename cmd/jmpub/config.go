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
A setting that the environment does not have shows its default. With JMPUB_APPS_FILE the file is checked too, and
--app shows the settings of one of its apps.`,
		Example: "  jmpub config\n  jmpub config --json\n  jmpub config --app 4f7aef34fb361292c566a1cd",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := settings.Read()
			if err == nil && (s.AppsFile == "" || cmd.Flags().Changed(appFlag)) {
				s, err = readApp(cmd)
			}
			if err != nil {
				return err
			}
			show := &view.Printer{Out: cmd.OutOrStdout(), JSON: asJSON}
			if err = show.Settings(s.List()); err != nil {
				return err
			}
			warnings, err := s.Check()
			for _, w := range warnings {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s: %s (%s)\n", w.Setting, w.Detail, w.Hint)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

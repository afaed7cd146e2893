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
			s, check, err := configured(cmd)
			if err != nil {
				return err
			}
			show := &view.Printer{Out: cmd.OutOrStdout(), JSON: asJSON}
			if err = show.Settings(s.List()); err != nil {
				return err
			}
			warnings, err := check()
			for _, w := range warnings {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s: %s (%s)\n", w.Setting, w.Detail, w.Hint)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// configured are the settings of the app that was named, or else of all apps, and what checks them.
func configured(cmd *cobra.Command) (s *settings.Settings, check func() ([]settings.Warning, error), err error) {
	if s, err = settings.Read(); err != nil {
		return nil, nil, err
	}
	if s.AppsFile == "" || cmd.Flags().Changed(appFlag) {
		s, err = readApp(cmd)
		return s, func() ([]settings.Warning, error) {
			cfg, wrong := s.Parse()
			return cfg.Warnings, wrong
		}, err
	}
	return s, func() ([]settings.Warning, error) {
		file, cfg, wrong := settings.NewAppsFile(s)
		if wrong != nil {
			return nil, wrong
		}
		apps, wrong := file.Load()
		warnings := cfg.Warnings
		for _, app := range apps {
			warnings = append(warnings, app.Warnings...)
		}
		return warnings, wrong
	}, nil
}

package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/view"
)

// version is set by the linker (-X main.version=v1.2.3); without that the module's own version stands in.
var version string

// build describes this binary.
type build struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() build {
	return build{Version: buildVersion(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
}

// String is what `jmpub version` and `jmpub --version` print.
func (b build) String() string { return fmt.Sprintf("jmpub %s %s %s", b.Version, b.Go, b.Platform) }

func newVersion() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print jmpub's version", Args: noArgs, Example: "  jmpub version\n  jmpub version --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			show := &view.Printer{Out: cmd.OutOrStdout(), JSON: asJSON}
			return show.Document(thisBuild(), func(w io.Writer) { fmt.Fprintln(w, thisBuild()) })
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
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

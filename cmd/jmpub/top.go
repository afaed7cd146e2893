package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/view"
)

const topHelp = `Show how a running process does, in a terminal, drawn anew every 2 s until q or Ctrl-C: up to when everything is in Kafka, or what is wrong and
what to do; rows per second by target and the lag, with the last minutes; the quota, the clock of the API's history, transactions, rejected rows, and the
processes of the group. Then come the apps: state, lag, what is left of the quota, and the error or the process that has it; those first that are not
published, then those that are furthest behind. What matters less is left out where there is no room.

It asks the API at JMPUB_LISTEN, or at --url, and needs no other setting. Beyond loopback it needs a token of the process: it shows the first one
of JMPUB_ADMIN_TOKEN, over https, or over http to this machine. It trusts the certificate of JMPUB_LISTEN_TLS_CERT_FILE.

A process that cannot be reached is asked again. With --once or --json, or where no terminal can be drawn over, it is asked once, and the exit
code is 1 if it does not answer.`

const topExamples = `  jmpub top
  jmpub top --once
  jmpub top --url https://jmpub.example:9464 --ca-file /etc/jmpub/ca.pem
  jmpub top --json | jq -r .verdict.text`

func newTop() *cobra.Command {
	var o operate.WatchOptions
	var once, asJSON bool
	every := 2 * time.Second
	cmd := &cobra.Command{
		Use: "top", Short: "Show how a running process does, live", Long: topHelp, Example: topExamples, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := notEmpty(cmd, "url", "ca-file"); err != nil {
				return err
			}
			if every < time.Second || every > time.Hour {
				return usage.Errorf("--every: %s is not between 1s and 1h", every)
			}
			s, err := settings.Read()
			if err != nil {
				return err
			}
			cfg, err := s.ParseListen()
			if err != nil {
				return err
			}
			watch, err := operate.NewWatch(cfg, o)
			if err != nil {
				return err
			}
			top := &view.Top{Out: cmd.OutOrStdout(), Every: every}
			if !once && !asJSON && view.IsDrawable(cmd.OutOrStdout()) {
				return top.Run(cmd.Context(), watch.Look)
			}
			seen := watch.Look(cmd.Context())
			switch {
			case seen.Err != nil:
				return seen.Err
			case asJSON:
				show := &view.Printer{Out: cmd.OutOrStdout(), JSON: true}
				return show.Document(seen.Overview, nil)
			default:
				return top.Once(seen)
			}
		},
	}
	f := cmd.Flags()
	f.BoolVar(&once, "once", false, "show it once, and end")
	f.BoolVar(&asJSON, "json", false, "print the overview once, as one JSON object")
	f.DurationVar(&every, "every", every, "how often it is asked and drawn, from 1s to 1h")
	f.StringVar(&o.URL, "url", "", "ask there instead of JMPUB_LISTEN: http or https, host and port")
	f.StringVar(&o.CAFile, "ca-file", "", "trust the authorities in this PEM file instead of the system's")
	f.BoolVar(&o.PlainToken, "plain-token", false, "send the token over http to other machines too, where it can be read on the way")
	return cmd
}

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/lab/broker"
	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/view"
)

const brokerHelp = `Run an embedded Kafka broker, for trying things out. It speaks the protocol as a broker does, with transactions and
consumer groups, but it is no real one: use Apache Kafka for anything that matters.`

const brokerExamples = `  jmpub broker --listen 127.0.0.1:9092 --data ./kafka-data
  kcat -b 127.0.0.1:9092 -L`

func newBroker() *cobra.Command {
	o := broker.Options{Brokers: 1, Listen: "127.0.0.1:9092"}
	cmd := &cobra.Command{
		Use: "broker", Short: "Run an embedded Kafka broker", Long: brokerHelp, Example: brokerExamples, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Log = view.NewLogger(cmd.ErrOrStderr(), 0, "", secret.Redactor{})
			broker, err := broker.Start(o)
			if err != nil {
				return usage.Wrap(err)
			}
			warnOfOthers(cmd, o.Listen)
			fmt.Fprintf(cmd.ErrOrStderr(), "embedded broker at %s\n", strings.Join(broker.Addrs(), ","))
			<-cmd.Context().Done()
			return broker.Close()
		},
	}
	cmd.Flags().StringVar(&o.Listen, "listen", o.Listen, "address of the first broker; the others follow on the next ports")
	cmd.Flags().StringVar(&o.Advertise, "advertise", "", "host name that clients are given to connect to, where it differs from --listen")
	cmd.Flags().IntVar(&o.Brokers, "brokers", o.Brokers, "number of brokers")
	cmd.Flags().StringVar(&o.DataDir, "data", "", "folder that keeps the data; without it nothing outlives the process")
	cmd.Flags().BoolVar(&o.AutoCreate, "auto-create", false, "make topics that clients ask for")
	return cmd
}

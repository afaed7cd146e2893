package main

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/jmpub/jmpub/internal/operate"
)

// confirmation says what is about to happen and, without --yes, asks whether to go on.
func confirmation(cmd *cobra.Command, yes bool) operate.Confirm {
	return func(question string) bool {
		if question != "" {
			fmt.Fprintln(cmd.ErrOrStderr(), question)
		}
		return yes || confirmed(cmd)
	}
}

// confirmed asks on a terminal, and elsewhere reads an answer that somebody piped in. Whoever interrupts it has said no.
func confirmed(cmd *cobra.Command) bool {
	fmt.Fprint(cmd.ErrOrStderr(), "Go on? [y/N] ")
	answer := make(chan string, 1)
	go func() { // Nothing cuts the reading of a terminal short.
		line, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case said := <-answer:
		return said == "y" || said == "yes"
	case <-cmd.Context().Done():
		fmt.Fprintln(cmd.ErrOrStderr())
		return false
	}
}

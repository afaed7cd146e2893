package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
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

// confirmed asks on a terminal, and elsewhere reads an answer that somebody piped in.
func confirmed(cmd *cobra.Command) bool {
	fmt.Fprint(cmd.ErrOrStderr(), "Go on? [y/N] ")
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes"
}

package view

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
)

// Ask asks on out whether to go on, and reads the answer of a person, or one that somebody piped in. Whoever ends ctx has said no.
func Ask(ctx context.Context, in io.Reader, out io.Writer) bool {
	fmt.Fprint(out, "Go on? [y/N] ")
	answer := make(chan string, 1)
	go func() { // Nothing cuts the reading of a terminal short.
		line, _ := bufio.NewReader(in).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case said := <-answer:
		return said == "y" || said == "yes"
	case <-ctx.Done():
		fmt.Fprintln(out)
		return false
	}
}

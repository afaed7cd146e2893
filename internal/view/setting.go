package view

import (
	"fmt"
	"io"

	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/words"
)

// Settings shows every setting.
func (p *Printer) Settings(list []settings.Setting) error {
	return p.Document(list, func(w io.Writer) {
		for _, s := range list {
			from := "default"
			if s.Set {
				from = "set"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", s.Name, from, words.Line(s.Value))
		}
	})
}

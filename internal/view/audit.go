package view

import (
	"fmt"
	"io"
	"time"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/words"
	"github.com/jmpub/jmpub/pipeline/audit"
)

// AuditReport shows what an audit finds, as it finds it.
type AuditReport struct {
	*Printer
	// Notes is where remarks go, apart from the results.
	Notes io.Writer
}

var _ operate.AuditReport = (*AuditReport)(nil)

// Cost shows what the audit takes.
func (r *AuditReport) Cost(c *operate.AuditCost) {
	fmt.Fprintf(r.Notes, "%s for totals and %d for statistics, at least %s at %s;\nmore where something differs\n",
		words.Requests(c.Totals), c.Days, c.Took().Round(time.Second), c.Rate)
}

// Note implements [operate.AuditReport].
func (r *AuditReport) Note(text string) { fmt.Fprintln(r.Notes, text) }

// Difference implements [operate.AuditReport].
func (r *AuditReport) Difference(d *audit.Difference) error {
	return show(r.Printer, []*audit.Difference{d}, func(w io.Writer) {
		fmt.Fprintf(w, "%s, %s to %s:\n  the API has %s, the ledger %d\n", d.Stream, r.moment(d.Begin), r.moment(d.End), words.Rows(d.Total), d.Known)
		for _, m := range d.Missing {
			fmt.Fprintln(w, "  missing:", r.missing(m))
		}
		if d.Deleted > 0 {
			fmt.Fprintf(w, "  cannot be compared: %s that were published of this time are gone from Kafka\n",
				words.Count(d.Deleted, "record", "records"))
		}
		for _, id := range d.Gone {
			fmt.Fprintf(w, "  published, and gone from the API: msgid %d\n", id)
		}
	})
}

// missing names a row that is missing.
func (r *AuditReport) missing(m audit.Missing) string {
	text := "a row without a msgid"
	if m.MsgID != 0 {
		text = fmt.Sprintf("msgid %d", m.MsgID)
	}
	if !m.Time.IsZero() {
		text += " of " + r.moment(m.Time)
	}
	return text
}

const statisticsLimits = `Statistics are a hint, and no part of the verdict. The API counts messages some time after they
were sent, and does not say by which clock it cuts days, nor whether it counts messages that were
retracted, sent across apps, or sent by its own interface. Messages to chatrooms are not counted.
jmpub counts each message once, by the server's clock.
`

// Statistics implements [operate.AuditReport].
func (r *AuditReport) Statistics(days []operate.DayCounts) error {
	if len(days) == 0 {
		return nil
	}
	err := show(r.Printer, days, func(w io.Writer) {
		fmt.Fprintln(w, "STATISTICS OF\tSINGLE\tPUBLISHED\tGROUP\tPUBLISHED\t")
		for i := range days {
			d := &days[i]
			mark := ""
			if d.Differ() {
				mark = "differs"
			}
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%s\n", d.Day, d.Single, d.SinglePublished, d.Group, d.GroupPublished, mark)
		}
	})
	if err != nil || r.JSON {
		return err
	}
	_, err = fmt.Fprint(r.Notes, statisticsLimits)
	return err
}

// Result shows the end of the audit.
func (r *AuditReport) Result(result *operate.AuditResult) error {
	return show(r.Printer, []*operate.AuditResult{result}, func(w io.Writer) {
		others := ""
		if result.RepairedByOthers > 0 {
			others = fmt.Sprintf(" and %d by others meanwhile", result.RepairedByOthers)
		}
		fmt.Fprintf(w, "%s in %s compared with %s:\n%d missing, %d too many, %d repaired%s, %s not read\n", words.Rows(result.Rows),
			words.Windows(result.Windows), words.Requests(result.Requests), result.Missing, result.Extra, result.Repaired, others,
			words.Count(result.Holes, "stretch of time", "stretches of time"))
	})
}

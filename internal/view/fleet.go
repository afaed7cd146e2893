package view

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jmpub/jmpub/internal/fleet"
	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/internal/words"
)

// recentError is for how long the last error is shown of an app that is published all the same.
const recentError = 10 * time.Minute

const fleetHeading = "REQS: requests of the last minute. LEFT: what the API allows. BY: the process."

// Fleet shows the apps of all processes, and below them the processes; as JSON the apps alone. Apps of other topics than those that begin with
// prefix are shown with theirs.
func (p *Printer) Fleet(f *fleet.Fleet, prefix string, now time.Time) error {
	return show(p, f.Apps, func(w io.Writer) {
		fmt.Fprintf(w, "%s\n%s\n", p.zone(), fleetHeading)
		numbers := make(map[string]int, len(f.Processes))
		for i := range f.Processes {
			numbers[f.Processes[i].Instance] = i + 1
		}
		width := len("APP")
		for i := range f.Apps {
			width = max(width, utf8.RuneCountInString(foreign(f.Apps[i].AppKey)))
		}
		fmt.Fprintf(w, "%-*s  %-10s  %-16s  %6s  %4s  %5s  BY\n", width, "APP", "STATE", "UP TO", "LAG", "REQS", "LEFT")
		for i := range f.Apps {
			a := &f.Apps[i]
			by := "-"
			if n := numbers[a.Instance]; n > 0 {
				by = strconv.Itoa(n)
			}
			fmt.Fprintf(w, "%-*s  %-10s  %-16s  %6s  %4s  %5s  %s\n", width, foreign(a.AppKey), foreign(a.State), p.minute(a.End), lagOf(a),
				requestsOf(a), numberOr(a.QuotaRemaining, "-"), by)
			p.appRemarks(w, a, prefix, now)
		}
		processes(w, f.Processes, now)
		if f.FilesDiffer {
			fmt.Fprint(w, "\nThe processes have different apps in their files:\n")
			folded(w, files(f.Processes))
			fmt.Fprint(w, "An app that its process does not have is published by nobody: give all one file.\n")
		}
		if f.PassedOver > 0 {
			fmt.Fprintf(w, "\npassed over: %s none of this release's\n", words.Count(f.PassedOver, "record that is", "records that are"))
		}
	})
}

// appRemarks shows what else is to be known of an app.
func (p *Printer) appRemarks(w io.Writer, a *fleet.App, prefix string, now time.Time) {
	if a.TopicPrefix != prefix {
		fmt.Fprintf(w, "  to the topics %s.*\n", foreign(a.TopicPrefix))
	}
	if a.State == fleet.StateSilent {
		fmt.Fprintf(w, "  nothing is heard of its process since %s\n", p.local(a.Heard))
	}
	if !a.Backlog.IsZero() {
		fmt.Fprintf(w, "  history behind it is published up to %s\n", p.local(a.Backlog))
	}
	if a.Error != "" && (a.State == status.StateFailed || a.State == fleet.StateSilent || now.Sub(a.ErrorAt) < recentError) {
		folded(w, short(now.Sub(a.ErrorAt))+" ago: "+words.Line(a.Error))
	}
}

// processes shows a line for each.
func processes(w io.Writer, all []fleet.Member, now time.Time) {
	if len(all) == 0 {
		fmt.Fprint(w, "\nno process is there\n")
		return
	}
	fmt.Fprint(w, "\nNO\tPROCESS\tRELEASE\tAPPS\tSHARDS\tHEARD OF\n")
	for i := range all {
		m := &all[i]
		heard, shards := short(max(0, now.Sub(m.Heard)))+" ago", fmt.Sprintf("%d/%d", m.Shards, m.ShardsTotal)
		if m.Silent {
			heard, shards = "silent "+short(now.Sub(m.Heard)), "-"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%s\t%s\n", i+1, foreign(m.Process), cut(foreign(m.Release)), m.Apps, shards, heard)
	}
}

// files are the numbers of the processes, those together that have the same apps in their files: 1, 2 | 3.
func files(all []fleet.Member) string {
	var order []string
	with := make(map[string][]string)
	for i := range all {
		if file := all[i].AppsFile; file != "" && !all[i].Silent {
			if with[file] == nil {
				order = append(order, file)
			}
			with[file] = append(with[file], strconv.Itoa(i+1))
		}
	}
	groups := make([]string, len(order))
	for i, file := range order {
		groups[i] = strings.Join(with[file], ", ")
	}
	return strings.Join(groups, " | ")
}

// cut leaves the beginning of a release; that of one which was built from a checkout is 40 characters long.
func cut(release string) string {
	const most = 11
	if len(release) <= most {
		return release
	}
	return release[:most-1] + "…"
}

// minute is a time in a table in which seconds have no room; nothing where it is not known.
func (p *Printer) minute(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return p.local(t)[:len("2006-01-02 15:04")]
}

func lagOf(a *fleet.App) string {
	if a.LagSeconds == nil {
		return "-"
	}
	return short(time.Duration(*a.LagSeconds * float64(time.Second)))
}

func requestsOf(a *fleet.App) string {
	if a.State == fleet.StateSilent || a.State == fleet.StateNobody {
		return "-"
	}
	return strconv.FormatInt(a.Requests, 10)
}

func numberOr(n *int, otherwise string) string {
	if n == nil {
		return otherwise
	}
	return strconv.Itoa(*n)
}

// short is a time in six characters, or seven where it is negative: 8s, 6m30s, 21h05m, 59d23h.
func short(d time.Duration) string {
	const day = 24 * time.Hour
	sign := ""
	if d = d.Round(time.Second); d < 0 {
		sign, d = "-", -d
	}
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%s%ds", sign, d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%s%dm%02ds", sign, d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%s%dh%02dm", sign, d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%s%dd%02dh", sign, d/day, d%day/time.Hour)
	}
}

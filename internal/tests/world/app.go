package world

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/tests/world/kafkamodel"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

// app is one that is published, with its API and its operators.
type app struct {
	*World

	number int
	// fleet are the processes that publish it.
	fleet *fleet
	api   *sim.Server
	// folder has the positions that are kept in files.
	folder string

	mu   sync.Mutex
	dice *dice
	// bad is until when the API misbehaves.
	bad time.Time
	// wrong are the ranges for which a reply was wrong.
	wrong    map[string]bool
	licences []*licence
	// pauses are the commands that have paused or resumed something.
	pauses []*pauseCommand
}

func (w *World) newApp(number int) (a *app, err error) {
	a = &app{World: w, number: number, dice: newDice(w.plan.Seed, "world"+itoa(number)), wrong: make(map[string]bool)}
	opts := w.plan.api(number)
	opts.Begin, opts.BurstAt = w.first, w.began.Add(w.plan.BurstAt)
	opts.Intercept, opts.SlowBy, opts.StaleBy = a.intercept, 5*time.Second, w.plan.StaleBy
	if a.api, err = sim.New(opts); err != nil {
		return nil, fmt.Errorf("the plan has wrong options: %w", err)
	}
	if w.plan.Files {
		a.folder, err = os.MkdirTemp(memory(), "jmpub-world")
	}
	return a, err
}

// memory is a file system in memory, where syncing takes no time; the usual folder where there is none.
func memory() string {
	const linux = "/dev/shm"
	if _, err := os.Stat(linux); err != nil {
		return ""
	}
	return linux
}

// name is that of something of this app, unlike that of another app's.
func (a *app) name(of string) string {
	if a.number > 0 {
		of += " of app " + itoa(a.number)
	}
	return of
}

// records are what a reader sees of the app in a topic, who sees only what was committed.
func (a *app) records(topic string) iter.Seq[*kafkamodel.Record] {
	all := a.committed[topic]
	if a.committed == nil {
		all = a.kafka.Committed(topic)
	}
	return func(yield func(*kafkamodel.Record) bool) {
		for i := range all {
			if appOf(&all[i]) == a.api.AppKey && !yield(&all[i]) {
				return
			}
		}
	}
}

// appOf is the app that a record is of: events and rejected rows have it in a header, all else in the key.
func appOf(r *kafkamodel.Record) string {
	for _, h := range r.Headers {
		switch h.Key {
		case "ce_source":
			return strings.TrimPrefix(string(h.Value), "urn:jmessage:app:")
		case "jmpub_app_key":
			return string(h.Value)
		default:
		}
	}
	return string(r.Key[:max(0, strings.IndexAny(string(r.Key), "/!"))])
}

// streams are those of messages that processes follow.
func (a *app) streams() []pipeline.Stream {
	if !a.plan.Lists {
		return []pipeline.Stream{{Kind: pipeline.StreamMessages}}
	}
	var all []pipeline.Stream
	for i := range a.plan.API.Groups {
		all = append(all, pipeline.Stream{Kind: pipeline.StreamGroups, Name: sim.GroupID(i)})
	}
	for i := range a.plan.API.Rooms {
		all = append(all, pipeline.Stream{Kind: pipeline.StreamChatrooms, Name: sim.RoomID(i)})
	}
	return all
}

// truth are the rows up to a time that are in one of the streams, which have none in common.
func (a *app) truth(end time.Time) iter.Seq2[pipeline.Stream, sim.Row] {
	return func(yield func(pipeline.Stream, sim.Row) bool) {
		for _, s := range a.streams() {
			for r := range a.api.Truth(sim.Range{Begin: a.first, End: end, Stream: s.String()}) {
				if !yield(s, r) {
					return
				}
			}
		}
	}
}

// intercept implements [sim.Faults.Intercept].
func (a *app) intercept(_ int64, r *http.Request) sim.Fault {
	a.mu.Lock()
	defer a.mu.Unlock()
	const part = 0.3
	if !time.Now().Before(a.bad) || !a.dice.chance(part) {
		return ""
	}
	if asked := r.URL.Query(); a.plan.Once {
		span := asked.Get("begin_time") + asked.Get("end_time")
		if span == "" || a.wrong[span] {
			return ""
		}
		a.wrong[span] = true
	}
	all := []sim.Fault{
		sim.RateLimited, sim.RateLimitedBare, sim.ServerError, sim.HTMLError, sim.HTMLPage, sim.Truncated, sim.Malformed, sim.Dropped,
		sim.DroppedHeaders, sim.DroppedMidway, sim.Repeated, sim.Displaced, sim.Shuffled, sim.WrongTotal, sim.Slow, sim.ExpiredEarly,
	}
	if len(a.plan.APIFaults) > 0 {
		all = a.plan.APIFaults
	} else if a.plan.StaleBy > 0 {
		all = append(all, sim.Stale, sim.Stale, sim.Stale)
	}
	return all[a.dice.IntN(len(all))]
}

// comesLate tells whether the API may show a row after it has shown younger ones.
func (a *app) comesLate() bool {
	return a.plan.API.Late > 0 || a.slack() > 0 || a.plan.StaleBy > 0 && a.has(BadAPI)
}

// unexplained tells that neither the time at which the processes stopped nor a reset, which has set a position ahead, explains what was not read.
func (a *app) unexplained(h audit.Hole, stopped time.Time) bool {
	stream, err := pipeline.ParseStream(h.Stream)
	return err != nil || h.Begin.Before(stopped.Add(-open)) && !a.setTo(stream, h.End)
}

// searched is how old a row is at least that a run has looked for, once everything has healed.
const searched = 20 * time.Minute

// audit has an operator look for what is missing and publish it, when everything has healed and the processes have stopped. A second look finds
// nothing.
func (a *app) audit(ctx context.Context, stopped time.Time) {
	from, to := a.first, stopped.Add(-fresh).Truncate(time.Second)
	if oldest := stopped.Add(time.Hour - a.api.History); from.Before(oldest) {
		from = oldest
	}
	for i, repair := range []bool{true, false} {
		if !repair {
			to = to.Add(-a.plan.API.LateBy) // Behind that, rows appear meanwhile.
		}
		_ = pipeline.Sleep(ctx, 2*latestMarker) // An audit goes by what is decided.
		name := a.name(fmt.Sprintf("last audit %d", i))
		l := a.connect(name, a.api)
		// Where the API has no totals, all of it is read once more.
		cfg, err := a.configure(name, l, func(s *settings.Settings) { s.API.PageSize = "1000" })
		if err != nil {
			a.found("the settings are refused: %v", err)
			return
		}
		c := &command{app: a, link: l, name: name, missing: stopped}
		result, err := operate.Audit(ctx, cfg, c.log(), operate.AuditOptions{
			Range: operate.Range{Span: operate.Span{From: settings.Moment{At: from}, To: settings.Moment{At: to}}},
			Step:  time.Hour, Repair: repair, Report: c, Confirm: func(operate.AuditCost) bool { return true },
		})
		switch {
		case err != nil:
			a.found("an audit fails when everything is healed: %v", err)
			return
		case slices.ContainsFunc(c.holes, func(h audit.Hole) bool { return a.unexplained(h, stopped) }):
			a.found("an audit finds holes in what was read: %v", c.holes)
		case result.Extra > 0:
			a.found("an audit finds %d rows more in the ledger than the API has", result.Extra)
		case !repair && result.Missing > 0:
			a.found("after a repair, an audit finds %d rows missing", result.Missing)
		case repair && result.Missing > 0 && !a.comesLate():
			a.found("%d rows are missing that were never late", result.Missing)
		case repair && a.plan.Fixed.Recheck == searches && c.missing.Before(stopped.Add(-searched)):
			a.found("a row of %s is missing, which the run has not found although it has searched", c.missing)
		}
		a.trace.add("audit: %+v", *result)
	}
}

package world

import (
	"slices"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

// A story is what seldom comes together by chance: faults and operators at the one moment, and in the one kind of world, where a mistake
// would be seen.
type story struct {
	name string
	// tell arranges a plan that is drawn already.
	tell func(p *Plan, d *dice)
}

func stories() []story {
	return []story{
		{"faults at commits", (*Plan).atCommits},
		{"open transactions of a neighbour", (*Plan).openBeside},
		{"replies that are wrong once", (*Plan).wrongOnce},
		{"resets in a long backlog", (*Plan).longBacklog},
		{"nobody was there for longer than the API's history", (*Plan).forgotten},
		{"repairs near a position that stands still", (*Plan).repairsNear},
		{"late rows that the run itself finds", (*Plan).lateAndFound},
		{"replies that are behind", (*Plan).behind},
		{"cut off from the group", (*Plan).cutOffGroup},
		{"cursors that expire where messages are dense", (*Plan).expiring},
	}
}

// tellStory has some plans tell one.
func (p *Plan) tellStory() {
	d := newDice(p.Seed, "story") // What else happens stays as it was drawn.
	if !d.chance(0.4) || p.Files {
		return
	}
	all := stories()
	s := all[d.IntN(len(all))]
	p.Story = s.name
	s.tell(p, d)
	for i := range p.Events {
		p.Events[i].App %= p.Apps
	}
}

// several adds some events of a story at random times, each as draw makes it.
func (p *Plan) several(d *dice, least, most int, draw func(at time.Duration) Event) {
	for range least + d.IntN(most-least+1) {
		e := draw(d.upTo(p.For).Round(time.Millisecond))
		e.For = min(e.For, p.For-e.At).Round(time.Millisecond)
		p.Events = append(p.Events, e)
	}
}

// ownProcesses gives each app its own.
func (p *Plan) ownProcesses() {
	p.Together = false
	p.Events = slices.DeleteFunc(p.Events, func(e Event) bool { return e.Kind == LeaveOut })
}

// dense has as many rows as a world may have, and an API that answers soon: many small pages take time. A command that reads the rows before a time in them
// may take longer than it has even so.
func (p *Plan) dense() {
	const most, slowest = 2, 50 * time.Millisecond // In a second.
	p.API.Rate, p.BothAtOnce = min(most, p.densest()), false
	p.API.Latency, p.API.LatencyJitter = min(p.API.Latency, slowest), min(p.API.LatencyJitter, slowest)
}

// atCommits has processes and commands fail just when they commit, where markers are late.
func (p *Plan) atCommits(d *dice) {
	p.MarkerDelay = d.logBetween(latestMarker/3, latestMarker)
	kinds := []Kind{Kill, Kill, CutKafka, Pause}
	p.several(d, 3, 10, func(at time.Duration) Event {
		e := Event{At: at, Kind: kinds[d.IntN(len(kinds))], AtCommit: true, App: d.IntN(p.Apps), Process: d.IntN(p.Standbys + 1)}
		e.For = d.logBetween(10*time.Millisecond, 3*time.Minute)
		if e.Kind == Kill {
			e.For = d.logBetween(10*time.Millisecond, 3*time.Second)
		}
		return e
	})
	p.several(d, 1, 4, func(at time.Duration) Event {
		e := p.command(d, nil)
		e.At, e.Kind, e.AtCommit = at, []Kind{Reset, ResetRange, ResetRange, Audit}[d.IntN(4)], true
		return e
	})
}

// openBeside has an app's transaction stay open while another one, whose positions are in the same partition, begins anew.
func (p *Plan) openBeside(d *dice) {
	p.ownProcesses()
	p.Apps, p.Standbys = 2, 0
	for range 2 + d.IntN(4) {
		at := d.upTo(p.For).Round(time.Millisecond)
		dead := Event{At: at, Kind: Kill, AtCommit: true, App: d.IntN(2), For: d.logBetween(time.Minute, 5*time.Minute)}
		next := Event{At: at + d.logBetween(5*time.Second, 2*time.Minute), Kind: Kill, App: 1 - dead.App, For: d.logBetween(100*time.Millisecond, 5*time.Second)}
		next.At = min(p.For, next.At).Round(time.Millisecond)
		dead.For, next.For = min(dead.For, p.For-dead.At).Round(time.Millisecond), min(next.For, p.For-next.At).Round(time.Millisecond)
		p.Events = append(p.Events, dead, next)
	}
}

// wrongOnce has the API's replies be wrong, and right when it is asked again: each window adds up in the end.
func (p *Plan) wrongOnce(*dice) {
	u := &p.API.Unknowns
	p.StaleBy, u.Late, u.NoTotal, u.Drift, u.Clock = 0, 0, false, false, sim.ServerClock
	p.APIFaults, p.Once = []sim.Fault{sim.WrongTotal, sim.Displaced, sim.Repeated, sim.Truncated}, true
	p.dense()
	p.Events = append(p.Events, Event{Kind: BadAPI, For: p.For})
}

// badAPI has the API misbehave a few times, for minutes.
func (p *Plan) badAPI(d *dice) {
	p.several(d, 2, 5, func(at time.Duration) Event {
		return Event{At: at, Kind: BadAPI, App: d.IntN(p.Apps), For: d.logBetween(time.Minute, 10*time.Minute)}
	})
}

// longBacklog has history take long that is read behind the head, while operators change positions.
func (p *Plan) longBacklog(d *dice) {
	p.LiveFirst, p.Quota, p.API.Burst, p.Lists = true, "150/m", 0, false
	p.Fixed.Catchup, p.Fixed.PageSize = "live-first", smallestPage
	p.Past = d.logBetween(time.Hour, 6*time.Hour).Round(time.Second)
	p.dense()
	const soon = 8 * time.Minute
	p.several(d, 2, 5, func(at time.Duration) Event {
		e := p.command(d, nil)
		e.At, e.Kind, e.Dies, e.Network = at%soon, []Kind{Reset, Reset, ResetRange}[d.IntN(3)], 0, ""
		e.To = d.upTo(p.Past).Round(time.Second)
		e.From = e.To + d.logBetween(time.Minute, time.Hour).Round(time.Second)
		return e
	})
}

// forgotten has no process run for longer than the API's history.
func (p *Plan) forgotten(d *dice) {
	p.Statistics = false // The hours that are over have none any more.
	p.API.OldIsError = d.chance(0.5)
	away := Event{At: (time.Minute + d.upTo(p.For/2)).Round(time.Millisecond), Kind: Away, For: p.API.History + d.logBetween(20*time.Minute, 48*time.Hour).Round(time.Second)}
	for i := range p.Events {
		if e := &p.Events[i]; e.At >= away.At {
			e.At += away.For
		} else {
			e.For = min(e.For, away.At-e.At)
		}
	}
	p.Events = append(p.Events, away)
	p.For += away.For
	p.API.Burst = 0
	p.API.Rate = min(p.API.Rate, p.densest())
}

// repairsNear has operators publish late rows that are near a position which stands still.
func (p *Plan) repairsNear(d *dice) {
	u := &p.API.Unknowns
	u.Late, u.LateFrom, u.LateBy = 0.3, 2*time.Second, d.logBetween(10*time.Second, time.Minute)
	p.Standbys, p.Lists, p.Fixed.Overlap = 0, false, longestOverlap.String()
	p.dense()
	for range 2 + d.IntN(4) {
		cut := Event{At: d.upTo(p.For).Round(time.Millisecond), Kind: CutAPI, App: d.IntN(p.Apps), For: d.logBetween(2*time.Minute, 6*time.Minute).Round(time.Second)}
		cut.For = min(cut.For, p.For-cut.At)
		since := d.logBetween(20*time.Second, 2*time.Minute).Round(time.Second)
		repair := Event{At: min(p.For, cut.At+since), Kind: Audit, App: cut.App, For: time.Second}
		repair.To = since + d.upTo(longestOverlap).Round(time.Second)
		repair.From = repair.To + 10*time.Minute
		p.Events = append(p.Events, cut, repair)
	}
}

// lateAndFound has rows come late that the run itself must have found in the end.
func (p *Plan) lateAndFound(d *dice) {
	u := &p.API.Unknowns
	u.Late, u.LateFrom, u.LateBy, u.Clock, u.NoTotal = 0.1, 2*time.Second, d.logBetween(time.Minute, 8*time.Minute), sim.ServerClock, false
	p.StaleBy, p.Lists, p.Fixed.Recheck = 0, false, searches // Of lists, rows are looked for a day later alone.
}

// searches is for late rows after ten minutes.
const searches = "10m,24h"

// behind has the API's replies be behind, and nothing else be wrong with them.
func (p *Plan) behind(d *dice) {
	p.StaleBy, p.APIFaults, p.Fixed.Overlap = d.logBetween(10*time.Second, 90*time.Second), []sim.Fault{sim.Stale}, longestOverlap.String()
	p.dense()
	p.badAPI(d)
}

// cutOffGroup has processes not hear of their group while they reach all else.
func (p *Plan) cutOffGroup(d *dice) {
	p.Standbys = max(1, p.Standbys)
	p.dense()
	p.several(d, 2, 6, func(at time.Duration) Event {
		return Event{At: at, Kind: CutGroup, App: d.IntN(p.Apps), Process: d.IntN(p.Standbys + 1), For: d.logBetween(10*time.Second, 4*time.Minute)}
	})
}

// expiring has cursors expire where each request counts, and processes live on.
func (p *Plan) expiring(d *dice) {
	p.Quota, p.API.Burst, p.Lists, p.APIFaults = "150/m", 0, false, []sim.Fault{sim.ExpiredEarly}
	p.Fixed.PageSize, p.Fixed.Overlap = smallestPage, longestOverlap.String()
	p.dense()
	p.API.Rate = min(0.8, p.API.Rate)
	p.API.Late, p.API.Drift, p.API.EmptyPages, p.API.NoTotal = 0, false, false, false // They take requests of their own.
	p.Past = min(p.Past, 2*time.Minute)                                               // What windows were that are divided then is read in small ones.
	p.Events = slices.DeleteFunc(p.Events, func(e Event) bool {
		return e.At >= p.For/2 && (e.Kind == Kill || e.Kind == Terminate || e.Kind == Replace)
	})
	bad := Event{At: p.For * 2 / 3, Kind: BadAPI, App: d.IntN(p.Apps)}
	bad.For = min(p.For-bad.At, d.logBetween(3*time.Minute, 10*time.Minute).Round(time.Second))
	p.Events = append(p.Events, bad)
}

// Package world simulates hours and days of jmpub's operation from a seed: real processes of jmpub, a model of Kafka, the project's
// simulator of the API, faults of all of them, and operators who are slow. There are no sockets, and the clock is that of
// testing/synctest, so an hour costs about a second of CPU.
//
// A [Plan] is drawn from a seed; [Plan.Run] lets it happen, heals everything in the end, and returns what is wrong then. What a reader may
// see is decided by what happened to the world alone (check.go): jmpub's own reports are held against that, and never believed.
package world

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

const (
	// smallestPage is the smallest page that processes and commands ask for; largestPage that of a world with more rows in a second than
	// usualBurst, of which there are largestBurst at most.
	smallestPage = 3
	largestPage  = 1000
	usualBurst   = 3000
	largestBurst = 100_000
)

// The memory of windows, where it is small: there, some are streamed.
const (
	smallestMemory = 10_000
	largestMemory  = 200_000
)

// latestMarker is how late a transaction's markers can be.
const latestMarker = 3 * time.Second

// Plan is all that chance decides of a world, but for the fate of single messages, which is drawn from Seed as they come.
type Plan struct {
	Seed uint64
	// For is how long faults and operators are at work. The world goes on until everything has healed.
	For time.Duration
	// Past is how much history there is at the begin.
	Past time.Duration
	// Apps are how many apps are published into the same topics, each by processes of its own.
	Apps int
	// Together has the same processes publish all apps, which a file names.
	Together bool
	// Standbys are how many more processes there are of each app than one.
	Standbys int
	// API is the first app's. It has no times of its own: Begin and BurstAt are set by the run.
	API sim.Options
	// Quota is how many requests to the API processes and commands may make, as in the settings.
	Quota string
	// StaleBy is how far the API is behind in some replies when it misbehaves; zero where it is never.
	StaleBy time.Duration
	// BurstAt is when there is a burst, since the world began.
	BurstAt time.Duration
	Brokers int
	// Lists has processes follow the groups and chat rooms of the API's lists, each as a stream of its own, instead of all messages.
	Lists bool
	// Statistics has them follow the statistics of messages besides.
	Statistics bool
	// Files has positions kept in files, which delivers at least once.
	Files bool
	// LiveFirst has processes read history behind the head, each as it begins or none.
	LiveFirst bool
	// Early has processes publish rows before they have settled, each as it begins or none.
	Early bool
	// Dense has as much happen as a world may have, where pages are small: a page does not hold what comes within a poll.
	Dense bool
	// Formats has processes publish events in JSON or in Avro, each as it begins.
	Formats bool
	// BothAtOnce has two operators change the same stream in the end, when everything has healed.
	BothAtOnce bool
	// Memory is what a window may take of a process's memory, and all that wait; zero is the default.
	Memory int
	// MarkerDelay is how late markers of transactions are, at most.
	MarkerDelay time.Duration
	// Compact is how often compacted topics are; never where zero.
	Compact time.Duration
	// Forget is how long brokers and coordinators remember a producer that writes nothing; zero is the default.
	Forget time.Duration
	// APIFaults are the ways in which the API misbehaves, all where there are none. Once has it do so once for each range that is asked for.
	APIFaults []sim.Fault
	Once      bool
	// Fixed are settings of all processes and commands, where they are set.
	Fixed struct {
		Overlap, Recheck, Catchup string
		PageSize                  int
	}
	// Story is which one it tells; most tell none.
	Story  string
	Events []Event
}

// Draw makes the plan of a seed, in which things happen for so long at most.
func Draw(seed uint64, most time.Duration) *Plan {
	d := newDice(seed, "plan")
	const shortest, densest, day = 20 * time.Minute, 3, 24 * time.Hour
	p := &Plan{
		Seed: seed, For: d.logBetween(min(shortest, most/densest), most).Round(time.Second), Past: d.upTo(most / 2).Round(time.Second),
		Brokers: []int{1, 3}[d.IntN(2)], MarkerDelay: d.logBetween(time.Millisecond, latestMarker),
	}
	p.LiveFirst = d.chance(0.5)
	p.Early = newDice(seed, "early").chance(0.7)
	p.API = sim.Defaults()
	p.API.Seed = d.Uint64()
	p.API.Rate = math.Exp(math.Log(0.002) + d.Float64()*math.Log(0.5/0.002))
	p.API.Users, p.API.Groups, p.API.Rooms = 20, 5, 3
	switch {
	case d.chance(0.05): // Dense enough for history to take minutes.
		p.API.Rate *= 4
	case d.chance(0.1):
		p.API.Rate, p.Past = min(p.API.Rate, 0.05), min(day, d.logBetween(most/2, 12*most)).Round(time.Second)
	}
	if d.chance(0.2) {
		p.API.Burst, p.BurstAt = int(d.logBetween(10, usualBurst)), d.upTo(p.For).Truncate(time.Second)
		if d.chance(0.1) {
			p.API.Burst = int(d.logBetween(usualBurst, largestBurst))
		}
	}
	if d.chance(0.5) {
		p.API.IrregularRows = 0.02
	}
	p.kafka(d)
	p.unknowns(d)
	// Where one cursor stands for all pages, as many as that take too long.
	p.Dense = p.Early && !p.API.ConstantCursor && newDice(seed, "dense").chance(0.1)
	p.Lists, p.Statistics, p.Files = d.chance(0.2), d.chance(0.2), d.chance(0.1) && !p.Together
	if p.Files { // They belong to one.
		p.Standbys = 0
	}
	if p.Lists {
		p.API.Groups, p.API.Rooms = 2, 1
	}
	if p.API.Rate = min(p.API.Rate, p.densest()); p.Dense {
		p.dense()
	}
	p.Quota = "6000/m"
	if p.API.Burst == 0 && !p.Lists && d.chance(0.3) {
		p.Quota = []string{"600/m", "150/m"}[d.IntN(2)]
	}
	if p.Dense && p.Quota == "150/m" {
		p.Quota = "600/m"
	}
	hours := max(p.For.Hours(), 0.5) * float64(p.Apps)
	const faults, commands = 4, 3 // In an hour.
	for range d.count(faults * hours) {
		p.Events = append(p.Events, p.fault(d))
	}
	if d.chance(0.7) {
		var all []Event
		for range d.count(commands * hours) {
			all = append(all, p.command(d, all))
		}
		p.Events = append(p.Events, all...)
	}
	p.Formats = d.chance(0.2)
	p.BothAtOnce = newDice(p.Seed, "both at once").chance(0.3) // What else happens stays as it was drawn.
	p.Events = append(p.Events, p.pauses(hours)...)
	p.Events = append(p.Events, p.slowStarts()...)
	p.Events = append(p.Events, p.audits(hours)...)
	p.tellStory()
	slices.SortStableFunc(p.Events, func(a, b Event) int { return int(a.At - b.At) })
	return p
}

// densest is how many rows a second an app may have on average, bursts left out.
func (p *Plan) densest() float64 {
	const rows = 5000
	return rows / (p.Past + p.For + healing).Seconds() / float64(p.Apps)
}

// kafka draws what else shares the topics, and how small everything is.
func (p *Plan) kafka(d *dice) {
	p.Apps = 1
	switch {
	case d.chance(0.15):
		p.Together, p.Apps = true, 2+d.IntN(3)
	case d.chance(0.2):
		p.Apps = 2
	}
	p.Standbys = []int{0, 0, 1, 2}[d.IntN(4)]
	if d.chance(0.3) {
		p.Memory = int(d.logBetween(smallestMemory, largestMemory))
		p.API.Burst, p.BurstAt = int(d.logBetween(10, usualBurst)), d.upTo(p.For).Truncate(time.Second)
	}
	if d.chance(0.5) {
		p.Compact = d.logBetween(time.Minute, time.Hour).Round(time.Second)
	}
	if d.chance(0.2) {
		p.Forget = d.logBetween(time.Minute, time.Hour).Round(time.Second)
	}
}

// api is the API of an app.
func (p *Plan) api(app int) sim.Options {
	o := p.API
	if app > 0 {
		o.AppKey = o.AppKey[:len(o.AppKey)-1] + itoa(app)
		o.Seed += uint64(app)
		o.Burst = 0
	}
	return o
}

// unknowns draws what the API's documents leave open.
func (p *Plan) unknowns(d *dice) {
	u := &p.API.Unknowns
	u.BeginStrict, u.EndStrict, u.EndMillis = d.chance(0.3), d.chance(0.3), d.chance(0.3)
	u.CursorAtEnd, u.EmptyPages, u.ConstantCursor, u.NoTotal, u.EmptyCursor = d.chance(0.3), d.chance(0.1), d.chance(0.1), d.chance(0.1), d.chance(0.3)
	if d.chance(0.2) {
		u.Clock = sim.SenderClock
	}
	if d.chance(0.4) {
		u.Late, u.LateFrom, u.LateBy = d.Float64()*[]float64{0.01, 0.3}[d.IntN(2)], 2*time.Second, d.logBetween(10*time.Second, 8*time.Minute)
	}
	u.Drift = d.chance(0.2)
	if d.chance(0.3) {
		p.StaleBy = d.logBetween(5*time.Second, 2*time.Minute)
	}
	p.API.Latency, p.API.LatencyJitter = d.logBetween(time.Millisecond, time.Second), d.logBetween(time.Millisecond, time.Second)
	// A second whose pages take longer than a cursor lives cannot be read by anybody.
	const reading = 40 * time.Second
	p.API.Burst = min(p.API.Burst, p.leastPage()*int(reading/(p.API.Latency+p.API.LatencyJitter)))
}

// leastPage is the smallest page that is asked for.
func (p *Plan) leastPage() int {
	if p.API.Burst > usualBurst {
		return largestPage
	}
	return smallestPage
}

// page draws how many rows a process or a command asks for at a time: not many more than it has memory for.
func (p *Plan) page(d *dice) int {
	const usual = 50
	sizes := []int{p.leastPage(), max(usual, p.leastPage()), largestPage}
	if p.Dense {
		sizes = []int{p.leastPage(), p.leastPage(), p.leastPage()}
	}
	if p.Memory > 0 {
		sizes = sizes[:2]
	}
	return sizes[d.IntN(len(sizes))]
}

// fault draws one that is over when the plan is.
func (p *Plan) fault(d *dice) Event {
	kinds := []Kind{Kill, Kill, Kill, Terminate, Pause, Replace, CutKafka, CutAPI, Lossy, Slow, Broker, Brokers, BadAPI}
	e := Event{At: d.upTo(p.For).Round(time.Millisecond), Kind: kinds[d.IntN(len(kinds))], For: d.logBetween(100*time.Millisecond, 10*time.Minute).Round(time.Millisecond)}
	if p.Together && d.chance(0.1) {
		e.Kind = LeaveOut
	}
	switch e.Kind {
	case Kill, Terminate:
		e.For = d.logBetween(time.Second, time.Minute).Round(time.Millisecond) // Until the next one.
	case Broker:
		e.Broker = 1 + d.IntN(p.Brokers)
	default:
	}
	e.For, e.App, e.Process = min(e.For, p.For-e.At), d.IntN(p.Apps), d.IntN(p.Standbys+1)
	return e
}

// audits draws operators who repair what another one is about to repair: what has just come late, where the API has late rows, before the
// run looks for it.
func (p *Plan) audits(hours float64) (all []Event) {
	d := newDice(p.Seed, "audits") // What else happens stays as it was drawn.
	if p.API.Late == 0 {
		return nil
	}
	for range d.count(hours) {
		first := Event{At: d.upTo(p.For).Round(time.Millisecond), Kind: Audit, App: d.IntN(p.Apps)}
		first.To = d.logBetween(10*time.Second, 5*time.Minute).Round(time.Second)
		first.From = (first.To + d.logBetween(time.Minute, time.Hour)).Round(time.Second)
		first.For = d.logBetween(100*time.Millisecond, 10*time.Second).Round(time.Millisecond)
		second := first
		second.At = min(p.For, first.At+d.upTo(3*time.Second)).Round(time.Millisecond)
		second.For = d.logBetween(100*time.Millisecond, 10*time.Second).Round(time.Millisecond)
		all = append(all, first, second)
	}
	return all
}

// slowStarts draws processes that are stopped while they begin, for long enough, for the most part, that another one takes their place.
func (p *Plan) slowStarts() (all []Event) {
	const messages = 150                // About as many as the start of a few apps takes.
	d := newDice(p.Seed, "slow starts") // What else happens stays as it was drawn.
	for i := range p.Events {
		if e := &p.Events[i]; (e.Kind == Kill || e.Kind == Terminate) && d.chance(0.3) {
			all = append(all, Event{
				At: e.At, Kind: SlowStart, App: e.App, Process: e.Process, Message: 1 + d.IntN(messages),
				For: d.logBetween(time.Second, 5*time.Minute).Round(time.Millisecond),
			})
		}
	}
	return all
}

// command draws what an operator does, after those who were drawn before.
func (p *Plan) command(d *dice, before []Event) Event {
	kinds := []Kind{Reset, Reset, ResetRange, ResetRange, Delete, Replay, Audit, Audit, Windows}
	e := Event{At: d.upTo(p.For).Round(time.Millisecond), Kind: kinds[d.IntN(len(kinds))]}
	e.For = d.logBetween(100*time.Millisecond, 2*time.Minute).Round(time.Millisecond)
	e.To = d.logBetween(10*time.Second, p.Past+e.At+time.Minute).Round(time.Second)
	e.From = (e.To + d.logBetween(time.Second, time.Hour)).Round(time.Second)
	if d.chance(0.3) {
		e.Dies = d.logBetween(10*time.Millisecond, e.For+30*time.Second).Round(time.Millisecond)
	}
	e.Elsewhere, e.Stream, e.App = d.chance(0.5), d.IntN(1000), d.IntN(p.Apps)
	if d.chance(0.3) {
		e.Network = []Kind{Slow, Lossy}[d.IntN(2)]
	}
	if len(before) > 0 && d.chance(0.4) {
		p.inCompany(d, &e, &before[d.IntN(len(before))])
	}
	return e
}

// pauses draws what operators pause, and resume for the most part: sometimes before the pause is through, or while others pause and resume the
// same. What is paused in the end is resumed when everything heals.
func (p *Plan) pauses(hours float64) (all []Event) {
	d := newDice(p.Seed, "pauses") // What else happens stays as it was drawn.
	if !d.chance(0.2) {
		return nil
	}
	const hourly, resumed, longest = 2, 0.8, 20 * time.Minute
	for range 1 + d.count(hourly*hours) {
		e := Event{At: d.upTo(p.For), Kind: PauseStream, App: d.IntN(p.Apps), Stream: d.IntN(1000), Whole: d.chance(0.4)}
		if len(all) > 0 && d.chance(0.5) {
			other := &all[d.IntN(len(all))]
			e.App, e.Stream, e.At = other.App, other.Stream+d.IntN(2), min(p.For, other.At+d.logBetween(10*time.Millisecond, time.Minute))
		}
		pair := []Event{e}
		if d.chance(resumed) {
			e.Kind, e.At = ResumeStream, min(p.For, e.At+d.logBetween(10*time.Millisecond, longest))
			if d.chance(0.2) {
				e.Whole = !e.Whole
			}
			pair = append(pair, e)
		}
		for _, e := range pair {
			e.At = e.At.Round(time.Millisecond)
			if d.chance(0.3) {
				e.Dies = d.logBetween(10*time.Millisecond, 30*time.Second).Round(time.Millisecond)
			}
			if d.chance(0.3) {
				e.Network = []Kind{Slow, Lossy}[d.IntN(2)]
			}
			all = append(all, e)
		}
	}
	return all
}

// inCompany has a command be about the app, the stream and the times of another one, or about times that border on those, and often be
// given while the other one is at work.
func (p *Plan) inCompany(d *dice, e, other *Event) {
	e.App, e.Stream = other.App, other.Stream
	if d.chance(0.5) {
		e.Kind = other.Kind
	}
	if d.chance(0.5) {
		e.At = min(p.For, other.At+d.logBetween(10*time.Millisecond, 2*time.Minute).Round(time.Millisecond))
	}
	begin, end := (other.At - other.From).Truncate(time.Second), (other.At - other.To).Truncate(time.Second)
	length, border := d.logBetween(time.Second, time.Hour).Truncate(time.Second), time.Duration(d.IntN(2))*time.Second
	switch d.IntN(4) {
	case 0: // The same.
	case 1: // Behind it, with an end in common or not.
		begin, end = end+border, end+border+length
	case 2: // Before it.
		begin, end = begin-border-length, begin-border
	default: // Its later half.
		begin = (begin + (end-begin)/2).Truncate(time.Second)
	}
	e.From, e.To = e.At-begin, e.At-end
}

// Without is the plan with some of its events left out.
func (p *Plan) Without(leave func(i int) bool) *Plan {
	less := *p
	less.Events = nil
	for i, e := range p.Events {
		if !leave(i) {
			less.Events = append(less.Events, e)
		}
	}
	return &less
}

func (p *Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %s, %s of history, %.3g rows/s, %d brokers", p.Seed, p.For, p.Past, p.API.Rate, p.Brokers)
	for _, one := range []struct {
		is   bool
		name string
	}{
		{p.Story != "", "the story of " + p.Story},
		{p.Together, fmt.Sprintf("%d apps of a file", p.Apps)},
		{p.Apps > 1 && !p.Together, "two apps"},
		{p.Quota != "6000/m", p.Quota},
		{p.StaleBy > 0, "replies that are behind by " + p.StaleBy.String()},
		{p.Standbys > 0, fmt.Sprintf("%d standbys", p.Standbys)},
		{p.Lists, "lists"},
		{p.Statistics, "statistics"},
		{p.Files, "file checkpoints"},
		{p.LiveFirst, "live first"},
		{p.Early, "early"},
		{p.Dense, "dense"},
		{p.Formats, "two formats"},
		{p.Memory > 0, fmt.Sprintf("%d bytes of memory", p.Memory)},
		{p.Compact > 0, "compacted every " + p.Compact.String()},
		{p.Forget > 0, "producers forgotten after " + p.Forget.String()},
	} {
		if one.is {
			b.WriteString(", " + one.name)
		}
	}
	fmt.Fprintf(&b, "\n  %+v", p.API.Unknowns)
	for _, e := range p.Events {
		b.WriteString("\n  " + e.String())
	}
	return b.String()
}

// dice draws what a purpose needs; another purpose's draws do not change it. It is not safe for concurrent use.
type dice struct{ *rand.Rand }

func newDice(seed uint64, purpose string) *dice {
	mixed := seed
	for _, c := range purpose {
		mixed = mixed*1099511628211 + uint64(c)
	}
	return &dice{rand.New(rand.NewPCG(seed, mixed))} //nolint:gosec // Not for secrets.
}

func (d *dice) chance(p float64) bool { return d.Float64() < p }

func (d *dice) upTo(most time.Duration) time.Duration {
	return time.Duration(d.Int64N(int64(most) + 1))
}

// logBetween draws a duration whose order of magnitude is even.
func (d *dice) logBetween(least, most time.Duration) time.Duration {
	return time.Duration(float64(least) * math.Exp(d.Float64()*math.Log(float64(most)/float64(least))))
}

// count draws how often something happens that happens so often on average.
func (d *dice) count(mean float64) (n int) {
	for left := d.ExpFloat64(); left < mean; left += d.ExpFloat64() {
		n++
	}
	return n
}

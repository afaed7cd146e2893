package fleet

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/status"
)

// The states of an app that no process says of it.
const (
	// StateSilent is an app whose process is not heard of.
	StateSilent = "silent"
	// StateNobody is an app that the settings name, and no process has.
	StateNobody = "nobody"
)

const (
	// silence is after how long a process is not heard of: it says something every 10 s.
	silence = 30 * time.Second
	// forgotten is for how long one is shown that is not heard of, and had nothing that others do not have now.
	forgotten = time.Hour
)

// Fleet is what is known of the processes of a group and of their apps at one moment.
type Fleet struct {
	// Apps are all apps, those first that are not published, then those that are furthest behind.
	Apps []App `json:"apps"`
	// Processes are those that are heard of, and those that are not any more.
	Processes []Member `json:"processes"`
	// FilesDiffer tells that processes that are heard of have other apps in their files than others. An app that its process does not have is
	// published by nobody.
	FilesDiffer bool `json:"apps_files_differ"`
	// PassedOver is how many records of the topic could not be read.
	PassedOver int `json:"records_passed_over"`
	// Incomplete says why only the apps of the process that was asked are told; empty where all are.
	Incomplete string `json:"incomplete,omitempty"`
}

// App is an app, and the process that has it.
type App struct {
	status.AppState

	// Owner is the process's name; empty where nobody has it. Instance tells of which of the same name it is.
	Owner    string `json:"owner,omitempty"`
	Instance string `json:"instance,omitempty"`
	// Heard is when the owner said this, by its own clock: of one that is silent, when it was heard of last.
	Heard time.Time `json:"heard_at,omitzero"`
}

// Member is a process.
type Member struct {
	Process     string    `json:"process"`
	Instance    string    `json:"instance"`
	Release     string    `json:"release"`
	Started     time.Time `json:"started_at"`
	Heard       time.Time `json:"heard_at"`
	Silent      bool      `json:"silent"`
	Apps        int       `json:"apps"`
	Shards      int       `json:"shards"`
	ShardsTotal int       `json:"shards_total"`
	// AppsFile is the same of two processes that have the same apps in their files; empty of one without a file.
	AppsFile string `json:"apps_file,omitempty"`

	// offset is that of the newest word of it, parts how many records that word has.
	offset int64
	parts  int
}

// Own is what one process knows by itself while what others have said cannot be read, and why that is so.
func Own(p *Process, now time.Time, why error) *Fleet {
	own := part{
		Process: p.Name, Instance: p.Instance, Release: p.Release, Started: p.Started, At: now, Shards: p.Shards, ShardsTotal: p.ShardsTotal,
		AppsFile: p.AppsFile, Parts: 1, Apps: p.Apps,
	}
	f := (&Told{parts: []*part{&own}}).Merge(nil, now)
	f.Incomplete = why.Error()
	return f
}

// Merge makes one picture of what the processes have said, and of the apps that the settings name. Of two who say that they have an app, the
// one counts whose word is newer: the topic has an order, and clocks may differ.
func (t *Told) Merge(named []status.AppName, now time.Time) *Fleet {
	members := t.members(now)
	claims := t.claims(members)
	f := &Fleet{Apps: []App{}, Processes: []Member{}, PassedOver: t.PassedOver}
	for _, name := range named {
		if _, claimed := claims[name]; !claimed {
			f.Apps = append(f.Apps, App{AppState: status.AppState{AppName: name, State: StateNobody}})
		}
	}
	for _, c := range claims {
		c.member.Apps++
		f.Apps = append(f.Apps, c.app(now))
	}
	slices.SortFunc(f.Apps, compareApps)
	for _, m := range members {
		if !m.Silent || m.Apps > 0 || now.Sub(m.Heard) <= forgotten {
			f.Processes = append(f.Processes, *m)
		}
	}
	f.FilesDiffer = filesDiffer(f.Processes)
	slices.SortFunc(f.Processes, func(a, b Member) int {
		return cmp.Or(compareBool(a.Silent, b.Silent), strings.Compare(a.Process, b.Process), a.Started.Compare(b.Started),
			strings.Compare(a.Instance, b.Instance))
	})
	return f
}

// filesDiffer tells whether those that are heard of have different apps in their files.
func filesDiffer(all []Member) bool {
	known := ""
	for i := range all {
		if m := &all[i]; !m.Silent && m.AppsFile != "" {
			if known != "" && known != m.AppsFile {
				return true
			}
			known = m.AppsFile
		}
	}
	return false
}

// instance tells processes apart.
type instance struct{ name, instance string }

func (p *part) of() instance { return instance{p.Process, p.Instance} }

// members are the processes, each as its newest word has it.
func (t *Told) members(now time.Time) map[instance]*Member {
	members := make(map[instance]*Member)
	for _, p := range t.parts {
		if known := members[p.of()]; known == nil || p.offset > known.offset {
			members[p.of()] = &Member{
				Process: p.Process, Instance: p.Instance, Release: p.Release, Started: p.Started, Heard: p.At, Silent: now.Sub(p.At) > silence,
				Shards: p.Shards, ShardsTotal: p.ShardsTotal, AppsFile: p.AppsFile, offset: p.offset, parts: p.Parts,
			}
		}
	}
	return members
}

// claim is the word of a process that it has an app.
type claim struct {
	state  *status.AppState
	member *Member
	offset int64
}

// claims are the newest word about each app.
func (t *Told) claims(members map[instance]*Member) map[status.AppName]claim {
	claims := make(map[status.AppName]claim)
	for _, p := range t.parts {
		m := members[p.of()]
		if p.Part >= m.parts { // The process has fewer apps by now.
			continue
		}
		for i := range p.Apps {
			name := p.Apps[i].AppName
			if known, claimed := claims[name]; !claimed || p.offset > known.offset {
				claims[name] = claim{&p.Apps[i], m, p.offset}
			}
		}
	}
	return claims
}

// app is the app now. That of a process which is silent falls behind, as far as anybody knows.
func (c *claim) app(now time.Time) App {
	a := App{AppState: *c.state, Owner: c.member.Process, Instance: c.member.Instance, Heard: c.member.Heard}
	if !c.member.Silent {
		return a
	}
	a.State = StateSilent
	if a.LagSeconds != nil {
		a.LagSeconds = new(math.Round(*a.LagSeconds + now.Sub(a.Heard).Seconds()))
	}
	a.Requests, a.QuotaLimit, a.QuotaRemaining = 0, nil, nil
	return a
}

// compareApps has those first that are not published, and then those that are furthest behind.
func compareApps(a, b App) int {
	return cmp.Or(cmp.Compare(rank(&a), rank(&b)), cmp.Compare(behind(&b), behind(&a)), strings.Compare(a.AppKey, b.AppKey),
		strings.Compare(a.TopicPrefix, b.TopicPrefix))
}

func rank(a *App) int {
	order := []string{status.StateFailed, StateSilent, StateNobody}
	if i := slices.Index(order, a.State); i >= 0 {
		return i
	}
	return len(order)
}

// behind is the lag by which apps are sorted. One that has read nothing yet is further behind than any other.
func behind(a *App) float64 {
	if a.LagSeconds == nil {
		return math.Inf(1)
	}
	return *a.LagSeconds
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

package status

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/jmpub/jmpub/pipeline"
)

// ProcessOptions describe a process that publishes apps.
type ProcessOptions struct {
	Version string
	// KafkaSilentSince is since when Kafka has not answered; zero where it does. nil knows nothing of it.
	KafkaSilentSince func() time.Time
	// Now is the local clock; default time.Now.
	Now pipeline.Clock
	// Many tells that the apps come from a file: /readyz tells of all of them in short, and metrics name an app by its key and its topic
	// prefix. Without it there is one app, which /readyz tells everything of.
	Many bool
}

// Process shows the status of a process and of its apps, which come and go. Safe for concurrent use.
type Process struct {
	opts        ProcessOptions
	families    *families
	instruments *instruments
	registry    *prometheus.Registry
	// started is when it was made, flow what passed through since.
	started time.Time
	flow    flow

	mu sync.Mutex // Guards what follows, and is not held while an app is looked at that is shown.
	// apps are those that are shown, by their keys; the only one has none.
	apps map[string]*Status
	// retired are the counters of apps that are gone, as far as they are the process's.
	retired samples
	group   membership
}

// membership is what is known of the consumer group. members is 0 where this process does not share out.
type membership struct{ members, shards, joins int }

// NewProcess shows no app yet.
func NewProcess(o ProcessOptions) *Process {
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Process{opts: o, families: newFamilies(o.Many), instruments: newInstruments(o.Many), started: o.Now(), apps: make(map[string]*Status)}
	p.registry = p.newRegistry()
	return p
}

// Add makes an app's status and shows it from now on. It takes the place of one that is shown with the same app key, or, where there are
// not many apps, of the one that is shown.
func (p *Process) Add(o Options) *Status {
	s := newStatus(p, o)
	p.mu.Lock()
	defer p.mu.Unlock()
	if before := p.apps[p.id(s)]; before != nil {
		p.retire(before)
	}
	p.apps[p.id(s)] = s
	return s
}

// Remove shows an app no more. What has taken its place stays.
func (p *Process) Remove(s *Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if id := p.id(s); p.apps[id] == s {
		p.retire(s)
		delete(p.apps, id)
	}
}

// Version is that of this jmpub.
func (p *Process) Version() string { return p.opts.Version }

// Many tells whether the apps come from a file.
func (p *Process) Many() bool { return p.opts.Many }

// Title says what is shown, in a line.
func (p *Process) Title() string {
	if p.opts.Many {
		return fmt.Sprintf("jmpub %s, apps: %d", p.opts.Version, len(p.shown()))
	}
	s := p.only()
	if s == nil {
		return "jmpub " + p.opts.Version
	}
	return fmt.Sprintf("jmpub %s, app %s, delivery: %s", p.opts.Version, s.opts.AppKey, s.opts.Delivery)
}

// Metrics serves the metrics, which are made anew for each request.
func (p *Process) Metrics() http.Handler {
	return promhttp.HandlerFor(p.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// Joined notes that the process has joined its consumer group: with how many members, as far as it is told of them, 0 otherwise.
func (p *Process) Joined(members int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.group.members = members
	p.group.joins++
}

// HasShards notes how many shards of its group the process has from now on.
func (p *Process) HasShards(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.group.shards = n
}

// id is the place at which an app is shown.
func (p *Process) id(s *Status) string {
	if !p.opts.Many {
		return ""
	}
	return s.opts.AppKey
}

// shown are the apps that are shown now, by app key.
func (p *Process) shown() []*Status {
	all, _, _ := p.toCollect()
	return all
}

// toCollect are the apps that are shown now, and what is left of those that are not.
func (p *Process) toCollect() (all []*Status, retired []sample, group membership) {
	p.mu.Lock()
	all = slices.AppendSeq(make([]*Status, 0, len(p.apps)), maps.Values(p.apps))
	retired, group = slices.Clone(p.retired.all), p.group
	p.mu.Unlock()
	slices.SortFunc(all, func(a, b *Status) int { return strings.Compare(a.opts.AppKey, b.opts.AppKey) })
	return all, retired, group
}

// only is the app where there is one; nil before it was added.
func (p *Process) only() *Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.apps[""]
}

// Leaving says, for each stream of each app with unread time that soon leaves the API's history, how soon that is. The texts do not name the app.
func (p *Process) Leaving() []Warning {
	var all []Warning
	for _, s := range p.shown() {
		for _, text := range s.Leaving() {
			all = append(all, Warning{AppKey: s.opts.AppKey, TopicPrefix: s.opts.TopicPrefix, Text: text})
		}
	}
	return all
}

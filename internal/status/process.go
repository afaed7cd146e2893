package status

import (
	"cmp"
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
	// Now is the local clock; default time.Now.
	Now pipeline.Clock
	// Many tells that the apps come from a file: /readyz tells of all of them in short, and metrics name an app by its key and its topic
	// prefix. Without it there is one app, which /readyz tells everything of.
	Many bool
}

// Process shows the status of a process and of its apps, which come and go. Safe for concurrent use.
type Process struct {
	opts     ProcessOptions
	families *families
	// durations are those of the requests to the API, of each app or, where there are many, of all of them together.
	durations *prometheus.HistogramVec
	registry  *prometheus.Registry
	// started is when it was made, flow what passed through since.
	started time.Time
	flow    flow

	mu   sync.Mutex // Guards apps, and is not held while one of them is looked at.
	apps map[appID]*Status
}

// appID tells apps apart.
type appID struct{ key, prefix string }

// NewProcess shows no app yet.
func NewProcess(o ProcessOptions) *Process {
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Process{opts: o, families: newFamilies(o.Many), durations: newDurations(o.Many), started: o.Now(), apps: make(map[appID]*Status)}
	p.registry = p.newRegistry()
	return p
}

// Add makes an app's status and shows it from now on. It takes the place of one that is shown with the same app key and topic prefix, or,
// where there are not many apps, of the one that is shown.
func (p *Process) Add(o Options) *Status {
	s := newStatus(p, o)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.apps[p.id(s)] = s
	return s
}

// Remove shows an app no more. What has taken its place stays.
func (p *Process) Remove(s *Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if id := p.id(s); p.apps[id] == s {
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

// id is the place at which an app is shown.
func (p *Process) id(s *Status) appID {
	if !p.opts.Many {
		return appID{}
	}
	return appID{s.opts.AppKey, s.opts.TopicPrefix}
}

// shown are the apps that are shown now, by app key and topic prefix.
func (p *Process) shown() []*Status {
	p.mu.Lock()
	all := slices.AppendSeq(make([]*Status, 0, len(p.apps)), maps.Values(p.apps))
	p.mu.Unlock()
	slices.SortFunc(all, func(a, b *Status) int {
		return cmp.Or(strings.Compare(a.opts.AppKey, b.opts.AppKey), strings.Compare(a.opts.TopicPrefix, b.opts.TopicPrefix))
	})
	return all
}

// only is the app where there is one; nil before it was added.
func (p *Process) only() *Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.apps[appID{}]
}

// Warning is what will go wrong with an app if nobody acts, in a sentence that does not name the app.
type Warning struct{ AppKey, TopicPrefix, Text string }

// Leaving says, for each stream of each app with unread time that soon leaves the API's history, how soon that is.
func (p *Process) Leaving() []Warning {
	var all []Warning
	for _, s := range p.shown() {
		for _, text := range s.Leaving() {
			all = append(all, Warning{s.opts.AppKey, s.opts.TopicPrefix, text})
		}
	}
	return all
}

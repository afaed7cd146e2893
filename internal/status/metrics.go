package status

import (
	"cmp"
	"math"
	"runtime"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// newRegistry has the metrics of the process and of its apps.
func (p *Process) newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	i := p.instruments
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), counters{p},
		i.requests, i.transactions, i.sent, i.retries, i.errors)
	return r
}

// instruments count what happens when it does. They are of each app, or, where there are many, of the process.
type instruments struct {
	requests, transactions *prometheus.HistogramVec
	sent, retries, errors  *prometheus.CounterVec
}

func newInstruments(many bool) *instruments {
	of := func(labels ...string) []string {
		if many {
			return labels
		}
		return append([]string{"app"}, labels...)
	}
	durations := func(name, help string, labels []string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60},
		}, labels)
	}
	count := func(name, help string, labels []string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	return &instruments{
		requests:     durations("jmpub_request_duration_seconds", "Duration of requests to the API, by class.", of("class")),
		transactions: durations("jmpub_transaction_duration_seconds", "Time from the begin of a Kafka transaction to its end, by result.", of("result")),
		sent:         count("jmpub_kafka_sent_bytes_total", "Bytes of record batches that Kafka has taken, compressed as they were sent.", of()),
		retries: count("jmpub_retries_total", "Calls to the API, to Kafka or to a schema registry that were made again, by what was being done "+
			"and what went wrong.", of("operation", "kind")),
		errors: count("jmpub_errors_total", "Errors that ended a session, a stream or the publishing of an app, by class.", of("class")),
	}
}

// appInstruments are those of an app.
type appInstruments struct {
	requests, transactions prometheus.ObserverVec
	sent                   prometheus.Counter
	retries, errors        *prometheus.CounterVec
}

// instrumentsOf are what an app counts with. What raises an alarm when it moves begins at zero: from nothing to one would be no rise.
func (p *Process) instrumentsOf(appKey string) appInstruments {
	labels := prometheus.Labels{}
	if !p.opts.Many {
		labels["app"] = appKey
	}
	i := p.instruments
	one := appInstruments{
		requests: i.requests.MustCurryWith(labels), transactions: i.transactions.MustCurryWith(labels), sent: i.sent.With(labels),
		retries: i.retries.MustCurryWith(labels), errors: i.errors.MustCurryWith(labels),
	}
	for _, class := range []pipeline.Class{pipeline.Permanent, pipeline.Abort, pipeline.Fenced, pipeline.Drop} {
		one.errors.WithLabelValues(class.String())
	}
	one.transactions.WithLabelValues(string(pipeline.Committed))
	return one
}

// operation is the verb that what is done begins with. There are as many as the code has.
func operation(op string) string {
	verb, _, _ := strings.Cut(op, " ")
	return cmp.Or(verb, "unknown")
}

// counters turns counters and positions into metrics when it is asked, so that nothing is counted twice.
type counters struct{ process *Process }

// Describe implements prometheus.Collector. It announces nothing: which metrics there are depends on what has happened.
func (counters) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector. It looks at one app after the other, and none of them waits for whoever takes the metrics.
func (c counters) Collect(out chan<- prometheus.Metric) {
	p := c.process
	var ofApp, ofProcess samples
	states := map[string]float64{stateOwner: 0, stateStandby: 0, stateJoining: 0, stateFailed: 0}
	shown, retired, group := p.toCollect()
	for _, s := range shown {
		states[s.collect(p.families, &collected{&ofApp, &ofProcess})]++
		ofApp.send(out, s.opts.AppKey)
	}
	for _, one := range retired {
		ofProcess.put(one)
	}
	ofProcess.add(&p.families.build, 1, p.opts.Version, runtime.Version())
	for state, n := range states {
		ofProcess.add(&p.families.apps, n, state)
	}
	if group.joins > 0 {
		ofProcess.add(&p.families.shards, float64(group.shards))
		ofProcess.add(&p.families.joins, float64(group.joins))
		if group.members > 0 {
			ofProcess.add(&p.families.members, float64(group.members))
		}
	}
	ofProcess.send(out)
}

// collected takes the samples of an app, by what their metrics are of.
type collected struct{ ofApp, ofProcess *samples }

func (c *collected) add(f *family, value float64, labels ...string) {
	if f.ofProcess {
		c.ofProcess.add(f, value, labels...)
	} else {
		c.ofApp.add(f, value, labels...)
	}
}

func (c *collected) count(f *family, value int64, labels ...string) {
	c.add(f, float64(value), labels...)
}

// collect takes an app's metrics, and tells its state.
func (s *Status) collect(f *families, all *collected) (state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all.add(&f.info, 1, s.opts.Delivery, s.opts.TopicPrefix)
	all.add(&f.clocks, s.difference().Seconds())
	all.add(&f.memory, float64(s.memory))
	failed := 0.0
	if s.failed {
		failed = 1
	}
	all.add(&f.failed, failed)
	switch s.role {
	case owner:
		all.add(&f.owner, 1)
	case standby:
		all.add(&f.owner, 0)
	case joining: // Nothing is known.
	}
	if s.quota != nil {
		all.add(&f.left, float64(s.quota.Remaining))
		if s.quota.Limit > 0 {
			all.add(&f.limit, float64(s.quota.Limit))
		}
	}
	s.collectStreams(f, all)
	if len(s.opts.Discover) > 0 {
		all.add(&f.discovered, float64(s.discovered))
		all.add(&f.sweep, s.sweep.Seconds())
	}
	s.collectTotals(f, all)
	return s.state()
}

// mostLabels is how many streams of a kind are each shown by name.
const mostLabels = 100

// labels are what streams are called in metrics: by their names or, where there are many of a kind, all of it as users/*, so that what a
// scrape takes is bounded. The caller holds the lock.
func (s *Status) labels() func(pipeline.Stream) string {
	kinds := make(map[pipeline.StreamKind]int)
	for stream := range s.streams {
		kinds[stream.Kind]++
	}
	return func(stream pipeline.Stream) string {
		if kinds[stream.Kind] > mostLabels {
			stream = every(stream.Kind)
		}
		return stream.String()
	}
}

// collectTotals takes the counters that are of the app. The caller holds the lock.
func (s *Status) collectTotals(f *families, all *collected) {
	for _, reason := range event.Reasons() { // Also those that have not been: from nothing to one would be no rise.
		all.count(&f.rejected, s.totals.rejected[reason], string(reason))
	}
	all.count(&f.early, s.totals.early)
	all.count(&f.late, s.totals.late)
	all.count(&f.sessions, s.totals.sessions)
	label := s.labels()
	for stream, state := range s.streams {
		name, t := label(stream), &state.totals
		all.count(&f.rows, t.rows, name)
		if stream.Kind == pipeline.StreamStatistics { // They have no target.
			all.count(&f.events, t.published, name, string(stream.Kind))
		} else {
			for target, n := range t.events {
				all.count(&f.events, n, name, event.Target(target).String())
			}
		}
		all.count(&f.skipped, t.skipped, name)
		all.count(&f.repeated, t.repeated, name)
		all.count(&f.windows, t.windows, name)
		// What raises an alarm when it moves begins at zero: from nothing to one would be no rise.
		all.count(&f.restarts, 0, name, pipeline.Restart.String())
		all.count(&f.notices, 0, name, string(pipeline.NoticeGap))
		all.count(&f.notices, 0, name, string(pipeline.NoticeMismatch))
		for class, n := range t.restarts {
			all.count(&f.restarts, n, name, class.String())
		}
		for kind, n := range t.notices {
			all.count(&f.notices, n, name, string(kind))
		}
		all.count(&f.gapDuration, t.gapSeconds, name)
	}
}

// collectStreams takes the positions. Where there are many apps, those of statistics, which are read seldom, are no part of an app's.
func (s *Status) collectStreams(f *families, all *collected) {
	now, label := s.process.opts.Now(), s.labels()
	for stream, state := range s.streams {
		if s.process.opts.Many && (stream.Kind == pipeline.StreamStatistics || state.dropped) {
			continue
		}
		snap := s.stream(stream, state, now)
		name := label(stream)
		if !snap.Read.IsZero() {
			all.add(&f.readLag, snap.LagSeconds, name)
		}
		if !snap.Committed.IsZero() {
			all.add(&f.lag, now.Sub(snap.Committed).Seconds(), name)
			all.add(&f.end, float64(snap.Committed.Unix()), name)
		}
		if !snap.Read.IsZero() || !snap.Committed.IsZero() {
			all.add(&f.unread, snap.UnreadSeconds, name)
			all.add(&f.retention, math.Round(snap.RetentionLeftSeconds), name)
		}
	}
}

// retire adds an app's counters to those of the process which are not each app's: they go on when the app is gone. The caller holds the
// process's lock.
func (p *Process) retire(s *Status) {
	if p.opts.Many {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.collectTotals(p.families, &collected{&samples{}, &p.retired})
	}
}

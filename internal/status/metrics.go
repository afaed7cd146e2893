package status

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// newRegistry has the metrics of the process and of its apps.
func (p *Process) newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), counters{p}, p.durations)
	return r
}

// newDurations is a histogram of each app's requests. Where there are many it is one for all of them: its size is that of all other metrics of
// an app together.
func newDurations(many bool) *prometheus.HistogramVec {
	labels := []string{"app", "class"}
	if many {
		labels = labels[1:]
	}
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "jmpub_request_duration_seconds", Help: "Duration of requests to the API, by class.",
		Buckets: []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60},
	}, labels)
}

// durationsOf is where an app's requests are counted, by class.
func (p *Process) durationsOf(appKey string) prometheus.ObserverVec {
	if p.opts.Many {
		return p.durations
	}
	return p.durations.MustCurryWith(prometheus.Labels{"app": appKey})
}

// family is a metric, of whatever app.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

// families are the metrics that are made of counters when they are asked for.
type families struct {
	build, apps family
	// info and what follows are metrics of an app. Their labels begin with those that name it.
	info, clocks, owner, rejected, late, discovered, sweep, retries, sessions family
	lag, unread, retention, end                                               family
	rows, events, skipped, repeated, windows, restarts, notices, gaps         family
}

func newFamilies(many bool) *families {
	app := []string{"app"}
	if many {
		app = append(app, "topic_prefix")
	}
	gauge := func(name, help string, labels ...string) family {
		return family{prometheus.NewDesc(name, help, slices.Concat(app, labels), nil), prometheus.GaugeValue}
	}
	count := func(name, help string, labels ...string) family {
		return family{prometheus.NewDesc(name, help, slices.Concat(app, labels), nil), prometheus.CounterValue}
	}
	process := func(name, help string, labels ...string) family {
		return family{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue}
	}
	return &families{
		build: process("jmpub_build_info", "Version of this jmpub; always 1.", "version"),
		apps: process("jmpub_apps", "Apps that this process publishes (owner), stands by for, does not know yet of which of them it does, or "+
			"that failed.", "state"),
		info:       gauge("jmpub_app_info", "Delivery of an app; always 1.", "delivery"),
		clocks:     gauge("jmpub_clock_difference_seconds", "By how much the API's clock is ahead of the local one."),
		owner:      gauge("jmpub_owner", "1 where this process publishes the app, 0 where it stands by for another one."),
		rejected:   count("jmpub_rejected_total", "Rows rejected, by reason.", "reason"),
		late:       count("jmpub_late_rows_total", "Rows that appeared after their window had been read, and were published then."),
		discovered: gauge("jmpub_discovered_streams", "Streams that the lists of users, groups and chat rooms have."),
		sweep:      gauge("jmpub_sweep_seconds", "About how long it takes until a window of each discovered stream was read."),
		retries:    count("jmpub_retries_total", "Calls to the API or to Kafka that were made again."),
		sessions:   count("jmpub_sessions_total", "Times that the position was read from the checkpoints."),
		lag:        gauge("jmpub_lag_seconds", "How far behind the local clock the stream is read, in source time.", "stream"),
		unread:     gauge("jmpub_unread_age_seconds", "Age of the oldest second not yet read.", "stream"),
		retention:  gauge("jmpub_retention_left_seconds", "Time until the oldest second not yet read leaves the API's history.", "stream"),
		end:        gauge("jmpub_end_time_timestamp_seconds", "The end_time up to which the stream is committed, in Unix time.", "stream"),
		rows:       count("jmpub_rows_total", "Rows of committed windows, as the API sent them.", "stream"),
		events:     count("jmpub_events_total", "Events published, by target.", "stream", "target"),
		skipped:    count("jmpub_skipped_total", "Rows that an overlapping window brought again and that were not published again.", "stream"),
		repeated:   count("jmpub_repeated_total", "Rows that came more than once within a window.", "stream"),
		windows:    count("jmpub_windows_total", "Windows committed.", "stream"),
		restarts:   count("jmpub_window_restarts_total", "Windows read again from their first request, by the class of the cause.", "stream", "class"),
		notices: count("jmpub_notices_total", "Notices published, by kind: a mismatch is a window closed although its rows did not add up to "+
			"the API's total.", "stream", "kind"),
		gaps: count("jmpub_gap_seconds_total", "Time that left the API's history before it was read.", "stream"),
	}
}

// counters turns the counters into metrics when it is asked, so that nothing is counted twice.
type counters struct{ process *Process }

// Describe implements prometheus.Collector. It announces nothing: which metrics there are depends on what has happened.
func (counters) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector. It looks at one app after the other, and none of them waits for whoever takes the metrics.
func (c counters) Collect(out chan<- prometheus.Metric) {
	p := c.process
	var all samples
	states := map[string]float64{stateOwner: 0, stateStandby: 0, stateJoining: 0, stateFailed: 0}
	for _, s := range p.shown() {
		all.app = append(all.app[:0], s.opts.AppKey)
		if p.opts.Many {
			all.app = append(all.app, s.opts.TopicPrefix)
		}
		states[s.collect(p.families, &all)]++
		all.send(out)
	}
	all.app = nil
	all.add(p.families.build, 1, p.opts.Version)
	for state, n := range states {
		all.add(p.families.apps, n, state)
	}
	all.send(out)
}

// collect takes an app's metrics, and tells its state.
func (s *Status) collect(f *families, all *samples) (state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all.add(f.info, 1, s.opts.Delivery)
	all.add(f.clocks, s.difference().Seconds())
	switch s.role {
	case owner:
		all.add(f.owner, 1)
	case standby:
		all.add(f.owner, 0)
	case joining: // Nothing is known.
	}
	s.collectStreams(f, all)
	for reason, n := range s.totals.rejected {
		all.count(f.rejected, n, string(reason))
	}
	all.count(f.late, s.totals.late)
	if len(s.opts.Discover) > 0 {
		all.add(f.discovered, float64(s.discovered))
		all.add(f.sweep, s.sweep.Seconds())
	}
	all.count(f.retries, s.totals.retries)
	all.count(f.sessions, s.totals.sessions)
	return s.state()
}

func (s *Status) collectStreams(f *families, all *samples) {
	now := s.process.opts.Now()
	for stream, state := range s.streams {
		snap := s.stream(stream, state, now)
		name := snap.Stream
		if !snap.Read.IsZero() {
			all.add(f.lag, snap.LagSeconds, name)
		}
		if !snap.Read.IsZero() || !snap.Committed.IsZero() {
			all.add(f.unread, snap.UnreadSeconds, name)
			all.add(f.retention, snap.RetentionLeftSeconds, name)
		}
		if !snap.Committed.IsZero() {
			all.add(f.end, float64(snap.Committed.Unix()), name)
		}
		t := &state.totals
		all.count(f.rows, t.rows, name)
		if stream.Kind == pipeline.StreamStatistics { // They have no target.
			all.count(f.events, t.published, name, string(stream.Kind))
		} else {
			for target, n := range t.events {
				all.count(f.events, n, name, event.Target(target).String())
			}
		}
		all.count(f.skipped, t.skipped, name)
		all.count(f.repeated, t.repeated, name)
		all.count(f.windows, t.windows, name)
		for class, n := range t.restarts {
			all.count(f.restarts, n, name, class.String())
		}
		for kind, n := range t.notices {
			all.count(f.notices, n, name, string(kind))
		}
		all.count(f.gaps, t.gapSeconds, name)
	}
}

// samples are values of metrics, on their way to whoever asked.
type samples struct {
	// app are the values of the labels that name the app that is looked at.
	app []string
	all []prometheus.Metric
}

func (s *samples) add(f family, value float64, labels ...string) {
	s.all = append(s.all, prometheus.MustNewConstMetric(f.desc, f.kind, value, append(s.app, labels...)...))
}

func (s *samples) count(f family, value int64, labels ...string) { s.add(f, float64(value), labels...) }

func (s *samples) send(out chan<- prometheus.Metric) {
	for _, m := range s.all {
		out <- m
	}
	s.all = s.all[:0]
}

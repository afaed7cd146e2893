package status

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// registry serves the status as metrics, each with the app's key, and those of the process.
func (s *Status) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	prometheus.WrapRegistererWith(prometheus.Labels{"app": s.opts.AppKey}, r).MustRegister(counters{s}, s.durations)
	return r
}

// counters turns the counters into metrics when it is asked, so that nothing is counted twice.
type counters struct{ status *Status }

// Describe implements prometheus.Collector. It announces nothing: which metrics there are depends on what has happened.
func (counters) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c counters) Collect(out chan<- prometheus.Metric) {
	s := c.status
	s.mu.Lock()
	defer s.mu.Unlock()
	all := samples{out}
	all.gauge("jmpub_build_info", "Version and delivery of this jmpub; always 1.", 1,
		prometheus.Labels{"version": s.opts.Version, "delivery": s.opts.Delivery})
	all.gauge("jmpub_clock_difference_seconds", "By how much the API's clock is ahead of the local one.", s.difference().Seconds(), nil)
	publishes := 0.0
	if s.role == owner {
		publishes = 1
	}
	if s.role != joining {
		all.gauge("jmpub_owner", "1 where this process publishes the app, 0 where it stands by for another one.", publishes, nil)
	}
	s.collectStreams(all)
	for reason, n := range s.totals.rejected {
		all.count("jmpub_rejected_total", "Rows rejected, by reason.", n, prometheus.Labels{"reason": string(reason)})
	}
	all.count("jmpub_late_rows_total", "Rows that appeared after their window had been read, and were published then.", s.totals.late, nil)
	if len(s.opts.Discover) > 0 {
		all.gauge("jmpub_discovered_streams", "Streams that the lists of users, groups and chat rooms have.", float64(s.discovered), nil)
		all.gauge("jmpub_sweep_seconds", "About how long it takes until a window of each discovered stream was read.", s.sweep.Seconds(), nil)
	}
	all.count("jmpub_retries_total", "Calls to the API or to Kafka that were made again.", s.totals.retries, nil)
	all.count("jmpub_sessions_total", "Times that the position was read from the checkpoints.", s.totals.sessions, nil)
}

func (s *Status) collectStreams(all samples) {
	now := s.opts.Now()
	for stream, state := range s.streams {
		name := prometheus.Labels{"stream": stream.String()}
		snap := s.stream(stream, state, now)
		if !snap.Read.IsZero() {
			all.gauge("jmpub_lag_seconds", "How far behind the local clock the stream is read, in source time.", snap.LagSeconds, name)
		}
		if !snap.Read.IsZero() || !snap.Committed.IsZero() {
			all.gauge("jmpub_unread_age_seconds", "Age of the oldest second not yet read.", snap.UnreadSeconds, name)
			all.gauge("jmpub_retention_left_seconds", "Time until the oldest second not yet read leaves the API's history.",
				snap.RetentionLeftSeconds, name)
		}
		if !snap.Committed.IsZero() {
			all.gauge("jmpub_end_time_timestamp_seconds", "The end_time up to which the stream is committed, in Unix time.",
				float64(snap.Committed.Unix()), name)
		}
		t := &state.totals
		all.count("jmpub_rows_total", "Rows of committed windows, as the API sent them.", t.rows, name)
		if stream.Kind == pipeline.StreamStatistics { // They have no target.
			all.events(stream, string(stream.Kind), t.published)
		} else {
			for target, n := range t.events {
				all.events(stream, event.Target(target).String(), n)
			}
		}
		all.count("jmpub_skipped_total", "Rows that an overlapping window brought again and that were not published again.", t.skipped, name)
		all.count("jmpub_repeated_total", "Rows that came more than once within a window.", t.repeated, name)
		all.count("jmpub_windows_total", "Windows committed.", t.windows, name)
		for class, n := range t.restarts {
			all.count("jmpub_window_restarts_total", "Windows read again from their first request, by the class of the cause.", n,
				prometheus.Labels{"stream": stream.String(), "class": class.String()})
		}
		for kind, n := range t.notices {
			all.count("jmpub_notices_total", "Notices published, by kind: a mismatch is a window closed although its rows did not add up to "+
				"the API's total.", n, prometheus.Labels{"stream": stream.String(), "kind": string(kind)})
		}
		all.count("jmpub_gap_seconds_total", "Time that left the API's history before it was read.", t.gapSeconds, name)
	}
}

// samples takes in a value of each metric and each of its labels.
type samples struct{ out chan<- prometheus.Metric }

func (s samples) gauge(name, help string, value float64, labels prometheus.Labels) {
	s.out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, labels), prometheus.GaugeValue, value)
}

func (s samples) events(stream pipeline.Stream, target string, n int64) {
	s.count("jmpub_events_total", "Events published, by target.", n, prometheus.Labels{"stream": stream.String(), "target": target})
}

func (s samples) count(name, help string, value int64, labels prometheus.Labels) {
	s.out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, labels), prometheus.CounterValue, float64(value))
}

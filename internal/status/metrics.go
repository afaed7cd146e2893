package status

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/jmpub/jmpub/pipeline/event"
)

// registry serves the status as metrics, with those of the process.
func (s *Status) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(s.newCollector(), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// collector turns the counters into metrics when it is asked, so that nothing is counted twice.
type collector struct {
	status *Status
	desc   map[string]*prometheus.Desc
}

// metric is one family of jmpub's metrics.
type metric struct {
	name, help string
	labels     []string
}

func metrics() []metric {
	stream := []string{"stream"}
	return []metric{
		{"jmpub_build_info", "Version and delivery of this jmpub; always 1.", []string{"version", "delivery"}},
		{"jmpub_lag_seconds", "How far behind the clock the stream is read, in source time.", stream},
		{"jmpub_end_time_seconds", "The end_time up to which the stream is committed, in Unix time.", stream},
		{"jmpub_unread_age_seconds", "Age of the oldest second not yet read.", stream},
		{"jmpub_retention_left_seconds", "Time until the oldest second not yet read leaves the API's history.", stream},
		{"jmpub_rows_total", "Rows of committed windows, as the API sent them.", stream},
		{"jmpub_published_total", "Events published.", stream},
		{"jmpub_skipped_total", "Rows that an overlapping window brought again and that were not published again.", stream},
		{"jmpub_repeated_total", "Rows that came more than once within a window.", stream},
		{"jmpub_windows_total", "Windows committed.", stream},
		{"jmpub_window_restarts_total", "Windows read again from their first request.", stream},
		{"jmpub_mismatches_total", "Windows closed although their rows did not add up to the API's total.", stream},
		{"jmpub_gap_seconds_total", "Time that left the API's history before it was read.", stream},
		{"jmpub_events_total", "Events published, by target topic.", []string{"target"}},
		{"jmpub_rejected_total", "Rows rejected, by reason.", []string{"reason"}},
		{"jmpub_restart_causes_total", "Windows read again, by the class of the cause.", []string{"class"}},
		{"jmpub_late_rows_total", "Rows that appeared after their window had been read, and were published then.", nil},
		{"jmpub_notices_total", "Notices published, by kind.", []string{"kind"}},
		{"jmpub_discovered_streams", "Streams that the lists of users, groups and chat rooms have.", nil},
		{"jmpub_sweep_seconds", "About how long it takes until a window of each discovered stream was read.", nil},
		{"jmpub_retries_total", "Calls to the API or to Kafka that were made again.", nil},
		{"jmpub_sessions_total", "Times that the position was read from the checkpoints.", nil},
		{"jmpub_request_duration_seconds", "Duration of requests to the API, by class.", []string{"class"}},
	}
}

func (s *Status) newCollector() *collector {
	c := &collector{status: s, desc: make(map[string]*prometheus.Desc)}
	for _, m := range metrics() {
		c.desc[m.name] = prometheus.NewDesc(m.name, m.help, m.labels, nil)
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.desc {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.status
	send := func(name string, kind prometheus.ValueType, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(c.desc[name], kind, value, labels...)
	}
	count := func(name string, value int64, labels ...string) {
		send(name, prometheus.CounterValue, float64(value), labels...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now()
	send("jmpub_build_info", prometheus.GaugeValue, 1, s.opts.Version, s.opts.Delivery)
	for stream, state := range s.streams {
		name := stream.String()
		snap := s.stream(stream, state, now)
		if snap.LagSeconds >= 0 {
			send("jmpub_lag_seconds", prometheus.GaugeValue, snap.LagSeconds, name)
		}
		if snap.UnreadSeconds >= 0 {
			send("jmpub_unread_age_seconds", prometheus.GaugeValue, snap.UnreadSeconds, name)
			send("jmpub_retention_left_seconds", prometheus.GaugeValue, snap.RetentionLeftSeconds, name)
		}
		if !snap.Committed.IsZero() {
			send("jmpub_end_time_seconds", prometheus.GaugeValue, float64(snap.Committed.Unix()), name)
		}
		t := &state.totals
		count("jmpub_rows_total", t.rows, name)
		count("jmpub_published_total", t.published, name)
		count("jmpub_skipped_total", t.skipped, name)
		count("jmpub_repeated_total", t.repeated, name)
		count("jmpub_windows_total", t.windows, name)
		count("jmpub_window_restarts_total", t.restarts, name)
		count("jmpub_mismatches_total", t.mismatches, name)
		count("jmpub_gap_seconds_total", t.gapSeconds, name)
	}
	for target, n := range s.totals.events {
		count("jmpub_events_total", n, event.Target(target).String())
	}
	for _, reason := range sortedKeys(s.totals.rejected) {
		count("jmpub_rejected_total", s.totals.rejected[reason], string(reason))
	}
	for _, class := range sortedKeys(s.totals.restarts) {
		count("jmpub_restart_causes_total", s.totals.restarts[class], class.String())
	}
	count("jmpub_late_rows_total", s.totals.late)
	for _, kind := range sortedKeys(s.totals.notices) {
		count("jmpub_notices_total", s.totals.notices[kind], string(kind))
	}
	if len(s.opts.Discover) > 0 {
		send("jmpub_discovered_streams", prometheus.GaugeValue, float64(s.discovered))
		send("jmpub_sweep_seconds", prometheus.GaugeValue, s.sweep.Seconds())
	}
	count("jmpub_retries_total", s.totals.retries)
	count("jmpub_sessions_total", s.totals.sessions)
	for _, class := range sortedKeys(s.totals.requests) {
		r := s.totals.requests[class]
		buckets := make(map[float64]uint64, len(requestBounds))
		for i, bound := range requestBounds {
			buckets[bound] = r.buckets[i]
		}
		out <- prometheus.MustNewConstHistogram(c.desc["jmpub_request_duration_seconds"], r.count, r.seconds, buckets, class)
	}
}

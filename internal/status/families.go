package status

import (
	"math"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// family is a metric that is made of counters and positions when it is asked for.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	// ofProcess tells that the labels do not name the app.
	ofProcess bool
	// kept are the places, among the labels that the metric has where there is one app, of those that it has.
	kept []int
	// fold is the value of several that have the same labels.
	fold func(a, b float64) float64
}

// families are the metrics that are made when they are asked for.
type families struct {
	build, apps, members, shards, joins                                      family
	info, clocks, owner, failed, memory, limit, left, discovered, sweep      family
	sessions, rejected, early, late                                          family
	lag, readLag, unread, retention, end                                     family
	rows, events, skipped, repeated, windows, restarts, notices, gapDuration family
}

// scope is what a metric is of where a process has many apps; where it has one, each has the app's label. The rule bounds what a scrape
// takes: each of many apps has about a dozen series, whatever streams it has.
type scope int

const (
	// process is of all apps together.
	process scope = iota
	// perApp is of each app, with all of its streams together.
	perApp
)

func sum(a, b float64) float64 { return a + b }

// farther is the one of two values that is farther from zero.
func farther(a, b float64) float64 {
	if math.Abs(b) > math.Abs(a) {
		return b
	}
	return a
}

// newFamilies are the metrics of a process with one app or with many.
func newFamilies(many bool) *families {
	// build makes a metric that has these labels where there is one app, and those of them that are kept where there are many.
	build := func(kind prometheus.ValueType, s scope, fold func(a, b float64) float64, name, help string, labels, kept []string) family {
		f := family{kind: kind, fold: fold, ofProcess: many && s == process}
		if !many {
			kept = labels
		}
		for _, label := range kept {
			f.kept = append(f.kept, slices.Index(labels, label))
		}
		if !f.ofProcess {
			kept = append([]string{"app"}, kept...)
		}
		f.desc = prometheus.NewDesc(name, help, kept, nil)
		return f
	}
	gauge := func(s scope, fold func(a, b float64) float64, name, help string, labels ...string) family {
		return build(prometheus.GaugeValue, s, fold, name, help, labels, nil)
	}
	// count has, where there are many apps, its last label alone, unless that is the stream's or the target's.
	count := func(s scope, name, help string, labels ...string) family {
		var kept []string
		if n := len(labels); n > 0 && labels[n-1] != "stream" && labels[n-1] != "target" && labels[n-1] != "reason" {
			kept = labels[n-1:]
		}
		return build(prometheus.CounterValue, s, sum, name, help, labels, kept)
	}
	own := func(kind prometheus.ValueType, name, help string, labels ...string) family {
		f := family{desc: prometheus.NewDesc(name, help, labels, nil), kind: kind, ofProcess: true, fold: sum}
		for i := range labels {
			f.kept = append(f.kept, i)
		}
		return f
	}
	appInfo := []string{"delivery", "topic_prefix"}
	return &families{
		build: own(prometheus.GaugeValue, "jmpub_build_info", "Version of this jmpub and of the Go it was built with; always 1.", "version", "goversion"),
		apps: own(prometheus.GaugeValue, "jmpub_apps", "Apps that this process publishes (owner), stands by for, does not know yet of which of "+
			"them it does, or that failed.", "state"),
		members: own(prometheus.GaugeValue, "jmpub_group_members", "Members of the consumer group, as the one that shares out knows; absent elsewhere."),
		shards:  own(prometheus.GaugeValue, "jmpub_group_shards", "Shards of the consumer group that this process has."),
		joins:   own(prometheus.CounterValue, "jmpub_group_joins_total", "Times that this process joined the consumer group: at each rebalance."),

		info:   build(prometheus.GaugeValue, perApp, sum, "jmpub_app_info", "Delivery of an app, and the prefix of its topics; always 1.", appInfo, appInfo),
		owner:  gauge(perApp, sum, "jmpub_owner", "1 where this process publishes the app, 0 where it stands by for another one."),
		failed: gauge(perApp, sum, "jmpub_app_failed", "1 where this process has the app and cannot publish it for now; it is tried again."),
		clocks: gauge(process, farther, "jmpub_clock_difference_seconds", "By how much the API's clock is ahead of the local one."),
		memory: gauge(process, sum, "jmpub_window_memory_bytes", "Memory that windows have reserved which are being read or wait to be published."),
		limit:  gauge(process, math.Min, "jmpub_quota_limit_requests", "Requests a minute that the API allows the app, as it said last."),
		left:   gauge(perApp, math.Min, "jmpub_quota_remaining_requests", "Requests of this minute that the API still allows the app, as it said last."),

		discovered: gauge(process, sum, "jmpub_discovered_streams", "Streams that the lists of users, groups and chat rooms have."),
		sweep:      gauge(process, math.Max, "jmpub_sweep_seconds", "About how long it takes until a window of each discovered stream was read."),
		sessions:   count(process, "jmpub_sessions_total", "Times that the position was read from the checkpoints."),
		rejected:   count(perApp, "jmpub_rejected_total", "Rows rejected, by reason.", "reason"),
		early:      count(process, "jmpub_early_rows_total", "Rows that were published when they were first seen, before their window had settled."),
		late:       count(process, "jmpub_late_rows_total", "Rows that appeared after their window had been read, and were published then."),

		lag: gauge(perApp, math.Max, "jmpub_lag_seconds", "How far the stream is published behind the local clock: the age of the committed end_time, "+
			"up to which a consumer has all there is; rows that are published early are ahead of it. Where nothing is sent it grows to as much as 5 minutes before an empty window is committed.", "stream"),
		readLag:   gauge(perApp, math.Max, "jmpub_read_lag_seconds", "How far the stream is read behind the local clock, committed or not.", "stream"),
		unread:    gauge(process, math.Max, "jmpub_unread_age_seconds", "Age of the oldest second not yet read, the backlog included.", "stream"),
		retention: gauge(perApp, math.Min, "jmpub_retention_left_seconds", "Time until the oldest second not yet read leaves the API's history.", "stream"),
		end: gauge(perApp, math.Min, "jmpub_end_time_timestamp_seconds", "The end_time up to which the stream is committed, in Unix time.",
			"stream"),
		rows:     count(process, "jmpub_rows_total", "Rows of committed windows, as the API sent them.", "stream"),
		events:   count(perApp, "jmpub_events_total", "Events published, by target.", "stream", "target"),
		skipped:  count(process, "jmpub_skipped_total", "Rows that an overlapping window brought again and that were not published again.", "stream"),
		repeated: count(process, "jmpub_repeated_total", "Rows that came more than once within a window.", "stream"),
		windows:  count(process, "jmpub_windows_total", "Windows committed.", "stream"),
		restarts: count(process, "jmpub_window_restarts_total", "Windows read again from their first request, by the class of the cause.",
			"stream", "class"),
		notices: count(perApp, "jmpub_notices_total", "Notices published, by kind: a mismatch is a window closed although its rows did not add up "+
			"to the API's total.", "stream", "kind"),
		gapDuration: count(process, "jmpub_gap_seconds_total", "Time that left the API's history before it was read.", "stream"),
	}
}

// samples are values of metrics, on their way to whoever asked.
type samples struct {
	all   []sample
	known map[series]int
}

// series is a metric with the values of its labels, of which none has more than two besides the app's.
type series struct {
	family *family
	labels [2]string
}

type sample struct {
	series

	value float64
}

// add takes a value, with the labels that the metric has where there is one app.
func (s *samples) add(f *family, value float64, labels ...string) {
	of := series{family: f}
	for i, place := range f.kept {
		of.labels[i] = labels[place]
	}
	s.put(sample{of, value})
}

// put takes a sample, and folds it into that of the same series, if there is one.
func (s *samples) put(one sample) {
	if i, known := s.known[one.series]; known {
		s.all[i].value = one.family.fold(s.all[i].value, one.value)
		return
	}
	if s.known == nil {
		s.known = make(map[series]int)
	}
	s.known[one.series] = len(s.all)
	s.all = append(s.all, one)
}

// send sends all, with the values of the labels that name their app, and forgets them.
func (s *samples) send(out chan<- prometheus.Metric, app ...string) {
	for _, one := range s.all {
		labels := slices.Concat(app, one.labels[:len(one.family.kept)])
		out <- prometheus.MustNewConstMetric(one.family.desc, one.family.kind, one.value, labels...)
	}
	s.all = s.all[:0]
	clear(s.known)
}

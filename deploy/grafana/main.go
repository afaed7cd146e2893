// Command grafana writes dashboard.json, which Grafana 10 and later import:
//
//	go -C deploy/grafana run . > deploy/grafana/dashboard.json
//
// It is a module of its own, so that jmpub does not depend on Grafana's.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

func main() {
	text, err := generate()
	if err == nil {
		_, err = os.Stdout.Write(text)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make the dashboard:", err)
		os.Exit(1)
	}
}

// generate makes the dashboard, as JSON.
func generate() ([]byte, error) {
	b := dashboard.NewDashboardBuilder("jmpub").Uid("jmpub").Tags([]string{"jmpub", "kafka"}).
		Description("What jmpub publishes, from the JMessage API to Kafka. What each metric means is in docs/operating.md.").
		Timezone("browser").Refresh("30s").Time("now-6h", "now").Tooltip(dashboard.DashboardCursorSyncCrosshair).
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Prometheus").Type("prometheus")).
		WithVariable(dashboard.NewQueryVariableBuilder("app").Label("App").Datasource(source()).
			Query(dashboard.StringOrMap{String: cog.ToPtr("label_values(jmpub_app_info, app)")}).
			Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortAlphabeticalAsc).
			Multi(true).IncludeAll(true).AllValue(".*"))
	for _, row := range rows() {
		b.WithRow(dashboard.NewRowBuilder(row.title))
		for _, p := range row.panels {
			b.WithPanel(p.build())
		}
	}
	made, err := b.Build()
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(made, "", "  ")
	return append(text, '\n'), err
}

func source() common.DataSourceRef {
	return common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${datasource}")}
}

type row struct {
	title  string
	panels []panel
}

// panel is a chart over time.
type panel struct {
	title, about, unit string
	queries            []query
}

type query struct{ expr, legend string }

func (p *panel) build() *timeseries.PanelBuilder {
	b := timeseries.NewPanelBuilder().Title(p.title).Description(p.about).Unit(p.unit).Datasource(source()).Span(8).Height(8).FillOpacity(8).
		ShowPoints(common.VisibilityModeNever).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom).ShowLegend(true)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
	for i, q := range p.queries {
		b.WithTarget(prometheus.NewDataqueryBuilder().Expr(q.expr).LegendFormat(q.legend).RefId(string(rune('A' + i))).Range())
	}
	return b
}

// of chooses the apps that are looked at, and what is of a process with many of them, which does not name them.
const of = `{app=~"$app|"}`

// total is the rate of a counter, by labels.
func total(metric, by, legend string) query {
	return query{"sum by (" + by + ") (rate(" + metric + of + "[$__rate_interval]))", legend}
}

// quantiles are those of a histogram.
func quantiles(metric string) []query {
	var all []query
	for _, q := range []string{"0.5", "0.95", "0.99"} {
		all = append(all, query{"histogram_quantile(" + q + ", sum by (le) (rate(" + metric + "_bucket" + of + "[$__rate_interval])))", q})
	}
	return all
}

// worst is the greatest value of each app and stream; what stands by has none.
func worst(metric string) []query {
	return []query{{"max by (app, stream) (" + metric + of + ")", "{{app}} {{stream}}"}}
}

func rows() []row {
	one := func(q query) []query { return []query{q} }
	return []row{
		{"Published", []panel{
			{"Lag", "The age of the committed end_time: up to there a consumer has all there is.", units.Seconds, worst("jmpub_lag_seconds")},
			{"Lag of reading", "How far behind the clock is read, committed or not.", units.Seconds, worst("jmpub_read_lag_seconds")},
			{
				"Catching up", "Seconds of history that are committed in a second; 1 keeps pace with the clock.", units.NoUnit,
				one(query{"max by (app, stream) (deriv(jmpub_end_time_timestamp_seconds" + of + "[10m]))", "{{app}} {{stream}}"}),
			},
			{"Events", "Events published, by target.", units.EventsPerSecond, one(total("jmpub_events_total", "target", "{{target}}"))},
			{
				"Windows", "Windows committed, and read again.", units.OpsPerSecond,
				[]query{total("jmpub_windows_total", "", "committed"), total("jmpub_window_restarts_total", "class", "read again: {{class}}")},
			},
			{
				"Rows that were not published again", "Rows that an overlap brought again, or that came more than once within a window.", units.RowsPerSecond,
				[]query{
					total("jmpub_rows_total", "", "all rows"), total("jmpub_skipped_total", "", "of an overlap"),
					total("jmpub_repeated_total", "", "more than once"),
				},
			},
		}},
		{"To look after", []panel{
			{
				"History left", "How long until the oldest time that is not read leaves the API.", units.Seconds,
				one(query{"min by (app, stream) (jmpub_retention_left_seconds" + of + ")", "{{app}} {{stream}}"}),
			},
			{
				"Gaps, mismatches and late rows", "Notices published within an hour.", units.Short,
				[]query{
					{"sum by (kind) (increase(jmpub_notices_total" + of + "[1h]))", "{{kind}}"},
					{"sum (increase(jmpub_late_rows_total" + of + "[1h]))", "late rows"},
					{"sum (increase(jmpub_gap_seconds_total" + of + "[1h]))", "seconds of gaps"},
				},
			},
			{
				"Rejected rows", "Rows rejected within an hour, by reason.", units.Short,
				one(query{"sum by (reason) (increase(jmpub_rejected_total" + of + "[1h]))", "{{reason}}"}),
			},
			{
				"Errors", "Errors that ended a session, a stream or the publishing of an app, within an hour.", units.Short,
				[]query{
					{"sum by (class) (increase(jmpub_errors_total" + of + "[1h]))", "{{class}}"},
					{"sum (increase(jmpub_sessions_total" + of + "[1h]))", "sessions begun"},
				},
			},
			{
				"Clocks", "By how much the API's clock is ahead of the local one.", units.Seconds,
				one(query{"max by (app, instance) (jmpub_clock_difference_seconds" + of + ")", "{{instance}} {{app}}"}),
			},
			{"Age of what is not read", "The age of the oldest second that is not read, the backlog included.", units.Seconds, worst("jmpub_unread_age_seconds")},
		}},
		{"The API", []panel{
			{"Requests", "By how they ended.", units.RequestsPerSecond, one(total("jmpub_request_duration_seconds_count", "class", "{{class}}"))},
			{"Duration of requests", "Quantiles, of all classes.", units.Seconds, quantiles("jmpub_request_duration_seconds")},
			{
				"Quota", "Requests of the minute that the API still allows, and how many it allows in all.", units.Short,
				[]query{
					{"min by (app) (jmpub_quota_remaining_requests" + of + ")", "left {{app}}"},
					{"min by (app) (jmpub_quota_limit_requests" + of + ")", "allowed {{app}}"},
				},
			},
		}},
		{"Kafka", []panel{
			{"Transactions", "By how they ended.", units.OpsPerSecond, one(total("jmpub_transaction_duration_seconds_count", "result", "{{result}}"))},
			{"Duration of transactions", "Quantiles, from begin to end.", units.Seconds, quantiles("jmpub_transaction_duration_seconds")},
			{"Sent", "Bytes of batches that Kafka has taken, compressed.", units.BytesPerSecondSI, one(total("jmpub_kafka_sent_bytes_total", "", "sent"))},
			{
				"Calls made again", "To the API, Kafka and the schema registry, by operation and what went wrong.", units.OpsPerSecond,
				one(total("jmpub_retries_total", "operation, kind", "{{operation}}: {{kind}}")),
			},
		}},
		{"Processes", []panel{
			{"Apps", "How many apps are published, stood by for, or failed.", units.Short, []query{
				{"sum by (state) (jmpub_apps)", "{{state}}"}, {"sum (jmpub_app_failed" + of + ")", "failed, of those chosen"},
			}},
			{"Who publishes", "Apps that each process publishes, and its shards.", units.Short, []query{
				{"sum by (instance) (jmpub_owner" + of + ")", "{{instance}} apps"},
				{"max by (instance) (jmpub_group_shards)", "{{instance}} shards"},
				{"max (jmpub_group_members)", "members"},
			}},
			{
				"Rebalances", "Times that processes joined the group, within an hour.", units.Short,
				one(query{"sum by (instance) (increase(jmpub_group_joins_total[1h]))", "{{instance}}"}),
			},
			{"Memory", "Resident, and what windows have reserved.", units.BytesIEC, []query{
				{`process_resident_memory_bytes and on (instance) jmpub_build_info`, "{{instance}}"},
				{"sum by (instance) (jmpub_window_memory_bytes" + of + ")", "{{instance}} windows"},
			}},
			{"CPU", "Cores in use.", units.Short, one(query{
				"rate(process_cpu_seconds_total[$__rate_interval]) and on (instance) jmpub_build_info", "{{instance}}",
			})},
			{"Releases", "Processes by release.", units.Short, one(query{"count by (version) (jmpub_build_info)", "{{version}}"})},
		}},
	}
}

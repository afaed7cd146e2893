package source

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/statistics"
)

func statisticsOf(name string) pipeline.Stream {
	return pipeline.Stream{Kind: pipeline.StreamStatistics, Name: name}
}

func shanghai() *time.Location { return defaults().TimeZone }

func dayOf(text string) pipeline.Period {
	p, err := pipeline.ParsePeriod(pipeline.Day, text, shanghai())
	if err != nil {
		panic(err)
	}
	return p
}

// asText is rows as a test writes them.
func asText(rows []statistics.Row) []string {
	var all []string
	for _, row := range rows {
		text := []string{row.Period.String(), string(row.Value)}
		for _, extra := range row.Extra {
			text = append(text, extra.Name+string(extra.Value))
		}
		all = append(all, strings.Join(text, " "))
	}
	return all
}

const sentReply = `{"send_msg_stat":[%s],"group_msg_stat":{"txt_msg":4},"extra":[1],"single_msg_stat":{"txt_msg": 99999999999999999999}}`

func TestStatisticsAreReadAsTheyCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name, of, body string
			n              int
			want           []string
		}{
			{
				"the API page's users", "users", `[ {"active_users": 29, "date": "2017-03-01"}, {"new_users":3,"date":"2017-03-02"} ]`, 2,
				[]string{`2017-03-01 {"active_users": 29, "date": "2017-03-01"}`, `2017-03-02 {"new_users":3,"date":"2017-03-02"}`},
			},
			{
				"numbers stay", "groups", `[{"date":"2017-03-01","active_group":1e400,"x":0.10,"huge":123456789012345678901234567890}]`, 1,
				[]string{`2017-03-01 {"date":"2017-03-01","active_group":1e400,"x":0.10,"huge":123456789012345678901234567890}`},
			},
			{"nothing", "users", `[]`, 3, nil},
			{
				"more than asked for, in any order", "users", `[{"date":"2017-03-03"},{"date":"2017-03-01"},{"date":"2017-03-02"}]`, 2,
				[]string{`2017-03-03 {"date":"2017-03-03"}`, `2017-03-01 {"date":"2017-03-01"}`, `2017-03-02 {"date":"2017-03-02"}`},
			},
			{
				"parts of one period", "messages", fmt.Sprintf(sentReply, `{"time":"2017-03-01","group_send_msg":4}`), 1,
				[]string{`2017-03-01 {"time":"2017-03-01","group_send_msg":4} group_msg_stat{"txt_msg":4} single_msg_stat{"txt_msg": 99999999999999999999}`},
			},
			{
				"parts of two are nobody's", "messages", fmt.Sprintf(sentReply, `{"time":"2017-03-01"},{"time":"2017-03-02"}`), 1,
				[]string{`2017-03-01 {"time":"2017-03-01"}`, `2017-03-02 {"time":"2017-03-02"}`},
			},
			{"a longer time", "users", `[{"date":"2017-03-01 00:00:00"}]`, 1, []string{`2017-03-01 {"date":"2017-03-01 00:00:00"}`}},
			{"one that was asked for, however written", "users", `[{"date":20170301}]`, 1, []string{`2017-03-01 {"date":20170301}`}},
		} {
			s := &script{answers: []answer{{body: c.body}}}
			got, _, err := newTestClient(t, testConfig(s)).Statistics(t.Context(), statisticsOf(c.of), dayOf("2017-03-01"), c.n)
			if err != nil || !slices.Equal(asText(got), c.want) {
				t.Errorf("%s: got %v, %q; want %q", c.name, err, asText(got), c.want)
			}
		}
	})
}

func TestStatisticsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		month, _ := pipeline.ParsePeriod(pipeline.Month, "2026-12", shanghai())
		hour, _ := pipeline.ParsePeriod(pipeline.Hour, "2026-11-20 09", shanghai())
		for _, c := range []struct {
			of    string
			first pipeline.Period
			n     int
			want  []string
		}{
			{"users", dayOf("2026-10-31"), 2, []string{"/v2/statistic/users?time_unit=DAY&start=2026-10-31&duration=2"}},
			{"groups", dayOf("2026-01-01"), 121, []string{
				"/v2/statistic/groups?time_unit=DAY&start=2026-01-01&duration=60",
				"/v2/statistic/groups?time_unit=DAY&start=2026-03-02&duration=60",
				"/v2/statistic/groups?time_unit=DAY&start=2026-05-01&duration=1",
			}},
			{"messages", month, 2, []string{
				"/v2/statistic/messages?time_unit=MONTH&start=2026-12&duration=1",
				"/v2/statistic/messages?time_unit=MONTH&start=2027-01&duration=1",
			}},
			{"messages", hour, 1, []string{"/v2/statistic/messages?time_unit=HOUR&start=2026-11-20%2009&duration=1"}},
		} {
			body := `[]`
			if c.of == "messages" {
				body = `{"send_msg_stat":[]}`
			}
			s := &script{answers: []answer{{body: body}}}
			if _, _, err := newTestClient(t, testConfig(s)).Statistics(t.Context(), statisticsOf(c.of), c.first, c.n); err != nil {
				t.Errorf("%s: %v", c.of, err)
			}
			if !slices.Equal(s.requests(), c.want) {
				t.Errorf("asked %q, want %q", s.requests(), c.want)
			}
		}
	})
}

// TestStatisticsFaults goes through what may come instead: a trouble that passes is waited for, any other is the
// statistics' alone, except that the credentials are wrong.
func TestStatisticsFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := answer{body: `[{"date":"2017-03-01"}]`}
		html := answer{body: `<html>`}
		for _, c := range []struct {
			name    string
			answers []answer
			class   pipeline.Class
			says    string
		}{
			{"no right, 403", []answer{{status: 403, body: apiErrorBody(899016)}}, pipeline.Drop, "right"},
			{"no right, 401 in HTML", []answer{{status: 401, body: "<html>"}}, pipeline.Drop, "right"},
			{"no right, another app", []answer{{status: 400, body: apiErrorBody(899020)}}, pipeline.Drop, "right"},
			{"parameter", []answer{{status: 400, body: apiErrorBody(899003)}}, pipeline.Drop, "duration=1"},
			{"no such path", []answer{{status: 404}}, pipeline.Drop, "JMPUB_API_URL"},
			{"elsewhere", []answer{{status: 302, header: map[string]string{"Location": "http://x/"}}}, pipeline.Drop, "not followed"},
			{"refused with 200", []answer{{body: apiErrorBody(899020)}}, pipeline.Drop, "right"},
			{"another form", []answer{{body: `{"users":[]}`}}, pipeline.Restart, "no statistics"},
			{"no form", []answer{html}, pipeline.Restart, "no statistics"},
			{"rows without a date", []answer{{body: `[{"date":"x"},{"date":"2017-03-01"}]`}}, pipeline.Restart, "no day"},
			{"the same day twice", []answer{{body: `[{"date":"2017-03-01"},{"date":"2017-03-01"}]`}}, pipeline.Restart, "twice"},
			{"a name twice", []answer{{body: `[{"date":"2017-03-01","a":1,"a":2}]`}}, pipeline.Restart, "duplicate"},
			{"wrong secret", []answer{{status: 401, body: apiErrorBody(899008)}}, pipeline.Permanent, "JMPUB_MASTER_SECRET"},
			{"blacklisted", []answer{{status: 403, body: apiErrorBody(2003)}}, pipeline.Permanent, "JMPUB_APP_KEY"},
		} {
			_, _, err := newTestClient(t, testConfig(&script{answers: c.answers})).Statistics(t.Context(), statisticsOf("users"), dayOf("2017-03-01"), 1)
			fault, ok := errors.AsType[*pipeline.Fault](err)
			if !ok || fault.Class != c.class || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), testSecret) {
				t.Errorf("%s: %v; want class %s and %q", c.name, err, c.class, c.says)
			}
		}
		for name, first := range map[string]answer{
			"busy": {status: 429, body: apiErrorBody(2002)}, "down": {status: 503}, "cut off": {abort: true}, "half": {body: `[{"date":`}, "HTML": html,
		} {
			s := &script{answers: append(slices.Repeat([]answer{first}, unknownAfter-1), good)}
			got, _, err := newTestClient(t, testConfig(s)).Statistics(t.Context(), statisticsOf("users"), dayOf("2017-03-01"), 1)
			if err != nil || len(got) != 1 {
				t.Errorf("%s: %d rows, %v; want it asked again", name, len(got), err)
			}
		}
	})
}

// TestHoursOfADayThatIsOver asks for the last hour of a day as midnight comes.
func TestHoursOfADayThatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for hours, class := range map[int]pipeline.Class{-1: pipeline.Restart, 0: pipeline.Drop} {
			cfg := testConfig(&script{answers: []answer{{status: 400, body: apiErrorBody(899003)}}})
			cfg.TimeZone = time.UTC // In a bubble it is midnight there.
			hour := pipeline.PeriodOf(pipeline.Hour, time.Now().UTC()).Add(hours)
			_, _, err := newTestClient(t, cfg).Statistics(t.Context(), statisticsOf("messages"), hour, 1)
			_ = wantFault(t, err, class)
		}
	})
}

// TestStatisticsOfTheSimulator asks a strict API, with faults, for all that a run asks for.
func TestStatisticsOfTheSimulator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := sim.Defaults()
		o.Rate, o.Malformed, o.ServerError, o.RateLimitedBare = 0.001, 0.1, 0.1, 0.05
		api, err := sim.New(o)
		if err != nil {
			t.Fatal(err)
		}
		cfg := testConfig(api)
		cfg.AppKey, cfg.MasterSecret = o.AppKey, secret.New(o.MasterSecret)
		c := newTestClient(t, cfg)
		now := time.Now().In(o.Zone)
		today := pipeline.PeriodOf(pipeline.Day, now)
		for _, name := range []string{"users", "groups", "messages"} {
			var days []statistics.Row
			if days, _, err = c.Statistics(t.Context(), statisticsOf(name), today.Add(-59), 60); err != nil || len(days) != 60 || days[59].Period.String() != today.String() {
				t.Fatalf("%s: %d days, %v; want 60 up to today", name, len(days), err)
			}
			if name == "messages" && len(days[0].Extra) != 2 {
				t.Errorf("a day of messages has %d extra members, want 2", len(days[0].Extra))
			}
		}
		hours, _, err := c.Statistics(t.Context(), statisticsOf("messages"), pipeline.PeriodOf(pipeline.Hour, today.Begin), now.Hour()+1)
		if err != nil || len(hours) != now.Hour()+1 {
			t.Errorf("%d hours, %v; want %d", len(hours), err, now.Hour()+1)
		}
		months, _, err := c.Statistics(t.Context(), statisticsOf("messages"), pipeline.PeriodOf(pipeline.Month, now).Add(-1), 2)
		if err != nil || len(months) != 2 {
			t.Errorf("%d months, %v; want 2", len(months), err)
		}
		stats := api.Stats()
		if stats.Refused != 0 || stats.Faults[sim.Malformed] == 0 {
			t.Errorf("%+v; want faults and no refusal", stats)
		}
	})
}

func TestClockForStatistics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{page(0, "")}}
		if _, err := newTestClient(t, testConfig(s)).Now(t.Context(), statisticsOf("users")); err != nil {
			t.Fatal(err)
		}
		if got := s.requests(); len(got) != 1 || !strings.HasPrefix(got[0], "/v2/messages?") {
			t.Errorf("asked %q, want it of the messages", got)
		}
	})
}

func FuzzDecodeStatistics(f *testing.F) {
	f.Add([]byte(`[{"active_users":29,"date":"2017-03-01"},{"date":"2017-03-02"}]`), false)
	f.Add(fmt.Appendf(nil, sentReply, `{"time":"2017-03-01"}`), true)
	f.Add([]byte(`[{"date":"2017-03-01"}]x`), false)
	f.Fuzz(func(t *testing.T, body []byte, messages bool) {
		before := slices.Clone(body)
		d := statisticsDecoder{zone: shanghai(), first: dayOf("2017-03-01"), asked: 2}
		var err error
		if messages {
			err = d.messages(body)
		} else {
			err = d.rows(body, "date")
		}
		if !slices.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		if err != nil {
			return
		}
		seen := make(map[string]bool)
		for _, row := range d.found {
			if row.Value[0] != '{' || row.Value[len(row.Value)-1] != '}' || seen[row.Period.String()] {
				t.Fatalf("row %q of %s", row.Value, row.Period)
			}
			seen[row.Period.String()] = true
		}
	})
}

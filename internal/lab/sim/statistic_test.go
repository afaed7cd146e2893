package sim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

// sentRow is a row of /statistic/messages.
type sentRow struct {
	Time   string `json:"time"`
	Group  int64  `json:"group_send_msg"`
	Single int64  `json:"single_send_msg"`
}

type typeRow struct {
	Text  int64 `json:"txt_msg"`
	Image int64 `json:"image_msg"`
	Voice int64 `json:"voice_msg"`
	Other int64 `json:"other_msg"`
}

type messageStatistics struct {
	Sent   []sentRow `json:"send_msg_stat"`
	Group  typeRow   `json:"group_msg_stat"`
	Single typeRow   `json:"single_msg_stat"`
}

func (t typeRow) sum() int64 { return t.Text + t.Image + t.Voice + t.Other }

// statistics asks for statistics and reads them strictly.
func statistics[T any](tb testing.TB, s *sim.Server, name, query string) T {
	tb.Helper()
	w, _ := send(s, request(tb, s, "/v2/statistic/"+name+"?"+query))
	var got T
	d := json.NewDecoder(w.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&got); w.Code != http.StatusOK || err != nil {
		tb.Fatalf("%s?%s: %d, %v", name, query, w.Code, err)
	}
	return got
}

// sentIn counts the truth of [begin, end) by kind and type.
func sentIn(tb testing.TB, s *sim.Server, begin, end time.Time) (group, single typeRow) {
	tb.Helper()
	for r := range s.Truth(sim.Range{Begin: begin, End: end.Add(-time.Millisecond)}) {
		into := &group
		switch r.Target {
		case "single":
			into = &single
		case "chatroom":
			continue
		}
		var row struct {
			Type string `json:"msg_type"`
		}
		if err := json.Unmarshal(r.Raw, &row); err != nil {
			tb.Fatal(err)
		}
		switch row.Type {
		case "text":
			into.Text++
		case "image":
			into.Image++
		case "voice":
			into.Voice++
		default:
			into.Other++
		}
	}
	return group, single
}

// TestMessageStatisticsAgreeWithTheTruth compares each unit's periods with the rows, in a zone in which neither days nor
// hours are those of UTC.
func TestMessageStatisticsAgreeWithTheTruth(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("half", 5*3600+1800)
	s := newSim(t, func(o *sim.Options) { o.Zone, o.Rate = zone, 0.05 })
	local := now.In(zone) // 17:30
	day := func(n int) time.Time { return time.Date(local.Year(), local.Month(), n, 0, 0, 0, 0, zone) }
	for _, c := range []struct {
		query string
		want  []string
		begin time.Time
		end   func(time.Time) time.Time
	}{
		{
			"time_unit=DAY&start=2026-11-18&duration=3",
			[]string{"2026-11-18", "2026-11-19", "2026-11-20"},
			day(18), func(t time.Time) time.Time { return t.AddDate(0, 0, 1) },
		},
		{
			"time_unit=HOUR&start=2026-11-20%2016&duration=3",
			[]string{"2026-11-20 16", "2026-11-20 17"},
			day(20).Add(16 * time.Hour), func(t time.Time) time.Time { return t.Add(time.Hour) },
		},
		{
			"time_unit=MONTH&start=2026-10&duration=2",
			[]string{"2026-10", "2026-11"},
			day(1).AddDate(0, -1, 0), func(t time.Time) time.Time { return t.AddDate(0, 1, 0) },
		},
	} {
		got := statistics[messageStatistics](t, s, "messages", c.query)
		if len(got.Sent) != len(c.want) {
			t.Fatalf("%s: %d rows, want %d", c.query, len(got.Sent), len(c.want))
		}
		end := c.begin
		for i, row := range got.Sent {
			begin := end
			end = c.end(end)
			if end.After(now) {
				end = now
			}
			group, single := sentIn(t, s, begin, end)
			if want := (sentRow{c.want[i], group.sum(), single.sum()}); row != want || row.Single == 0 {
				t.Errorf("%s: %+v, want %+v", c.query, row, want)
			}
		}
		group, single := sentIn(t, s, c.begin, end)
		if got.Group != group || got.Single != single {
			t.Errorf("%s: types %+v and %+v, want %+v and %+v", c.query, got.Group, got.Single, group, single)
		}
	}
}

// TestStatisticsOfThePresentChange asks again as time goes on: what is over stays, once the lag is over too.
func TestStatisticsOfThePresentChange(t *testing.T) {
	t.Parallel()
	s, at := settable(t, func(o *sim.Options) { o.StatisticsLag, o.Late, o.LateBy = 2*time.Hour, 0.1, time.Hour })
	const query = "time_unit=HOUR&start=2026-11-20%2018&duration=2" // 10:00 to 12:00 UTC.
	var last messageStatistics
	changes := 0
	for range 8 {
		got := statistics[messageStatistics](t, s, "messages", query)
		if fmt.Sprint(got) != fmt.Sprint(last) {
			changes++
		}
		last = got
		*at = at.Add(30 * time.Minute)
	}
	// 10:00 of the lagging clock is the first reading; at 13:00 of it the last late row has appeared.
	if changes != 7 {
		t.Errorf("the statistics changed %d times, want 7", changes)
	}
	group, single := sentIn(t, s, now.Add(-2*time.Hour), now)
	if last.Group != group || last.Single != single {
		t.Errorf("at last %+v, want %+v and %+v", last, group, single)
	}
}

func TestUserAndGroupStatistics(t *testing.T) {
	t.Parallel()
	type userRow struct {
		Active int64  `json:"active_users"`
		Total  int64  `json:"total_users"`
		Sent   int64  `json:"send_msg_users"`
		New    int64  `json:"new_users"`
		Date   string `json:"date"`
	}
	type groupRow struct {
		Date   string `json:"date"`
		Active int64  `json:"active_group"`
		Total  int64  `json:"total_group"`
		New    int64  `json:"new_group"`
	}
	s := newSim(t, func(o *sim.Options) {
		o.Rate, o.Users, o.Groups = 0.01, 900, 300
		o.ChurnEvery, o.ChurnSince = time.Hour, now.AddDate(0, 0, -2)
	})
	const query = "time_unit=DAY&start=2026-11-18&duration=3"
	users := statistics[[]userRow](t, s, "users", query)
	groups := statistics[[]groupRow](t, s, "groups", query)
	if len(users) != 3 || len(groups) != 3 {
		t.Fatalf("%d and %d rows, want 3", len(users), len(groups))
	}
	// The churn began at 20:00 of the first day, local time, and the third has had 20 hours.
	for i, fresh := range []int64{3, 24, 21} {
		begin := time.Date(2026, 11, 18+i, 0, 0, 0, 0, s.Zone)
		end := begin.AddDate(0, 0, 1)
		if end.After(now) {
			end = now
		}
		senders, active := make(map[string]bool), make(map[string]bool)
		for r := range s.Truth(sim.Range{Begin: begin, End: end.Add(-time.Millisecond)}) {
			var row struct {
				From, Type string
				Target     string
			}
			fields := struct {
				From   *string `json:"from_id"`
				Type   *string `json:"from_type"`
				Target *string `json:"target_id"`
			}{&row.From, &row.Type, &row.Target}
			if err := json.Unmarshal(r.Raw, &fields); err != nil {
				t.Fatal(err)
			}
			if r.Target != "chatroom" && row.From != "admin_01" {
				senders[row.From] = true
			}
			if r.Target == "group" {
				active[row.Target] = true
			}
		}
		u, g := users[i], groups[i]
		if u.Sent != int64(len(senders)) || u.New != fresh || u.Total != 900 || u.Active < u.Sent || u.Active > u.Total {
			t.Errorf("%+v; want %d senders, %d new", u, len(senders), fresh)
		}
		if g.Active != int64(len(active)) || g.New != fresh || g.Total != 300 || g.Date != u.Date {
			t.Errorf("%+v; want %d active, %d new", g, len(active), fresh)
		}
	}
}

func TestStatisticsAreRefused(t *testing.T) {
	t.Parallel()
	s := newSim(t, nil) // 20:00 of 2026-11-20 there.
	strict := newSim(t, func(o *sim.Options) { o.OldIsError = true })
	const all = "messages users groups"
	for _, c := range []struct {
		server             *sim.Server
		of, query, because string
	}{
		{s, all, "", "time_unit"},
		{s, all, "time_unit=day&start=2026-11-01&duration=1", "time_unit"},
		{s, all, "time_unit=WEEK&start=2026-11-01&duration=1", "time_unit"},
		{s, "users groups", "time_unit=HOUR&start=2026-11-20%2001&duration=1", "time_unit"},
		{s, "users groups", "time_unit=MONTH&start=2026-11&duration=1", "time_unit"},
		{s, all, "time_unit=DAY&duration=1", "start is not"},
		{s, all, "time_unit=DAY&start=2026-11&duration=1", "start is not"},
		{s, all, "time_unit=DAY&start=2026-11-1&duration=1", "start is not"},
		{s, all, "time_unit=DAY&start=2026-11-31&duration=1", "start is not"},
		{s, "messages", "time_unit=HOUR&start=2026-11-20&duration=1", "start is not"},
		{s, "messages", "time_unit=HOUR&start=2026-11-20+01&duration=1", "%20"},
		{s, "messages", "time_unit=MONTH&start=2026-11-01&duration=1", "start is not"},
		{s, all, "time_unit=DAY&start=2026-11-01", "duration"},
		{s, all, "time_unit=DAY&start=2026-11-01&duration=0", "duration"},
		{s, all, "time_unit=DAY&start=2026-09-22&duration=61", "duration"},
		{s, "messages", "time_unit=HOUR&start=2026-11-20%2000&duration=25", "duration"},
		{s, "messages", "time_unit=MONTH&start=2026-09&duration=3", "duration"},
		{s, "messages", "time_unit=HOUR&start=2026-11-19%2023&duration=1", "present day"},
		{s, "messages", "time_unit=HOUR&start=2026-11-20%2020&duration=5", "out of the day"},
		{s, all, "time_unit=DAY&start=2026-11-21&duration=1", "not come"},
		{strict, all, "time_unit=DAY&start=2026-09-20&duration=1", "before the history"},
		{strict, "messages", "time_unit=MONTH&start=2026-08&duration=1", "before the history"},
		{s, all, "time_unit=DAY&start=2026-11-01&duration=1&count=1", "unknown parameter"},
	} {
		for name := range strings.FieldsSeq(c.of) {
			w, got := send(c.server, request(t, c.server, "/v2/statistic/"+name+"?"+c.query))
			if w.Code != http.StatusBadRequest || got.Error.Code != 899003 || !strings.Contains(got.Error.Message, c.because) {
				t.Errorf("%s?%s: %d %s; want 400, code 899003 for %q", name, c.query, w.Code, w.Body, c.because)
			}
		}
	}
	for _, path := range []string{"/v2/statistic", "/v2/statistic/", "/v2/statistic/rooms", "/v2/statistic/users/", "/v2/statistics/users", "/v1/statistic/users"} {
		if status, got := ask(t, s, path+"?time_unit=DAY&start=2026-11-01&duration=1"); status != http.StatusNotFound {
			t.Errorf("%s: %d, code %d; want 404", path, status, got.Error.Code)
		}
	}
}

func TestStatisticsOfTheWholeHistory(t *testing.T) {
	t.Parallel()
	s := newSim(t, func(o *sim.Options) { o.Rate = 0.01 })
	days := statistics[messageStatistics](t, s, "messages", "time_unit=DAY&start=2026-09-21&duration=60").Sent
	if len(days) != 60 || days[0].Time != "2026-09-21" || days[59].Time != "2026-11-19" {
		t.Errorf("%d days, want those of 60", len(days))
	}
	// What is older than the history is left out.
	days = statistics[messageStatistics](t, s, "messages", "time_unit=DAY&start=2026-09-19&duration=4").Sent
	if len(days) != 2 || days[0].Time != "2026-09-21" {
		t.Errorf("got %v, want the two days of the history", days)
	}
}

func TestStatisticsSwitches(t *testing.T) {
	t.Parallel()
	extra := newSim(t, func(o *sim.Options) { o.ExtraPeriod = true })
	if got := statistics[messageStatistics](t, extra, "messages", "time_unit=DAY&start=2026-11-01&duration=2").Sent; len(got) != 3 {
		t.Errorf("an extra period: %v, want three", got)
	}
	poor := newSim(t, func(o *sim.Options) { o.NoStatistics, o.NoStatisticsStatus, o.NoStatisticsCode = true, 401, 899020 })
	for _, name := range []string{"users", "messages", "groups"} {
		status, got := ask(t, poor, "/v2/statistic/"+name+"?time_unit=DAY&start=2026-11-01&duration=2")
		if status != http.StatusUnauthorized || got.Error.Code != 899020 {
			t.Errorf("%s without the right: %d, code %d", name, status, got.Error.Code)
		}
	}
	if status, _ := ask(t, poor, "/v2/messages?"+window(poor, now.Add(-time.Minute), now, 1)); status != http.StatusOK {
		t.Errorf("messages without the right to statistics: %d", status)
	}
}

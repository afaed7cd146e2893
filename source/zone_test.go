package source

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// history is an API in a zone whose messages have these times, by the clock that it goes by; the other clock is off by skew.
type history struct {
	zone     *time.Location
	messages []time.Time
	byClient bool
	skew     func(i int) time.Duration
	asked    int
}

func (h *history) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.asked++
	q := r.URL.Query()
	begin, _ := time.ParseInLocation(timeForm, q.Get("begin_time"), h.zone)
	end, _ := time.ParseInLocation(timeForm, q.Get("end_time"), h.zone)
	var rows []string
	total := 0
	for i, at := range h.messages {
		if at.Before(begin) || at.After(end.Add(time.Second-1)) || at.After(time.Now()) {
			continue
		}
		total++
		server, client := at, at.Add(h.skew(i))
		if h.byClient {
			server, client = client, server
		}
		if len(rows) < 20 && strconv.Itoa(len(rows)) != q.Get("count") {
			rows = append(rows, fmt.Sprintf(`{"msgid":%d,"msg_ctime":%d,"create_time":%d}`, i+1, server.UnixMilli(), client.UnixMilli()))
		}
	}
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	fmt.Fprintf(w, `{"total":%d,"count":%d,"messages":[%s]}`, total, len(rows), strings.Join(rows, ","))
}

// TestTheZoneIsProvedBeforeTheFirstWindow finds a zone that is wrong, east or west, by whatever messages the history has, before
// anything is planned, and takes one that is right, or that nothing tells of.
func TestTheZoneIsProvedBeforeTheFirstWindow(t *testing.T) {
	zone := func(hours float64) *time.Location {
		return time.FixedZone(fmt.Sprintf("zone %v", hours), int(hours*3600))
	}
	every := func(d time.Duration, n int) func(now time.Time) []time.Time {
		return func(now time.Time) (all []time.Time) {
			for i := range n {
				all = append(all, now.Add(-time.Duration(i)*d-30*time.Second))
			}
			return all
		}
	}
	once := func(ago ...time.Duration) func(now time.Time) []time.Time {
		return func(now time.Time) (all []time.Time) {
			for _, d := range ago {
				all = append(all, now.Add(-d))
			}
			return all
		}
	}
	none := func(int) time.Duration { return 0 }
	for _, c := range []struct {
		name      string
		api, set  float64
		messages  func(time.Time) []time.Time
		byClient  bool
		skew      func(int) time.Duration
		says      string
		mostAsked int
	}{
		{name: "right", api: 8, set: 8, messages: every(time.Second, 3000), mostAsked: 2},
		{
			name: "right, by the sender's clock", api: 8, set: 8, messages: every(time.Second, 3000), byClient: true,
			skew: func(int) time.Duration { return 50 * time.Hour }, mostAsked: 2,
		},
		{name: "right, quiet", api: 8, set: 8, messages: once(40 * 24 * time.Hour), mostAsked: 22},
		{name: "no messages", api: 8, set: 9, messages: once(), mostAsked: 20},
		{name: "an hour east", api: 8, set: 9, messages: every(time.Second, 8000), says: "UTC+08:00", mostAsked: 15},
		{name: "a quarter of an hour east", api: 5.5, set: 5.75, messages: every(10*time.Second, 8000), says: "UTC+05:30", mostAsked: 15},
		{name: "eight hours west", api: 8, set: 0, messages: every(time.Minute, 3000), says: "UTC+08:00", mostAsked: 15},
		{name: "as far as it goes", api: -12, set: 14, messages: every(time.Minute, 5000), says: "UTC-12:00", mostAsked: 25},
		{
			name: "east, three messages in two months", api: 8, set: 9, messages: once(24*time.Hour, 20*24*time.Hour, 50*24*time.Hour),
			says: "UTC+08:00", mostAsked: 60,
		},
		{
			name: "east, by the sender's clock", api: 8, set: 9, messages: every(time.Second, 8000), byClient: true,
			skew: func(i int) time.Duration { return time.Duration(i%50) * 7 * time.Minute }, says: "UTC+08:00", mostAsked: 15,
		},
		{name: "clocks that say nothing", api: 8, set: 8, messages: every(time.Second, 3000), byClient: true, mostAsked: 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(30 * 365 * 24 * time.Hour) // To a time at which the API has a history.
			if c.skew == nil {
				c.skew = none
			}
			api := &history{zone: zone(c.api), messages: c.messages(time.Now()), byClient: c.byClient, skew: c.skew}
			cfg := testConfig(api)
			cfg.TimeZone, cfg.ProveZone = zone(c.set), true
			client := newTestClient(t, cfg)
			s := pipeline.Stream{Kind: pipeline.StreamMessages}
			for range 2 {
				_, err := client.Plan(t.Context(), s, pipeline.Position{End: time.Now().Add(-time.Hour).Truncate(time.Second)})
				switch {
				case c.says == "" && err != nil:
					t.Errorf("%s: %v", c.name, err)
				case c.says != "" && (err == nil || pipeline.ClassOf(err) != pipeline.Permanent ||
					!strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "JMPUB_API_TIME_ZONE")):
					t.Errorf("%s: %v", c.name, err)
				}
			}
			if n := api.asked; n > c.mostAsked*(1+min(1, len(c.says))) {
				t.Errorf("%s: it took %d requests", c.name, n)
			}
		})
	}
}

// TestZoneIsProvedForAllAppsOfAnAPI has apps of which three have messages: theirs prove the zone for the others too, which would look for
// messages in all of their histories. They prove it of no other API, and no other zone.
func TestZoneIsProvedForAllAppsOfAnAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(30 * 365 * 24 * time.Hour) // To a time at which the API has a history.
		right := time.FixedZone("right", 8*60*60)
		now := time.Now()
		var zones Zones
		plan := func(app, address string, zone *time.Location, messages ...time.Time) (asked int, err error) {
			api := &history{zone: right, messages: messages, skew: func(int) time.Duration { return 0 }}
			cfg := testConfig(api)
			cfg.AppKey, cfg.BaseURL, cfg.TimeZone, cfg.ProveZone, cfg.Zones = app, address, zone, true, &zones
			_, err = newTestClient(t, cfg).Plan(t.Context(), pipeline.Stream{Kind: pipeline.StreamMessages}, pipeline.Position{End: now.Add(-time.Hour)})
			return api.asked, err
		}
		const here, there = "http://here.test/v2", "http://there.test/v2"
		var some []time.Time
		for i := range 9 {
			some = append(some, now.Add(-time.Duration(i+1)*time.Minute))
		}
		alone, err := plan("silent", here, right)
		if err != nil || alone < 10 {
			t.Fatalf("without messages, it is asked %d times, %v", alone, err)
		}
		for _, tc := range []struct {
			app, address string
			zone         *time.Location
			messages     []time.Time
			asked        int
			says         string
		}{
			{"first", here, right, some, 2, ""}, // For the clock, and for messages.
			{"first", here, right, some, 2, ""},
			{"second", here, right, some, 2, ""},
			{"silent", here, right, nil, alone, ""},
			{"third", here, right, some, 2, ""},
			{"silent", here, right, nil, 1, ""},
			{"fourth", here, right, some, 1, ""},
			{"silent", there, right, nil, alone, ""},
			{"fifth", here, time.FixedZone("wrong", 9*60*60), some, 0, "UTC+08:00"},
		} {
			switch asked, err := plan(tc.app, tc.address, tc.zone, tc.messages...); {
			case tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)):
				t.Errorf("%+v: %v", tc, err)
			case tc.says == "" && (err != nil || asked != tc.asked):
				t.Errorf("%+v: it was asked %d times, %v", tc, asked, err)
			}
		}
	})
}

package sim_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*sim.Options)
	}{
		{"AppKey", func(o *sim.Options) { o.AppKey = "" }},
		{"AppKey", func(o *sim.Options) { o.AppKey = "a:b" }},
		{"MasterSecret", func(o *sim.Options) { o.MasterSecret = "" }},
		{"Rate", func(o *sim.Options) { o.Rate = -1 }},
		{"Rate", func(o *sim.Options) { o.Rate = math.NaN() }},
		{"Rate", func(o *sim.Options) { o.Rate = 1e6 }},
		{"Burst", func(o *sim.Options) { o.Burst, o.BurstAt = 1<<20, now }},
		{"BurstAt", func(o *sim.Options) { o.Burst = 1 }},
		{"TextBytes", func(o *sim.Options) { o.TextBytes = -1 }},
		{"Begin", func(o *sim.Options) { o.Begin = time.Unix(-1, 0) }},
		{"End", func(o *sim.Options) { o.Begin, o.End = now, now }},
		{"History", func(o *sim.Options) { o.History = 0 }},
		{"Users", func(o *sim.Options) { o.Users = 1 }},
		{"Groups", func(o *sim.Options) { o.Groups = 1 << 40 }},
		{"Rooms", func(o *sim.Options) { o.Rooms = 0 }},
		{"ChurnEvery", func(o *sim.Options) { o.ChurnEvery, o.ChurnSince = time.Millisecond, now }},
		{"ChurnSince", func(o *sim.Options) { o.ChurnEvery = time.Second }},
		{"IrregularRows", func(o *sim.Options) { o.IrregularRows = math.NaN() }},
		{"NullRows", func(o *sim.Options) { o.NullRows = 2 }},
		{"Zone", func(o *sim.Options) { o.Zone = nil }},
		{"Clock", func(o *sim.Options) { o.Clock = "sundial" }},
		{"Late", func(o *sim.Options) { o.Late, o.LateBy = -0.1, time.Second }},
		{"LateBy", func(o *sim.Options) { o.Late = 0.5 }},
		{"LateFrom", func(o *sim.Options) { o.Late, o.LateFrom, o.LateBy = 0.5, time.Hour, time.Minute }},
		{"ExpiredStatus", func(o *sim.Options) { o.ExpiredStatus = 200 }},
		{"NoStatisticsStatus", func(o *sim.Options) { o.NoStatisticsStatus = 200 }},
		{"StatisticsLag", func(o *sim.Options) { o.StatisticsLag = -1 }},
		{"GroupCode", func(o *sim.Options) { o.GroupCode = 1 }},
		{"truncated", func(o *sim.Options) { o.Truncated = 1.5 }},
		{"together", func(o *sim.Options) { o.Truncated, o.Malformed = 0.6, 0.6 }},
		{"SlowBy", func(o *sim.Options) { o.Slow = 0.1 }},
		{"CursorTTL", func(o *sim.Options) { o.CursorTTL = 0 }},
		{"PerMinute", func(o *sim.Options) { o.PerMinute = -1 }},
		{"Latency", func(o *sim.Options) { o.Latency = -1 }},
		{"LatencyJitter", func(o *sim.Options) { o.LatencyJitter = -1 }},
	} {
		o := sim.Defaults()
		c.change(&o)
		_, err := sim.New(o)
		if err == nil || !strings.Contains(err.Error(), c.name) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want this mistake alone", c.name, err)
		}
	}
	o := sim.Defaults()
	o.Rate, o.Truncated, o.Clock, o.Late, o.Users = -1, 2, "sundial", 0.5, 0
	_, err := sim.New(o)
	for _, want := range []string{"Rate", "Users", "sundial", "Late", "truncated"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s: every mistake is reported at once", err, want)
		}
	}
	if _, err := sim.New(sim.Defaults()); err != nil {
		t.Errorf("defaults: %v", err)
	}
}

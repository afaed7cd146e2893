package statistics

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jmpub/jmpub/pipeline"
)

func TestStatisticsValues(t *testing.T) {
	users := pipeline.Stream{Kind: pipeline.StreamStatistics, Name: "users"}
	day, _ := pipeline.ParsePeriod(pipeline.Day, "2017-03-01", time.UTC)
	for _, c := range []struct {
		row   string
		extra []Field
		want  string
	}{
		{
			"{\n \"active_users\": 29,\t\"ratio\" : 0.10, \"huge\":123456789012345678901234567890, \"s\":\"\\u4f60 \\/\" }", nil,
			`{"active_users":29,"ratio":0.10,"huge":123456789012345678901234567890,"s":"\u4f60 \/"}`,
		},
		{`{}`, nil, `{}`},
		{`{}`, []Field{{"a_msg_stat", []byte(`{ "n" : 1e2 }`)}}, `{"a_msg_stat":{"n":1e2}}`},
		{`{"x":1}`, []Field{{"a", []byte(`{}`)}, {"b", []byte(`{"y":2}`)}}, `{"x":1,"a":{},"b":{"y":2}}`},
		{`{"a":1}`, []Field{{"a", []byte(`{}`)}}, `{"a":1}`},
		{ // What stands deeper, or is a value, is another one.
			`{"x":{"group_msg_stat":1},"y":[{"group_msg_stat":2}],"z":"group_msg_stat"}`,
			[]Field{{"group_msg_stat", []byte(`{"txt_msg":3}`)}},
			`{"x":{"group_msg_stat":1},"y":[{"group_msg_stat":2}],"z":"group_msg_stat","group_msg_stat":{"txt_msg":3}}`,
		},
		{
			`{"x":{"group_msg_stat":1},"group_msg_stat":4}`,
			[]Field{{"group_msg_stat", []byte(`{"txt_msg":3}`)}},
			`{"x":{"group_msg_stat":1},"group_msg_stat":4}`,
		},
	} {
		got, err := encodeRow("k\"1", users, &Row{Period: day, Value: []byte(c.row), Extra: c.extra})
		want := `{"app_key":"k\"1","kind":"users","period":"day","time":"2017-03-01","data":` + c.want + `}`
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v; want %s", c.row, got, err, want)
		}
	}
	for _, row := range []string{``, `[]`, `1`, `{`, `{"a":1}x`} {
		if got, err := encodeRow("k", users, &Row{Period: day, Value: []byte(row)}); err == nil {
			t.Errorf("%s became %s", row, got)
		}
	}
}

// TestMarks publishes values at random, with checkpoints in between, and compares with a plain map.
func TestMarks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom([]*time.Location{time.UTC, time.FixedZone("", 8*3600), time.FixedZone("", -34200)}).Draw(t, "zone")
		now := time.Date(2026, 11, 20, 12, 0, 0, 0, zone)
		m := make(marks)
		plain := make(map[string]string)
		for range rapid.IntRange(1, 60).Draw(t, "n") {
			unit := rapid.SampledFrom([]pipeline.Unit{pipeline.Hour, pipeline.Day, pipeline.Month}).Draw(t, "unit")
			p := pipeline.PeriodOf(unit, now).Add(rapid.IntRange(-2, 0).Draw(t, "back"))
			value := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "value")
			if got, want := m.set(p, []byte(value)), plain[p.String()] != value; got != want {
				t.Fatalf("%s = %s: new is %v, want %v", p, value, got, want)
			}
			plain[p.String()] = value
			if !m.have(unit) {
				t.Fatalf("nothing of %s is known", unit)
			}
			if rapid.Bool().Draw(t, "checkpoint") {
				m.forget(now)
				seen := m.sorted()
				if len(seen) != len(plain) || !slices.IsSorted(seen) || seen[0] < 0 {
					t.Fatalf("%d marks of %d periods: %v", len(seen), len(plain), seen)
				}
				m = marksOf(seen)
			}
		}
		m.forget(now.AddDate(0, 0, 200))
		if len(m) != 0 || m.have(pipeline.Day) {
			t.Fatalf("%d marks are kept for ever", len(m))
		}
	})
}

package statistics

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestStatisticsValues(t *testing.T) {
	day, _ := ParsePeriod(Day, "2017-03-01", time.UTC)
	for _, c := range []struct {
		row   string
		parts []FiguresPart
		want  string
	}{
		{
			"{\n \"active_users\": 29,\t\"ratio\" : 0.10, \"huge\":123456789012345678901234567890, \"s\":\"\\u4f60 \\/\" }", nil,
			`{"active_users":29,"ratio":0.10,"huge":123456789012345678901234567890,"s":"\u4f60 \/"}`,
		},
		{`{}`, nil, `{}`},
		{`{}`, []FiguresPart{{"a_msg_stat", []byte(`{ "n" : 1e2 }`)}}, `{"a_msg_stat":{"n":1e2}}`},
		{`{"x":1}`, []FiguresPart{{"a", []byte(`{}`)}, {"b", []byte(`{"y":2}`)}}, `{"x":1,"a":{},"b":{"y":2}}`},
		{`{"a":1}`, []FiguresPart{{"a", []byte(`{}`)}}, `{"a":1}`},
	} {
		got, err := encodeFigures("k\"1", Stream{StreamStatistics, "users"}, &Figures{Period: day, Row: []byte(c.row), Parts: c.parts})
		want := `{"app_key":"k\"1","kind":"users","period":"day","time":"2017-03-01","data":` + c.want + `}`
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v; want %s", c.row, got, err, want)
		}
	}
	for _, row := range []string{``, `[]`, `1`, `{`, `{"a":1}x`} {
		if got, err := encodeFigures("k", Stream{StreamStatistics, "users"}, &Figures{Period: day, Row: []byte(row)}); err == nil {
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
			unit := rapid.SampledFrom([]Unit{Hour, Day, Month}).Draw(t, "unit")
			p := PeriodOf(unit, now).Add(rapid.IntRange(-2, 0).Draw(t, "back"))
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
		if len(m) != 0 || m.have(Day) {
			t.Fatalf("%d marks are kept for ever", len(m))
		}
	})
}

func TestPeriods(t *testing.T) {
	zone := time.FixedZone("", 5*3600+1800)
	at := time.Date(2026, 12, 31, 23, 45, 1, 2, zone)
	for unit, want := range map[Unit][]string{
		Hour: {"2026-12-31 23", "2027-01-01 00", "2026-12-31 22"}, Day: {"2026-12-31", "2027-01-01", "2026-12-30"}, Month: {"2026-12", "2027-01", "2026-11"},
	} {
		p := PeriodOf(unit, at)
		if got := []string{p.String(), p.Add(1).String(), p.Add(-1).String()}; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", unit, got, want)
		}
		if !p.End().Equal(p.Add(1).Begin) || at.Before(p.Begin) || !at.Before(p.End()) {
			t.Errorf("%s: from %s to %s", unit, p.Begin, p.End())
		}
		again, err := ParsePeriod(unit, p.String(), zone)
		if err != nil || !again.Begin.Equal(p.Begin) {
			t.Errorf("%s: read %s, %v", p, again, err)
		}
		if _, err := ParsePeriod(unit, "x", zone); err == nil {
			t.Errorf("x is no %s", unit)
		}
	}
	if units, err := ParseUnits(" day,hour"); err != nil || !slices.Equal(units, []Unit{Day, Hour}) {
		t.Errorf("%v, %v", units, err)
	}
	for _, wrong := range []string{"", "day,", "week", "day,day", "DAY"} {
		if units, err := ParseUnits(wrong); err == nil {
			t.Errorf("%q was read as %v", wrong, units)
		}
	}
}

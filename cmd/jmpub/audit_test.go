package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
	"github.com/jmpub/jmpub/pipeline"
)

// publish runs until everything before the station's end is out.
func (s *station) publish() {
	s.t.Helper()
	stop := s.run()
	s.await(s.end)
	if code := stop(); code != exitDone {
		s.t.Fatalf("run: exit code %d", code)
	}
}

// objects are the lines of JSON that a command printed.
func objects(t *testing.T, text string) []map[string]any {
	t.Helper()
	var all []map[string]any
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber() // A msgid is no float.
	for dec.More() {
		var one map[string]any
		if err := dec.Decode(&one); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		all = append(all, one)
	}
	return all
}

// number is a member of an object; -1 where it is none.
func number(one map[string]any, member string) int64 {
	text, ok := one[member].(json.Number)
	n, err := text.Int64()
	if !ok || err != nil {
		return -1
	}
	return n
}

// sumOf adds up a member of those objects that have another one.
func sumOf(all []map[string]any, member, having string) (sum int64) {
	for _, one := range all {
		if n := number(one, member); n > 0 && one[having] != nil {
			sum += n
		}
	}
	return sum
}

// TestAuditFindsAndRepairs hides rows, lets them appear after they were read, and expects each of them to be named with its
// second, published once, and nothing to be missing then.
func TestAuditFindsAndRepairs(t *testing.T) {
	t.Parallel()
	s := newStation(t, func(o *sim.Options) { o.Late, o.LateFrom, o.LateBy = 0.01, time.Hour, 2*time.Hour })
	s.env["JMPUB_RECHECK"] = "off"
	s.publish()
	position, _ := s.position()
	from, to := s.begin, position.End
	audit := func(more ...string) (outcome, []map[string]any) {
		t.Helper()
		args := append([]string{"audit", "--from", from.Format(time.RFC3339), "--to", to.Format(time.RFC3339), "--json"}, more...)
		out := try(t, s.env, args...)
		return out, objects(t, out.stdout)
	}
	out, told := audit("--step", "5m")
	if last := told[len(told)-1]; out.code != exitDone || number(last, "missing") != 0 || number(last, "requests") < 4 {
		t.Errorf("before rows appear: exit code %d: %s%s", out.code, out.stdout, out.stderr)
	}
	if !strings.Contains(out.stderr, "requests for totals") {
		t.Errorf("the cost is not told: %s", out.stderr)
	}
	hidden := make(map[int64]time.Time)
	for r := range s.api.Truth(sim.Range{Begin: from, End: to.Add(time.Second - time.Millisecond)}) {
		if r.Appears.After(time.Now()) {
			hidden[r.MsgID] = r.Time.Truncate(time.Second)
		}
	}
	s.skipped.Store(int64(3 * time.Hour))
	if out, told = audit(); out.code != exitIncomplete {
		t.Errorf("after rows appeared: exit code %d: %s", out.code, out.stderr)
	}
	found := 0
	for _, d := range told {
		missing, _ := d["missing"].([]any)
		for _, m := range missing {
			row, _ := m.(map[string]any)
			text, _ := row["time"].(string)
			at, err := time.Parse(time.RFC3339, text)
			if want, ok := hidden[number(row, "msgid")]; err != nil || !ok || !at.Truncate(time.Second).Equal(want) {
				t.Errorf("%v is named missing, of the second %v", row, want)
			}
			found++
		}
	}
	if found != len(hidden) || found == 0 || number(told[len(told)-1], "missing") != int64(found) {
		t.Errorf("%d rows are named missing, want %d: %v", found, len(hidden), told[len(told)-1])
	}
	// A part of it first: what its first window has in common with the one before is not missing.
	part := try(t, s.env, "audit", "--from", from.Add(9*time.Minute).Format(time.RFC3339), "--to", to.Format(time.RFC3339), "--json", "--repair")
	told = objects(t, part.stdout)
	repaired := number(told[len(told)-1], "repaired")
	if part.code != exitDone || repaired <= 0 || repaired >= int64(found) {
		t.Errorf("repair of a part: exit code %d, %d of %d rows: %s", part.code, repaired, found, part.stderr)
	}
	found -= int(repaired)
	if out, told = audit("--repair"); out.code != exitDone || number(told[len(told)-1], "repaired") != int64(found) {
		t.Errorf("repair: exit code %d: %s", out.code, out.stdout)
	}
	if out, told = audit(); out.code != exitDone || number(told[len(told)-1], "missing") != 0 {
		t.Errorf("after the repair: exit code %d: %s", out.code, out.stdout)
	}
	s.compare("jmessage", s.truth(true))
	windows := try(t, s.env, "windows", "--from", from.Add(-time.Minute).Format(time.RFC3339), "--json", "--by", "day")
	if late := sumOf(objects(t, windows.stdout), "late", "windows"); late != int64(len(hidden)) {
		t.Errorf("%d late rows in the ledger, want %d: %s", late, len(hidden), windows.stderr)
	}
}

// wantComplete expects the sums of hours to be complete that lie in a range, and no others.
func wantComplete(t *testing.T, told []map[string]any, by []string, read pipeline.Window) {
	t.Helper()
	if !slices.Contains(by, "hour") {
		return
	}
	hours, complete := 0, 0
	for _, one := range told {
		text, ok := one["begin_time"].(string)
		if _, sum := one["windows"]; !ok || !sum {
			continue
		}
		begin, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		hours++
		want := !begin.Before(read.Begin) && !begin.Add(time.Hour).After(read.End)
		if want {
			complete++
		}
		if one["complete"] != want {
			t.Errorf("the hour from %s: complete is %v, want %t", text, one["complete"], want)
		}
	}
	if complete == 0 || complete == hours {
		t.Errorf("%d of %d hours are complete; the test needs some of both", complete, hours)
	}
}

// TestAuditComparesStatistics publishes days and holds them against the API's statistics: they are the same, until rows that were
// hidden count.
func TestAuditComparesStatistics(t *testing.T) {
	t.Parallel()
	for _, has := range []bool{true, false} {
		s := newStation(t, func(o *sim.Options) {
			o.Begin, o.Rate = o.Begin.Add(-72*time.Hour), 0.004
			o.Late, o.LateFrom, o.LateBy = 0.05, 80*time.Hour, 81*time.Hour
			o.NoStatistics = !has
		})
		s.env["JMPUB_START"], s.env["JMPUB_RECHECK"] = "74h", "off"
		s.publish()
		args := []string{"audit", "--from", s.begin.Format(time.RFC3339), "--to", s.end.Add(-time.Minute).Format(time.RFC3339), "--step", "7d", "--json"}
		out := try(t, s.env, args...)
		told := objects(t, out.stdout)
		if out.code != exitDone {
			t.Errorf("exit code %d: %s%s", out.code, out.stdout, out.stderr)
		}
		if !has {
			if !strings.Contains(out.stderr, "no statistics to compare with") || sumOf(told, "group", "statistics") > 0 {
				t.Errorf("without statistics: %s%s", out.stdout, out.stderr)
			}
			continue
		}
		same := func() (days int, ok bool) {
			ok = true
			for _, one := range told {
				if one["statistics"] != nil {
					days++
					ok = ok && one["single"] == one["single_published"] && one["group"] == one["group_published"]
				}
			}
			return days, ok
		}
		if days, ok := same(); days < 2 || days > 3 || !ok || sumOf(told, "group_published", "statistics") == 0 {
			t.Errorf("%d days, the same: %t: %s", days, ok, out.stdout)
		}
		s.skipped.Store(int64(90 * time.Hour))
		out = try(t, s.env, args...)
		if told = objects(t, out.stdout); out.code != exitIncomplete {
			t.Errorf("exit code %d: %s%s", out.code, out.stdout, out.stderr)
		}
		if _, ok := same(); ok {
			t.Errorf("the statistics have not changed: %s", out.stdout)
		}
		if text := try(t, s.env, args[:len(args)-1]...); !strings.Contains(text.stderr, "Statistics are a hint") || !strings.Contains(text.stdout, "differs") {
			t.Errorf("in words: %s%s", text.stdout, text.stderr)
		}
	}
}

// TestWindowsTellWhatIsThereAndWhatIsNot sums the ledger up, and finds the time that was skipped.
func TestWindowsTellWhatIsThereAndWhatIsNot(t *testing.T) {
	t.Parallel()
	s := newStation(t, func(o *sim.Options) { o.Begin = o.Begin.Add(-5 * time.Hour) }) // Windows end in several hours.
	s.env["JMPUB_START"] = s.begin.Add(5 * time.Minute).Format(time.RFC3339)
	s.publish()
	end, _ := s.position()
	asked := []string{"windows", "--from", s.begin.Format(time.RFC3339), "--to", end.End.Format(time.RFC3339), "--json"}
	rows := int64(0)
	for r := range s.api.Truth(sim.Range{Begin: s.begin.Add(5 * time.Minute), End: end.End}) {
		if !r.Time.Before(s.begin.Add(5 * time.Minute)) {
			rows++
		}
	}
	for _, by := range [][]string{nil, {"--by", "hour"}, {"--by", "day"}} {
		out := try(t, s.env, append(asked, by...)...)
		all := objects(t, out.stdout)
		if got := sumOf(all, "published", "windows") + sumOf(all, "published", "offsets"); out.code != exitDone || got < rows || got > rows+20 { // The overlap before the begin is published too.
			t.Errorf("%v: exit code %d: %d rows, want %d", by, out.code, got, rows)
		}
		var holes []map[string]any
		for _, one := range all {
			if one["hole"] == true {
				holes = append(holes, one)
			}
		}
		wantComplete(t, all, by, pipeline.Window{Begin: s.begin.Add(5 * time.Minute), End: end.End})
		if len(holes) != 1 || holes[0]["begin_time"] != s.begin.Format(time.RFC3339) ||
			holes[0]["end_time"] != s.begin.Add(5*time.Minute-2*time.Second).Format(time.RFC3339) {
			t.Errorf("%v: holes %v", by, holes)
		}
	}
	text := try(t, s.env, "windows", "--from", "1h", "--stream", "groups/1")
	if want := "nothing was read of groups/1 from"; text.code != exitDone || !strings.Contains(text.stdout, want) {
		t.Errorf("a stream without windows: exit code %d: %s", text.code, text.stdout)
	}
	if text = try(t, s.env, "audit", "--from", "1h", "--stream", "groups/1"); text.code != exitIncomplete {
		t.Errorf("an audit of what was not read: exit code %d: %s", text.code, text.stdout)
	}
}

// TestReplayRefusesWhatRetentionWouldDelete tells of the topics that the events would go to, wherever those are.
func TestReplayRefusesWhatRetentionWouldDelete(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	s.env["JMPUB_RECORD_TIME"], s.env["JMPUB_TOPICS_RETENTION"] = "event", "1h"
	args := []string{"replay", "--from", "3h", "--to", "2h"}
	for _, more := range [][]string{nil, {"--to-topic-prefix", "elsewhere"}} {
		out := try(t, s.env, append(args, more...)...)
		topic := "jmessage.single"
		if more != nil {
			topic = "elsewhere.single"
		}
		if out.code != exitUsage || !strings.Contains(out.stderr, topic) || !strings.Contains(out.stderr, "retention.ms=") {
			t.Errorf("%v: exit code %d: %s", more, out.code, out.stderr)
		}
		if found, err := verify.Read(t.Context(), s.broker.Addrs(), strings.TrimSuffix(topic, ".single")); err != nil || found.Records > 0 {
			t.Errorf("%v: %d records were published, %v", more, found.Records, err)
		}
	}
	if out := try(t, s.env, "replay", "--from", s.begin.Format(time.RFC3339), "--to", s.end.Format(time.RFC3339)); out.code != exitDone {
		t.Errorf("within the retention: exit code %d: %s", out.code, out.stderr)
	}
}

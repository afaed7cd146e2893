package main

import (
	"encoding/json"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/internal/tests/avrotest"
	"github.com/jmpub/jmpub/pipeline/event"
)

// TestAvroInOneTopic runs, audits, repairs and replays where events are in Avro and all in one topic: what reads back what was
// published finds it by the ledger, and reads no values.
func TestAvroInOneTopic(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64 // Of the API's clock.
	s := newStation(t, func(o *sim.Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		o.Late, o.LateFrom, o.LateBy = 0.1, time.Minute, 5*time.Minute
	})
	schemas := srfake.New()
	t.Cleanup(schemas.Close)
	s.env = with(s.env, "JMPUB_EVENT_FORMAT", "avro", "JMPUB_SCHEMA_REGISTRY_URL", schemas.URL(), "JMPUB_TOPIC_TEMPLATE", "{prefix}.all")
	layout := func(prefix string) *verify.Layout {
		return &verify.Layout{
			Prefix: prefix, Topic: func(event.Target) string { return prefix + ".all" },
			Decode: avrotest.NewReader(schemas.URL()).Decode, ContentType: "application/avro",
		}
	}
	stop := s.run()
	s.await(s.end)
	if code := stop(); code != exitDone {
		t.Fatalf("run: exit code %d", code)
	}
	ahead.Store(int64(10 * time.Minute)) // Now the late rows are there.
	position, _ := s.position()
	audit := []string{"audit", "--from", s.begin.Add(-15 * time.Minute).Format(time.RFC3339), "--to", position.End.Format(time.RFC3339), "--json", "--yes"}
	if before := s.audit(audit...); before.Missing == 0 || before.Extra != 0 {
		t.Errorf("before the repair: %+v", before)
	}
	if repair := s.audit(append(audit, "--repair")...); repair.Missing == 0 || repair.Repaired != int64(repair.Missing) {
		t.Errorf("the repair: %+v", repair)
	}
	if after := s.audit(audit...); after.Missing != 0 || after.Extra != 0 || after.Rows == 0 {
		t.Errorf("after the repair: %+v", after)
	}
	s.compareIn(layout("jmessage"), s.truth(true))

	from, to := s.begin.Add(5*time.Minute), s.begin.Add(12*time.Minute)
	replay := []string{"replay", "--from", from.Format(time.RFC3339), "--to", to.Format(time.RFC3339), "--to-topic-prefix", "elsewhere"}
	got := try(t, s.env, append(slices.Clone(replay), "--json")...)
	var result operate.ReplayResult
	if err := json.Unmarshal([]byte(got.stdout), &result); err != nil || got.code != exitDone || !result.Complete {
		t.Fatalf("replay: exit code %d, %v: %s", got.code, err, got.stderr)
	}
	s.compareIn(layout("elsewhere"), s.truth(false, [2]time.Time{from, to}))

	fixed := with(s.env, "JMPUB_TOPIC_TEMPLATE", "everything")
	if got = try(t, fixed, replay...); got.code != exitUsage || !strings.Contains(got.stderr, "JMPUB_TOPIC_TEMPLATE") {
		t.Errorf("replay to a prefix that the template has not: exit code %d: %s", got.code, got.stderr)
	}
}

// audit is an audit's end. Its exit code may say that the audit is incomplete, because of the time before the run's start.
func (s *station) audit(args ...string) operate.AuditResult {
	s.t.Helper()
	out := try(s.t, s.env, args...)
	var result operate.AuditResult
	lines := strings.Split(strings.TrimSpace(out.stdout), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &result); err != nil || out.code != exitDone && out.code != exitIncomplete {
		s.t.Fatalf("audit: exit code %d, %v: %s%s", out.code, err, out.stdout, out.stderr)
	}
	return result
}

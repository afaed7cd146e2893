package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/jmpub/jmpub/internal/avrotest"
	"github.com/jmpub/jmpub/internal/verify"
	"github.com/jmpub/jmpub/pipeline"
)

// TestAvroInOneTopic runs, audits and replays where events are in Avro and all in one topic: what reads back what was
// published follows the template, and reads no values.
func TestAvroInOneTopic(t *testing.T) {
	s := newStation(t)
	schemas := srfake.New()
	t.Cleanup(schemas.Close)
	s.env = with(s.env, "JMPUB_EVENT_FORMAT", "avro", "JMPUB_SCHEMA_REGISTRY_URL", schemas.URL(), "JMPUB_TOPIC_TEMPLATE", "{prefix}.all")
	layout := func(prefix string) *verify.Layout {
		return &verify.Layout{
			Prefix: prefix, Topic: func(pipeline.Target) string { return prefix + ".all" },
			Decode: avrotest.NewReader(schemas.URL()).Decode, ContentType: "application/avro",
		}
	}
	stop := s.run()
	s.await(s.end)
	if code := stop(); code != exitDone {
		t.Fatalf("run: exit code %d", code)
	}
	s.compareIn(layout("jmessage"), s.truth(true))

	schemas.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { // An audit needs no schema.
		w.WriteHeader(http.StatusForbidden)
		return true
	})
	audit := []string{"audit", "--from", s.begin.Format(time.RFC3339), "--to", s.end.Add(-time.Second).Format(time.RFC3339), "--json", "--yes"}
	got := try(t, s.env, audit...)
	schemas.ClearInterceptors()
	if got.code != exitDone {
		t.Errorf("audit: exit code %d: %s%s", got.code, got.stdout, got.stderr)
	}

	from, to := s.begin.Add(5*time.Minute), s.begin.Add(12*time.Minute)
	replay := []string{"replay", "--from", from.Format(time.RFC3339), "--to", to.Format(time.RFC3339), "--to-topic-prefix", "elsewhere"}
	got = try(t, s.env, append(slices.Clone(replay), "--json")...)
	var result replayResult
	if err := json.Unmarshal([]byte(got.stdout), &result); err != nil || got.code != exitDone || !result.Complete {
		t.Fatalf("replay: exit code %d, %v: %s", got.code, err, got.stderr)
	}
	s.compareIn(layout("elsewhere"), s.truth(false, [2]time.Time{from, to}))
	s.compareIn(layout("jmessage"), s.truth(true))

	fixed := with(s.env, "JMPUB_TOPIC_TEMPLATE", "everything")
	if got = try(t, fixed, replay...); got.code != exitUsage || !strings.Contains(got.stderr, "JMPUB_TOPIC_TEMPLATE") {
		t.Errorf("replay to a prefix that the template has not: exit code %d: %s", got.code, got.stderr)
	}
}

//go:build integration

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/pipeline"
)

// poison writes something else to the key of a stream's position, and in the ledger and the coverage.
func (s *station) poison(stream string) {
	s.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.broker.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	const positions = "jmessage.checkpoints"
	topics, err := kadm.NewClient(client).ListTopics(s.t.Context(), positions)
	if err != nil {
		s.t.Fatal(err)
	}
	app := s.env["JMPUB_APP_KEY"]
	shard := checkpoint.ShardOf(app, len(topics[positions].Partitions))
	key := []byte(app + "/" + stream)
	err = client.ProduceSync(s.t.Context(),
		&kgo.Record{Topic: positions, Partition: int32(shard), Key: key, Value: []byte("garbage")},
		&kgo.Record{Topic: "jmessage.windows", Key: append(key, "/2026-07-01T00:00:00Z"...), Value: []byte("garbage")},
		&kgo.Record{Topic: "jmessage.coverage", Key: append(key, "/2026-07-01"...), Value: []byte("garbage")},
	).FirstErr()
	if err != nil {
		s.t.Fatal(err)
	}
}

// TestPoisonedPosition has somebody write garbage where a stream's position stands. The other stream goes on; the list shows what is
// wrong and how it is put right; reset and delete put it right; ledger and audit work meanwhile.
func TestPoisonedPosition(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	const poisoned = "users/user_0001"
	s.env["JMPUB_STREAMS"] = "users/user_0002," + poisoned
	publish := func(windows int) {
		t.Helper()
		run := s.startLive()
		run.until("published", func() bool { return run.windows >= windows })
		run.stop()
	}
	publish(8)
	list := func(unreadable bool) {
		t.Helper()
		out := try(t, s.env, "checkpoint", "list")
		if out.code != exitDone || strings.Contains(out.stdout, "UNREADABLE") != unreadable {
			t.Errorf("checkpoint list: exit code %d: %s%s", out.code, out.stdout, out.stderr)
		}
		if want := "jmpub checkpoint reset " + poisoned; unreadable && !strings.Contains(out.stdout, want) {
			t.Errorf("it does not say %q: %s", want, out.stdout)
		}
	}
	for _, command := range [][]string{
		{"checkpoint", "reset", poisoned, "--to", s.end.Add(-time.Minute).Format(time.RFC3339), "--yes"},
		{"checkpoint", "delete", poisoned, "--yes"},
	} {
		list(false)
		s.poison(poisoned)
		list(true)
		if out := try(t, s.env, "windows", "--from", "30m"); out.code != exitDone {
			t.Errorf("windows: exit code %d: %s", out.code, out.stderr)
		}
		publish(1)
		list(true)
		if out := try(t, s.env, command...); out.code != exitDone {
			t.Errorf("%v: exit code %d: %s", command, out.code, out.stderr)
		}
	}
	list(false)
	s.poison(poisoned)
	s.env["JMPUB_STREAMS"] = poisoned // Nothing is left to be read, so the run ends, and says why.
	out := try(t, s.env, "run")
	if out.code != exitFailed || !strings.Contains(out.stderr, fmt.Sprint(pipeline.ErrUnreadable)) || !strings.Contains(out.stderr, "checkpoint delete "+poisoned) {
		t.Errorf("run: exit code %d: %s", out.code, out.stderr)
	}
}

//go:build integration

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/operate"
	"github.com/jmpub/jmpub/pipeline"
)

// keeping is where a station keeps its positions, and how they are lost.
type keeping interface {
	// keep sets the station up.
	keep(s *station)
	// save keeps what is there now, lose takes everything away, and restore brings back what was saved.
	save(s *station)
	lose(s *station)
	restore(s *station)
}

// keptInKafka are positions in the topic of checkpoints.
type keptInKafka struct{ saved []*kgo.Record }

const checkpointsTopic = "jmessage.checkpoints"

func (*keptInKafka) keep(*station) {}

func (k *keptInKafka) save(s *station) {
	client := s.client(kgo.ConsumeTopics(checkpointsTopic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	ends, err := kadm.NewClient(client).ListCommittedOffsets(s.t.Context(), checkpointsTopic)
	if err != nil {
		s.t.Fatal(err)
	}
	newest := make(map[string]*kgo.Record)
	ends.Each(func(end kadm.ListedOffset) {
		for next := int64(0); next < end.Offset; {
			client.PollFetches(s.t.Context()).EachRecord(func(r *kgo.Record) {
				if r.Partition == end.Partition {
					next = r.Offset + 1
				}
				newest[string(r.Key)] = r
			})
			if next == end.Offset-1 { // What is left is the end of the last transaction.
				break
			}
		}
	})
	for _, r := range newest {
		k.saved = append(k.saved, &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value})
	}
}

func (*keptInKafka) lose(s *station) { s.deleteTopic(checkpointsTopic) }

func (k *keptInKafka) restore(s *station) {
	client := s.client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	_, err := kadm.NewClient(client).CreateTopic(s.t.Context(), 6, -1, map[string]*string{"cleanup.policy": new("compact")}, checkpointsTopic)
	if err == nil || errors.Is(err, kerr.TopicAlreadyExists) { // A start that was refused has made it.
		err = client.ProduceSync(s.t.Context(), k.saved...).FirstErr()
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// keptInFiles are positions in a folder.
type keptInFiles struct {
	dir   string
	saved map[string][]byte
}

func (f *keptInFiles) keep(s *station) {
	f.dir = filepath.Join(s.t.TempDir(), "positions")
	s.env["JMPUB_CHECKPOINT"] = "file:" + f.dir
}

func (f *keptInFiles) save(s *station) {
	f.saved = make(map[string][]byte)
	names, err := filepath.Glob(filepath.Join(f.dir, "*.checkpoint.json"))
	for _, name := range names {
		if f.saved[name], err = os.ReadFile(name); err != nil {
			break
		}
	}
	if err != nil || len(names) == 0 {
		s.t.Fatal(names, err)
	}
}

func (f *keptInFiles) lose(s *station) {
	if err := os.RemoveAll(f.dir); err != nil {
		s.t.Fatal(err)
	}
}

func (f *keptInFiles) restore(s *station) {
	err := os.MkdirAll(f.dir, 0o750)
	for name, content := range f.saved {
		if err == nil {
			err = os.WriteFile(name, content, 0o600)
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *station) deleteTopic(name string) {
	s.t.Helper()
	if _, err := kadm.NewClient(s.client()).DeleteTopic(s.t.Context(), name); err != nil {
		s.t.Fatal(err)
	}
}

// refused expects a start to end before anything is published, and to say what was found and which command decides.
func (s *station) refused(says string) {
	s.t.Helper()
	out := try(s.t, s.env, "run")
	if out.code != exitFailed {
		s.t.Fatalf("exit code %d, want %d: %s", out.code, exitFailed, out.stderr)
	}
	for _, want := range []string{"messages is published up to 20", says, "jmpub checkpoint reset", "--accept-lost-checkpoints"} {
		if !strings.Contains(out.stderr, want) {
			s.t.Errorf("it does not say %q: %s", want, out.stderr)
		}
	}
}

// TestLostCheckpoints loses checkpoints, and brings back old ones, in Kafka and in files: nothing is published until an operator has
// decided, and what each decision publishes again is what it says.
func TestLostCheckpoints(t *testing.T) {
	t.Parallel()
	for name, kept := range map[string]keeping{"kafka": &keptInKafka{}, "files": &keptInFiles{}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStation(t)
			kept.keep(s)
			s.env["JMPUB_SETTLE"] = "1s"
			live := func(prepare ...func(*operate.RunOptions)) pipeline.Checkpoint {
				t.Helper()
				run := s.startLive(prepare...)
				run.live()
				run.until("it has committed several times", func() bool { return run.windows >= 3 })
				return run.stop()
			}
			live()
			kept.save(s)
			backup, _ := s.position()
			last := live()

			kept.lose(s)
			s.refused("there is no checkpoint of it")
			kept.restore(s)
			s.refused("its checkpoint says " + pipeline.FormatTime(backup.End))
			s.wantTimes(func(second time.Time) (due, more int) { return within(second, s.begin, last.End.Add(-time.Second)), 1 })

			// Set, where none is there, to where it was.
			kept.lose(s)
			s.refused("there is no checkpoint of it")
			reset := []string{"checkpoint", "reset", "messages", "--to", pipeline.FormatTime(last.End), "--yes"}
			if out := try(t, s.env, reset...); out.code != exitDone {
				t.Fatalf("reset: exit code %d: %s", out.code, out.stderr)
			}
			second := live()
			s.wantTimes(func(second time.Time) (due, more int) { return within(second, s.begin, last.End.Add(-time.Second)), 2 })

			// Accepted, where an old one is there: what lies between comes again, and the next start asks no more.
			kept.lose(s)
			kept.restore(s)
			from := backup.End
			third := live(func(o *operate.RunOptions) { o.AcceptLostCheckpoints = true })
			if third.Sequence <= second.Sequence {
				t.Errorf("the ledger goes on with %d after %d", third.Sequence, second.Sequence)
			}
			live()
			s.wantTimes(func(second time.Time) (due, more int) {
				if second.Before(last.End) {
					due = 1 + within(second, from.Add(time.Second), last.End.Add(-time.Second))
				}
				return due, 3
			})

			// Forgotten by an operator is not lost.
			if out := try(t, s.env, "checkpoint", "delete", "messages", "--yes"); out.code != exitDone {
				t.Fatalf("delete: exit code %d: %s", out.code, out.stderr)
			}
			if _, there := s.position(); there {
				t.Error("the forgotten position is listed")
			}
			if fourth := live(); fourth.Sequence <= third.Sequence {
				t.Errorf("the ledger goes on with %d after %d", fourth.Sequence, third.Sequence)
			}
			live()
		})
	}
}

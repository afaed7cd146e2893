package sink_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/jmpub/jmpub/pipeline/event"
)

func TestEventsArriveWithKeysHeadersAndOffsets(t *testing.T) {
	t.Parallel()
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.cfg.Compression = codec
			s := b.open(t)
			published := commit(t, s, events(0, 500), events(500, 500))
			records := b.read(t, eventTopics()...)
			if !slices.Equal(keysOf(records), upTo(1000)) {
				t.Fatalf("%d records, want the keys 0 to 999 once each", len(records))
			}
			where := make(map[string]int)
			for _, p := range published {
				for _, r := range p.Offsets {
					for at := r.First; at <= r.Last; at++ {
						where[fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, at)]++
					}
				}
			}
			last := make(map[string]int)
			for _, r := range records {
				id, _ := strconv.Atoi(string(r.Key))
				if want := "t." + event.Target(id%4).String(); r.Topic != want {
					t.Errorf("msgid %d is in %s, want %s", id, r.Topic, want)
				}
				place := fmt.Sprintf("%s/%d", r.Topic, r.Partition)
				if id <= last[place] && last[place] > 0 {
					t.Errorf("%s: msgid %d after %d", place, id, last[place])
				}
				last[place] = id
				if at := fmt.Sprintf("%s@%d", place, r.Offset); where[at] != 1 {
					t.Errorf("%s is in no range of offsets that was reported", at)
				}
				headers := make(map[string]string)
				for _, h := range r.Headers {
					headers[h.Key] = string(h.Value)
				}
				want := map[string]string{
					"ce_specversion": "1.0", "ce_id": string(r.Key), "ce_source": "urn:jmessage:app:" + appKey,
					"ce_type": "jmpub.message.v1", "ce_time": "2019-03-22T02:46:25.613Z", "ce_subject": fmt.Sprintf("group:%d", id%2),
					"content-type": "application/json", "jmpub_stream": "messages",
				}
				for key, value := range want {
					if headers[key] != value {
						t.Fatalf("header %s is %q, want %q", key, headers[key], value)
					}
				}
			}
			if len(where) != 1000 {
				t.Errorf("%d offsets were reported, want 1000", len(where))
			}
		})
	}
}

// TestRejectedRowsStandWhereTheLedgerSays expects each rejected row in one range of the offsets that were reported, besides the events.
func TestRejectedRowsStandWhereTheLedgerSays(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	batch := events(0, 4)
	for i := range 20 {
		batch.Rejected = append(batch.Rejected, event.Rejection{Row: strconv.AppendInt(nil, int64(i), 10), Reason: event.ReasonNotObject})
	}
	where := make(map[string]int)
	for _, p := range commit(t, b.open(t), batch) {
		for _, r := range p.Offsets {
			for at := r.First; at <= r.Last; at++ {
				where[fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, at)]++
			}
		}
	}
	records := b.read(t, append(eventTopics(), "t.rejected")...)
	for _, r := range records {
		if at := fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, r.Offset); where[at] != 1 {
			t.Errorf("%s is in %d ranges of offsets that were reported", at, where[at])
		}
	}
	if len(records) != 24 || len(where) != 24 {
		t.Errorf("%d records, and %d offsets that were reported; want 24", len(records), len(where))
	}
}

// TestReplaysMarkAllThatTheyPublish expects the replay's id in the headers of events and of rejected rows, and of no other.
func TestReplaysMarkAllThatTheyPublish(t *testing.T) {
	for _, id := range []string{"", "again"} {
		b := newBench(t)
		b.cfg.ReplayID = id
		batch := events(0, 4)
		batch.Rejected = []event.Rejection{{Row: []byte("null"), Reason: event.ReasonNotObject, Detail: "null"}}
		commit(t, b.open(t), batch)
		records := append(b.read(t, eventTopics()...), b.read(t, "t.rejected")...)
		if len(records) != 5 {
			t.Fatalf("%d records, want 5", len(records))
		}
		for _, r := range records {
			mark := ""
			for _, h := range r.Headers {
				if h.Key == "jmpub_replay" {
					mark = string(h.Value)
				}
			}
			if mark != id {
				t.Errorf("%s of the replay %q is marked %q", r.Topic, id, mark)
			}
		}
	}
}

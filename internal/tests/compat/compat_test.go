//go:build integration

// Package compat shows that what jmpub writes is what Apache Kafka's own clients, and everybody's, read: each client sees the
// same records, a key stands in the partition that the Java producer would have chosen, and each compression is understood.
package compat_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/tests/kafkatest"
	"github.com/jmpub/jmpub/internal/tests/soak"
)

// TestCompatibilityOnApacheKafka shows that what jmpub writes is read by everybody's clients: kcat (librdkafka), the Java
// client, the console consumer that comes with Kafka, franz-go, and the CloudEvents SDK. The real command publishes several
// histories side by side, with different settings; one of it is killed again and again.
func TestCompatibilityOnApacheKafka(t *testing.T) {
	t.Parallel()
	java := BuildJava(t)
	rig := soak.NewRig(t, kafkatest.Options{Env: map[string]string{
		// A group of the newer protocol misses a member that was killed soon, as one of the classic protocol does here.
		"KAFKA_GROUP_CONSUMER_SESSION_TIMEOUT_MS": "6000", "KAFKA_GROUP_CONSUMER_MIN_SESSION_TIMEOUT_MS": "6000",
		"KAFKA_GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS": "500", "KAFKA_GROUP_CONSUMER_MIN_HEARTBEAT_INTERVAL_MS": "500",
	}})
	all := []*history{
		{name: "killed", minutes: 3, kills: 4, change: neverWhole, env: map[string]string{
			"JMPUB_TOPICS_PARTITIONS": "6", "JMPUB_TOPICS_SHARDS": "6", "JMPUB_START": "30h",
		}},
		{name: "conversation", minutes: 2, codec: codecLz4, env: map[string]string{
			"JMPUB_TOPICS_PARTITIONS": "7", "JMPUB_TOPICS_SHARDS": "7", "JMPUB_PARTITION_BY": "conversation", "JMPUB_RECORD_TIME": "event",
			"JMPUB_KAFKA_COMPRESSION": "lz4",
		}},
		{name: "gzip", minutes: 1, codec: codecGzip, env: map[string]string{"JMPUB_KAFKA_COMPRESSION": "gzip"}},
		{name: "snappy", minutes: 1, codec: codecSnappy, env: map[string]string{"JMPUB_KAFKA_COMPRESSION": "snappy"}},
		{name: "none", minutes: 1, codec: codecNone, env: map[string]string{"JMPUB_KAFKA_COMPRESSION": "none"}},
	}
	all[0].codec = codecZstd // The default.
	killed, byConversation := all[0], all[1]
	for _, h := range all {
		h.start(t, rig)
	}
	killInTransactions(t, killed, killed.kills) // At once: when its history is over, there is hardly a transaction any more.
	for _, h := range all {
		h.finish(t)
	}
	t.Run("the Java reader is a witness", func(t *testing.T) { t.Parallel(); javaReader(t, rig.Addrs, java, "java-reader") })
	t.Run("every client", func(t *testing.T) { t.Parallel(); everyClient(t, killed, java) }) // It waits for most of its time.
	t.Run("the Java client", func(t *testing.T) {
		t.Parallel()
		t.Run("compression", func(t *testing.T) {
			for _, h := range all {
				t.Run(h.name, func(t *testing.T) { t.Parallel(); compression(t, h, java) })
			}
		})
		t.Run("records", func(t *testing.T) {
			t.Run("publishing time", func(t *testing.T) { t.Parallel(); timestamps(t, killed, java, false) })
			t.Run("event time", func(t *testing.T) { t.Parallel(); timestamps(t, byConversation, java, true) })
			t.Run("CloudEvents", func(t *testing.T) { t.Parallel(); cloudEvents(t, killed, java) })
		})
		t.Run("partitions", func(t *testing.T) {
			t.Run("by msgid", func(t *testing.T) { t.Parallel(); partitions(t, killed, java, false) })
			t.Run("by conversation", func(t *testing.T) { t.Parallel(); partitions(t, byConversation, java, true) })
		})
		t.Run("group", func(t *testing.T) {
			for _, protocol := range []string{"classic", "consumer"} {
				t.Run(protocol, func(t *testing.T) { t.Parallel(); group(t, killed, java, protocol) })
			}
		})
	})
}

// neverWhole is an API whose first, empty day never adds up, so that there is a notice; it is slow, so that there is time to
// be killed.
func neverWhole(o *sim.Options) {
	o.Latency = 50 * time.Millisecond
	dayBefore := o.Begin.Add(-20 * time.Hour).In(o.Zone).Format(time.DateTime)
	o.Intercept = func(_ int64, r *http.Request) sim.Fault {
		if begin := r.URL.Query().Get("begin_time"); begin != "" && begin < dayBefore {
			return sim.WrongTotal
		}
		return ""
	}
}

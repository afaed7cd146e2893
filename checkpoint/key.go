package checkpoint

import (
	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/pipeline"
)

// streamKey is the key of a stream's checkpoint and of its notices: `<app_key>/<stream>`.
func streamKey(appKey string, s pipeline.Stream) []byte { return []byte(appKey + "/" + s.String()) }

// replayKey is the key of a replay's checkpoint: `<app_key>~<replay>/<stream>`. App keys have no tilde.
func replayKey(appKey, replay string, s pipeline.Stream) []byte {
	if replay == "" {
		return streamKey(appKey, s)
	}
	return streamKey(appKey+"~"+replay, s)
}

// LedgerKey is the key of a window's ledger record: `<app_key>/<stream>/<begin_time>`.
func LedgerKey(appKey string, s pipeline.Stream, w pipeline.Window) []byte {
	return append(streamKey(appKey, s), "/"+pipeline.FormatTime(w.Begin)...)
}

// ShardOf is the partition of the checkpoint topic that an app belongs to. partitions is at least 1.
func ShardOf(appKey string, partitions int) int { return partitionOf([]byte(appKey), partitions) }

// PartitionOf is the partition of the ledger's topic in which a stream's records stand. partitions is at least 1.
func PartitionOf(appKey string, s pipeline.Stream, partitions int) int {
	return partitionOf(streamKey(appKey, s), partitions)
}

// partitionOf is murmur2 of a key, as the Java client has it.
func partitionOf(key []byte, partitions int) int {
	all := make([]int, partitions)
	for i := range all {
		all[i] = i
	}
	return kafkago.Murmur2Balancer{Consistent: true}.Balance(kafkago.Message{Key: key}, all...)
}

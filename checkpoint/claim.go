package checkpoint

import (
	"context"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
)

// claimJSON is a claim as it is stored.
type claimJSON struct {
	Version int       `json:"version"`
	ID      string    `json:"claim"`
	Command string    `json:"command"`
	Done    bool      `json:"done,omitempty"`
	At      time.Time `json:"at"`
}

func encodeClaim(c pipeline.Claim) ([]byte, error) {
	return encodeJSON("claim", claimJSON{Version: version, ID: c.ID, Command: c.Command, Done: c.Done, At: c.At.UTC()})
}

// decodeClaim reads a claim. One that cannot be read is none: at worst a run that was fenced ends, and is started again.
func decodeClaim(value []byte) (claim pipeline.Claim, ok bool) {
	var c claimJSON
	if len(value) > maxClaim || decodeJSON(value, &c) != nil {
		return pipeline.Claim{}, false
	}
	return pipeline.Claim{ID: c.ID, Command: c.Command, Done: c.Done, At: c.At}, true
}

// maxClaim bounds a claim, which has a few hundred bytes.
const maxClaim = 16 << 10

// claimKey is the key of the newest claim on the place of the one who writes an app's live positions as a group,
// `<app_key>!<group>!claim`, or those of a replay, `<app_key>~<replay>!<group>!claim`. App keys have no exclamation mark.
func claimKey(appKey, replay, group string) []byte {
	if replay != "" {
		appKey += "~" + replay
	}
	return []byte(appKey + "!" + group + "!claim")
}

// Announce makes a claim the newest one; see [pipeline.Claims]. It stands in no transaction: whoever announces it has not taken the
// writer's place yet.
func (k *Kafka) Announce(ctx context.Context, c pipeline.Claim) error {
	value, err := encodeClaim(c)
	if err != nil {
		return err
	}
	op := "announce the command in " + k.log.Topic
	return k.log.Retry.Do(ctx, op, func(ctx context.Context) error {
		res, err := k.log.Client.Produce(ctx, &kafkago.ProduceRequest{
			Topic: k.log.Topic, Partition: ShardOf(k.appKey, k.partitions()), RequiredAcks: kafkago.RequireAll,
			Records: kafkago.NewRecordReader(kafkago.Record{
				Time: time.Now(), Key: kafkago.NewBytes(claimKey(k.appKey, k.Replay, k.Group)), Value: kafkago.NewBytes(value),
			}),
		})
		if err == nil {
			err = res.Error
		}
		return kafka.Needs(kafka.Fault(op, err), kafka.Write.On(k.log.Topic)...)
	})
}

// Newest is the newest claim; see [pipeline.Claims]. It is in no transaction, so those that are open do not matter.
func (k *Kafka) Newest(ctx context.Context) (pipeline.Claim, error) {
	shard := ShardOf(k.appKey, k.partitions())
	b, err := k.log.All(ctx, shard)
	if err != nil {
		return pipeline.Claim{}, err
	}
	if k.claimEnd <= b.End { // Otherwise it is another topic of the same name.
		b.First = max(b.First, k.claimEnd)
	}
	key := string(claimKey(k.appKey, k.Replay, k.Group))
	err = k.log.Known(ctx, shard, b, func(r *kafka.LogRecord) error {
		if string(r.Key) != key {
			return nil
		}
		if claim, ok := decodeClaim(r.Value); ok || r.Value == nil {
			k.claim = claim
		}
		return nil
	})
	if err == nil {
		k.claimEnd = b.End
	}
	return k.claim, err
}

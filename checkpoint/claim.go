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

// announced is the newest claim with a key, as far as its partition was read for it.
type announced struct {
	newest pipeline.Claim
	end    int64
}

// The words with which the keys of announcements end: `<app_key>!<group>!claim` is what takes the place of the one who writes an app's
// live positions as a group for a moment, `<app_key>!<group>!owner` who has it. Those of a replay have `<app_key>~<replay>` instead of the
// app key. App keys have no exclamation mark.
const (
	claimWord = "claim"
	ownerWord = "owner"
)

func announcementKey(appKey, replay, group, word string) []byte {
	if replay != "" {
		appKey += "~" + replay
	}
	return []byte(appKey + "!" + group + "!" + word)
}

func (k *Kafka) key(word string) []byte { return announcementKey(k.appKey, k.Replay, k.Group, word) }

// Announce makes a claim the newest one; see [pipeline.Claims].
func (k *Kafka) Announce(ctx context.Context, c pipeline.Claim) error {
	return k.announce(ctx, "announce the command in "+k.log.Topic, claimWord, c)
}

// Newest is the newest claim; see [pipeline.Claims].
func (k *Kafka) Newest(ctx context.Context) (pipeline.Claim, error) {
	return k.newest(ctx, claimWord, &k.claim)
}

// Own makes a run the owner; see [pipeline.Owners].
func (k *Kafka) Own(ctx context.Context, run pipeline.Claim) error {
	return k.announce(ctx, "announce this run in "+k.log.Topic, ownerWord, run)
}

// Owner is the run that became the owner last; see [pipeline.Owners].
func (k *Kafka) Owner(ctx context.Context) (pipeline.Claim, error) {
	return k.newest(ctx, ownerWord, &k.owner)
}

// announce writes in no transaction: a command has not taken the writer's place yet, and a run is to be found by whoever it has fenced.
func (k *Kafka) announce(ctx context.Context, op, word string, c pipeline.Claim) error {
	value, err := encodeClaim(c)
	if err != nil {
		return err
	}
	return k.log.Retry.Do(ctx, op, func(ctx context.Context) error {
		res, err := k.log.Client.Produce(ctx, &kafkago.ProduceRequest{
			Topic: k.log.Topic, Partition: ShardOf(k.appKey, k.partitions()), RequiredAcks: kafkago.RequireAll,
			Records: kafkago.NewRecordReader(kafkago.Record{
				Time: time.Now(), Key: kafkago.NewBytes(k.key(word)), Value: kafkago.NewBytes(value),
			}),
		})
		if err == nil {
			err = res.Error
		}
		return kafka.Needs(kafka.Fault(op, err), kafka.Write.On(k.log.Topic)...)
	})
}

// newest reads what was announced. It is in no transaction, so those that are open do not matter.
func (k *Kafka) newest(ctx context.Context, word string, a *announced) (pipeline.Claim, error) {
	shard := ShardOf(k.appKey, k.partitions())
	b, err := k.log.All(ctx, shard)
	if err != nil {
		return pipeline.Claim{}, err
	}
	if a.end <= b.End { // Otherwise it is another topic of the same name.
		b.First = max(b.First, a.end)
	}
	key := string(k.key(word))
	err = k.log.Known(ctx, shard, b, func(r *kafka.LogRecord) error {
		if string(r.Key) != key {
			return nil
		}
		if claim, ok := decodeClaim(r.Value); ok || r.Value == nil {
			a.newest = claim
		}
		return nil
	})
	if err == nil {
		a.end = b.End
	}
	return a.newest, err
}

package checkpoint

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
)

// Kafka keeps checkpoints in a compacted topic, one record a stream. An app's checkpoints stand in one partition, its
// shard, which one writer at a time has. It is used by one goroutine at a time.
type Kafka struct {
	// Replay is the id of the replay whose positions these are; empty for the live ones. It is set before the first use.
	Replay string
	// Group is whose claims are read and announced: those of the writers that share a transactional id. It is set before the
	// first use.
	Group string

	log    *kafka.Log
	appKey string
	// partitions gives the topic's number of partitions, once it is known to exist.
	partitions func() int
	// searched is the number of partitions of which all others were found to hold nothing that is in the way. Only another number
	// puts something there. What is written says it, so that whoever has the app next need not look.
	searched int
	// claim and owner are the newest ones, as far as the shard was read for them.
	claim, owner announced
	// pause is what is paused, likewise.
	pause pausedAt
}

var (
	_ pipeline.Checkpoints = (*Kafka)(nil)
	_ pipeline.Claims      = (*Kafka)(nil)
	_ pipeline.Owners      = (*Kafka)(nil)
	_ pipeline.Pauses      = (*Kafka)(nil)
)

// NewKafka keeps an app's checkpoints in a topic. The client has an Addr and a Transport. partitions is asked when it is
// certain that the topic exists, and is at least 1 then.
func NewKafka(client *kafkago.Client, topic, appKey string, partitions func() int, retry pipeline.Retry) *Kafka {
	return &Kafka{log: &kafka.Log{Client: client, Topic: topic, Retry: retry, Prefix: appKey}, appKey: appKey, partitions: partitions}
}

// ReadTogether has the positions and claims read together with those of other apps. It is called before the first use.
func (k *Kafka) ReadTogether(t *kafka.Together) { k.log.Together = t }

// Open has nothing to do: the transactional id fences.
func (*Kafka) Open(context.Context) error { return nil }

// Stage returns the ledger records, notices and checkpoints of a commit; see [pipeline.Checkpoints].
func (k *Kafka) Stage(c *pipeline.Commit) ([]pipeline.Record, error) {
	records, err := stageLedger(c)
	if err != nil {
		return nil, err
	}
	for _, cp := range c.Positions {
		record, err := k.Record(cp)
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	for _, s := range c.Deleted {
		records = append(records, k.tombstone(s, k.Replay))
	}
	if c.Pause != nil {
		record, err := k.stagePause(c.Pause)
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}

// Record makes the record that sets a stream's position.
func (k *Kafka) Record(cp *pipeline.Checkpoint) (pipeline.Record, error) {
	record := k.tombstone(cp.Stream, cp.Replay)
	var err error
	record.Value, err = encodePosition(cp, k.searched)
	return record, err
}

// tombstone makes the record that forgets a stream's live position, after which the stream begins at the configured start
// again, or its position in a replay.
func (k *Kafka) tombstone(s pipeline.Stream, replay string) pipeline.Record {
	return pipeline.Record{
		Topic: pipeline.TopicCheckpoints, Key: replayKey(k.appKey, replay, s),
		Partition: int32(ShardOf(k.appKey, k.partitions())), //nolint:gosec // A partition's number.
	}
}

// Save has nothing left to do.
func (*Kafka) Save(context.Context, *pipeline.Commit) error { return nil }

// Load reads the app's committed checkpoints; one that cannot be read has its damage in it. It waits while a transaction is open that has written
// one of the app's. The sink has been opened before, so whatever this writer's last transaction was is decided by now; that of a replay, or of a
// command, is open for as long as its timeout allows. What other apps have open in the shard does not matter.
func (k *Kafka) Load(ctx context.Context) (map[pipeline.Stream]pipeline.Checkpoint, error) {
	found := make(map[pipeline.Stream]pipeline.Checkpoint)
	return found, k.load(ctx, k.isOurs, func(cp *pipeline.Checkpoint) { found[cp.Stream] = *cp })
}

// All reads the app's committed checkpoints, those of its replays too, sorted by replay and stream.
func (k *Kafka) All(ctx context.Context) ([]pipeline.Checkpoint, error) {
	var all []pipeline.Checkpoint
	err := k.load(ctx, k.isOfApp, func(cp *pipeline.Checkpoint) { all = append(all, *cp) })
	slices.SortFunc(all, func(a, b pipeline.Checkpoint) int {
		return cmp.Or(strings.Compare(a.Replay, b.Replay), strings.Compare(a.Stream.String(), b.Stream.String()))
	})
	return all, err
}

func (k *Kafka) load(ctx context.Context, keep func(key []byte) bool, found func(*pipeline.Checkpoint)) error {
	shard := ShardOf(k.appKey, k.partitions())
	there, err := k.log.All(ctx, shard)
	if err != nil {
		return err
	}
	pause := string(k.key(pauseWord))
	values, err := table(ctx, k.log.Own, shard, there, func(key []byte) bool { return keep(key) || string(key) == pause })
	if err != nil {
		return err
	}
	k.pause = pausedAt{values[pause].bytes, values[pause].where, there.End}
	delete(values, pause)
	all := make([]pipeline.Checkpoint, 0, len(values))
	for key, value := range values {
		cp, searched := k.decode(key, &value)
		if cp.Replay == k.Replay && searched == k.partitions() {
			k.searched = searched
		}
		all = append(all, cp)
	}
	if err := k.search(ctx, shard, values); err != nil {
		return err
	}
	for i := range all {
		found(&all[i])
	}
	return nil
}

// maxPosition bounds a position: no record of one is larger than the topic takes.
const maxPosition = 16 << 20

// decode reads the position with a key of the app. Anybody who may write to the topic can have put something else there, and the
// others' positions are as good as before: so it is the position's own damage. searched is among how many partitions its writer has
// looked for others, if it says so.
func (k *Kafka) decode(key string, v *value) (cp pipeline.Checkpoint, searched int) {
	replay, s, _ := k.parseKey([]byte(key)) // The key was found good.
	err := v.unread
	if err == nil && len(v.bytes) > maxPosition {
		err = damaged("it has %d bytes", len(v.bytes))
	}
	if err == nil {
		cp, searched, err = decodeSearched(v.bytes, k.appKey, v.where)
	}
	if err == nil && (cp.Stream != s || cp.Replay != replay) {
		err = damaged("its key is %q, but it is that of %s", key, cp.Stream)
	}
	if err == nil {
		return cp, searched
	}
	return unreadable(k.appKey, replay, s, v.where, err), 0
}

// unreadable is the position of a stream that stands somewhere and cannot be read, and why.
func unreadable(appKey, replay string, s pipeline.Stream, where string, err error) pipeline.Checkpoint {
	if known, ok := errors.AsType[*pipeline.Fault](err); ok {
		err = known.Err
	}
	return pipeline.Checkpoint{AppKey: appKey, Stream: s, Replay: replay, Damage: &pipeline.Fault{
		Class: pipeline.Drop, Op: "read the checkpoint of " + s.String() + " in " + where,
		Err: fmt.Errorf("%w: %w", pipeline.ErrUnreadable, err), Hint: replaceHint(s, replay, err),
	}}
}

// replaceHint says how a position is replaced that cannot be read.
func replaceHint(s pipeline.Stream, replay string, err error) string {
	hint := ""
	if errors.Is(err, errNewer) {
		hint = "run that jmpub or a later one, or "
	}
	switch {
	case replay != "":
		return hint + fmt.Sprintf("forget it with `jmpub checkpoint delete %s --replay %s`", s, replay)
	case s.Kind == pipeline.StreamStatistics:
		return hint + fmt.Sprintf("forget it with `jmpub checkpoint delete %s`", s)
	default:
		return hint + fmt.Sprintf("set it with `jmpub checkpoint reset %s --to TIME`, or begin at JMPUB_START after `jmpub checkpoint delete %s`", s, s)
	}
}

// value is the newest value of a key, and where it stands. unread is why it could not be read.
type value struct {
	bytes  []byte
	where  string
	unread error
}

// reading is a way to read a partition within bounds, of a [kafka.Log].
type reading func(ctx context.Context, partition int, b kafka.Bounds, fn func(*kafka.LogRecord) error) error

// table reads a partition within bounds as a table: the newest committed value of each key that keep wants.
func table(ctx context.Context, read reading, partition int, b kafka.Bounds, keep func(key []byte) bool) (map[string]value, error) {
	found := make(map[string]value)
	err := read(ctx, partition, b, func(r *kafka.LogRecord) error {
		switch {
		case !keep(r.Key):
		case r.Value == nil:
			delete(found, string(r.Key))
		default:
			found[string(r.Key)] = value{bytes.Clone(r.Value), r.Where(), r.Unread}
		}
		return nil
	})
	return found, err
}

// isOurs tells whether a key is that of one of these positions, isOfApp whether it is of any of the app's.
func (k *Kafka) isOurs(key []byte) bool {
	replay, _, ok := k.parseKey(key)
	return ok && replay == k.Replay
}

func (k *Kafka) isOfApp(key []byte) bool {
	_, _, ok := k.parseKey(key)
	return ok
}

// parseKey takes a position's key apart; see [replayKey]. ok is false for every other key, whoever wrote that.
func (k *Kafka) parseKey(key []byte) (replay string, s pipeline.Stream, ok bool) {
	const longest = 1024
	rest, ours := strings.CutPrefix(string(key[:min(len(key), longest)]), k.appKey)
	before, name, found := strings.Cut(rest, "/")
	if !ours || !found {
		return "", s, false
	}
	s, err := pipeline.ParseStream(name)
	replay = strings.TrimPrefix(before, "~")
	return replay, s, err == nil && bytes.Equal(key, replayKey(k.appKey, replay, s))
}

// search looks for checkpoints of the app in the other partitions. They come there when the topic is given more
// partitions, because then the app belongs to another one; to begin from nothing would publish everything again. It is done once
// for each number of partitions, by whoever has the app first: the other partitions hold what all other apps have written.
func (k *Kafka) search(ctx context.Context, shard int, own map[string]value) error {
	if k.searched == k.partitions() {
		return nil
	}
	for partition := range k.partitions() {
		if partition == shard {
			continue
		}
		decided, err := k.log.Decided(ctx, partition)
		if err != nil {
			return err
		}
		others, err := table(ctx, k.log.Committed, partition, decided, k.isOurs)
		if err != nil {
			return err
		}
		for key, value := range others {
			cp, _ := k.decode(key, &value)
			if _, replaced := own[key]; !replaced && (cp.Damage == nil || isNewer(cp.Damage, value.bytes, k.appKey)) {
				return strayed(key, value, shard)
			}
		}
	}
	k.searched = k.partitions()
	return nil
}

func strayed(key string, v value, shard int) error {
	return &pipeline.Fault{
		Class: pipeline.Permanent, Op: "read the checkpoint of " + key + " in " + v.where,
		Err: fmt.Errorf("the topic was given another number of partitions since: the app belongs to partition %d now, "+
			"where it would begin anew", shard),
		Hint: "copy its newest record, key and value as they are, to that partition, or " + removeRecord,
	}
}

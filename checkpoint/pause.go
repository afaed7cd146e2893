package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
)

// pauseJSON is what is paused of an app, as it is stored.
type pauseJSON struct {
	Version int    `json:"version"`
	AppKey  string `json:"app_key"`
	// App is the whole app.
	App     bool              `json:"app,omitempty"`
	Streams []pipeline.Stream `json:"streams"`
	By      string            `json:"by"`
	At      time.Time         `json:"at"`
}

// maxPause bounds a pause: no record of one is larger than the topic takes.
const maxPause = 1 << 20

// EncodePause writes what is paused of an app.
func EncodePause(appKey string, p *pipeline.Pause) ([]byte, error) {
	streams := append([]pipeline.Stream{}, p.Streams...) // A list that is empty, not one that is unknown.
	return encodeJSON("pause", pauseJSON{Version: version, AppKey: appKey, App: p.App, Streams: streams, By: p.By, At: p.At.UTC()})
}

// DecodePause reads what is paused of an app. where is where it stands, for the error, which is a *[pipeline.Fault] of class
// [pipeline.Permanent]: to publish what is paused would be wrong, and so would be to publish nothing and not say why.
func DecodePause(value []byte, appKey, where string) (pipeline.Pause, error) {
	var p pauseJSON
	err := decodeJSON(value, &p)
	switch {
	case err != nil:
	case len(value) > maxPause:
		err = damaged("it has %d bytes", len(value))
	case p.AppKey != appKey:
		err = damaged("it is that of the app %q", p.AppKey)
	case p.At.IsZero():
		err = damaged("at is missing")
	}
	if err != nil {
		return pipeline.Pause{}, decodeFault("what is paused", where, "remove it, in Kafka by a record with its key and no value: everything is published then", err)
	}
	if len(p.Streams) == 0 {
		p.Streams = nil
	}
	return pipeline.Pause{App: p.App, Streams: p.Streams, By: p.By, At: p.At.UTC()}, nil
}

// pauseWord ends the key of what is paused, `<app_key>!<group>!pause`.
const pauseWord = "pause"

// pausedAt is what is paused, as far as the shard was read for it.
type pausedAt struct {
	value []byte
	where string
	end   int64
}

// stagePause makes the record of a commit that changes what is paused.
func (k *Kafka) stagePause(p *pipeline.Pause) (pipeline.Record, error) {
	record := pipeline.Record{
		Topic: pipeline.TopicCheckpoints, Key: k.key(pauseWord),
		Partition: int32(ShardOf(k.appKey, k.partitions())), //nolint:gosec // A partition's number.
	}
	var err error
	if p.Any() {
		record.Value, err = EncodePause(k.appKey, p)
	}
	return record, err
}

// Paused is what is paused; see [pipeline.Pauses]. [Kafka.Load] has read the shard for it, so only what is newer is read here.
func (k *Kafka) Paused(ctx context.Context) (pipeline.Pause, error) {
	shard := ShardOf(k.appKey, k.partitions())
	b, err := k.log.All(ctx, shard)
	if err != nil {
		return pipeline.Pause{}, err
	}
	if k.pause.end > b.End { // It is another topic of the same name.
		k.pause = pausedAt{}
	}
	b.First = max(b.First, k.pause.end)
	key := string(k.key(pauseWord))
	newest := k.pause
	log := *k.log
	log.Prefix = key // The app's other transactions do not matter.
	err = log.Own(ctx, shard, b, func(r *kafka.LogRecord) error {
		if string(r.Key) == key {
			newest.value, newest.where = bytes.Clone(r.Value), r.Where()
		}
		return nil
	})
	if err != nil {
		return pipeline.Pause{}, err
	}
	newest.end = b.End
	k.pause = newest
	if k.pause.value == nil {
		return pipeline.Pause{}, nil
	}
	return DecodePause(k.pause.value, k.appKey, k.pause.where)
}

// savePause replaces the file of what is paused, or removes it.
func (f *Files) savePause(p *pipeline.Pause) error {
	name := appPrefix(f.appKey) + pauseFile
	if !p.Any() {
		if err := f.disk.remove(name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	content, err := EncodePause(f.appKey, p)
	if err != nil {
		return err
	}
	return f.disk.replace(name, append(content, '\n'))
}

// Paused is what is paused; see [pipeline.Pauses].
func (f *Files) Paused(context.Context) (pipeline.Pause, error) {
	name := appPrefix(f.appKey) + pauseFile
	value, err := f.disk.read(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return pipeline.Pause{}, nil
	case err != nil:
		return pipeline.Pause{}, diskFault("read "+name+" in "+f.dir, err)
	}
	return DecodePause(value, f.appKey, name+" in "+f.dir)
}

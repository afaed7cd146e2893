package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// version is that of the checkpoint's, the ledger record's and the notice's form. A reader refuses a higher one.
const version = 1

// checkpointJSON is a checkpoint as it is stored. Ids are stored as the first one and then the difference of each to the
// one before: a dense second has many, and differences are short.
type checkpointJSON struct {
	Version      int             `json:"version"`
	AppKey       string          `json:"app_key"`
	Stream       string          `json:"stream"`
	End          time.Time       `json:"end_time"`
	SpanSeconds  int64           `json:"span_seconds"`
	Seen         []uint64        `json:"seen"`
	SeenRejected []uint64        `json:"seen_rejected"`
	Counts       pipeline.Counts `json:"counts"`
	SavedAt      time.Time       `json:"saved_at"`
}

// encodeCheckpoint writes a checkpoint.
func encodeCheckpoint(cp *pipeline.Checkpoint) ([]byte, error) {
	return json.Marshal(checkpointJSON{
		Version: version, AppKey: cp.AppKey, Stream: cp.Stream.String(),
		End: cp.End.UTC(), SpanSeconds: int64(cp.Span / time.Second),
		Seen: deltas(cp.Seen), SeenRejected: deltas(cp.SeenRejected),
		Counts: cp.Counts, SavedAt: cp.SavedAt.UTC(),
	})
}

// deltas codes ascending numbers; the arithmetic wraps, so the whole range of int64 is covered.
func deltas(ids []int64) []uint64 {
	coded := make([]uint64, len(ids))
	last := int64(0)
	for i, id := range ids {
		coded[i] = uint64(id) - uint64(last) //nolint:gosec // Wraps on purpose.
		last = id
	}
	return coded
}

func undeltas(coded []uint64) ([]int64, error) {
	ids := make([]int64, len(coded))
	last := int64(0)
	for i, d := range coded {
		id := int64(uint64(last) + d) //nolint:gosec // Wraps on purpose.
		if i > 0 && id <= last {
			return nil, errors.New("the ids are not ascending")
		}
		ids[i], last = id, id
	}
	return ids, nil
}

// errNewer is a checkpoint that a later version of jmpub wrote.
var errNewer = errors.New("it was written by a newer jmpub")

// decodeCheckpoint reads a checkpoint of an app. Unknown fields are passed over: a later release may add some without a
// new version.
func decodeCheckpoint(data []byte, appKey string) (pipeline.Checkpoint, error) {
	var raw checkpointJSON
	var form struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &form); err != nil {
		return pipeline.Checkpoint{}, fmt.Errorf("it is damaged: %w", err)
	}
	if form.Version > version {
		return pipeline.Checkpoint{}, fmt.Errorf("%w: its version is %d, this one reads up to %d", errNewer, form.Version, version)
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return pipeline.Checkpoint{}, fmt.Errorf("it is damaged: %w", err)
	}
	stream, err := pipeline.ParseStream(raw.Stream)
	damaged := func(what string) (pipeline.Checkpoint, error) {
		return pipeline.Checkpoint{}, errors.New("it is damaged: " + what)
	}
	switch {
	case raw.Version < 1:
		return damaged("it has no version")
	case err != nil:
		return damaged(err.Error())
	case raw.AppKey != appKey:
		return damaged(fmt.Sprintf("it belongs to the app %q", raw.AppKey))
	case raw.End.IsZero() || raw.End.Nanosecond() != 0:
		return damaged("end_time is not a whole second")
	case raw.SpanSeconds < 0 || raw.SpanSeconds > math.MaxInt64/int64(time.Second):
		return damaged("span_seconds is out of range")
	}
	cp := pipeline.Checkpoint{
		AppKey: raw.AppKey, Stream: stream, End: raw.End.UTC(), Span: time.Duration(raw.SpanSeconds) * time.Second,
		Counts: raw.Counts, SavedAt: raw.SavedAt.UTC(),
	}
	if cp.Seen, err = undeltas(raw.Seen); err != nil {
		return damaged("seen: " + err.Error())
	}
	if cp.SeenRejected, err = undeltas(raw.SeenRejected); err != nil {
		return damaged("seen_rejected: " + err.Error())
	}
	return cp, nil
}

// damagedFault says where a checkpoint that cannot be used stands, and what can be done.
func damagedFault(where string, err error) error {
	fault := &pipeline.Fault{Class: pipeline.Permanent, Op: "read the checkpoint " + where, Err: err}
	fault.Hint = "restore it, or remove it so that the stream begins at JMPUB_START again (its events will then repeat)"
	if errors.Is(err, errNewer) {
		fault.Hint = "run that version of jmpub or a later one"
	}
	return fault
}

// ledgerJSON is a ledger record as it is published.
type ledgerJSON struct {
	Version int `json:"version"`
	pipeline.Ledger
	DurationSeconds float64 `json:"duration_seconds"`
}

// noticeJSON is a notice as it is published.
type noticeJSON struct {
	Version int `json:"version"`
	pipeline.Notice
}

func key(appKey string, s pipeline.Stream) []byte { return []byte(appKey + "/" + s.String()) }

// ledgerRecords are the records of windows that commit with them wherever checkpoints are kept: one in the ledger for each,
// and their notices.
func ledgerRecords(closed []*pipeline.Closed) ([]pipeline.Record, error) {
	records := make([]pipeline.Record, 0, 2*len(closed))
	for _, c := range closed {
		ledger := ledgerJSON{Version: version, Ledger: c.Ledger, DurationSeconds: c.Ledger.Duration.Seconds()}
		if ledger.Offsets == nil {
			ledger.Offsets = []pipeline.OffsetRange{}
		}
		value, err := json.Marshal(ledger)
		if err != nil {
			return nil, fmt.Errorf("encode ledger record of %s %s: %w", c.Ledger.Stream, c.Ledger.Window, err)
		}
		id := append(key(c.Ledger.AppKey, c.Ledger.Stream), "/"+pipeline.FormatTime(c.Ledger.Begin)...)
		records = append(records, pipeline.Record{Topic: pipeline.TopicWindows, Partition: -1, Key: id, Value: value})
		for _, n := range c.Notices {
			value, err := json.Marshal(noticeJSON{Version: version, Notice: n})
			if err != nil {
				return nil, fmt.Errorf("encode notice of %s %s: %w", n.Stream, n.Window, err)
			}
			records = append(records, pipeline.Record{
				Topic: pipeline.TopicNotices, Partition: -1, Key: key(n.AppKey, n.Stream), Value: value,
			})
		}
	}
	return records, nil
}

func hash(text string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(text))
	return h.Sum64()
}

package checkpoint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/jmpub/jmpub/pipeline"
)

// positionJSON is a checkpoint as it is stored. Every field of version 1 is required, but for those that only some positions have.
type positionJSON struct {
	Version       int                  `json:"version"`
	AppKey        *string              `json:"app_key"`
	Stream        *pipeline.Stream     `json:"stream"`
	End           *time.Time           `json:"end_time"`
	Span          *seconds             `json:"span_seconds"`
	OverlapIDs    *ids                 `json:"overlap_ids"`
	OverlapHashes *ids                 `json:"overlap_hashes"`
	OverlapFrom   time.Time            `json:"overlap_from,omitzero"`
	EarlyIDs      ids                  `json:"early_ids,omitempty"`
	EarlyHashes   ids                  `json:"early_hashes,omitempty"`
	Backlog       few[backlogJSON]     `json:"backlog,omitempty"`
	Marks         ids                  `json:"marks,omitempty"`
	Sequence      int64                `json:"sequence,omitempty"`
	Counts        *pipeline.Counts     `json:"counts"`
	SavedAt       *time.Time           `json:"saved_at"`
	Rechecked     few[recheckedJSON]   `json:"rechecked,omitempty"`
	Replay        string               `json:"replay,omitempty"`
	Removed       bool                 `json:"removed,omitempty"`
	Forgotten     bool                 `json:"forgotten,omitempty"`
	Coverage      few[dayJSON]         `json:"coverage,omitempty"`
	Covered       few[pipeline.Window] `json:"covered,omitempty"`
	// Searched is among how many partitions positions of the app in others than its own were looked for, in vain.
	Searched int `json:"searched,omitempty"`
}

// few is a list of a position that has so many elements at the most: a byte or two of JSON may become a struct, and a position with
// many ids has megabytes.
type few[T any] []T

const fewElements = 20_000

// UnmarshalJSON counts before it decodes.
func (list *few[T]) UnmarshalJSON(data []byte) error {
	if in := jsontext.NewDecoder(bytes.NewBuffer(data)); in.PeekKind() == '[' {
		_, err := in.ReadToken()
		for n := 0; err == nil && in.PeekKind() != ']'; n++ {
			if n == fewElements {
				return fmt.Errorf("a list has more than %d elements", fewElements)
			}
			err = in.SkipValue()
		}
		if err != nil {
			return err
		}
	}
	return json.Unmarshal(data, (*[]T)(list))
}

// backlogJSON is a range of the backlog. Every field is required, but for the time from which on the ids are known.
type backlogJSON struct {
	End           *time.Time `json:"end_time"`
	Until         *time.Time `json:"until"`
	Span          *seconds   `json:"span_seconds"`
	OverlapIDs    *ids       `json:"overlap_ids"`
	OverlapHashes *ids       `json:"overlap_hashes"`
	OverlapFrom   time.Time  `json:"overlap_from,omitzero"`
	EarlyIDs      ids        `json:"early_ids,omitempty"`
	EarlyHashes   ids        `json:"early_hashes,omitempty"`
	LiveIDs       *ids       `json:"live_ids"`
	LiveHashes    *ids       `json:"live_hashes"`
}

func encodeBacklog(backlog []pipeline.Backlog) []backlogJSON {
	all := make([]backlogJSON, 0, len(backlog))
	for i := range backlog {
		b := &backlog[i]
		all = append(all, backlogJSON{
			End: new(b.End.UTC()), Until: new(b.Until.UTC()), Span: new(seconds(b.Span)),
			OverlapIDs: new(ids(b.OverlapIDs)), OverlapHashes: new(ids(b.OverlapHashes)), OverlapFrom: b.OverlapFrom.UTC(),
			EarlyIDs: ids(b.EarlyIDs), EarlyHashes: ids(b.EarlyHashes), LiveIDs: new(ids(b.LiveIDs)), LiveHashes: new(ids(b.LiveHashes)),
		})
	}
	return all
}

// decodeBacklog reads the ranges behind a position that ends at end.
func decodeBacklog(backlog []backlogJSON, end time.Time) ([]pipeline.Backlog, error) {
	var all []pipeline.Backlog
	for i := range backlog {
		b := &backlog[i]
		err := required(map[string]bool{
			"backlog.end_time": b.End != nil, "backlog.until": b.Until != nil, "backlog.span_seconds": b.Span != nil,
			"backlog.overlap_ids": b.OverlapIDs != nil, "backlog.overlap_hashes": b.OverlapHashes != nil,
			"backlog.live_ids": b.LiveIDs != nil, "backlog.live_hashes": b.LiveHashes != nil,
		})
		switch {
		case err != nil:
			return nil, err
		case !wholeSecond(*b.End) || !wholeSecond(*b.Until):
			return nil, damaged("backlog.end_time or backlog.until is not a whole second")
		case b.OverlapFrom.Nanosecond() != 0 || b.OverlapFrom.After(*b.End):
			return nil, damaged("backlog.overlap_from is not a whole second up to backlog.end_time")
		case !b.End.Before(*b.Until) || b.Until.After(end):
			return nil, damaged("backlog.end_time, backlog.until and end_time are not in the order of time")
		case len(all) > 0 && !all[len(all)-1].Until.Before(*b.End):
			return nil, damaged("the ranges of backlog are not in the order of time, or touch")
		}
		all = append(all, pipeline.Backlog{
			End: b.End.UTC(), Until: b.Until.UTC(), Span: time.Duration(*b.Span),
			OverlapIDs: *b.OverlapIDs, OverlapHashes: *b.OverlapHashes, OverlapFrom: b.OverlapFrom.UTC(),
			EarlyIDs: b.EarlyIDs, EarlyHashes: b.EarlyHashes, LiveIDs: *b.LiveIDs, LiveHashes: *b.LiveHashes,
		})
	}
	return all, nil
}

type recheckedJSON struct {
	After seconds   `json:"after_seconds"`
	End   time.Time `json:"end_time"`
}

// Encode writes a checkpoint. It fails only on one that no program should make: ids that are not ascending, a year that
// RFC 3339 cannot write.
func Encode(cp *pipeline.Checkpoint) ([]byte, error) { return encodePosition(cp, 0) }

// encodePosition writes a checkpoint whose writer has looked for others among so many partitions; 0 if it has not.
func encodePosition(cp *pipeline.Checkpoint, searched int) ([]byte, error) {
	p := positionJSON{
		Version: version, AppKey: &cp.AppKey, Stream: &cp.Stream,
		End: new(cp.End.UTC()), Span: new(seconds(cp.Span)),
		OverlapIDs: new(ids(cp.OverlapIDs)), OverlapHashes: new(ids(cp.OverlapHashes)), OverlapFrom: cp.OverlapFrom.UTC(),
		EarlyIDs: ids(cp.EarlyIDs), EarlyHashes: ids(cp.EarlyHashes), Backlog: encodeBacklog(cp.Backlog), Marks: ids(cp.Marks), Sequence: cp.Sequence,
		Counts: &cp.Counts, SavedAt: new(cp.SavedAt.UTC()), Replay: cp.Replay, Removed: cp.Removed,
		Forgotten: cp.Forgotten, Covered: utcRanges(cp.Covered), Searched: searched,
	}
	for _, r := range cp.Rechecked {
		p.Rechecked = append(p.Rechecked, recheckedJSON{seconds(r.After), r.End.UTC()})
	}
	for i := range cp.Coverage {
		p.Coverage = append(p.Coverage, encodeDay(&cp.Coverage[i]))
	}
	return encodeJSON("checkpoint of "+cp.Stream.String(), p)
}

// removeRecord is what helps where a position cannot be used.
const removeRecord = "remove it, in Kafka by a record with its key and no value; `jmpub run --accept-lost-checkpoints` begins at JMPUB_START then"

// Decode reads a checkpoint of an app. where is where it stands, for the error, which is a *[pipeline.Fault] of class
// [pipeline.Permanent].
func Decode(value []byte, appKey, where string) (pipeline.Checkpoint, error) {
	cp, _, err := decodeSearched(value, appKey, where)
	return cp, err
}

// decodeSearched is [Decode], and tells among how many partitions the writer has looked for others.
func decodeSearched(value []byte, appKey, where string) (cp pipeline.Checkpoint, searched int, err error) {
	var p positionJSON
	if err = decodeJSON(value, &p); err == nil {
		cp, err = p.decode()
	}
	if err == nil && cp.AppKey != appKey {
		err = damaged("it belongs to the app %q, not to %q", cp.AppKey, appKey)
	}
	if err != nil {
		return pipeline.Checkpoint{}, 0, decodeFault("the checkpoint", where,
			"restore it, or "+removeRecord, err)
	}
	return cp, p.Searched, nil
}

func (p *positionJSON) decode() (cp pipeline.Checkpoint, err error) {
	err = required(map[string]bool{
		"app_key": p.AppKey != nil, "stream": p.Stream != nil, "end_time": p.End != nil,
		"span_seconds": p.Span != nil, "overlap_ids": p.OverlapIDs != nil, "overlap_hashes": p.OverlapHashes != nil,
		"counts": p.Counts != nil, "saved_at": p.SavedAt != nil,
	})
	switch {
	case err != nil:
		return cp, err
	case p.Sequence < 0:
		return cp, damaged("sequence is %d", p.Sequence)
	case !wholeSecond(*p.End):
		return cp, damaged("end_time is not a whole second")
	case p.OverlapFrom.Nanosecond() != 0 || p.OverlapFrom.After(*p.End):
		return cp, damaged("overlap_from is not a whole second up to end_time")
	}
	cp = pipeline.Checkpoint{
		AppKey: *p.AppKey, Stream: *p.Stream, End: p.End.UTC(), Span: time.Duration(*p.Span),
		OverlapIDs: *p.OverlapIDs, OverlapHashes: *p.OverlapHashes, OverlapFrom: p.OverlapFrom.UTC(),
		EarlyIDs: p.EarlyIDs, EarlyHashes: p.EarlyHashes, Marks: p.Marks, Sequence: p.Sequence,
		Counts: *p.Counts, SavedAt: p.SavedAt.UTC(), Replay: p.Replay, Removed: p.Removed, Forgotten: p.Forgotten,
	}
	for _, r := range p.Rechecked {
		cp.Rechecked = append(cp.Rechecked, pipeline.Rechecked{After: time.Duration(r.After), End: r.End.UTC()})
	}
	if cp.Backlog, err = decodeBacklog(p.Backlog, cp.End); err != nil {
		return cp, err
	}
	for i := range p.Coverage {
		day, cause := p.Coverage[i].decode(cp.AppKey, cp.Stream)
		if cause != nil {
			return cp, cause
		}
		cp.Coverage = append(cp.Coverage, day)
	}
	cp.Covered, err = decodeRanges("covered", p.Covered)
	return cp, err
}

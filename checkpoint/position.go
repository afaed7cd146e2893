package checkpoint

import (
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// positionJSON is a checkpoint as it is stored. Every field of version 1 is required, but for those that name a replay or a
// reset, and those that only some positions have.
type positionJSON struct {
	Version      int              `json:"version"`
	AppKey       *string          `json:"app_key"`
	Stream       *pipeline.Stream `json:"stream"`
	End          *time.Time       `json:"end_time"`
	Span         *seconds         `json:"span_seconds"`
	Seen         *ids             `json:"seen"`
	SeenRejected *ids             `json:"seen_rejected"`
	Sequence     int64            `json:"sequence,omitempty"`
	Counts       *pipeline.Counts `json:"counts"`
	SavedAt      *time.Time       `json:"saved_at"`
	Rechecked    []recheckedJSON  `json:"rechecked,omitempty"`
	Replay       string           `json:"replay,omitempty"`
	Reset        string           `json:"reset,omitempty"`
	Past         *pastJSON        `json:"past,omitempty"`
	Removed      bool             `json:"removed,omitempty"`
}

// pastJSON is the history behind a position. Every field is required.
type pastJSON struct {
	End           *time.Time `json:"end_time"`
	Until         *time.Time `json:"until"`
	Span          *seconds   `json:"span_seconds"`
	Seen          *ids       `json:"seen"`
	SeenRejected  *ids       `json:"seen_rejected"`
	Joint         *ids       `json:"joint"`
	JointRejected *ids       `json:"joint_rejected"`
}

func encodePast(p *pipeline.Past) *pastJSON {
	if p == nil {
		return nil
	}
	return &pastJSON{
		End: new(p.End.UTC()), Until: new(p.Until.UTC()), Span: new(seconds(p.Span)),
		Seen: new(ids(p.Seen)), SeenRejected: new(ids(p.SeenRejected)),
		Joint: new(ids(p.Joint)), JointRejected: new(ids(p.JointRejected)),
	}
}

func (p *pastJSON) decode(end time.Time) (*pipeline.Past, error) {
	if p == nil {
		return nil, nil //nolint:nilnil // Most positions have none.
	}
	err := required(map[string]bool{
		"past.end_time": p.End != nil, "past.until": p.Until != nil, "past.span_seconds": p.Span != nil,
		"past.seen": p.Seen != nil, "past.seen_rejected": p.SeenRejected != nil,
		"past.joint": p.Joint != nil, "past.joint_rejected": p.JointRejected != nil,
	})
	switch {
	case err != nil:
		return nil, err
	case !wholeSecond(*p.End) || !wholeSecond(*p.Until):
		return nil, damaged("past.end_time or past.until is not a whole second")
	case !p.End.Before(*p.Until) || p.Until.After(end):
		return nil, damaged("past.end_time, past.until and end_time are not in the order of time")
	}
	return &pipeline.Past{
		End: p.End.UTC(), Until: p.Until.UTC(), Span: time.Duration(*p.Span),
		Seen: *p.Seen, SeenRejected: *p.SeenRejected, Joint: *p.Joint, JointRejected: *p.JointRejected,
	}, nil
}

type recheckedJSON struct {
	After seconds   `json:"after_seconds"`
	End   time.Time `json:"end_time"`
}

// Encode writes a checkpoint. It fails only on one that no program should make: ids that are not ascending, a year that
// RFC 3339 cannot write.
func Encode(cp *pipeline.Checkpoint) ([]byte, error) {
	var rechecked []recheckedJSON
	for _, r := range cp.Rechecked {
		rechecked = append(rechecked, recheckedJSON{seconds(r.After), r.End.UTC()})
	}
	return encodeJSON("checkpoint of "+cp.Stream.String(), positionJSON{
		Version: version, AppKey: &cp.AppKey, Stream: &cp.Stream,
		End: new(cp.End.UTC()), Span: new(seconds(cp.Span)),
		Seen: new(ids(cp.Seen)), SeenRejected: new(ids(cp.SeenRejected)),
		Sequence: cp.Sequence, Counts: &cp.Counts, SavedAt: new(cp.SavedAt.UTC()), Rechecked: rechecked, Replay: cp.Replay, Reset: cp.Reset,
		Past: encodePast(cp.Past), Removed: cp.Removed,
	})
}

// Decode reads a checkpoint of an app. where is where it stands, for the error, which is a *[pipeline.Fault] of class
// [pipeline.Permanent].
func Decode(value []byte, appKey, where string) (pipeline.Checkpoint, error) {
	cp, err := decodePosition(value)
	if err == nil && cp.AppKey != appKey {
		err = damaged("it belongs to the app %q, not to %q", cp.AppKey, appKey)
	}
	if err != nil {
		return pipeline.Checkpoint{}, decodeFault("the checkpoint", where,
			"restore it, or set the stream's position anew with `jmpub checkpoint reset`", err)
	}
	return cp, nil
}

func decodePosition(value []byte) (cp pipeline.Checkpoint, err error) {
	var p positionJSON
	if err = decodeJSON(value, &p); err != nil {
		return cp, err
	}
	err = required(map[string]bool{
		"app_key": p.AppKey != nil, "stream": p.Stream != nil, "end_time": p.End != nil,
		"span_seconds": p.Span != nil, "seen": p.Seen != nil, "seen_rejected": p.SeenRejected != nil,
		"counts": p.Counts != nil, "saved_at": p.SavedAt != nil,
	})
	if err != nil {
		return cp, err
	}
	if p.Sequence < 0 {
		return cp, damaged("sequence is %d", p.Sequence)
	}
	if !wholeSecond(*p.End) {
		return cp, damaged("end_time is not a whole second")
	}
	var rechecked []pipeline.Rechecked
	for _, r := range p.Rechecked {
		rechecked = append(rechecked, pipeline.Rechecked{After: time.Duration(r.After), End: r.End.UTC()})
	}
	past, err := p.Past.decode(*p.End)
	if err != nil {
		return cp, err
	}
	return pipeline.Checkpoint{
		Rechecked: rechecked, Past: past, Removed: p.Removed,
		AppKey: *p.AppKey, Stream: *p.Stream, End: p.End.UTC(), Span: time.Duration(*p.Span), Seen: *p.Seen, SeenRejected: *p.SeenRejected,
		Sequence: p.Sequence, Counts: *p.Counts, SavedAt: p.SavedAt.UTC(), Replay: p.Replay, Reset: p.Reset,
	}, nil
}

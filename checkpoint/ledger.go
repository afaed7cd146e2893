package checkpoint

import (
	"errors"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// ledgerJSON is a ledger record as it is published.
type ledgerJSON struct {
	Version int `json:"version"`
	pipeline.Ledger
	Took seconds `json:"duration_seconds"`
}

// EncodeLedger writes a ledger record.
func EncodeLedger(l *pipeline.Ledger) ([]byte, error) {
	record := ledgerJSON{Version: version, Ledger: *l, Took: seconds(l.Duration)}
	record.Window, record.Started = utc(l.Window), l.Started.UTC()
	record.MovedFrom, record.MovedTo = l.MovedFrom.UTC(), l.MovedTo.UTC()
	if record.Offsets == nil {
		record.Offsets = []pipeline.OffsetRange{} // A list that is empty, not one that is unknown.
	}
	return encodeJSON("ledger record of "+l.Stream.String(), record)
}

// DecodeLedger reads a ledger record. where is where it stands, for the error, which is a *[pipeline.Fault] of class
// [pipeline.Permanent].
func DecodeLedger(value []byte, where string) (pipeline.Ledger, error) {
	var record ledgerJSON
	err := decodeJSON(value, &record)
	if err == nil {
		err = record.check()
	}
	if err != nil {
		return pipeline.Ledger{}, decodeFault("the ledger record", where, notOurs, err)
	}
	record.Window, record.Started, record.Duration = utc(record.Window), record.Started.UTC(), time.Duration(record.Took)
	record.MovedFrom, record.MovedTo = record.MovedFrom.UTC(), record.MovedTo.UTC()
	if len(record.Offsets) == 0 {
		record.Offsets = nil
	}
	return record.Ledger, nil
}

// notOurs is what to do about a record that nothing depends on.
const notOurs = "see what else writes to that topic"

func (record *ledgerJSON) check() error {
	if err := required(map[string]bool{
		"app_key": record.AppKey != "", "stream": record.Stream.Kind != "",
		"begin_time": !record.Begin.IsZero(), "end_time": !record.End.IsZero(),
	}); err != nil {
		return err
	}
	if err := checkWindow(record.Window); err != nil {
		return err
	}
	if record.Sequence < 0 || record.MovedTo.Before(record.MovedFrom) {
		return damaged("sequence is %d, moved_from %s, moved_to %s", record.Sequence, record.MovedFrom, record.MovedTo)
	}
	for _, o := range record.Offsets {
		if o.Topic == "" || o.Partition < 0 || o.First < 0 || o.Last < o.First {
			return damaged("offsets has the range [%d, %d] of %q/%d", o.First, o.Last, o.Topic, o.Partition)
		}
	}
	return nil
}

// noticeJSON is a notice as it is published.
type noticeJSON struct {
	Version int `json:"version"`
	pipeline.Notice
}

// EncodeNotice writes a notice.
func EncodeNotice(n *pipeline.Notice) ([]byte, error) {
	record := noticeJSON{Version: version, Notice: *n}
	record.Window, record.At = utc(n.Window), n.At.UTC()
	return encodeJSON("notice of "+n.Stream.String(), record)
}

// stageLedger makes the records that commit wherever checkpoints are kept: those of the ledger, the notices and the coverage.
func stageLedger(c *pipeline.Commit) ([]pipeline.Record, error) {
	var records []pipeline.Record
	var errs []error
	// All of a stream stand in one log, in the order of commits.
	stage := func(topic pipeline.Topic, key, partitionKey, value []byte, err error) {
		records = append(records, pipeline.Record{Topic: topic, Partition: -1, Key: key, PartitionKey: partitionKey, Value: value})
		errs = append(errs, err)
	}
	for _, l := range c.Windows {
		value, err := EncodeLedger(l)
		stage(pipeline.TopicWindows, LedgerKey(l.AppKey, l.Stream, l.Window), streamKey(l.AppKey, l.Stream), value, err)
	}
	for i := range c.Notices {
		n := &c.Notices[i]
		value, err := EncodeNotice(n)
		stage(pipeline.TopicNotices, streamKey(n.AppKey, n.Stream), nil, value, err)
	}
	for _, day := range c.Coverage {
		value, err := EncodeCoverage(day)
		stage(pipeline.TopicCoverage, CoverageKey(day.AppKey, day.Stream, day.Day), streamKey(day.AppKey, day.Stream), value, err)
	}
	return records, errors.Join(errs...)
}

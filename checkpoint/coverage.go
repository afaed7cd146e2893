package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
)

// coverageJSON is the coverage of a day of a stream, as it is published.
type coverageJSON struct {
	Version int             `json:"version"`
	AppKey  string          `json:"app_key"`
	Stream  pipeline.Stream `json:"stream"`
	dayJSON
}

// dayJSON is what is known of a day, as it is published and as it stands in a checkpoint.
type dayJSON struct {
	Day string `json:"day"`
	// Complete tells that the day was read to its end.
	Complete bool                     `json:"complete"`
	Read     few[pipeline.Window]     `json:"read"`
	Gaps     few[pipeline.Window]     `json:"gaps,omitempty"`
	Hours    few[hourJSON]            `json:"hours"`
	Offsets  few[pipeline.LastOffset] `json:"offsets"`
}

// utcRanges are ranges with all times in UTC; a list that is empty, not one that is unknown.
func utcRanges(ranges []pipeline.Window) []pipeline.Window {
	all := make([]pipeline.Window, 0, len(ranges))
	for _, w := range ranges {
		all = append(all, utc(w))
	}
	return all
}

// decodeRanges reads ranges of a field, which are in the order of time and do not touch.
func decodeRanges(field string, ranges []pipeline.Window) ([]pipeline.Window, error) {
	if len(ranges) == 0 {
		return nil, nil
	}
	all := utcRanges(ranges)
	for i, w := range all {
		if err := checkWindow(w); err != nil {
			return nil, err
		}
		if !w.Begin.Before(w.End) || i > 0 && !all[i-1].End.Before(w.Begin) {
			return nil, damaged("the ranges of %s are empty, touch, or are not in the order of time", field)
		}
	}
	return all, nil
}

// decodeRangesOf reads ranges of a day.
func decodeRangesOf(day time.Time, field string, ranges []pipeline.Window) ([]pipeline.Window, error) {
	all, err := decodeRanges(field, ranges)
	if n := len(all); n > 0 && (all[0].Begin.Before(day) || all[n-1].End.After(day.Add(hoursOfDay*time.Hour))) {
		return nil, damaged("a range of %s lies outside the day %s", field, day.Format(time.DateOnly))
	}
	return all, err
}

type hourJSON struct {
	pipeline.HourCounts
	Complete bool `json:"complete"`
}

const hoursOfDay = 24

func encodeDay(c *pipeline.Coverage) dayJSON {
	d := dayJSON{
		Day: c.Day.UTC().Format(time.DateOnly), Complete: c.Whole(pipeline.Window{Begin: c.Day, End: c.Day.Add(hoursOfDay * time.Hour)}),
		Read: utcRanges(c.Read), Gaps: utcRanges(c.Gaps),
		Hours: []hourJSON{}, Offsets: []pipeline.LastOffset{}, // Lists that are empty, not unknown.
	}
	for hour := range hoursOfDay {
		h := hourJSON{HourCounts: pipeline.HourCounts{Hour: hour}, Complete: c.HourWhole(hour)}
		i := slices.IndexFunc(c.Hours, func(known pipeline.HourCounts) bool { return known.Hour == hour })
		if i >= 0 {
			h.HourCounts = c.Hours[i]
		}
		if i >= 0 || h.Complete {
			d.Hours = append(d.Hours, h)
		}
	}
	d.Offsets = append(d.Offsets, c.Offsets...)
	return d
}

func (d *dayJSON) decode(appKey string, s pipeline.Stream) (pipeline.Coverage, error) {
	c := pipeline.Coverage{AppKey: appKey, Stream: s}
	var err error
	if c.Day, err = time.Parse(time.DateOnly, d.Day); err != nil {
		return c, damaged("day is %q, not a day such as 2026-07-01", d.Day)
	}
	if c.Read, err = decodeRangesOf(c.Day, "read", d.Read); err != nil {
		return c, err
	}
	if c.Gaps, err = decodeRangesOf(c.Day, "gaps", d.Gaps); err != nil {
		return c, err
	}
	if c.Hours, err = decodeHours(d.Hours); err != nil {
		return c, err
	}
	c.Offsets, err = decodeOffsets(d.Offsets)
	return c, err
}

// decodeHours leaves out hours of which only is known that they were read.
func decodeHours(hours []hourJSON) ([]pipeline.HourCounts, error) {
	var all []pipeline.HourCounts
	for i, h := range hours {
		if h.Hour < 0 || h.Hour >= hoursOfDay || i > 0 && hours[i-1].Hour >= h.Hour {
			return nil, damaged("hours has the hour %d in the wrong place", h.Hour)
		}
		for name, n := range map[string]int64{
			"rows": h.Rows, "published": h.Published, "rejected": h.Rejected, "late": h.Late, "gap_seconds": h.GapSeconds,
		} {
			if n < 0 {
				return nil, damaged("%s is %d in the hour %d", name, n, h.Hour)
			}
		}
		if h.HourCounts != (pipeline.HourCounts{Hour: h.Hour}) {
			all = append(all, h.HourCounts)
		}
	}
	return all, nil
}

func decodeOffsets(offsets []pipeline.LastOffset) ([]pipeline.LastOffset, error) {
	for i, o := range offsets {
		if o.Topic == "" || o.Partition < 0 || o.Last < 0 {
			return nil, damaged("offsets has the offset %d of %q/%d", o.Last, o.Topic, o.Partition)
		}
		if i > 0 && cmp.Or(strings.Compare(offsets[i-1].Topic, o.Topic), cmp.Compare(offsets[i-1].Partition, o.Partition)) >= 0 {
			return nil, damaged("offsets is not in the order of topics and partitions at %q/%d", o.Topic, o.Partition)
		}
	}
	if len(offsets) == 0 {
		return nil, nil
	}
	return offsets, nil
}

// EncodeCoverage writes the coverage of a day.
func EncodeCoverage(c *pipeline.Coverage) ([]byte, error) {
	return encodeJSON("coverage of "+c.Stream.String(), coverageJSON{version, c.AppKey, c.Stream, encodeDay(c)})
}

// DecodeCoverage reads the coverage of a day. where is where it stands, for the error, which is a *[pipeline.Fault] of class
// [pipeline.Permanent].
func DecodeCoverage(value []byte, where string) (pipeline.Coverage, error) {
	var record coverageJSON
	err := decodeJSON(value, &record)
	if err == nil {
		err = required(map[string]bool{"app_key": record.AppKey != "", "stream": record.Stream.Kind != "", "day": record.Day != ""})
	}
	var c pipeline.Coverage
	if err == nil {
		c, err = record.decode(record.AppKey, record.Stream)
	}
	if err != nil {
		return pipeline.Coverage{}, decodeFault("the coverage", where, notOurs, err)
	}
	return c, nil
}

// CoverageKey is the key of the coverage of a day: `<app_key>/<stream>/<day>`.
func CoverageKey(appKey string, s pipeline.Stream, day time.Time) []byte {
	return append(streamKey(appKey, s), "/"+day.UTC().Format(time.DateOnly)...)
}

// Coverage reads the coverage of an app's days back. It remembers where that of each day stands, about 100 bytes a day of a stream,
// so that a day costs one record to read, and what was written since the last one. It is used by one goroutine at a time.
type Coverage struct {
	log    *kafka.Log
	appKey string
	// partitions gives the topic's number of partitions, once it is known to exist.
	partitions func() int
	// Skipped, where it is set, is told of what stands at a key of the app and is no coverage. It is passed over.
	Skipped func(error)
	// places are, by partition, the offsets at which the newest coverage of each day stands, as far as it was read.
	places map[int]*places
}

// places are the newest offsets of the keys of a partition, up to end.
type places struct {
	offsets map[string]int64
	end     int64
}

var _ pipeline.CoverageReader = (*Coverage)(nil)

// NewCoverage reads the coverage in a topic. partitions gives the topic's number of partitions.
func NewCoverage(client *kafkago.Client, topic, appKey string, partitions func() int, retry pipeline.Retry) *Coverage {
	return &Coverage{
		log:    &kafka.Log{Client: client, Topic: topic, Retry: retry, Prefix: appKey},
		appKey: appKey, partitions: partitions, places: make(map[int]*places),
	}
}

// ReadTogether has the coverage read together with that of other apps. It is called before the first use.
func (c *Coverage) ReadTogether(t *kafka.Together) { c.log.Together = t }

// Coverage is the committed coverage of a day of a stream; see [pipeline.CoverageReader]. Where the topic was given more partitions, it
// may still stand in the former one.
func (c *Coverage) Coverage(ctx context.Context, s pipeline.Stream, day time.Time) (*pipeline.Coverage, error) {
	key := string(CoverageKey(c.appKey, s, day))
	n := c.partitions()
	own := PartitionOf(c.appKey, s, n)
	for i := range n {
		if found, err := c.newest(ctx, (own+i)%n, key); err != nil || found != nil {
			return found, err
		}
	}
	return nil, nil //nolint:nilnil // There is none, which is no error.
}

// newest is the coverage with a key in a partition; nil if there is none.
func (c *Coverage) newest(ctx context.Context, partition int, key string) (*pipeline.Coverage, error) {
	known, err := c.look(ctx, partition)
	if err != nil {
		return nil, err
	}
	offset, ok := known.offsets[key]
	if !ok {
		return nil, nil //nolint:nilnil // There is none, which is no error.
	}
	var found *pipeline.Coverage
	read := func(r *kafka.LogRecord) error {
		day, damage := c.decode(r)
		if damage == nil {
			found = &day
		}
		return damage
	}
	err = c.log.Known(ctx, partition, kafka.Bounds{First: offset, End: offset + 1}, read)
	if errors.Is(err, errForeign) {
		c.skip(err)
		return c.older(ctx, partition, key, offset)
	}
	return found, err
}

// older is the newest coverage with a key that can be read, before an offset at which something else stands; nil if there is none. That
// hides what jmpub wrote from other consumers, until jmpub writes the next one.
func (c *Coverage) older(ctx context.Context, partition int, key string, before int64) (found *pipeline.Coverage, err error) {
	b, err := c.log.All(ctx, partition)
	if err != nil {
		return nil, err
	}
	b.End = before
	err = c.log.Committed(ctx, partition, b, func(r *kafka.LogRecord) error {
		if string(r.Key) != key || r.Value == nil {
			return nil
		}
		if day, damage := c.decode(r); damage == nil {
			found = &day
		}
		return nil
	})
	return found, err
}

// maxCoverage bounds the coverage of a day: no topic that jmpub made takes a larger one.
const maxCoverage = 2 << 20

// errForeign is a record that is not what its key says, and not of a newer jmpub.
var errForeign = errors.New("it is no coverage of jmpub")

// decode reads the coverage of a day, which has to be that of its key.
func (c *Coverage) decode(r *kafka.LogRecord) (pipeline.Coverage, error) {
	err := r.Unread
	if err == nil && len(r.Value) > maxCoverage {
		err = damaged("it has %d bytes", len(r.Value))
	}
	if err != nil {
		return pipeline.Coverage{}, decodeFault("the coverage", r.Where(), notOurs, fmt.Errorf("%w: %w", errForeign, err))
	}
	day, err := DecodeCoverage(r.Value, r.Where())
	if err == nil && string(CoverageKey(day.AppKey, day.Stream, day.Day)) != string(r.Key) {
		err = decodeFault("the coverage", r.Where(), notOurs, damaged("its key is %q", r.Key))
	}
	if err != nil && !isNewer(err, r.Value, c.appKey) {
		err = fmt.Errorf("%w: %w", errForeign, err)
	}
	return day, err
}

func (c *Coverage) skip(err error) {
	if c.Skipped != nil {
		c.Skipped(err)
	}
}

// look takes in what was committed in a partition since it was looked at. It waits while a transaction is open that has written coverage of
// the app; see [kafka.Log.Own].
func (c *Coverage) look(ctx context.Context, partition int) (*places, error) {
	b, err := c.log.All(ctx, partition)
	if err != nil {
		return nil, err
	}
	known := c.places[partition]
	if known == nil || known.end > b.End { // Another topic of the same name ends elsewhere.
		known = &places{offsets: make(map[string]int64)}
		c.places[partition] = known
	}
	b.First = max(b.First, known.end)
	ours := c.appKey + "/"
	err = c.log.Own(ctx, partition, b, func(r *kafka.LogRecord) error {
		switch key := string(r.Key); {
		case !strings.HasPrefix(key, ours):
		case r.Value == nil:
			delete(known.offsets, key)
		default:
			known.offsets[key] = r.Offset
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	known.end = b.End
	return known, nil
}

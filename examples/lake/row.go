package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Row is one event as a row of a Parquet file. What is often asked for has a column; Event is the event itself, unchanged,
// so that nothing is lost: in DuckDB event->>'$.media[0].media_id', in Spark get_json_object. What the event has not is null,
// which an empty text is not.
type Row struct {
	MsgID          int64     `parquet:"msgid"`
	AppKey         string    `parquet:"app_key,dict"`
	Stream         string    `parquet:"stream,dict"`
	TargetType     *string   `parquet:"target_type,optional,dict"`
	MsgType        *string   `parquet:"msg_type,optional,dict"`
	ConversationID *string   `parquet:"conversation_id,optional,dict"`
	Time           time.Time `parquet:"time,optional,timestamp(millisecond)"`
	ClientTime     time.Time `parquet:"client_time,optional,timestamp(millisecond)"`
	FromID         *string   `parquet:"from_id,optional,dict"`
	FromPlatform   *string   `parquet:"from_platform,optional,dict"`
	TargetID       *string   `parquet:"target_id,optional,dict"`
	Text           *string   `parquet:"text,optional"`
	Event          string    `parquet:"event,json"`
	KafkaPartition int32     `parquet:"kafka_partition"`
	KafkaOffset    int64     `parquet:"kafka_offset,delta"`
}

// event is what is read from an event for the columns; docs/events.md has all of it.
type event struct {
	AppKey         string  `json:"app_key"`
	TargetType     *string `json:"target_type"`
	MsgType        *string `json:"msg_type"`
	ConversationID *string `json:"conversation_id"`
	Time           string  `json:"time"`
	ClientTime     string  `json:"client_time"`
	From           struct {
		ID       *string `json:"id"`
		Platform *string `json:"platform"`
	} `json:"from"`
	Target struct {
		ID *string `json:"id"`
	} `json:"target"`
	Text *string `json:"text"`
}

// newRow makes a row of a record of an event topic.
func newRow(r *kgo.Record) (Row, error) {
	where := func(err error) error {
		return fmt.Errorf("read the event %s/%d at offset %d: %w (does something else than jmpub write to that topic?)",
			r.Topic, r.Partition, r.Offset, err)
	}
	id, err := strconv.ParseInt(string(r.Key), 10, 64)
	if err != nil {
		return Row{}, where(fmt.Errorf("the key is no msgid: %w", err))
	}
	var e event
	if err = json.Unmarshal(r.Value, &e); err != nil {
		return Row{}, where(err)
	}
	row := Row{
		MsgID: id, AppKey: e.AppKey, TargetType: e.TargetType, MsgType: e.MsgType, ConversationID: e.ConversationID,
		FromID: e.From.ID, FromPlatform: e.From.Platform, TargetID: e.Target.ID, Text: e.Text,
		Event: string(r.Value), KafkaPartition: r.Partition, KafkaOffset: r.Offset,
	}
	for _, h := range r.Headers {
		if h.Key == "jmpub_stream" {
			row.Stream = string(h.Value)
		}
	}
	if row.Time, err = optionalTime(e.Time); err != nil {
		return Row{}, where(err)
	}
	if row.ClientTime, err = optionalTime(e.ClientTime); err != nil {
		return Row{}, where(err)
	}
	return row, nil
}

func optionalTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339, text)
}

// identity is what makes two rows the same: each stream of an app brings a message once. A replay that brings it again adds
// no row.
type identity struct {
	MsgID  int64  `parquet:"msgid"`
	AppKey string `parquet:"app_key,dict"`
	Stream string `parquet:"stream,dict"`
}

// hour is a folder of the lake. Begin is zero for rows that have no hour.
type hour struct {
	Target string    `json:"target"`
	Begin  time.Time `json:"begin"`
}

// hourOf places a row. A row without a time has no hour; neither has one whose only clock is a sender's that is in the
// future, because that hour would not be complete for as long. When such a row is brought again after that time has come, it
// is known from the folder of those that have no hour.
func hourOf(target string, row *Row, now time.Time) hour {
	if row.Time.IsZero() || row.Time.After(now.Add(time.Hour)) {
		return hour{Target: target}
	}
	return hour{Target: target, Begin: row.Time.UTC().Truncate(time.Hour)}
}

// folder is the hour's place under the lake's root, in the notation of Hive, which query engines read as columns.
func (h hour) folder() string {
	date, of := "__HIVE_DEFAULT_PARTITION__", "__HIVE_DEFAULT_PARTITION__"
	if !h.Begin.IsZero() {
		date, of = h.Begin.Format(time.DateOnly), h.Begin.Format("15")
	}
	return fmt.Sprintf("target=%s/date=%s/hour=%s", h.Target, date, of)
}

// complete tells that nothing is expected for the hour once everything of the settled time has been read.
func (h hour) complete(settled coverage) bool {
	return h.Begin.IsZero() || settled.cover(window{h.Begin, h.Begin.Add(time.Hour)})
}

package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/internal/registry"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
	"github.com/jmpub/jmpub/sink"
)

// TailOptions say what is shown of topics.
type TailOptions struct {
	// Topics are whole names, or the last parts of those of jmpub: single, rejected. None are the topics of events.
	Topics []string
	// App, Targets and Stream leave out what is of other ones; empty leaves out nothing.
	App     string
	Targets []event.Target
	Stream  string
	// From is where it begins, by the time at which records were published; where it is nil, the Last records of all topics come first.
	From *settings.Moment
	Last int
	// Follow goes on with what is published from now on, until ctx is done.
	Follow bool
	// Show is called with each record, in the order of their times as far as they are there at the same time.
	Show func(*TailRecord) error
}

// MostLast is the most that [TailOptions.Last] may be: as many records are held in memory.
const MostLast = 10_000

// TailRecord is a record as it was committed.
type TailRecord struct {
	Topic     string            `json:"topic"`
	Partition int               `json:"partition"`
	Offset    int64             `json:"offset"`
	Time      time.Time         `json:"timestamp"`
	Key       string            `json:"key,omitempty"`
	Headers   map[string]string `json:"headers,omitempty"`
	// Value is JSON: as it stands there, decoded from Avro, or else a string of it. It is null where there is none.
	Value json.RawMessage `json:"value"`

	// Kind is the last part of the topic's name that jmpub knows, or the event's target; empty of a topic that is none of jmpub's.
	Kind string `json:"-"`
	// Event is set where the value is an event.
	Event *TailEvent `json:"-"`
}

// TailEvent is what is shown of an event. The times are text, or milliseconds where they come from Avro.
type TailEvent struct {
	AppKey     string `json:"app_key"`
	TargetType string `json:"target_type"`
	MsgType    string `json:"msg_type"`
	Time       any    `json:"time"`
	ClientTime any    `json:"client_time"`
	Text       string `json:"text"`
	From       struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"from"`
	Target struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"target"`
}

const (
	// tailEvery is how often it is looked for what is new.
	tailEvery = 500 * time.Millisecond
	// heldRecords and heldBytes bound what is held of a partition, to put the records of several in order. A single record may be larger.
	heldRecords = 64
	heldBytes   = 256 << 10
)

// Tail shows records of topics as they were committed. It joins no group, and nothing is written.
func Tail(ctx context.Context, cfg *settings.Config, log *slog.Logger, o TailOptions) error {
	w := newReading(cfg, log)
	defer w.Close()
	conn, err := w.connect(ctx)
	if err != nil {
		return err
	}
	t := &tail{options: o, log: log, conn: conn, retry: w.retry, cfg: cfg}
	if client, ok := cfg.Sink.Schemas.(*registry.Client); ok {
		t.avro.Schema = client.Schema
	}
	if err = t.open(ctx); err != nil {
		return startError(err)
	}
	if o.From == nil && o.Last > 0 {
		if err = t.showLast(ctx); err != nil {
			return err
		}
	}
	if o.From == nil && !o.Follow { // What has come since it began is not the last any more.
		return nil
	}
	for {
		if err = t.showNew(ctx); err != nil || !o.Follow {
			return err
		}
		if err = pipeline.Sleep(ctx, tailEvery); err != nil {
			return err
		}
	}
}

// tail reads partitions side by side.
type tail struct {
	options TailOptions
	cfg     *settings.Config
	log     *slog.Logger
	conn    *kafka.Conn
	retry   pipeline.Retry
	avro    sink.AvroReader
	parts   []*tailPart
	// unreadable is set once it was told that a value cannot be decoded.
	unreadable bool
}

// tailPart is a partition, and where in it one is.
type tailPart struct {
	log       *kafka.Log
	partition int
	kind      string
	// next is the offset to read on from, end the one up to which all was decided when it was looked at last.
	next, end int64
	held      []*TailRecord
}

// open finds the topics, and where in each of their partitions it begins.
func (t *tail) open(ctx context.Context) error {
	routing, err := sink.NewRouting(t.cfg.Topics.Template, t.cfg.Topics.Prefix, t.cfg.Topics.AppKey)
	if err != nil {
		return usage.Wrap(err)
	}
	names := t.names(routing)
	if err = kafka.CheckDescribe(ctx, t.cfg.Kafka, names); err != nil {
		return err
	}
	partitions, err := t.conn.Partitions(ctx, t.retry, names)
	if err != nil {
		return err
	}
	var missing []string
	for _, name := range names {
		n, there := partitions[name]
		if !there {
			missing = append(missing, name)
		}
		log := &kafka.Log{Client: t.conn.Client, Topic: name, Retry: t.retry, Headers: true}
		kind := strings.TrimPrefix(name, t.cfg.Topics.Prefix+".")
		if slices.Contains(routing.Events(), name) {
			kind = ""
		}
		for p := range n {
			t.parts = append(t.parts, &tailPart{log: log, partition: p, kind: kind})
		}
	}
	if len(missing) > 0 && (len(t.options.Topics) > 0 || len(t.parts) == 0) {
		return &pipeline.Fault{
			Class: pipeline.Abort, Op: "look up the topics", Err: fmt.Errorf("missing: %s", strings.Join(missing, ", ")),
			Hint: "`jmpub run` makes those of jmpub; see JMPUB_TOPIC_PREFIX and JMPUB_TOPIC_TEMPLATE",
		}
	}
	if err = t.conn.CheckRead(ctx, slices.DeleteFunc(names, func(name string) bool { return slices.Contains(missing, name) })); err != nil {
		return err
	}
	for _, p := range t.parts {
		if err = p.begin(ctx, t.options.From); err != nil {
			return err
		}
	}
	return nil
}

// names are the names of the topics.
func (t *tail) names(routing *sink.Routing) []string {
	var names []string
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, target := range t.options.Targets {
		add(routing.Event(target))
	}
	for _, name := range t.options.Topics {
		target := event.TargetNamed(name)
		switch {
		case target.String() == name:
			add(routing.Event(target))
		case slices.Contains(ownTopics(), name):
			add(routing.Own(pipeline.Topic(name)))
		default:
			add(name)
		}
	}
	if len(names) == 0 {
		names = routing.Events()
	}
	return names
}

// ownTopics are the last parts of the names of jmpub's own topics.
func ownTopics() []string {
	return []string{
		string(pipeline.TopicRejected), string(pipeline.TopicWindows), string(pipeline.TopicNotices), string(pipeline.TopicCheckpoints),
		string(pipeline.TopicCoverage), string(pipeline.TopicProcesses), "statistics.users", "statistics.messages", "statistics.groups",
	}
}

// TailTopics are the short names that [TailOptions.Topics] knows.
func TailTopics() []string {
	var names []string
	for t := range event.TargetCount {
		names = append(names, t.String())
	}
	return append(names, ownTopics()...)
}

// ParseTargets reads the names of targets.
func ParseTargets(flag string, names []string) ([]event.Target, error) {
	var targets []event.Target
	for _, name := range names {
		target := event.TargetNamed(name)
		if target.String() != name {
			return nil, usage.Errorf("%s: %q is none of single, group, chatroom, other", flag, name)
		}
		targets = append(targets, target)
	}
	return targets, nil
}

// begin finds where the partition is read from.
func (p *tailPart) begin(ctx context.Context, from *settings.Moment) error {
	b, err := p.log.Decided(ctx, p.partition)
	if err != nil {
		return err
	}
	p.next, p.end = b.End, b.End
	if from != nil {
		p.next, err = p.log.OffsetAt(ctx, p.partition, from.Resolve(time.Now()), b)
	}
	return err
}

// showLast shows the last records that are there now.
func (t *tail) showLast(ctx context.Context) error {
	var last []*TailRecord
	for _, p := range t.parts {
		found, err := t.lastOf(ctx, p)
		if err != nil {
			return err
		}
		last = append(last, found...)
		slices.SortStableFunc(last, func(a, b *TailRecord) int { return a.Time.Compare(b.Time) })
		last = slices.Clone(last[max(0, len(last)-t.options.Last):])
	}
	for _, r := range last {
		if err := t.options.Show(r); err != nil {
			return err
		}
	}
	return nil
}

// lastOf is the last records of a partition. Offsets are not records: transactions that end take some, and aborted ones many. So it goes back
// further and further.
func (t *tail) lastOf(ctx context.Context, p *tailPart) ([]*TailRecord, error) {
	b, err := p.log.Decided(ctx, p.partition)
	if err != nil {
		return nil, err
	}
	b.End = p.end
	for back := int64(2*t.options.Last + heldRecords); ; back *= 4 {
		var found []*TailRecord
		from := max(b.First, b.End-back)
		err = p.log.Committed(ctx, p.partition, kafka.Bounds{First: from, End: b.End}, func(r *kafka.LogRecord) error {
			if one := t.record(ctx, p, r); one != nil {
				if found = append(found, one); len(found) > 2*t.options.Last {
					found = slices.Clone(found[len(found)-t.options.Last:])
				}
			}
			return nil
		})
		if err != nil || len(found) >= t.options.Last || from == b.First {
			return found[max(0, len(found)-t.options.Last):], err
		}
	}
}

// showNew shows what is there now behind what was shown, of all partitions in the order of its times.
func (t *tail) showNew(ctx context.Context) error {
	for _, p := range t.parts {
		b, err := p.log.Decided(ctx, p.partition)
		if err != nil {
			return err
		}
		p.end = b.End
		if p.next < b.First || p.next > b.End { // What was to come next is deleted, or the topic was made anew.
			p.next = b.First
		}
	}
	for {
		p, err := t.earliest(ctx)
		if p == nil || err != nil {
			return err
		}
		if err = t.options.Show(p.held[0]); err != nil {
			return err
		}
		p.held[0] = nil // It is not held any longer.
		p.held = p.held[1:]
	}
}

// earliest is the partition whose next record is the earliest of all; nil where none has one.
func (t *tail) earliest(ctx context.Context) (first *tailPart, err error) {
	for _, p := range t.parts {
		if err = t.fill(ctx, p); err != nil {
			return nil, err
		}
		if len(p.held) > 0 && (first == nil || p.held[0].Time.Before(first.held[0].Time)) {
			first = p
		}
	}
	return first, nil
}

// errHeld ends the reading of a partition of which enough is held.
var errHeld = errors.New("enough is held")

// fill reads on until something of the partition is held, or all was read that is to be.
func (t *tail) fill(ctx context.Context, p *tailPart) error {
	for len(p.held) == 0 && p.next < p.end {
		size := 0
		b := kafka.Bounds{First: p.next, End: min(p.end, p.next+heldRecords)}
		err := p.log.Committed(ctx, p.partition, b, func(r *kafka.LogRecord) error {
			p.next = r.Offset + 1
			if one := t.record(ctx, p, r); one != nil {
				p.held = append(p.held, one)
				size += len(one.Value)
			}
			if size > heldBytes {
				return errHeld
			}
			return nil
		})
		switch {
		case errors.Is(err, errHeld):
		case err != nil && pipeline.ClassOf(err) == pipeline.Abort: // It was deleted meanwhile; what is left is looked at again.
			return nil
		case err != nil:
			return err
		default:
			p.next = b.End
		}
	}
	return nil
}

// record is what is to be shown of a record; nil if nothing is. It is a copy.
func (t *tail) record(ctx context.Context, p *tailPart, r *kafka.LogRecord) *TailRecord {
	out := &TailRecord{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Time: r.Time, Key: string(r.Key), Kind: p.kind}
	if len(r.Headers) > 0 {
		out.Headers = make(map[string]string, len(r.Headers))
		for _, h := range r.Headers {
			out.Headers[h.Key] = string(h.Value)
		}
	}
	out.Value = t.value(ctx, p, r)
	app, stream := out.Headers["jmpub_app_key"], out.Headers["jmpub_stream"]
	var target event.Target
	switch {
	case p.kind == "":
		out.Event = &TailEvent{}
		if json.Unmarshal(out.Value, out.Event) != nil {
			out.Event = nil
			break
		}
		app, target = out.Event.AppKey, event.TargetNamed(out.Event.TargetType)
		out.Kind = target.String()
	case stream == "": // jmpub's own records have both in their keys.
		app, stream, _ = strings.Cut(out.Key, "/")
	}
	o := &t.options
	switch {
	case o.App != "" && app != o.App,
		o.Stream != "" && stream != o.Stream && !strings.HasPrefix(stream, o.Stream+"/"),
		len(o.Targets) > 0 && p.kind == "" && !slices.Contains(o.Targets, target):
		return nil
	}
	return out
}

// value is a record's value as JSON.
func (t *tail) value(ctx context.Context, p *tailPart, r *kafka.LogRecord) json.RawMessage {
	if r.Value == nil {
		return json.RawMessage("null")
	}
	value := r.Value
	if p.kind == "" && sink.IsAvro(value) {
		decoded, err := t.avro.JSON(ctx, value)
		if err != nil && !t.unreadable {
			t.unreadable = true
			t.log.WarnContext(ctx, "an event in Avro cannot be decoded; others like it are not told", slog.String("at", r.Where()), slog.Any("error", err))
		}
		if err == nil {
			return decoded
		}
	}
	if json.Valid(value) {
		return bytes.Clone(value)
	}
	text, err := json.Marshal(string(value)) // What is no UTF-8 is replaced.
	if err != nil {
		return json.RawMessage("null")
	}
	return text
}

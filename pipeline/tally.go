package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jmpub/jmpub/pipeline/event"
)

// Tally is how many different messages were published of a day, by target.
type Tally struct {
	Day    Period
	Counts [event.TargetCount]int64
}

// Tallies counts what the chains of one stream have published of each of some days, which are in order. A window within a day
// is counted by its offsets; one across midnight, or one that was read twice in part, is read back, and its messages are
// counted by the server's clock.
func Tallies(ctx context.Context, archive Archive, chains []Chain, days []Period) ([]Tally, error) {
	t := &tally{days: make([]Tally, len(days)), seen: make(map[int64]struct{})}
	for i, day := range days {
		t.days[i].Day = day
	}
	reached := time.Time{}
	for i := range chains {
		c := &chains[i]
		seam := reached
		for j := range c.Windows {
			// At a seam both sides are read back: what they have in common counts once.
			doubtful := !c.Windows[j].Begin.After(seam) || i+1 < len(chains) && !c.Windows[j].End.Before(chains[i+1].Windows[0].Begin)
			if err := t.add(ctx, archive, &c.Windows[j], doubtful); err != nil {
				return nil, err
			}
		}
		for j := range c.Late {
			if err := t.add(ctx, archive, &c.Late[j], true); err != nil {
				return nil, err
			}
		}
		if end := c.Window().End; end.After(reached) {
			reached = end
		}
	}
	return t.days, nil
}

// tally is the counting. seen are the messages that were read back.
type tally struct {
	days []Tally
	seen map[int64]struct{}
}

// at is the tally of the day in which a time lies; nil where it is none of them.
func (t *tally) at(when time.Time) *Tally {
	for i := range t.days {
		if day := t.days[i].Day; !when.Before(day.Begin) && when.Before(day.End()) {
			return &t.days[i]
		}
	}
	return nil
}

// outside tells that a window lies before or behind all of the days.
func (t *tally) outside(w Window) bool {
	n := len(t.days)
	return n == 0 || w.End.Before(t.days[0].Day.Begin) || !w.Begin.Before(t.days[n-1].Day.End())
}

func (t *tally) add(ctx context.Context, archive Archive, l *Ledger, doubtful bool) error {
	first, last := t.at(l.Begin), t.at(l.End)
	switch {
	case first == nil && last == nil && t.outside(l.Window):
		return nil
	case first != nil && first == last && !doubtful:
		for _, r := range l.Offsets {
			if target, ok := topicTarget(r.Topic); ok {
				first.Counts[target] += r.Last - r.First + 1
			}
		}
		return nil
	}
	return archive.Records(ctx, l.Offsets, t.record)
}

// record counts one message that was read back.
func (t *tally) record(topic string, key, value []byte) error {
	target, ok := topicTarget(topic)
	if !ok {
		return nil
	}
	id, err := strconv.ParseInt(string(key), 10, 64)
	if err != nil {
		return fmt.Errorf("read a record of %s back: its key %q is no msgid", topic, key)
	}
	if _, again := t.seen[id]; again {
		return nil
	}
	t.seen[id] = struct{}{}
	var e struct {
		Time time.Time `json:"time"`
	}
	if err := json.Unmarshal(value, &e); err != nil {
		return fmt.Errorf("read the event %d of %s back: %w", id, topic, err)
	}
	if day := t.at(e.Time); day != nil {
		day.Counts[target]++
	}
	return nil
}

// topicTarget is the target whose events stand in a topic.
func topicTarget(topic string) (event.Target, bool) {
	for target := range event.TargetCount {
		if strings.HasSuffix(topic, "."+target.String()) {
			return target, true
		}
	}
	return 0, false
}

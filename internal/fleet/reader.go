package fleet

import (
	"bytes"
	"context"

	"github.com/jmpub/jmpub/internal/kafka"
)

// partition is the only one that the topic has.
const partition = 0

const (
	// maxKeys and maxBytes bound what is taken from the topic: thousands of processes, and the states of 100,000 apps.
	maxKeys  = 20_000
	maxBytes = 64 << 20
)

// Told is what the processes of a group have said: the newest record of each key, in the order in which they were written.
type Told struct {
	parts []*part
	// PassedOver is how many records are none of jmpub's, or of a release that this one cannot read, or too many.
	PassedOver int
}

// read reads what the processes of a group have said, up to what there is now. The log is of the topic.
func read(ctx context.Context, log *kafka.Log, group string) (*Told, error) {
	log.Prefix = group + "/"
	b, err := log.All(ctx, partition)
	if err != nil {
		return nil, err
	}
	t := &table{newest: make(map[string]stored)}
	// They stand in no transaction, so that none that is open matters.
	if err = log.Known(ctx, partition, b, func(r *kafka.LogRecord) error {
		t.take(r)
		return nil
	}); err != nil {
		return nil, err
	}
	return t.told(), nil
}

// stored is a record as it stands.
type stored struct {
	offset int64
	value  []byte
	unread bool
}

// table has the newest record of each key, as far as there is room.
type table struct {
	newest  map[string]stored
	bytes   int
	leftOut int
}

func (t *table) take(r *kafka.LogRecord) {
	key := string(r.Key)
	before, known := t.newest[key]
	t.bytes -= len(before.value)
	delete(t.newest, key)
	switch {
	case r.Value == nil:
	case !known && len(t.newest) >= maxKeys, t.bytes+len(r.Value) > maxBytes:
		t.leftOut++
	default:
		t.newest[key] = stored{r.Offset, bytes.Clone(r.Value), r.Unread != nil}
		t.bytes += len(r.Value)
	}
}

// told reads the records.
func (t *table) told() *Told {
	told := &Told{PassedOver: t.leftOut}
	for key, s := range t.newest {
		p, err := decode([]byte(key), s.value)
		if err != nil || s.unread {
			told.PassedOver++
			continue
		}
		p.offset = s.offset
		told.parts = append(told.parts, p)
	}
	return told
}

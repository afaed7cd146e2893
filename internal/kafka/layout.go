package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/addpartitionstotxn"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
	"github.com/segmentio/kafka-go/protocol/endtxn"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/heartbeat"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
	"github.com/segmentio/kafka-go/protocol/joingroup"
	"github.com/segmentio/kafka-go/protocol/leavegroup"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/protocol/syncgroup"
)

// replies are those that kafka-go decodes for jmpub.
func replies() []protocol.Message {
	return []protocol.Message{
		&addpartitionstotxn.Response{}, &apiversions.Response{}, &createtopics.Response{}, &describeconfigs.Response{}, &endtxn.Response{},
		&findcoordinator.Response{}, &heartbeat.Response{}, &initproducerid.Response{}, &joingroup.Response{}, &leavegroup.Response{},
		&listoffsets.Response{}, &metadata.Response{}, &produce.Response{}, &saslauthenticate.Response{},
		&saslhandshake.Response{}, &syncgroup.Response{},
	}
}

// layouts know how the replies are laid out, as the struct tags of kafka-go's messages say, by key and version. Safe for concurrent
// use; the zero value is ready.
type layouts struct {
	mu    sync.Mutex
	known map[[2]int16]layout
}

// check walks a reply, without the size that it begins with, and finds every length in it that it cannot have.
func (l *layouts) check(key protocol.ApiKey, version int16, reply []byte) error {
	lay, err := l.of(key, version)
	if err != nil {
		return err
	}
	w := &walk{left: reply, budget: maxDecoded}
	w.skip(4) // The correlation id, which kafka-go compares.
	if lay.flexible {
		w.tags(nil)
	}
	lay.body(w)
	return w.err
}

func (l *layouts) of(key protocol.ApiKey, version int16) (layout, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := [2]int16{int16(key), version}
	if known, ok := l.known[at]; ok {
		return known, nil
	}
	for _, m := range replies() {
		if m.ApiKey() != key {
			continue
		}
		t := reflect.TypeOf(m).Elem()
		flexible := isFlexible(t, version)
		body, _, err := stepOf(t, version, flexible)
		if err != nil {
			return layout{}, err
		}
		if l.known == nil {
			l.known = make(map[[2]int16]layout)
		}
		l.known[at] = layout{body, flexible}
		return l.known[at], nil
	}
	return layout{}, fmt.Errorf("(bug) replies to %s are not known", key)
}

// decode decodes what others have put into a message of a group, which brokers pass on as it is. into points to a struct with kafka-go's tags.
func decode(data []byte, version int16, into any) error {
	body, _, err := stepOf(reflect.TypeOf(into).Elem(), version, false)
	if err != nil {
		return err
	}
	w := &walk{left: data, budget: maxDecoded}
	if body(w); w.err != nil {
		return w.err
	}
	return protocol.Unmarshal(data, version, into)
}

// layout is that of one reply. Flexible ones have tagged fields (KIP-482).
type layout struct {
	body     step
	flexible bool
}

// step passes over one value.
type step func(*walk)

// walk is where in a reply one is.
type walk struct {
	left []byte
	err  error
	// budget is how much memory what follows may still take.
	budget int
}

var errBudget = errors.New("it holds more than any cluster has")

func (w *walk) fail(err error) {
	w.left, w.err = nil, errors.Join(w.err, err)
}

// skip passes over n bytes.
func (w *walk) skip(n int) {
	w.take(n)
}

// take is the next n bytes; as many zeros, once something is wrong.
func (w *walk) take(n int) []byte {
	if w.err == nil && (n < 0 || n > len(w.left)) {
		w.fail(io.ErrUnexpectedEOF)
	}
	if w.err != nil {
		return make([]byte, binary.MaxVarintLen64)
	}
	taken := w.left[:n]
	w.left = w.left[n:]
	return taken
}

// uvarint is the next number of variable length.
func (w *walk) uvarint() int {
	v, n := binary.Uvarint(w.left)
	if n <= 0 || v > maxReply {
		w.fail(errors.New("a number is out of range"))
		return 0
	}
	w.left = w.left[n:]
	return int(v)
}

// length is that of a text, of bytes or of an array; -1 of null. Compact ones are written as one more.
func (w *walk) length(size int, flexible bool) int {
	switch {
	case flexible:
		return w.uvarint() - 1
	case size == 2:
		return int(w.int16())
	default:
		return int(w.int32())
	}
}

// tags passes over tagged fields, of which some are known.
func (w *walk) tags(known map[int]step) {
	for range w.uvarint() {
		tag, size := w.uvarint(), w.uvarint()
		if field := known[tag]; field != nil {
			field(w)
		} else {
			w.skip(size)
		}
		if w.err != nil {
			return
		}
	}
}

// stepOf is how a type is passed over in a version, and how many bytes it takes at least.
func stepOf(t reflect.Type, version int16, flexible bool) (step, int, error) {
	prefix := func(fixed int) int {
		if flexible {
			return 1
		}
		return fixed
	}
	switch kind := t.Kind(); {
	case kind == reflect.Struct:
		return structOf(t, version, flexible)
	case kind == reflect.String:
		return bytesOf(2, flexible), prefix(2), nil
	case kind == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return bytesOf(4, flexible), prefix(4), nil
	case kind == reflect.Slice:
		element, least, err := stepOf(t.Elem(), version, flexible)
		return arrayOf(t.Elem(), element, least, flexible), prefix(4), err
	case kind == reflect.Bool, kind >= reflect.Int8 && kind <= reflect.Int64, kind == reflect.Float64:
		size := int(t.Size())
		return func(w *walk) { w.skip(size) }, size, nil
	default:
		return nil, 0, fmt.Errorf("(bug) a field of type %s is not known", t)
	}
}

func bytesOf(size int, flexible bool) step {
	return func(w *walk) {
		n := max(w.length(size, flexible), 0)
		w.budget -= n
		w.skip(n)
	}
}

// entryBytes is what kafka-go's tables of brokers, topics and partitions take for each, beside the reply itself.
const entryBytes = 64

func arrayOf(t reflect.Type, element step, least int, flexible bool) step {
	each := int(t.Size())
	if t.Kind() == reflect.Struct {
		each += entryBytes
	}
	return func(w *walk) {
		n := w.length(4, flexible)
		switch {
		case n <= 0: // Null, or empty.
			return
		case n > len(w.left)/max(least, 1):
			w.fail(io.ErrUnexpectedEOF)
		case n > w.budget/each:
			w.fail(errBudget)
		default:
			w.budget -= n * each
			for i := 0; i < n && w.err == nil; i++ {
				element(w)
			}
		}
	}
}

func structOf(t reflect.Type, version int16, flexible bool) (step, int, error) {
	var fields []step
	tagged := make(map[int]step)
	least := 0
	if flexible {
		least = 1
	}
	for field := range t.Fields() {
		tag, ok := tagOf(field, version)
		if !ok {
			continue
		}
		pass, n, err := stepOf(field.Type, version, flexible)
		switch {
		case err != nil:
			return nil, 0, err
		case tag.tagged:
			tagged[tag.id] = pass
		default:
			fields = append(fields, pass)
			least += n
		}
	}
	return func(w *walk) {
		for _, pass := range fields {
			pass(w)
		}
		if flexible {
			w.tags(tagged)
		}
	}, least, nil
}

// fieldTag is what a struct tag says of a version. id is -1 for a mark that the message is flexible, and no field.
type fieldTag struct {
	tagged bool
	id     int
}

// tagOf reads the alternative of a field's tag that a version is in: `kafka:"min=v1,max=v8|min=v9,max=v11,compact"`.
func tagOf(field reflect.StructField, version int16) (fieldTag, bool) {
	for alternative := range strings.SplitSeq(field.Tag.Get("kafka"), "|") {
		tag, from, to := fieldTag{id: -1}, -1, -1
		for option := range strings.SplitSeq(alternative, ",") {
			switch name, value, _ := strings.Cut(option, "="); name {
			case "min":
				from = number(strings.TrimPrefix(value, "v"))
			case "max":
				to = number(strings.TrimPrefix(value, "v"))
			case "tag":
				tag.tagged = true
				if value != "" {
					tag.id = number(value)
				}
			}
		}
		if from <= int(version) && int(version) <= to {
			return tag, true
		}
	}
	return fieldTag{}, false
}

// number is that of a version or a tag; -1 where it is none.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}

// isFlexible tells whether a message has tagged fields in a version: some field says so, of this version or an earlier one.
func isFlexible(t reflect.Type, version int16) bool {
	for field := range t.Fields() {
		for v := range version + 1 {
			if tag, ok := tagOf(field, v); ok && tag.tagged {
				return true
			}
		}
	}
	return false
}

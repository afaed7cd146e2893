package checkpoint_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/segmentio/kafka-go/protocol/listoffsets"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/internal/tests/hostile"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/audit"
)

// poisoned is a topic of one partition that anybody may write to.
type poisoned struct{ keys, values [][]byte }

func (p *poisoned) RoundTrip(_ context.Context, _ net.Addr, request kafkago.Request) (kafkago.Response, error) {
	switch r := request.(type) {
	case *listoffsets.Request:
		found := listoffsets.ResponsePartition{Timestamp: r.Topics[0].Partitions[0].Timestamp}
		if found.Timestamp != kafkago.FirstOffset {
			found.Offset = int64(len(p.keys))
		}
		return &listoffsets.Response{Topics: []listoffsets.ResponseTopic{{Topic: "t", Partitions: []listoffsets.ResponsePartition{found}}}}, nil
	case *fetch.Request:
		from := r.Topics[0].Partitions[0].FetchOffset
		var records []protocol.Record
		for i := from; i < int64(len(p.keys)); i++ {
			records = append(records, protocol.Record{
				Offset: i, Time: second(i), Key: protocol.NewBytes(p.keys[i]), Value: protocol.NewBytes(p.values[i]),
			})
		}
		var page fetch.ResponsePartition
		page.RecordSet.Records = &protocol.RecordStream{Records: []protocol.RecordReader{
			&protocol.RecordBatch{BaseOffset: from, Records: protocol.NewRecordReader(records...)},
		}}
		return &fetch.Response{Topics: []fetch.ResponseTopic{{Partitions: []fetch.ResponsePartition{page}}}}, nil
	default:
		return nil, fmt.Errorf("unexpected %T", request)
	}
}

// read has all who read topics of jmpub's own read it. Errors name a place.
func (p *poisoned) read(t *testing.T) (positions map[pipeline.Stream]pipeline.Checkpoint) {
	t.Helper()
	client := &kafkago.Client{Addr: kafkago.TCP("fake:9092"), Transport: p, Timeout: time.Second}
	one := func() int { return 1 }
	k := checkpoint.NewKafka(client, "t", appKey, one, pipeline.Retry{})
	k.Group = "jmpub"
	archive := checkpoint.NewArchive(client, "t", appKey, one, pipeline.Retry{})
	coverage := checkpoint.NewCoverage(client, "t", appKey, one, pipeline.Retry{})
	evidence := &checkpoint.Evidence{Archive: archive, Coverage: coverage, Discovered: everyKind}
	check := func(what string, err error) {
		if err != nil && !strings.Contains(err.Error(), "t/0 at offset ") {
			t.Errorf("%s: it does not say where: %v", what, err)
		}
	}
	positions, err := k.Load(t.Context())
	if err != nil {
		t.Errorf("load: %v", err)
	}
	all, err := k.All(t.Context())
	if err != nil || len(all) < len(positions) {
		t.Errorf("%d of %d positions are listed, %v", len(all), len(positions), err)
	}
	for s, cp := range positions {
		if cp.Stream != s || cp.Damage != nil && !strings.Contains(cp.Damage.Error(), "t/0 at offset ") {
			t.Errorf("the position of %s is %+v", s, cp)
		}
	}
	if _, err = k.Newest(t.Context()); err != nil {
		t.Errorf("claim: %v", err)
	}
	take := func(l *pipeline.Ledger, _ audit.Place) error {
		if l.AppKey != appKey {
			t.Errorf("a record of %q is found", l.AppKey)
		}
		return nil
	}
	_, err = archive.Ledger(t.Context(), audit.Query{}, take)
	check("ledger", err)
	a := pipeline.Stream{Kind: pipeline.StreamUsers, Name: "a"}
	_, err = archive.Ledger(t.Context(), audit.Query{Streams: []pipeline.Stream{a}, Since: second(0)}, take)
	check("ledger of a stream", err)
	_, err = coverage.Coverage(t.Context(), a, time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC))
	check("coverage", err)
	_, err = evidence.Lost(t.Context(), positions)
	check("evidence", err)
	return positions
}

// keysOf are keys that a record may have: jmpub's own, and nearly.
func keysOf() []string {
	return []string{
		appKey + "/users/a", appKey + "/messages", appKey + "~r-1/users/a", appKey + "!jmpub!claim", appKey + "/users/a/2026-07-01T00:00:00Z",
		appKey + "/users/a/2026-07-01", appKey + "/statistics/users", appKey + "/", appKey + "~/", appKey, "other/users/a", "",
	}
}

// garbage is one of the forms, or nearly.
func garbage(dice *rand.Rand) []byte {
	forms := []string{
		"", "garbage", "null", `{"version":2}`, `{"version":2,"app_key":"` + appKey + `"}`, `{"version":1,"claim":"x"}`, positionForm, ledgerForm, noticeForm,
	}
	value := []byte(forms[dice.IntN(len(forms))])
	for range dice.IntN(4) {
		if at := dice.IntN(len(value) + 1); at < len(value) {
			value[at] = byte(dice.Uint32())
		}
	}
	if dice.IntN(4) == 0 {
		value = value[:dice.IntN(len(value)+1)]
	}
	return value
}

// FuzzLog writes anything to jmpub's own topics. Nobody panics, what is wrong is named with its place, and a position of somebody else's
// stream is found as it was.
func FuzzLog(f *testing.F) {
	cp := window(pipeline.Stream{Kind: pipeline.StreamGroups, Name: "12500001"}, 1).Checkpoint
	whole, err := checkpoint.Encode(&cp)
	if err != nil {
		f.Fatal(err)
	}
	for seed := range uint64(32) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		dice := rand.New(rand.NewPCG(seed, 0))
		p := &poisoned{keys: [][]byte{[]byte(appKey + "/" + cp.Stream.String())}, values: [][]byte{whole}}
		for range 1 + dice.IntN(3) {
			key := []byte(keysOf()[dice.IntN(len(keysOf()))])
			if len(key) > 0 && dice.IntN(4) == 0 {
				key[dice.IntN(len(key))] = byte(dice.Uint32())
			}
			p.keys, p.values = append(p.keys, key), append(p.values, garbage(dice))
		}
		if got := p.read(t)[cp.Stream]; got.Damage != nil || !got.End.Equal(cp.End) {
			t.Errorf("the position of another stream is %+v", got)
		}
	})
}

// TestLargeGarbage writes positions that become as large as they can when they are read, with the memory limit that a run has.
func TestLargeGarbage(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(128 << 20))
	const most = 16 << 20
	fill := func(head, element, tail string) []byte {
		return []byte(head + strings.Repeat(element, (most-len(head)-len(tail))/len(element)) + tail)
	}
	for name, value := range map[string][]byte{
		"ids":     fill(`{"version":1,"overlap_ids":[1`, ",1", `]}`),
		"backlog": fill(`{"version":1,"backlog":[{}`, ",{}", `]}`),
		"hours":   fill(`{"version":1,"coverage":[{"hours":[0`, ",0", `]}]}`),
		"depth":   bytes.Repeat([]byte("["), most),
	} {
		p := &poisoned{keys: [][]byte{[]byte(appKey + "/users/a")}, values: [][]byte{value}}
		client := &kafkago.Client{Addr: kafkago.TCP("fake:9092"), Transport: p, Timeout: time.Minute}
		k := checkpoint.NewKafka(client, "t", appKey, func() int { return 1 }, pipeline.Retry{})
		peak := hostile.PeakHeap(func() {
			found, err := k.Load(t.Context())
			damage := found[pipeline.Stream{Kind: pipeline.StreamUsers, Name: "a"}].Damage
			if err != nil || damage == nil || len(damage.Error()) > 1000 {
				t.Errorf("%s: the damage is %.2000v, %v", name, damage, err)
			}
		})
		t.Logf("%s: %d MiB", name, peak>>20)
		if peak > 192<<20 {
			t.Errorf("%s: it takes %d MiB", name, peak>>20)
		}
	}
}

package pipeline_test

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
)

// TestManyStreamsWaitForKafkaInBoundedMemory has two hundred streams catch up, whose windows each take half of the memory, while Kafka does not answer for
// an hour: no more windows are opened than there is room for, besides those in the slots and the one that may be streamed, and all rows are published
// when Kafka answers again.
func TestManyStreamsWaitForKafkaInBoundedMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const streams, parallel, windowRows = 200, 2, 200
		begin := time.Now().UTC().Truncate(time.Second)
		source, kafka := fakes.NewSource(), fakes.NewKafka()
		source.Of = make(map[pipeline.Stream][]fakes.Row)
		source.PageSize, source.Span = 50, windowRows*time.Second
		cfg := fakes.ConfigFor(source, kafka, begin)
		cfg.Streams = nil
		for i := range streams {
			s := pipeline.Stream{Kind: pipeline.StreamGroups, Name: strconv.Itoa(i)}
			cfg.Streams = append(cfg.Streams, s)
			source.Of[s] = rowsEach(begin, time.Second, windowRows-10)
		}
		time.Sleep(24 * time.Hour)
		stalled := true
		kafka.Fail = func(ctx context.Context, op string) error {
			if op == "begin" && stalled {
				if err := pipeline.Sleep(ctx, time.Hour); err != nil {
					return err
				}
				stalled = false
			}
			return nil
		}
		cfg.Until, cfg.Parallel, cfg.WindowBytes, cfg.MemoryBytes = begin.Add(10*time.Minute), parallel, 256<<10, 512<<10
		opened := 0
		time.AfterFunc(50*time.Minute, func() { opened = source.Opens() })
		fakes.Run(t, cfg, 20*time.Hour)
		if ids := kafka.IDs(); len(ids) != streams*(windowRows-10) {
			t.Errorf("%d rows were published, want %d", len(ids), streams*(windowRows-10))
		}
		if opened == 0 || opened > 12 {
			t.Errorf("%d windows were opened while Kafka did not answer", opened)
		}
	})
}

// TestLargeWindowsAreReadOnce reads windows side by side none of which may be held: each is streamed when it is its turn, and asked for once.
func TestLargeWindowsAreReadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const windows, windowRows = 30, 100
		begin := time.Now().UTC().Truncate(time.Second)
		rows := rowsEach(begin, time.Second, windows*windowRows)
		time.Sleep(24 * time.Hour)
		source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
		source.PageSize, source.Span = 20, windowRows*time.Second
		api := &sharedSource{Source: source, wait: 100 * time.Millisecond, requests: &gauge{}}
		cfg := fakes.ConfigFor(api, kafka, begin)
		cfg.Until, cfg.WindowBytes, cfg.MemoryBytes = begin.Add(windows*windowRows*time.Second), 16<<10, 2<<20
		fakes.Run(t, cfg, 20*time.Hour)
		kafka.WantIDs(t, fakes.IDsOf(rows))
		if opened, committed := source.Opens(), len(kafka.Ledger); committed < windows || opened != committed {
			t.Errorf("%d windows were asked for %d times", committed, opened)
		}
	})
}

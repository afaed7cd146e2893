package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
)

// irregular makes a row that lacks a clock, has a sender's clock that is far off, or cannot be an event, now and then.
func irregular(dice *rand.Rand, r fakes.Row) fakes.Row {
	server := r.At.UnixMilli()
	client := server + dice.Int64N(20_000) - 10_000
	switch dice.IntN(12) {
	case 0: // The API may filter by the other clock.
		r.Raw = fmt.Sprintf(`{"msgid":%d,"target_type":"group","target_id":"1","msg_type":"text","msg_body":{"text":"n"},"create_time":%d}`, r.ID, client)
	case 1:
		r.Raw = fmt.Sprintf(`{"msgid":%d,"target_type":"group","target_id":"1","msg_type":"text","msg_body":{"text":"n"},"msg_ctime":%d,"create_time":%d}`,
			r.ID, server, server-int64(dice.IntN(48))*3_600_000)
	case 2: // It is rejected, and nobody can tell its id.
		r.Raw = fmt.Sprintf(`{"no_msgid":%d}`, r.ID)
	case 3:
		r.Raw = fmt.Sprintf(`{"msgid":%d,"msgid":%d}`, r.ID, r.ID)
	default:
		r.Raw = fmt.Sprintf(`{"msgid":%d,"target_type":"group","target_id":"1","msg_type":"text","msg_body":{"text":"n"},"msg_ctime":%d,"create_time":%d}`,
			r.ID, server, client)
	}
	return r
}

// everything that was published, rejected rows too, as ids in ascending order.
func everything(kafka *fakes.Kafka) []int64 {
	all := kafka.IDs()
	for _, r := range kafka.Rejected {
		text := string(r.Row)
		id, err := strconv.ParseInt(strings.TrimRight(text[strings.LastIndex(text, ":")+1:], "}"), 10, 64)
		if err != nil {
			panic(err)
		}
		all = append(all, id)
	}
	slices.Sort(all)
	return all
}

// TestLiveFirstPublishesEachRowOnce follows the head while hours of history are read behind it, and sessions fail now and
// then, also while its end is near.
func TestLiveFirstPublishesEachRowOnce(t *testing.T) {
	for seed := range fakes.Seeds(9) {
		synctest.Test(t, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, 1))
			begin := time.Now().UTC().Add(-2 * time.Hour)
			rows := fakes.RowsFrom(begin, 8000) // The last ones are sent while it runs.
			for i := range rows {
				rows[i] = irregular(dice, rows[i])
			}
			source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
			source.PageSize, source.Span = 200, 5*time.Minute
			if seed%3 > 0 {
				kafka.Fail = func(_ context.Context, op string) error {
					if dice.IntN(12) > 0 || op == "open" || op == "load" {
						return nil
					}
					if op == "commit" && dice.IntN(2) == 0 {
						kafka.Apply() // It committed, and the reply was lost.
					}
					return &pipeline.Fault{Class: pipeline.Abort, Op: op, Err: errors.New("injected")}
				}
			}
			cfg := fakes.ConfigFor(source, kafka, begin)
			cfg.LiveFirst = true
			if err := fakes.RunFor(t, cfg, 20*time.Minute); err != nil {
				t.Fatalf("seed %d: run: %v", seed, err)
			}
			want := fakes.IDsOf(rows)
			slices.Sort(want)
			if got := everything(kafka); !slices.Equal(got, want) {
				t.Errorf("seed %d: %d rows were published, want %d", seed, len(got), len(want))
			}
			cp := kafka.Checkpoints[fakes.Messages()]
			if len(cp.Backlog) > 0 || cp.Counts.Published+cp.Counts.Rejected != int64(len(rows)) {
				t.Errorf("seed %d: checkpoint %+v, want %d rows and no backlog", seed, cp, len(rows))
			}
		})
	}
}

// TestLiveFirstIsLiveAtOnce has the newest rows out before the history is through.
func TestLiveFirstIsLiveAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now().UTC()
		begin := start.Add(-6 * time.Hour)
		rows := fakes.RowsFrom(begin, 6*3600+600)
		source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
		source.Latency = time.Second // The API's rate: a window a second, 360 of them.
		cfg := fakes.ConfigFor(source, kafka, begin)
		cfg.LiveFirst, cfg.Parallel = true, 1
		fakes.Run(t, cfg, 3*time.Minute)
		cp := kafka.Checkpoints[fakes.Messages()]
		if len(cp.Backlog) == 0 || time.Since(cp.End) > 30*time.Second {
			t.Fatalf("after three minutes the position is %v, the backlog %+v", cp.End, cp.Backlog)
		}
		if unread := cp.Unread(); !unread.Equal(cp.Backlog[0].End) || unread.Before(begin.Add(time.Hour)) {
			t.Errorf("the backlog has come to %v, from %v", unread, begin)
		}
		// In order from now on: what is behind is finished all the same, and the switch loses nothing.
		source.OpenHook = nil
		cfg.LiveFirst = false
		fakes.Run(t, cfg, 20*time.Minute) // The head may take every second turn.
		want := fakes.IDsOf(rows)
		slices.Sort(want)
		if got := everything(kafka); !slices.Equal(got, want) {
			t.Errorf("%d rows were published, want %d", len(got), len(want))
		}
	})
}

// TestAnOutageIsCaughtUpBehindTheHead splits a position that fell behind, once, and not a second time before that is done.
func TestAnOutageIsCaughtUpBehindTheHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().UTC()
		rows := fakes.RowsFrom(begin, 6*3600)
		source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
		source.PageSize = 100
		cfg := fakes.ConfigFor(source, kafka, begin)
		cfg.LiveFirst = true
		for _, phase := range []struct{ runs, rests time.Duration }{
			{20 * time.Minute, 2 * time.Hour}, {70 * time.Second, time.Hour}, {6 * time.Minute, 0}, {time.Hour, 3 * time.Hour}, {time.Hour, 0},
		} {
			fakes.Run(t, cfg, phase.runs)
			time.Sleep(phase.rests)
		}
		want := fakes.IDsOf(rows)
		slices.Sort(want)
		if got := everything(kafka); !slices.Equal(got, want) {
			t.Errorf("%d rows were published, want %d", len(got), len(want))
		}
	})
}

// hangingSource answers nothing about windows that begin within a time.
type hangingSource struct {
	sharedSource

	from, to time.Time
}

func (s *hangingSource) Open(ctx context.Context, stream pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
	if w.Begin.After(s.from) && w.Begin.Before(s.to) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.sharedSource.Open(ctx, stream, w)
}

// TestHeadGoesOnWhereHistoryIsNotAnswered publishes what is new of the messages and of a group, although the API does not answer for a part of their
// histories, where several windows of each are read side by side: also where one may be fetched at a time.
func TestHeadGoesOnWhereHistoryIsNotAnswered(t *testing.T) {
	for _, parallel := range []int{1, 4} {
		for _, early := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now().UTC()
				begin := start.Add(-48 * time.Hour)
				group := pipeline.Stream{Kind: pipeline.StreamGroups, Name: "1"}
				rows := append(rowsEach(begin, time.Minute, 48*60), rowsEach(start.Add(time.Minute), time.Second, 600)...)
				for i := range rows {
					rows[i].ID = int64(i + 1)
				}
				source, kafka := fakes.NewSource(), fakes.NewKafka()
				source.Of = map[pipeline.Stream][]fakes.Row{fakes.Messages(): rows, group: rows}
				source.Span = time.Hour
				cfg := fakes.ConfigFor(&hangingSource{sharedSource{Source: source, requests: &gauge{}}, start.Add(-24 * time.Hour), start.Add(-time.Hour)}, kafka, begin)
				cfg.LiveFirst, cfg.Parallel, cfg.Early = true, parallel, early
				cfg.Streams = append(cfg.Streams, group)
				fakes.Run(t, cfg, 10*time.Minute)
				for _, s := range cfg.Streams {
					cp := kafka.Checkpoints[s]
					if len(cp.Backlog) == 0 || time.Since(cp.End) > time.Minute+30*time.Second {
						t.Errorf("%d at a time, early %t: after ten minutes the position of %s is %v old, the backlog %+v", parallel, early, s, time.Since(cp.End), cp.Backlog)
					}
				}
			})
		}
	}
}

// TestTheNextRangeKnowsTheEndOfTheOneBeforeIt ends a range of the backlog: the one behind it leaves out what that has published at its end, if it
// begins so near that its first window can bring that.
func TestTheNextRangeKnowsTheEndOfTheOneBeforeIt(t *testing.T) {
	const overlap = 2 * time.Second
	begin := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	read := pipeline.Backlog{End: begin.Add(time.Minute), Until: begin.Add(time.Minute), OverlapIDs: []int64{1, 2}, OverlapHashes: []int64{7}}
	for _, test := range []struct {
		gap         time.Duration
		ids, hashes []int64
	}{
		{0, []int64{1, 2, 5}, []int64{7, 8}},
		{overlap, []int64{1, 2, 5}, []int64{7, 8}},
		{time.Hour, []int64{5}, []int64{8}},
	} {
		next := read.Until.Add(test.gap)
		cp := pipeline.Checkpoint{End: begin.Add(24 * time.Hour), Backlog: []pipeline.Backlog{
			{End: begin, Until: read.Until}, {End: next, Until: next.Add(time.Hour), OverlapIDs: []int64{5}, OverlapHashes: []int64{8}},
		}}
		after := cp.AfterBacklog(read, overlap)
		if len(after.Backlog) != 1 || !slices.Equal(after.Backlog[0].OverlapIDs, test.ids) || !slices.Equal(after.Backlog[0].OverlapHashes, test.hashes) {
			t.Errorf("%s behind it: the backlog is %+v", test.gap, after.Backlog)
		}
		if of := cp.Backlog[1]; len(of.OverlapIDs) != 1 || len(of.OverlapHashes) != 1 {
			t.Errorf("%s behind it: the position before has become %+v", test.gap, of)
		}
	}
}

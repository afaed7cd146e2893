package statistics_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/statistics"
)

// fakeStatistics are statistics that change for as long as their period and settle after it last.
type fakeStatistics struct {
	zone   *time.Location
	settle time.Duration
	// fail, where set, may answer the n-th request, counted from 1, with an error.
	fail  func(n int) error
	asked []string
}

func (*fakeStatistics) Now(context.Context, pipeline.Stream) (time.Time, error) {
	return time.Now(), nil
}

// at is what the API says of a period at a time: how many half hours of it have been counted.
func (f *fakeStatistics) at(p pipeline.Period, now time.Time) string {
	until := min(now.Sub(p.Begin), p.End().Sub(p.Begin)+f.settle)
	return fmt.Sprintf(`{"time": %q, "n": %d}`, p, until/(30*time.Minute))
}

func (f *fakeStatistics) Statistics(_ context.Context, s pipeline.Stream, first pipeline.Period, n int) ([]statistics.Row, int, error) {
	f.asked = append(f.asked, fmt.Sprintf("%s %d", first, n))
	if f.fail != nil {
		if err := f.fail(len(f.asked)); err != nil {
			return nil, 1, err
		}
	}
	var all []statistics.Row
	for i := range n {
		p := first.Add(i)
		row := statistics.Row{Period: p, Value: []byte(f.at(p, time.Now()))}
		if s.Name == "messages" {
			row.Extra = []statistics.Field{{Name: "group_msg_stat", Value: []byte(`{ "txt_msg": 1 }`)}}
		}
		all = append(all, row)
	}
	return all, n, nil
}

func statisticsOf(name string) pipeline.Stream {
	return pipeline.Stream{Kind: pipeline.StreamStatistics, Name: name}
}

// alone is a pipeline that publishes nothing but a stream of statistics.
func alone(kafka *fakes.Kafka, cfg statistics.Config) pipeline.Config {
	whole := fakes.ConfigFor(fakes.NewSource(), kafka, time.Time{})
	whole.Streams, whole.Members = nil, []pipeline.Member{statistics.New(cfg)}
	return whole
}

// latest is what a compacted topic has at last. That a value is followed by the same one is a mistake.
func latest(t *testing.T, kafka *fakes.Kafka) map[string]string {
	t.Helper()
	last := make(map[string]string)
	for _, r := range kafka.Records {
		if last[string(r.Key)] == string(r.Value) {
			t.Errorf("%s was published twice as %s", r.Key, r.Value)
		}
		last[string(r.Key)] = string(r.Value)
	}
	return last
}

func zone() *time.Location { return time.FixedZone("Asia/Shanghai", 8*60*60) }

// TestStatisticsFollowWhatChanges runs for days and expects of each period what the API says of it at last.
func TestStatisticsFollowWhatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &fakeStatistics{zone: zone(), settle: 2 * time.Hour}
		kafka := fakes.NewKafka()
		begin := time.Now().In(zone())
		cfg := statistics.Config{AppKey: fakes.AppKey, Stream: statisticsOf("messages"), Zone: zone(), Source: source}
		fakes.Run(t, alone(kafka, cfg), 77*time.Hour+570*time.Second)
		now := time.Now().In(zone())
		last := latest(t, kafka)
		expect := func(p pipeline.Period, at time.Time) {
			want := fmt.Sprintf(`{"app_key":%q,"kind":"messages","period":%q,"time":%q,"data":%s,"group_msg_stat":{"txt_msg":1}}}`,
				fakes.AppKey, p.Unit, p, strings.TrimSuffix(strings.ReplaceAll(source.at(p, at), `": `, `":`), "}"))
			want = strings.ReplaceAll(want, `, "n"`, `,"n"`)
			if got := last[fakes.AppKey+"/"+p.String()]; got != want {
				t.Errorf("%s: got %s, want %s", p, got, want)
			}
		}
		for p := pipeline.PeriodOf(pipeline.Day, begin).Add(-59); !p.Begin.After(now); p = p.Add(1) {
			expect(p, now)
		}
		for p := pipeline.PeriodOf(pipeline.Month, begin).Add(-1); !p.Begin.After(now); p = p.Add(1) {
			expect(p, now)
		}
		for p := pipeline.PeriodOf(pipeline.Hour, pipeline.PeriodOf(pipeline.Day, begin).Begin); !p.Begin.After(now); p = p.Add(1) {
			// After midnight an hour cannot be had any more.
			midnight := pipeline.PeriodOf(pipeline.Day, p.Begin).End()
			expect(p, time.UnixMilli(min(now.UnixMilli(), midnight.Add(-time.Minute).UnixMilli())))
		}
		for _, r := range kafka.Records {
			if r.Topic != "statistics.messages" || r.Partition != -1 {
				t.Fatalf("a record went to %s, partition %d", r.Topic, r.Partition)
			}
		}
		checkLedger(t, kafka, "messages")
	})
}

// checkLedger holds the ledger and the counts against what was published.
func checkLedger(t *testing.T, kafka *fakes.Kafka, name string) {
	t.Helper()
	var published, rows int64
	for _, l := range kafka.Ledger {
		if l.Rows != l.Published+l.Skipped || l.Total != l.Rows || l.Published == 0 || l.Requests == 0 || !l.Begin.Before(l.End) {
			t.Errorf("ledger %+v", l)
		}
		published += l.Published
		rows += l.Rows
	}
	cp := kafka.Checkpoints[statisticsOf(name)]
	if published != int64(len(kafka.Records)) || cp.Counts.Published != published || cp.Counts.Rows != rows {
		t.Errorf("the ledger tells of %d records, the checkpoint of %d; there are %d", published, cp.Counts.Published, len(kafka.Records))
	}
	if !slices.IsSorted(cp.Marks) || len(cp.Marks) > 150 {
		t.Errorf("the checkpoint has %d marks", len(cp.Marks))
	}
}

// TestStatisticsAskForTheRecent expects all at first, then the last days alone, also behind a pause, and nothing committed
// where nothing changed.
func TestStatisticsAskForTheRecent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &fakeStatistics{zone: time.UTC} // In a bubble it is midnight, 2000-01-01.
		kafka := fakes.NewKafka()
		cfg := statistics.Config{AppKey: fakes.AppKey, Stream: statisticsOf("users"), Zone: time.UTC, Source: source, Every: time.Hour, Recent: 2}
		fakes.Run(t, alone(kafka, cfg), 90*time.Minute)
		if want := []string{"1999-11-03 60", "1999-12-30 3"}; !slices.Equal(source.asked, want) {
			t.Errorf("asked %q, want %q", source.asked, want)
		}
		if len(kafka.Records) != 61 || kafka.Transactions != 2 {
			t.Errorf("%d records in %d transactions, want 60 and then the present day", len(kafka.Records), kafka.Transactions)
		}
		time.Sleep(5*24*time.Hour - 90*time.Minute)
		source.asked = nil
		fakes.Run(t, alone(kafka, cfg), 10*time.Minute)
		// Last read on the first, so from two days before it on.
		if want := []string{"1999-12-30 8"}; !slices.Equal(source.asked, want) {
			t.Errorf("behind a pause asked %q, want %q", source.asked, want)
		}
		source.asked = nil
		before := kafka.Transactions
		source.at(pipeline.Period{Unit: pipeline.Day}, time.Now())
		fakes.Run(t, alone(kafka, cfg), 20*time.Minute)
		if len(source.asked) != 0 || kafka.Transactions != before {
			t.Errorf("asked %q at once after a restart, want the interval to last", source.asked)
		}
	})
}

// TestStatisticsOfAnotherUnit adds a unit to a stream that has been read: all of it is read.
func TestStatisticsOfAnotherUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &fakeStatistics{zone: time.UTC}
		kafka := fakes.NewKafka()
		cfg := statistics.Config{
			AppKey: fakes.AppKey, Stream: statisticsOf("messages"), Zone: time.UTC, Source: source, Units: []pipeline.Unit{pipeline.Month}, Every: time.Hour,
		}
		fakes.Run(t, alone(kafka, cfg), time.Minute)
		cfg.Units = append(cfg.Units, pipeline.Day)
		fakes.Run(t, alone(kafka, cfg), time.Hour)
		if want := []string{"1999-12 2", "1999-12 2", "1999-11-03 60"}; !slices.Equal(source.asked, want) {
			t.Errorf("asked %q, want %q", source.asked, want)
		}
	})
}

// TestStatisticsSurviveEveryFailure fails each operation of the sink once.
func TestStatisticsSurviveEveryFailure(t *testing.T) {
	for _, c := range []struct {
		op     string
		class  pipeline.Class
		aborts bool
	}{
		{"begin", pipeline.Abort, false},
		{"append", pipeline.Abort, true}, // Who knows whether the broker has aborted already.
		{"append", pipeline.Permanent, true},
		{"commit", pipeline.Abort, false},
		{"save", pipeline.Abort, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			source := &fakeStatistics{zone: zone(), settle: time.Hour}
			kafka := fakes.NewKafka()
			injected := errors.New("for the test")
			n, aborts := 0, 0
			kafka.Fail = func(_ context.Context, name string) error {
				if name == "abort" {
					aborts++
				}
				if name != c.op {
					return nil
				}
				if n++; n%3 != 0 {
					return nil
				}
				return &pipeline.Fault{Class: c.class, Op: name, Err: injected}
			}
			cfg := statistics.Config{AppKey: fakes.AppKey, Stream: statisticsOf("groups"), Zone: zone(), Source: source}
			for stop := time.Now().Add(50 * time.Hour); time.Now().Before(stop); {
				// What ends the run is started again.
				if err := fakes.RunFor(t, alone(kafka, cfg), time.Until(stop)); err != nil && !errors.Is(err, injected) {
					t.Fatal(err)
				}
			}
			if n < 3 || (aborts > 0) != c.aborts {
				t.Fatalf("%s was called %d times, abort %d times", c.op, n, aborts)
			}
			if got := len(latest(t, kafka)); got < 62 || got > 63 {
				t.Errorf("%s: %d days, want 60 and those that began", c.op, got)
			}
			checkLedger(t, kafka, "groups")
		})
	}
}

func TestStatisticsFaults(t *testing.T) {
	for class, want := range map[pipeline.Class]int{pipeline.Drop: 1, pipeline.Permanent: 1} {
		synctest.Test(t, func(t *testing.T) {
			source := &fakeStatistics{zone: zone(), fail: func(int) error {
				return &pipeline.Fault{Class: class, Op: "ask", Err: errors.New("for the test")}
			}}
			s := statistics.New(statistics.Config{AppKey: fakes.AppKey, Stream: statisticsOf("users"), Zone: zone(), Source: source})
			err := s.Run(t.Context(), idleSession{})
			if pipeline.ClassOf(err) != class || len(source.asked) != want {
				t.Errorf("%s: %v after %d requests, want %d", class, err, len(source.asked), want)
			}
		})
	}
}

// TestStatisticsOfAnotherDay has the day move on while statistics are read, once, and for as long as the clocks disagree about it: then
// they are asked for once in an interval, and come at last.
func TestStatisticsOfAnotherDay(t *testing.T) {
	for _, c := range []struct {
		failing int
		within  time.Duration
	}{{1, time.Second}, {7, 2*10*time.Minute + time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			source := &fakeStatistics{zone: zone(), fail: func(n int) error {
				if n <= c.failing {
					return &pipeline.Fault{Class: pipeline.Restart, Op: "ask", Err: errors.New("midnight")}
				}
				return nil
			}}
			kafka := fakes.NewKafka()
			cfg := statistics.Config{AppKey: fakes.AppKey, Stream: statisticsOf("users"), Zone: zone(), Source: source, Every: 10 * time.Minute}
			err := fakes.RunFor(t, alone(kafka, cfg), c.within)
			if err != nil || len(kafka.Records) != 60 || len(kafka.Ledger) != 1 || kafka.Ledger[0].Restarts != c.failing {
				t.Errorf("%v, %d records, ledger %+v", err, len(kafka.Records), kafka.Ledger)
			}
		})
	}
}

// idleSession is one in which nothing is known and nothing is committed.
type idleSession struct{ pipeline.Session }

func (idleSession) Positions() map[pipeline.Stream]pipeline.Checkpoint { return nil }

// TestStatisticsReadInTheFuture begins where a clock that was wrong has left the position: everything is read again, and nothing
// that was published is published again.
func TestStatisticsReadInTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &fakeStatistics{zone: time.UTC}
		kafka := fakes.NewKafka()
		cfg := statistics.Config{AppKey: fakes.AppKey, Stream: statisticsOf("users"), Zone: time.UTC, Source: source, Every: time.Hour}
		fakes.Run(t, alone(kafka, cfg), 10*time.Minute)
		cp := kafka.Checkpoints[cfg.Stream]
		cp.End = cp.End.AddDate(200, 0, 0)
		kafka.Checkpoints[cfg.Stream] = cp
		published := len(kafka.Records)
		source.asked = nil
		fakes.Run(t, alone(kafka, cfg), 10*time.Minute)
		if want := []string{"1999-11-03 60"}; !slices.Equal(source.asked, want) || len(kafka.Records) > published+1 {
			t.Errorf("asked %q and published %d more, want %q and the present day at most", source.asked, len(kafka.Records)-published, want)
		}
	})
}

package pipeline_test

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
)

func TestIdleStreamCommitsSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kafka := fakes.NewKafka()
		var head time.Time
		cfg := fakes.ConfigFor(fakes.NewSource(), kafka, time.Now().UTC())
		cfg.Observer = func(o pipeline.Observation) {
			if read, ok := o.(pipeline.HeadRead); ok {
				head = read.End
			}
		}
		fakes.Run(t, cfg, 10*time.Minute)
		if got := kafka.Transactions; got < 15 || got > 22 {
			t.Errorf("%d transactions in ten idle minutes, want about 20", got)
		}
		if lag := time.Since(head); lag > 10*time.Second {
			t.Errorf("head is %s behind, want it to follow the clock", lag)
		}
	})
}

// TestIdleAppsEndTheHourOneAfterAnother has apps in which nothing happens commit the end of an hour spread over a minute, and all of them
// within it.
func TestIdleAppsEndTheHourOneAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const apps, spread = 24, time.Minute
		hour := time.Now().Truncate(time.Hour).Add(time.Hour)
		var mu sync.Mutex
		ended := make(map[string]time.Duration)
		var all sync.WaitGroup
		ctx, stop := context.WithTimeout(t.Context(), 65*time.Minute)
		defer stop()
		for i := range apps {
			cfg := fakes.ConfigFor(fakes.NewSource(), fakes.NewKafka(), time.Now())
			cfg.AppKey, cfg.HourSpread = fmt.Sprintf("app-%d", i), spread
			cfg.Observer = func(o pipeline.Observation) {
				c, ok := o.(pipeline.WindowCommitted)
				mu.Lock()
				defer mu.Unlock()
				if _, before := ended[cfg.AppKey]; ok && !before && c.Checkpoint.End.After(hour) {
					ended[cfg.AppKey] = time.Since(hour)
				}
			}
			p, err := pipeline.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				if err := p.Run(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		slots := make(map[time.Duration]int)
		for app, after := range ended {
			if after > spread+10*time.Second {
				t.Errorf("%s has ended the hour %v after it", app, after)
			}
			slots[after.Truncate(10*time.Second)]++
		}
		if most := slices.Max(slices.Collect(maps.Values(slots))); len(ended) != apps || most > apps/2 {
			t.Errorf("%d apps have ended the hour, of them %d within 10 s, want %d, and at most half of them", len(ended), most, apps)
		}
	})
}

// TestSilentStreamCommitsMoreSeldom reads nothing for hours, and then something: what is committed gets sparse, but the head is followed, an
// hour that is over is told at once, and a row too.
func TestSilentStreamCommitsMoreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kafka := fakes.NewKafka()
		begin := time.Now().UTC().Truncate(time.Hour)
		row := fakes.Row{ID: 1, At: begin.Add(6*time.Hour + 10*time.Minute)}
		source := fakes.NewSource(row)
		source.Span = time.Hour
		head, lag := begin, time.Duration(0)
		cfg := fakes.ConfigFor(source, kafka, begin)
		cfg.Observer = func(o pipeline.Observation) {
			if read, ok := o.(pipeline.HeadRead); ok {
				head, lag = read.End, max(lag, time.Since(head))
			}
		}
		fakes.Run(t, cfg, 6*time.Hour+40*time.Minute)
		committedIn := func(from, to time.Duration) (n int, longest time.Duration) {
			for _, l := range kafka.Ledger {
				if at := l.End.Sub(begin); at > from && at <= to {
					n, longest = n+1, max(longest, l.MovedTo.Sub(l.MovedFrom))
				}
			}
			return n, longest
		}
		if n, _ := committedIn(0, 5*time.Minute); n < 8 || n > 11 {
			t.Errorf("%d windows in the first five minutes, want about 10", n)
		}
		if n, longest := committedIn(2*time.Hour, 6*time.Hour); n > 4*13 || longest > 5*time.Minute+4*time.Second {
			t.Errorf("%d windows in four hours of silence, of up to %v; want about 12 an hour", n, longest)
		}
		for hour := range 6 {
			end := begin.Add(time.Duration(hour+1) * time.Hour)
			told := slices.IndexFunc(kafka.Ledger, func(l pipeline.Ledger) bool { return !l.End.Before(end) })
			if late := kafka.Ledger[told].Committed.Sub(end); late > 10*time.Second {
				t.Errorf("hour %d was told %v after its end", hour, late)
			}
		}
		published := slices.IndexFunc(kafka.Ledger, func(l pipeline.Ledger) bool { return l.Rows > 0 })
		if took := kafka.Ledger[published].Committed.Sub(row.At); took > 10*time.Second {
			t.Errorf("the row was published after %v", took)
		}
		if n, longest := committedIn(6*time.Hour+11*time.Minute, 6*time.Hour+16*time.Minute); n < 8 || longest > 34*time.Second {
			t.Errorf("%d windows in five minutes after a row, of up to %v", n, longest)
		}
		if lag > 10*time.Second {
			t.Errorf("the head was up to %v behind", lag)
		}
	})
}

// TestIdleStreamHasNoGoroutine has more streams wait for their turns than can be asked for, by windows alone and by looks besides.
func TestIdleStreamHasNoGoroutine(t *testing.T) {
	for _, early := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			const streams = 200
			begin := time.Now().UTC().Truncate(time.Second)
			source, kafka := fakes.NewSource(), fakes.NewKafka()
			cfg := fakes.ConfigFor(&sharedSource{Source: source, wait: 2 * time.Second, requests: &gauge{}}, kafka, begin)
			source.Span = time.Hour // One window reaches the head.
			cfg.Streams, cfg.Early = nil, early
			for i := range streams {
				cfg.Streams = append(cfg.Streams, pipeline.Stream{Kind: pipeline.StreamGroups, Name: strconv.Itoa(i)})
			}
			before := runtime.NumGoroutine()
			var most int
			go func() {
				for range 100 {
					time.Sleep(13*time.Second + time.Millisecond)
					most = max(most, runtime.NumGoroutine()-before)
				}
			}()
			fakes.Run(t, cfg, 30*time.Minute)
			// There are those of the session, and three for each of the four windows that are read.
			if most > 25 {
				t.Errorf("early %t: %d goroutines for %d streams", early, most, streams)
			}
			if looked := source.Looks() > 0; looked != early {
				t.Errorf("early %t: there are %d looks", early, source.Looks())
			}
		})
	}
}

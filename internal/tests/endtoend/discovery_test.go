package endtoend_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/pipeline"
)

// groupsAndRooms is a job that reads all groups and rooms that there are.
func groupsAndRooms(w *world, prefix string) *job {
	j := w.job(prefix)
	j.discover = []pipeline.StreamKind{pipeline.StreamGroups, pipeline.StreamChatrooms}
	j.streams = nil
	for i := range w.api.Groups {
		j.streams = append(j.streams, pipeline.Stream{Kind: pipeline.StreamGroups, Name: sim.GroupID(i)})
	}
	for i := range w.api.Rooms {
		j.streams = append(j.streams, pipeline.Stream{Kind: pipeline.StreamChatrooms, Name: sim.RoomID(i)})
	}
	return j
}

// TestDiscovered reads every group and room of the lists, from an API in which everything goes wrong now and then, cut off
// at exchanges all along.
func TestDiscovered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5, func(o *sim.Options) { hostile(o); o.Rate = 2 })
	for _, n := range []int64{0, 15, 40, 80, 160} {
		t.Run(fmt.Sprintf("cut at %d", n), func(t *testing.T) {
			t.Parallel()
			cutDiscovered(t, w, n)
		})
	}
}

// cutDiscovered cuts a run off at its n-th exchange, if it is not 0, and expects another one to finish it.
func cutDiscovered(t *testing.T, w *world, n int64) {
	t.Helper()
	j := groupsAndRooms(w, fmt.Sprintf("discovered-%d", n))
	if n > 0 {
		cutOff(t, j, n, n%2 == 0)
	}
	wantWhole(t, j)
}

// TestDiscoveredPopulation reads groups and rooms that come and go. Whatever was read is there once, and each that went is
// reported once, with up to where it was read.
func TestDiscoveredPopulation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 10, func(o *sim.Options) {
		o.Rate, o.Groups, o.Rooms, o.ChurnEvery, o.ChurnSince = 2, 6, 6, time.Second, time.Now()
	})
	j := groupsAndRooms(w, "population")
	j.until = time.Now().Add(time.Hour)
	var mu sync.Mutex
	reported := make(map[pipeline.Stream]int)
	ctx, stop := context.WithTimeout(t.Context(), runWithin)
	defer stop()
	j.observer = func(o pipeline.Observation) {
		published, ok := o.(pipeline.NoticePublished)
		if !ok {
			return
		}
		n := published.Notice
		mu.Lock()
		defer mu.Unlock()
		if reported[n.Stream]++; n.Kind != pipeline.NoticeRemoved || reported[n.Stream] > 1 {
			t.Errorf("%+v, the %d. of that stream", n, reported[n.Stream])
		}
		if len(reported) == 6 {
			stop()
		}
	}
	if err := j.run(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if len(reported) < 6 {
		t.Errorf("of %d streams it was reported that they are gone, want 6", len(reported))
	}
	for i := range 6 { // What came meanwhile may have been read too.
		j.streams = append(j.streams, pipeline.Stream{Kind: pipeline.StreamGroups, Name: sim.GroupID(w.api.Groups + i)},
			pipeline.Stream{Kind: pipeline.StreamChatrooms, Name: sim.RoomID(w.api.Rooms + i)})
	}
	j.until = w.begin // Nothing has to be there: a group's history ends with it.
	if report := j.compare(t); !report.OK() {
		t.Errorf("%s", report.String())
	}
}

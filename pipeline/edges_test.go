package pipeline_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
)

// agreeing has each total be wrong so that it agrees: it is the number of rows that windows and looks have brought, without the looks that disturb has
// disturbed.
func (d *dense) agreeing(disturb func(page [][]byte) bool) {
	brought := make(map[int64]bool)
	d.source.OpenHook = func(_ int, s pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
		for _, r := range d.source.Visible(s, w) {
			brought[r.ID] = true
		}
		return nil, nil
	}
	d.source.LookHook = func(_ int, pages *fakes.Pages) {
		if disturb(pages.Parts[0]) {
			return
		}
		for _, row := range slices.Concat(pages.Parts...) {
			var r struct {
				MsgID int64 `json:"msgid"`
			}
			if err := json.Unmarshal(row, &r); err != nil {
				panic(err)
			}
			brought[r.MsgID] = true
		}
	}
	d.source.TotalHook = func(w pipeline.Window, _ int64) (n int64, err error) {
		for _, r := range d.source.Visible(fakes.Messages(), w) {
			if brought[r.ID] {
				n++
			}
		}
		return n, nil
	}
}

// TestLooksLeaveNothingOut: whatever the API includes of a window's edges, and whether rows lie on them, looks bring all rows, so that none is lost if
// a total is wrong.
func TestLooksLeaveNothingOut(t *testing.T) {
	for _, edges := range []fakes.Edges{
		{},
		{BeginStrict: true},
		{EndStrict: true},
		{BeginStrict: true, EndStrict: true},
		{Millis: true},
		{Millis: true, BeginStrict: true},
		{Millis: true, EndStrict: true},
		{Millis: true, BeginStrict: true, EndStrict: true},
	} {
		for _, later := range []time.Duration{0, 3 * time.Millisecond} {
			t.Run(fmt.Sprintf("%+v %s", edges, later), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					time.Sleep(later)
					d := newDense(denseRows(5*time.Minute, nil))
					d.source.Edges = edges
					d.agreeing(func([][]byte) bool { return false })
					d.run(t)
					if len(d.unread) < 60 {
						t.Errorf("%d windows were closed unread, %d were read", len(d.unread), len(d.read))
					}
					for i := range d.unread {
						if l := &d.unread[i]; l.MovedFrom.Sub(l.Begin) > 20*time.Second {
							t.Fatalf("%s was closed, where %s is new", l.Window, l.MovedTo.Sub(l.MovedFrom))
						}
					}
				})
			})
		}
	}
}

// TestALookThatDoesNotAddUpClosesNothing: what a look's own total shows that it lacks is found by a window, even if the settled total is wrong.
func TestALookThatDoesNotAddUpClosesNothing(t *testing.T) {
	for _, edges := range []fakes.Edges{{}, {Millis: true, EndStrict: true}} {
		for seed := range fakes.Seeds(3) {
			synctest.Test(t, func(t *testing.T) {
				dice := rand.New(rand.NewPCG(seed, 21))
				d := newDense(denseRows(5*time.Minute, nil))
				d.source.Latency = time.Duration(dice.IntN(900)) * time.Millisecond
				d.source.Edges = edges
				d.agreeing(func(page [][]byte) bool {
					if len(page) < 2 || dice.IntN(4) > 0 {
						return false
					}
					page[1] = page[0]
					return true
				})
				d.run(t)
				if len(d.unread) < 30 || t.Failed() {
					t.Errorf("seed %d, %+v: %d windows were closed unread, %d were read", seed, edges, len(d.unread), len(d.read))
				}
			})
		}
	}
}

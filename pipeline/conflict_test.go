package pipeline_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/tests/canonical"
	"github.com/jmpub/jmpub/internal/tests/fakes"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/event"
)

// TestRowsThatShareAMsgID has different rows with one msgid, in the same second and up to some seconds apart, in history and at the
// head, and shows each window's rows in another order each time: each row is published once, as an event or, with its reason,
// as rejected; the API's own repetitions are dropped, however they are written.
func TestRowsThatShareAMsgID(t *testing.T) {
	for range 40 {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			begin := time.Now().UTC()
			rows := fakes.RowsFrom(begin.Add(-4*time.Minute), 300)
			for i := range rows[:len(rows)-8] {
				if i%7 > 1 {
					continue
				}
				if random.IntN(2) == 0 { // With both clocks it is forgotten sooner.
					rows[i].Raw = fmt.Sprintf(`{"msgid":%d,"target_type":"group","msg_ctime":%d,"create_time":%d}`,
						rows[i].ID, rows[i].At.UnixMilli(), rows[i].At.UnixMilli())
				}
				for n := range 1 + random.IntN(2) {
					at := rows[i].At.Add(time.Duration(random.IntN(6000)) * time.Millisecond)
					raw := fmt.Sprintf(`{"msgid":%d,"target_type":"group","target_id":"%d","msg_type":"text","msg_ctime":%d,"create_time":%d}`,
						rows[i].ID, n, at.UnixMilli(), at.UnixMilli())
					if random.IntN(4) == 0 { // It is no event.
						raw = fmt.Sprintf(`{"msgid":%d,"msgid":%d,"n":%d,"msg_ctime":%d}`, rows[i].ID, rows[i].ID, n, at.UnixMilli())
					}
					rows = append(rows, fakes.Row{ID: rows[i].ID, At: at, Raw: raw})
				}
			}
			var mu sync.Mutex // Guards random.
			source, kafka := fakes.NewSource(rows...), fakes.NewKafka()
			source.Span = time.Duration(8+random.IntN(12)) * time.Second
			cfg := fakes.ConfigFor(source, kafka, begin.Add(-4*time.Minute))
			cfg.Parallel = 1 + random.IntN(3)
			if random.IntN(3) == 0 {
				cfg.WindowBytes = 2000 // Windows are streamed.
			}
			source.OpenHook = func(_ int, s pipeline.Stream, w pipeline.Window) (pipeline.Pages, error) {
				pages := source.Window(s, w)
				mu.Lock()
				defer mu.Unlock()
				all := slices.Concat(pages.Parts...)
				for _, row := range all {
					if cfg.WindowBytes > 0 { // What is handed on already cannot be compared but byte for byte.
						break
					}
					if random.IntN(10) == 0 && row[1] == '"' {
						all = append(all, slices.Concat([]byte("{ "), row[1:]))
					}
				}
				random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
				if pages.Parts = slices.Collect(slices.Chunk(all, source.PageSize)); len(all) == 0 {
					pages.Parts = [][][]byte{nil}
				}
				return pages, nil
			}
			if err := fakes.RunFor(t, cfg, 3*time.Minute); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			var got, want []string
			for i := range kafka.Committed {
				row, err := event.Rebuild(kafka.Committed[i].Value)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, string(canonical.JSON(row)))
			}
			for _, r := range kafka.Rejected {
				got = append(got, string(canonical.JSON(r.Row)))
			}
			for _, r := range rows {
				want = append(want, string(canonical.JSON(r.JSON())))
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("seed %d: %d rows came to Kafka, want %d", seed, len(got), len(want))
			}
			if !slices.ContainsFunc(kafka.Rejected, func(r event.Rejection) bool { return r.Reason == event.ReasonMsgIDConflict }) {
				t.Errorf("seed %d: no row has the reason %s", seed, event.ReasonMsgIDConflict)
			}
		})
	}
}

package source

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// TestWhatHasNotSettled: a window that is over can be looked at before it has settled, but neither read nor closed by its total.
func TestWhatHasNotSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &script{answers: []answer{page(3, "", rowsOf(1, 3)...)}}
		client := newTestClient(t, testConfig(api))
		end := time.Now().UTC().Truncate(time.Second).Add(-time.Second)
		w := pipeline.Window{Begin: end.Add(-2 * time.Second), End: end}
		pages, err := client.OpenEarly(t.Context(), messages(), w)
		if err != nil {
			t.Fatal(err)
		}
		got, err := pages.Next(t.Context())
		if err != nil || len(got.Rows) != 3 || got.Total != 3 {
			t.Errorf("a look brings %d rows of %d: %v", len(got.Rows), got.Total, err)
		}
		_, err = client.Open(t.Context(), messages(), w)
		_ = wantFault(t, err, pipeline.Restart)
		_, err = client.SettledTotal(t.Context(), messages(), w)
		_ = wantFault(t, err, pipeline.Restart)
		total, err := client.SettledTotal(t.Context(), messages(), settled(time.Minute))
		if err != nil || total != 3 {
			t.Errorf("the total is %d: %v", total, err)
		}
		requests := api.requests()
		if last := requests[len(requests)-1]; !strings.Contains(last, "count=1&") {
			t.Errorf("a total is asked for by %s", last)
		}
	})
}

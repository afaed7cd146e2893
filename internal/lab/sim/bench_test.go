package sim_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

// sink is a response writer that keeps nothing.
type sink struct {
	header http.Header
	bytes  int
	status int
}

func (s *sink) Header() http.Header { return s.header }

func (s *sink) WriteHeader(status int) { s.status = status }

func (s *sink) Write(b []byte) (int, error) {
	s.bytes += len(b)
	return len(b), nil
}

// BenchmarkPage answers pages of 1000 rows, over and over the same first one of a window of two days.
func BenchmarkPage(b *testing.B) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	window := "?count=1000&begin_time=2026-10-30%2010:00:00&end_time=2026-11-01%2010:00:00"
	for _, c := range []struct {
		name, path string
		change     func(*sim.Options)
	}{
		{"sparse", "/v2/messages", func(o *sim.Options) { o.Rate = 0.01 }},
		{"second", "/v2/messages", func(*sim.Options) {}},
		{"busy", "/v2/messages", func(o *sim.Options) { o.Rate = 100 }},
		{"dense", "/v2/messages", func(o *sim.Options) { o.Rate = 5000 }},
		{"late", "/v2/messages", func(o *sim.Options) { o.Late, o.LateBy = 0.1, time.Minute }},
		{"sender", "/v2/messages", func(o *sim.Options) { o.Clock = sim.SenderClock }},
		{"group", "/v2/groups/" + sim.GroupID(20) + "/messages", func(o *sim.Options) { o.Rate = 10 }},
		{"gzip", "/v2/messages", func(o *sim.Options) { o.Gzip = true }},
	} {
		b.Run(c.name, func(b *testing.B) {
			o := sim.Defaults()
			o.Now = func() time.Time { return now }
			c.change(&o)
			api, err := sim.New(o)
			if err != nil {
				b.Fatal(err)
			}
			r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, c.path+window, http.NoBody)
			r.SetBasicAuth(o.AppKey, o.MasterSecret)
			r.Header.Set("Accept-Encoding", "gzip")
			w := &sink{header: make(http.Header)}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				w.bytes = 0
				api.ServeHTTP(w, r)
			}
			if rows := api.Stats().Rows; rows != api.Stats().Requests*1000 {
				b.Fatal(fmt.Errorf("%d rows in %d requests", rows, api.Stats().Requests))
			}
			b.ReportMetric(float64(w.bytes)/1000, "bytes/row")
		})
	}
}

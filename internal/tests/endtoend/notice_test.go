package endtoend_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/lab/verify"
	"github.com/jmpub/jmpub/pipeline"
)

// TestNoticesKeepTheContract begins before what the API holds, where it states one row more than it has each time, so that
// notices of both kinds are published, and holds them against the contract like every other record.
func TestNoticesKeepTheContract(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5, func(o *sim.Options) { o.Rate = 1 })
	total := regexp.MustCompile(`"total":[0-9]+`)
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		recorded := httptest.NewRecorder()
		w.api.ServeHTTP(recorded, r)
		maps.Copy(out.Header(), recorded.Header())
		out.Header().Del("Content-Length")
		out.WriteHeader(recorded.Code)
		_, _ = out.Write(total.ReplaceAllFunc(recorded.Body.Bytes(), oneMore)) // A client that is gone reads nothing.
	}))
	t.Cleanup(server.Close)
	w.url, w.begin = server.URL+"/v2", w.begin.AddDate(0, 0, -61)
	j := w.job("notices")
	j.pageSize = 100
	wantWhole(t, j)

	var gaps, mismatches atomic.Int64
	count := func(topic string, r *kgo.Record) error {
		switch value := string(r.Value); {
		case topic != string(pipeline.TopicNotices):
		case strings.Contains(value, `"kind":"gap"`):
			gaps.Add(1)
		case strings.Contains(value, `"kind":"mismatch"`):
			mismatches.Add(1)
		}
		return nil
	}
	if _, err := verify.Read(t.Context(), j.brokers, j.prefix, count, contractCheck(t)); err != nil {
		t.Fatal(err)
	}
	if gaps.Load() != 1 || mismatches.Load() == 0 {
		t.Errorf("%d gaps, %d mismatches", gaps.Load(), mismatches.Load())
	}
}

// oneMore is a member with a number that is larger by one.
func oneMore(member []byte) []byte {
	name, number, _ := strings.Cut(string(member), ":")
	n, err := strconv.Atoi(number)
	if err != nil {
		return member
	}
	return []byte(name + ":" + strconv.Itoa(n+1))
}

package sink_test

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/jmpub/jmpub/pipeline"
)

// TestTransactionsAreObserved tells how each ended in which something was written, and how much Kafka took of it.
func TestTransactionsAreObserved(t *testing.T) {
	b := newBench(t)
	var ends []pipeline.TransactionEnded
	b.cfg.Observer = func(o pipeline.Observation) {
		if end, ok := o.(pipeline.TransactionEnded); ok {
			ends = append(ends, end)
		}
	}
	s := b.open(t)
	for i, end := range []func(pipeline.Transaction, context.Context) error{
		pipeline.Transaction.Commit, pipeline.Transaction.Abort, pipeline.Transaction.Commit, // The last one is empty.
	} {
		tx, err := s.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if i < 2 {
			if _, err := tx.Publish(t.Context(), events(0, 100*(i+1))); err != nil {
				t.Fatal(err)
			}
		}
		if err := end(tx, t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	b.cluster.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
		res := req.ResponseKind().(*kmsg.EndTxnResponse) //nolint:forcetypeassert,errcheck // A test.
		res.ErrorCode = kerr.InvalidTxnState.Code
		return res, nil, true
	})
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Publish(t.Context(), events(0, 1)); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err == nil {
		t.Fatal("it was committed")
	}
	var results []pipeline.TransactionResult
	for _, end := range ends {
		results = append(results, end.Result)
	}
	if len(ends) != 3 || results[0] != pipeline.Committed || results[1] != pipeline.Aborted || results[2] != pipeline.Failed {
		t.Fatalf("%v", results)
	}
	if ends[0].Bytes < 1000 || ends[1].Bytes < ends[0].Bytes*3/2 || ends[2].Bytes > ends[0].Bytes || ends[0].Took <= 0 {
		t.Errorf("%+v", ends)
	}
}

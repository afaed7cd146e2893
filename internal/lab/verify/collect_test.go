package verify_test

import (
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/lab/verify"
)

func listed(records []*kgo.Record, err error) iter.Seq2[*kgo.Record, error] {
	return func(yield func(*kgo.Record, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// TestCollect holds what another reader brings against the truth as Read's own records are.
func TestCollect(t *testing.T) {
	rows := truth(100)
	records := events(t, rows)
	found, err := verify.Collect(prefix, listed(records, nil))
	if err != nil {
		t.Fatal(err)
	}
	if report := verify.Compare(slices.Values(rows), found); !report.OK() || report.Rows != len(rows) || found.Records != len(rows) {
		t.Errorf("%d records: %s", found.Records, report.String())
	}
	if found, err = verify.Collect(prefix, listed(append(records[1:], records[5], records[49]), nil)); err != nil {
		t.Fatal(err)
	}
	report := verify.Compare(slices.Values(rows), found)
	if report.Missing != 1 || report.Duplicated != 2 || report.Altered+report.Misrouted+report.Unknown != 0 {
		t.Errorf("want 1 missing and 2 duplicated: %s", report.String())
	}
}

func TestCollectEndsAtAnError(t *testing.T) {
	broken := errors.New("connection lost")
	found, err := verify.Collect(prefix, listed(events(t, truth(3)), broken))
	if !errors.Is(err, broken) || found != nil {
		t.Errorf("found %v and error %v, want none and the reader's", found, err)
	}
}

func TestTopicsAreThoseOfTheWitness(t *testing.T) {
	topics := verify.Topics("p")
	slices.Sort(topics)
	if got, want := strings.Join(topics, " "), "p.chatroom p.group p.other p.rejected p.single"; got != want {
		t.Errorf("topics are %s, want %s", got, want)
	}
}

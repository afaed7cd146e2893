package checkpoint_test

import (
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/pipeline"
)

// Decoding any bytes never panics, and what decodes means the same when it is encoded and decoded again.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{positionForm, ledgerForm, noticeForm, pauseForm, `{"version":1}`, `{"version":2}`, "", "[]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if cp, err := checkpoint.Decode(data, appKey, "here"); err == nil {
			value, err := checkpoint.Encode(&cp)
			again, err2 := checkpoint.Decode(value, appKey, "here")
			stable(t, cp, again, err, err2)
		}
		if l, err := checkpoint.DecodeLedger(data, "here"); err == nil {
			value, err := checkpoint.EncodeLedger(&l)
			again, err2 := checkpoint.DecodeLedger(value, "here")
			stable(t, l, again, err, err2)
		}
		if n, err := checkpoint.DecodeNotice(data, "here"); err == nil {
			value, err := checkpoint.EncodeNotice(&n)
			again, err2 := checkpoint.DecodeNotice(value, "here")
			stable(t, n, again, err, err2)
		}
		if p, err := checkpoint.DecodePause(data, appKey, "here"); err == nil {
			value, err := checkpoint.EncodePause(appKey, &p)
			again, err2 := checkpoint.DecodePause(value, appKey, "here")
			stable(t, p, again, err, err2)
		}
	})
}

func stable(t *testing.T, first, again any, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Errorf("%+v: %v", first, err)
		}
	}
	if !reflect.DeepEqual(first, again) {
		t.Errorf("%+v became %+v", first, again)
	}
}

// What is encoded decodes to itself.
func TestRoundTrip(t *testing.T) { rapid.Check(t, roundTrip) }

func FuzzRoundTrip(f *testing.F) { f.Fuzz(rapid.MakeFuzz(roundTrip)) }

func roundTrip(t *rapid.T) {
	cp := pipeline.Checkpoint{
		AppKey: appKey, Stream: drawStream(t), End: drawSecond(t), Span: drawDuration(t),
		OverlapIDs: drawIDs(t), OverlapHashes: drawIDs(t), Marks: drawIDs(t), Sequence: rapid.Int64Range(0, math.MaxInt64).Draw(t, "sequence"),
		Counts:  pipeline.Counts{Windows: rapid.Int64().Draw(t, "windows"), GapSeconds: rapid.Int64().Draw(t, "gap")},
		SavedAt: drawSecond(t).Add(time.Duration(rapid.Int64Range(0, 999_999_999).Draw(t, "nanos"))),
	}
	if rapid.Bool().Draw(t, "rechecked") {
		cp.Rechecked = []pipeline.Rechecked{{After: drawDuration(t), End: drawSecond(t)}}
	}
	if rapid.Bool().Draw(t, "changed overlap") {
		cp.OverlapFrom = cp.End.Add(-time.Duration(rapid.Int64Range(0, 3600).Draw(t, "overlap")) * time.Second)
	}
	cp.Removed = rapid.Bool().Draw(t, "removed")
	cp.Backlog = drawBacklog(t, cp.End)
	value, err := checkpoint.Encode(&cp)
	if err != nil {
		t.Fatal(err)
	}
	if got, cause := checkpoint.Decode(value, appKey, "here"); cause != nil || !reflect.DeepEqual(got, cp) { //nolint:govet // Damage is nil.
		t.Fatalf("%+v\nbecame %+v\nby %s, %v", cp, got, value, cause)
	}
	l := pipeline.Ledger{
		AppKey: appKey, Stream: cp.Stream, Window: pipeline.Window{Begin: cp.End, End: cp.End.Add(time.Hour)},
		Rows: rapid.Int64().Draw(t, "rows"), Mismatch: rapid.Bool().Draw(t, "mismatch"), Started: cp.SavedAt, Duration: drawDuration(t),
	}
	value, err = checkpoint.EncodeLedger(&l)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := checkpoint.DecodeLedger(value, "here"); err != nil || !reflect.DeepEqual(got, l) {
		t.Fatalf("%+v\nbecame %+v\nby %s, %v", l, got, value, err)
	}
}

func drawStream(t *rapid.T) pipeline.Stream {
	name := rapid.StringN(1, -1, 128).Filter(func(s string) bool {
		_, err := pipeline.ParseStream("users/" + s)
		return err == nil
	}).Draw(t, "name")
	return pipeline.Stream{Kind: pipeline.StreamUsers, Name: name}
}

// drawBacklog makes ranges behind a position, from the newest one back; the newest may reach up to it.
func drawBacklog(t *rapid.T, end time.Time) []pipeline.Backlog {
	var all []pipeline.Backlog
	for until, gap := end, int64(0); rapid.Bool().Draw(t, "one more range"); gap = 1 {
		until = until.Add(-time.Duration(rapid.Int64Range(gap, 1e6).Draw(t, "since")) * time.Second)
		b := pipeline.Backlog{
			End: until.Add(-time.Duration(rapid.Int64Range(1, 1e6).Draw(t, "behind")) * time.Second), Until: until,
			Span: drawDuration(t), OverlapIDs: drawIDs(t), OverlapHashes: drawIDs(t), LiveIDs: drawIDs(t), LiveHashes: drawIDs(t),
		}
		if rapid.Bool().Draw(t, "changed overlap") {
			b.OverlapFrom = b.End.Add(-time.Duration(rapid.Int64Range(0, 3600).Draw(t, "overlap")) * time.Second)
		}
		all, until = append(all, b), b.End
	}
	slices.Reverse(all)
	return all
}

func drawSecond(t *rapid.T) time.Time {
	return time.Unix(rapid.Int64Range(-60_000_000_000, 250_000_000_000).Draw(t, "second"), 0).UTC()
}

func drawDuration(t *rapid.T) time.Duration {
	return time.Duration(rapid.Int64Range(0, 1<<62).Draw(t, "duration"))
}

func drawIDs(t *rapid.T) []int64 {
	drawn := rapid.MapOfN(rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{math.MinInt64, -1, 0, 1, math.MaxInt64})),
		rapid.Just(true), 0, 20).Draw(t, "ids")
	return sortedKeys(drawn)
}

// sortedKeys is nil for an empty map, as decoding has it.
func sortedKeys(set map[int64]bool) []int64 { return slices.Sorted(maps.Keys(set)) }

// Whatever a checkpoint's file holds is refused, naming the file, or is the checkpoint of the stream that the file is named
// for.
func FuzzFile(f *testing.F) {
	dir := f.TempDir()
	files, err := checkpoint.OpenFiles(dir, appKey)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = files.Close() })
	stream := pipeline.Stream{Kind: pipeline.StreamGroups, Name: "10055201"}
	cp := pipeline.Checkpoint{AppKey: appKey, Stream: stream, End: time.Unix(1_700_000_000, 0).UTC()}
	if err = files.Open(f.Context()); err != nil {
		f.Fatal(err)
	}
	if err = files.Save(f.Context(), &pipeline.Commit{Positions: []*pipeline.Checkpoint{&cp}}); err != nil {
		f.Fatal(err)
	}
	saved, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(saved) != 1 {
		f.Fatalf("the files are %q, %v", saved, err)
	}
	f.Add([]byte(positionForm))
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(saved[0], content, 0o600); err != nil {
			t.Fatal(err)
		}
		found, err := files.Load(t.Context())
		switch _, there := found[stream]; {
		case err != nil && !strings.Contains(err.Error(), saved[0]):
			t.Errorf("the error does not name the file: %v", err)
		case err == nil && (!there || len(found) != 1):
			t.Errorf("%q is read as %+v", content, found)
		}
	})
}

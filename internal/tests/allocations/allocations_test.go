package allocations

import (
	"maps"
	"path/filepath"
	"testing"
)

// TestDiffers takes a tenth and a little more for the same, in both directions.
func TestDiffers(t *testing.T) {
	for _, c := range []struct {
		got, want uint64
		differs   bool
	}{
		{0, 0, false},
		{2, 0, false},
		{3, 0, true},
		{0, 2, false},
		{0, 3, true},
		{112, 100, false},
		{113, 100, true},
		{88, 100, false},
		{87, 100, true},
	} {
		if got := differs(c.got, c.want, slackCount); got != c.differs {
			t.Errorf("%d, where it was %d: %t", c.got, c.want, got)
		}
	}
}

// TestMeasureCountsEachRun sees an allocation of a known size.
func TestMeasureCountsEachRun(t *testing.T) {
	var kept []byte
	if got := measure(func() { kept = make([]byte, 1<<20) }); got.count != 1 || got.bytes < 1<<20 || got.bytes > 1<<20+slackBytes {
		t.Errorf("a mebibyte is %+v", got)
	}
	_ = kept
}

func TestBaselineIsReadAsItWasWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "baseline.txt")
	want := map[string]cost{"a: b of 1000 c": {1, 2}, "d": {}}
	write(t, file, want)
	if got := read(t, file); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var errCut = errors.New("cut")

// TestCutOffAtEachStep ends the program before each of its changes on disk, once a run, and starts it again. Every event
// must be in the lake once, and no file may be left over.
func TestCutOffAtEachStep(t *testing.T) {
	p := &topics{}
	for minute := 0; minute < 240; minute += 40 {
		p.window(int32(minute/40%3), minute-1, minute+40, minute+1, minute+17, minute+39)
	}
	p.window(0, 200, 201, 3, untimed) // A late one, and one that has no hour.
	p.window(0, 239, 250, 241)
	events := int(p.ids)
	const n = 3 // Records of a partition between two commits.
	steps := 0
	whole := t.TempDir()
	if err := fill(newLake(t, whole, func(string) error { steps++; return nil }), p, n); err != nil {
		t.Fatal(err)
	}
	wanted := byHour(contents(t, whole))
	for cut := 1; cut <= steps; cut++ {
		dir := t.TempDir()
		count, at := 0, ""
		err := fill(newLake(t, dir, func(what string) error {
			if count++; count < cut {
				return nil
			}
			at = what
			return errCut
		}), p, n)
		if !errors.Is(err, errCut) {
			t.Fatalf("cut %d: %v", cut, err)
		}
		onceEach(t, contents(t, dir), "cut off at "+at)
		l := newLake(t, dir, nil)
		if err := fill(l, p, n); err != nil {
			t.Fatal(err)
		}
		got := contents(t, dir)
		in := onceEach(t, got, "after "+at)
		staged := l.staged()
		if in+staged != events || staged != 1 {
			t.Errorf("cut off at %s: %d of %d events are in the lake, %d are staged; want all but the last hour's", at, in, events, staged)
		}
		if hours := byHour(got); fmt.Sprint(hours) != fmt.Sprint(wanted) {
			t.Errorf("cut off at %s: the lake has %v, want %v", at, hours, wanted)
		}
		leftovers(t, dir, len(l.state.Staged))
	}
}

// onceEach counts the lake's rows, of which none may be there twice.
func onceEach(t *testing.T, files map[string][]int64, when string) int {
	t.Helper()
	seen := make(map[int64]string)
	for file, ids := range files {
		for _, id := range ids {
			if other, again := seen[id]; again {
				t.Errorf("%s: %d is in %s and in %s", when, id, other, file)
			}
			seen[id] = file
		}
	}
	return len(seen)
}

// byHour are the msgids of each folder.
func byHour(files map[string][]int64) map[string][]int64 {
	hours := make(map[string][]int64)
	for file, ids := range files {
		folder := filepath.Dir(file)
		hours[folder] = append(hours[folder], ids...)
		slices.Sort(hours[folder])
	}
	return hours
}

func leftovers(t *testing.T, dir string, staged int) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, stagingDir))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != staged {
		t.Errorf("%d files are staged, want %d: %v", len(entries), staged, entries)
	}
}

func TestWrongUse(t *testing.T) {
	for _, test := range []struct{ args, names string }{
		{"", "-streams is missing"},
		{"-streams messages", "-streams"},
		{"-streams a/messages -every 0s", "-every"},
		{"-streams a/messages -from noon", "-from"},
		{"-streams a/messages more", `"more"`},
		{"-colour red", "-colour"},
	} {
		err := run(t.Context(), strings.Fields(test.args), &strings.Builder{})
		if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), test.names) {
			t.Errorf("lake %s: %v, want an error of usage that names %s", test.args, err, test.names)
		}
	}
}

// FuzzTake feeds foreign bytes: an error or a row, and never an event that has another msgid than its key.
func FuzzTake(f *testing.F) {
	p := &topics{}
	p.window(0, 0, 70, 1)
	for topic, partitions := range p.records {
		for _, records := range partitions {
			f.Add(strings.TrimPrefix(topic, "jmessage."), []byte("1"), records[0].Value)
		}
	}
	f.Add("coverage", []byte(""), []byte(strings.ReplaceAll(
		`{"app_key":"APP","stream":"messages","read":[{"begin_time":"2026-11-01T12:00:00Z","end_time":"2026-11-01T11:00:00Z"}]}`, "APP", app)))
	f.Add("notices", []byte(""), []byte(`{"kind":"removed","app_key":"a","stream":"s","begin_time":"9999-12-31T23:59:59Z"}`))
	f.Add("group", []byte("1"), []byte(`{"time":"9999-99-99T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, topic string, key, value []byte) {
		l := newLake(t, t.TempDir(), nil)
		if err := l.open(); err != nil {
			t.Fatal(err)
		}
		if err := l.take(&kgo.Record{Topic: "jmessage." + topic, Key: key, Value: value}); err != nil {
			return
		}
		for h, rows := range l.rows {
			for _, row := range rows {
				if strconv.FormatInt(row.MsgID, 10) != strings.TrimLeft(string(key), "+0") && row.MsgID != 0 && key[0] != '-' {
					t.Errorf("key %q became msgid %d", key, row.MsgID)
				}
				if row.Event != string(value) {
					t.Errorf("the event %q became %q", value, row.Event)
				}
				if !h.Begin.IsZero() && (row.Time.Before(h.Begin) || !row.Time.Before(h.Begin.Add(time.Hour))) {
					t.Errorf("%v is not in the hour %v", row.Time, h.Begin)
				}
			}
		}
		for key, windows := range l.state.Covered {
			for i, w := range windows {
				if !w.End.After(w.Begin) || i > 0 && !w.Begin.After(windows[i-1].End) {
					t.Errorf("%s is covered by %v", key, windows)
				}
			}
		}
	})
}

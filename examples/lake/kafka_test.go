//go:build integration

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/tests/canonical"
	"github.com/jmpub/jmpub/internal/tests/kafkatest"
	"github.com/jmpub/jmpub/internal/tests/soak"
	"github.com/jmpub/jmpub/pipeline"
	normalized "github.com/jmpub/jmpub/pipeline/event"
)

// TestExampleLakeOnApacheKafka publishes a history of more than three hours with jmpub, its last minutes first, writes it to
// a lake, kills both again and again, and reads the lake with DuckDB: it must hold what the API held, row for row.
func TestExampleLakeOnApacheKafka(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := soak.NewDice(seed)
	rig := soak.NewRig(t, kafkatest.Options{})
	trial := rig.NewTrial(t, "lake", 200, func(o *sim.Options) {
		o.Seed, o.Rate, o.IrregularRows = seed, 4, 0.03
		o.ServerError, o.Truncated, o.Dropped, o.Latency = 0.02, 0.02, 0.02, 30*time.Millisecond
	})
	w := &world{
		Trial: trial, dir: filepath.Join(t.TempDir(), "lake"), binary: filepath.Join(t.TempDir(), "lake.bin"),
		begin: trial.Sim.Begin, end: time.Now().UTC().Truncate(time.Hour),
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", w.binary, ".") //nolint:gosec // Ours.
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build lake: %v\n%s", err, out)
	}
	trial.Env["JMPUB_CATCHUP"] = "live-first"
	// Each kill lets jmpub publish some more. The history has more pages (216) than are allowed before the fifth kill.
	const few, requests, least = 30, 70, 5
	trial.Gate.Allow(few)
	trial.Start(t)
	w.awaitTopics(t)

	kills := 0
	for s := w.state(t); !s.Complete.cover(window{w.begin, w.end}); s = w.state(t) {
		p := w.start(t, "-every", "50ms")
		soak.Wait(t, dice.Between(100*time.Millisecond, time.Duration(700+300*kills)*time.Millisecond)) // Ever longer, so that it ends.
		p.signal(t, syscall.SIGKILL)
		if kills++; kills < least {
			trial.Gate.Allow(few)
		} else {
			trial.Gate.Allow(requests)
		}
		if kills%4 == 0 {
			trial.Kill(t)
		}
		w.read(t) // No row may be there twice at any moment.
	}
	trial.Gate.Open()
	t.Logf("killed %d times", kills)
	if kills < least {
		t.Errorf("the lake was complete after %d kills, too few to show anything", kills)
	}
	w.once(t) // The last kill may have come between a commit and the moves that it wants.
	w.compare(t, w.read(t))

	t.Run("a checkpoint that is set back doubles nothing", func(t *testing.T) {
		if code := trial.Process.Terminate(t); code != 0 {
			t.Fatalf("jmpub left with exit code %d:\n%s", code, trial.Process.Tail(20))
		}
		w.forget(t)
		trial.Env["JMPUB_CATCHUP"] = "ordered"
		trial.Start(t)
		trial.Await(t, time.Now().UTC().Add(-10*time.Second), soak.Patience)
		w.once(t)
		again := w.read(t)
		w.compare(t, again)
		if report := strings.Count(w.log(t), "left out events"); report == 0 {
			t.Error("nothing came again, so nothing was tried")
		}
	})
	t.Run("late events get a file of their own, aborted ones none", func(t *testing.T) {
		at := w.end.Add(-30 * time.Minute)
		w.transaction(t, 1, at, false)
		w.transaction(t, 2, at, true)
		w.transaction(t, 3, at, false)
		w.once(t)
		var late []int64
		for id, row := range w.read(t) {
			// Events without a time go on coming, and belong to no hour that is complete.
			if strings.Contains(row.File, "-late-") && !strings.Contains(row.File, "__HIVE_DEFAULT_PARTITION__") {
				late = append(late, id)
			}
		}
		slices.Sort(late)
		if fmt.Sprint(late) != "[2]" {
			t.Errorf("files of late events have %v, want the committed one, 2", late)
		}
	})
}

// world is a history on its way into a lake.
type world struct {
	*soak.Trial

	dir, binary string
	// begin and end bound the hours that must be in the lake.
	begin, end time.Time
}

// process is one run of the example.
type process struct{ cmd *exec.Cmd }

func (w *world) prefix() string { return w.Env["JMPUB_TOPIC_PREFIX"] }

func (w *world) start(t *testing.T, args ...string) *process {
	t.Helper()
	log, err := os.OpenFile(w.dir+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() //nolint:errcheck // The process has it.
	args = append([]string{
		"-brokers", strings.Join(w.Addrs, ","), "-prefix", w.prefix(), "-dir", w.dir,
		"-streams", w.Env["JMPUB_APP_KEY"] + "/messages", "-from", w.begin.Format(time.RFC3339),
	}, args...)
	p := &process{cmd: exec.Command(w.binary, args...)} //nolint:noctx,gosec // Ours; it ends by a signal.
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() }) // It has ended, unless the test failed.
	return p
}

// signal ends the process. One that left by itself did so because of an error.
func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Errorf("send %v to lake: %v", s, err)
	}
	err := p.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() > 0 {
		t.Errorf("lake left with exit code %d", exit.ExitCode())
	}
}

// once runs the example until it has read everything.
func (w *world) once(t *testing.T) {
	t.Helper()
	p := w.start(t, "-once")
	defer time.AfterFunc(soak.Patience, func() { _ = p.cmd.Process.Kill() }).Stop() // It hangs.
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("lake -once: %v\n%s", err, w.log(t))
	}
}

func (w *world) log(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(w.dir + ".log")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (w *world) state(t *testing.T) state {
	t.Helper()
	var s state
	text, err := os.ReadFile(filepath.Join(w.dir, stateName))
	if errors.Is(err, os.ErrNotExist) {
		return s
	}
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) admin(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(w.Addrs...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// awaitTopics waits until jmpub has made its topics.
func (w *world) awaitTopics(t *testing.T) {
	t.Helper()
	admin := kadm.NewClient(w.admin(t))
	ctx, cancel := context.WithTimeout(t.Context(), soak.Patience)
	defer cancel()
	for {
		topics, err := admin.ListTopics(ctx, w.prefix()+".coverage", w.prefix()+".notices", w.prefix()+".checkpoints")
		if err == nil && topics.Error() == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("jmpub has not made its topics: %v", err)
		}
		soak.Wait(t, 100*time.Millisecond)
	}
}

// forget deletes jmpub's checkpoint, as an operator does, so that it publishes its history again.
func (w *world) forget(t *testing.T) {
	t.Helper()
	if said, code := w.Command(t, "checkpoint", "delete", "messages", "--yes"); code != 0 {
		t.Fatalf("checkpoint delete left with exit code %d:\n%s", code, said)
	}
}

// transaction publishes a late event with the coverage of its day, as another jmpub would.
func (w *world) transaction(t *testing.T, id int64, at time.Time, commit bool) {
	t.Helper()
	client := w.admin(t, kgo.TransactionalID("late"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	send := func(topic string, key, value []byte) *kgo.Record {
		t.Helper()
		r := &kgo.Record{
			Topic: w.prefix() + "." + topic, Key: key, Value: value,
			Headers: []kgo.RecordHeader{{Key: "jmpub_stream", Value: []byte("messages")}},
		}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		return r
	}
	app := w.Env["JMPUB_APP_KEY"]
	e := send("group", fmt.Append(nil, id), fmt.Appendf(nil, `{"msgid":%d,"app_key":%q,"target_type":"group","time":%q}`,
		id, app, at.Format(time.RFC3339)))
	c := pipeline.Coverage{
		AppKey: app, Stream: pipeline.Stream{Kind: pipeline.StreamMessages}, Day: pipeline.DayOf(at),
		Hours:   []pipeline.HourCounts{{Hour: at.Hour(), Rows: 1, Published: 1, Late: 1}},
		Offsets: []pipeline.LastOffset{{Topic: e.Topic, Last: e.Offset}},
	}
	value, err := checkpoint.EncodeCoverage(&c)
	if err != nil {
		t.Fatal(err)
	}
	send("coverage", checkpoint.CoverageKey(app, c.Stream, at), value)
	if err := client.EndTransaction(t.Context(), kgo.TransactionEndTry(commit)); err != nil {
		t.Fatal(err)
	}
}

// found is a row of the lake as DuckDB reads it.
type found struct {
	Target         string  `json:"target"`
	Date           string  `json:"date"`
	Hour           string  `json:"hour"`
	MsgID          int64   `json:"msgid"`
	AppKey         string  `json:"app_key"`
	Stream         string  `json:"stream"`
	TargetType     *string `json:"target_type"`
	MsgType        *string `json:"msg_type"`
	ConversationID *string `json:"conversation_id"`
	Time           int64   `json:"time"`
	FromID         *string `json:"from_id"`
	TargetID       *string `json:"target_id"`
	Text           *string `json:"text"`
	Event          string  `json:"event"`
	File           string  `json:"file"`
}

// read reads the lake with DuckDB. None of its rows may be there twice.
func (w *world) read(t *testing.T) map[int64]found {
	t.Helper()
	rows := make(map[int64]found)
	if files, err := filepath.Glob(filepath.Join(w.dir, "target=*", "*", "*", "*.parquet")); err != nil || len(files) == 0 {
		return rows
	}
	ctx, cancel := context.WithTimeout(t.Context(), soak.Patience)
	defer cancel()
	python := os.Getenv("JMPUB_TEST_PYTHON") //nolint:forbidigo // Tests choose it.
	if python == "" {
		python = "python3"
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, python, filepath.Join("testdata", "read.py"), w.dir) //nolint:gosec // Ours.
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("read the lake with DuckDB: %v\n%s\n(JMPUB_TEST_PYTHON is %s; it must name a Python that has the package duckdb: "+
			"examples/test.sh makes one)", err, stderr.String(), python)
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var row found
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		if other, again := rows[row.MsgID]; again {
			t.Errorf("msgid %d is in %s and in %s of %s %s", row.MsgID, row.File, other.File, row.Date, row.Hour)
		}
		rows[row.MsgID] = row
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}

// compare holds the lake against what the API held in the hours up to the world's end.
func (w *world) compare(t *testing.T, rows map[int64]found) {
	t.Helper()
	norm := normalized.NewNormalizer(w.Sim.AppKey)
	wanted, rejected := 0, 0
	expected := make(map[int64]bool)
	for r := range w.Sim.Truth(sim.Range{Begin: w.begin, End: time.Now()}) {
		e, rejection := norm.Normalize(r.Raw)
		if rejection != nil {
			rejected++
			continue
		}
		at, err := optionalTime(string(e.Time))
		if err != nil {
			t.Fatal(err)
		}
		expected[e.MsgID] = true
		row, there := rows[e.MsgID]
		if !there && !at.IsZero() && at.Before(w.end) {
			t.Errorf("the lake lacks %s", r.Raw)
			continue
		}
		if !there {
			continue
		}
		wanted++
		w.compareRow(t, &r, &e, at, &row)
	}
	for id := range rows {
		if !expected[id] {
			t.Errorf("the lake has msgid %d, which the API had not", id)
		}
	}
	t.Logf("%d rows are equal; %d had no msgid", wanted, rejected)
	if wanted < 20_000 {
		t.Errorf("%d rows are too few to show anything", wanted)
	}
}

// compareRow holds a row of the lake against the row that the API held and the event that it becomes.
func (*world) compareRow(t *testing.T, r *sim.Row, e *normalized.Event, at time.Time, got *found) {
	t.Helper()
	rebuilt, err := normalized.Rebuild([]byte(got.Event))
	if err != nil || !canonical.Equal(rebuilt, r.Raw) {
		t.Errorf("msgid %d: the lake's event gives the row %s, want %s (%v)", r.MsgID, rebuilt, r.Raw, err)
	}
	var columns event
	if err := json.Unmarshal(e.Value, &columns); err != nil {
		t.Fatal(err)
	}
	want := found{
		Target: e.Target.String(), Date: at.Format(time.DateOnly), Hour: at.Format("15"), MsgID: e.MsgID, Stream: "messages",
		AppKey: columns.AppKey, TargetType: columns.TargetType, MsgType: columns.MsgType, ConversationID: columns.ConversationID,
		Time: at.UnixMilli(), FromID: columns.From.ID, TargetID: columns.Target.ID, Text: columns.Text,
		Event: string(e.Value), File: got.File,
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("the lake has\n%s, want\n%s", asJSON(t, got), asJSON(t, want))
	}
}

func asJSON(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

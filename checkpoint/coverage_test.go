package checkpoint_test

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/internal/kafka"
	"github.com/jmpub/jmpub/pipeline"
)

const coverageForm = `{"version":1,"app_key":"4f7aef34fb361292c566a1cd","stream":"groups/10055201","day":"2023-11-14","complete":false,` +
	`"read":[{"begin_time":"2023-11-14T20:00:00Z","end_time":"2023-11-14T22:30:00Z"}],` +
	`"gaps":[{"begin_time":"2023-11-14T19:00:00Z","end_time":"2023-11-14T19:01:00Z"}],` +
	`"hours":[{"hour":19,"rows":0,"published":0,"rejected":0,"gap_seconds":60,"complete":false},` +
	`{"hour":20,"rows":9,"published":7,"rejected":2,"late":1,"complete":true},` +
	`{"hour":21,"rows":0,"published":0,"rejected":0,"complete":true}],` +
	`"offsets":[{"topic":"jmessage.group","partition":3,"last":21},{"topic":"jmessage.single","partition":0,"last":4}]}`

func dayOf(t *testing.T) time.Time {
	t.Helper()
	return pipeline.DayOf(second(0))
}

// covered is what coverageForm says.
func covered(t *testing.T) pipeline.Coverage {
	t.Helper()
	day := dayOf(t)
	return pipeline.Coverage{
		AppKey: appKey, Stream: stream(t, "groups/10055201"), Day: day,
		Read: []pipeline.Window{{Begin: day.Add(20 * time.Hour), End: day.Add(22*time.Hour + 30*time.Minute)}},
		Gaps: []pipeline.Window{{Begin: day.Add(19 * time.Hour), End: day.Add(19*time.Hour + time.Minute)}},
		Hours: []pipeline.HourCounts{
			{Hour: 19, GapSeconds: 60}, {Hour: 20, Rows: 9, Published: 7, Rejected: 2, Late: 1},
		},
		Offsets: []pipeline.LastOffset{{Topic: "jmessage.group", Partition: 3, Last: 21}, {Topic: "jmessage.single", Last: 4}},
	}
}

func TestCoverageForm(t *testing.T) {
	c := covered(t)
	value, err := checkpoint.EncodeCoverage(&c)
	form(t, value, err, coverageForm)
	elsewhereNow := c
	elsewhereNow.Day = c.Day.In(elsewhere())
	elsewhereNow.Read = []pipeline.Window{{Begin: c.Read[0].Begin.In(elsewhere()), End: c.Read[0].End.In(elsewhere())}}
	elsewhereNow.Gaps = []pipeline.Window{{Begin: c.Gaps[0].Begin.In(elsewhere()), End: c.Gaps[0].End.In(elsewhere())}}
	value, err = checkpoint.EncodeCoverage(&elsewhereNow)
	form(t, value, err, coverageForm)
	back, err := checkpoint.DecodeCoverage([]byte(coverageForm), "here")
	decoded(t, back, err, c)
	empty := pipeline.Coverage{AppKey: appKey, Stream: c.Stream, Day: c.Day}
	value, err = checkpoint.EncodeCoverage(&empty)
	form(t, value, err, `{"version":1,"app_key":"4f7aef34fb361292c566a1cd","stream":"groups/10055201","day":"2023-11-14","complete":false,`+
		`"read":[],"hours":[],"offsets":[]}`)
	whole := empty
	whole.Read = []pipeline.Window{{Begin: c.Day, End: c.Day.Add(24 * time.Hour)}}
	value, err = checkpoint.EncodeCoverage(&whole)
	if err != nil || !strings.Contains(string(value), `"complete":true,"read"`) || strings.Count(string(value), `"complete":true`) != 25 {
		t.Errorf("of a whole day %s, %v", value, err)
	}
	if key := string(checkpoint.CoverageKey(appKey, c.Stream, c.Day.Add(time.Hour))); key != appKey+"/groups/10055201/2023-11-14" {
		t.Errorf("the key is %q", key)
	}
}

func TestDamagedCoverage(t *testing.T) {
	const where = "jmessage.coverage/3 at offset 17"
	for _, tc := range []struct{ old, replacement, want string }{
		{`"version":1`, `"version":2`, "newer jmpub"},
		{`"app_key":"4f7aef34fb361292c566a1cd",`, "", "app_key is missing"},
		{`"day":"2023-11-14",`, "", "day is missing"},
		{`"day":"2023-11-14"`, `"day":"14.11.2023"`, `"14.11.2023"`},
		{`"day":"2023-11-14"`, `"day":"2023-11-15"`, "outside the day"},
		{"22:30:00Z", "22:30:00.5Z", "not a whole second"},
		{"22:30:00Z", "19:30:00Z", "before"},
		{"22:30:00Z", "20:00:00Z", "empty"},
		{`22:30:00Z"}`, `22:30:00Z"},{"begin_time":"2023-11-14T22:30:00Z","end_time":"2023-11-14T23:00:00Z"}`, "touch"},
		{"2023-11-14T19:00:00Z", "2023-11-13T19:00:00Z", "a range of gaps lies outside the day"},
		{"19:01:00Z", "19:00:00Z", "the ranges of gaps are empty"},
		{`"hour":20`, `"hour":24`, "hour 24"},
		{`"hour":20`, `"hour":19`, "hour 19"},
		{`"hour":19`, `"hour":-1`, "hour -1"},
		{`"last":21`, `"last":-1`, `offset -1 of "jmessage.group"`},
		{`"topic":"jmessage.single"`, `"topic":""`, `of ""/0`},
		{`"published":7`, `"published":-7`, "published is -7"},
		{`"gap_seconds":60`, `"gap_seconds":-60`, "gap_seconds is -60"},
		{`{"topic":"jmessage.group","partition":3`, `{"topic":"jmessage.group","partition":3,"last":1},{"topic":"jmessage.group","partition":3`, "order"},
	} {
		value := strings.Replace(coverageForm, tc.old, tc.replacement, 1)
		if value == coverageForm {
			t.Fatalf("%s was not replaced", tc.old)
		}
		c, err := checkpoint.DecodeCoverage([]byte(value), where)
		fault(t, err, where, tc.want)
		same(t, "with an error", c, pipeline.Coverage{})
	}
}

// FuzzDecodeCoverage never panics, and what decodes means the same when it is encoded and decoded again.
func FuzzDecodeCoverage(f *testing.F) {
	for _, seed := range []string{coverageForm, `{"version":1}`, "", "[]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := checkpoint.DecodeCoverage(data, "here"); err == nil {
			value, err := checkpoint.EncodeCoverage(&c)
			again, err2 := checkpoint.DecodeCoverage(value, "here")
			stable(t, c, again, err, err2)
		}
	})
}

// What is encoded of a day decodes to itself, by itself and in a checkpoint.
func TestCoverageRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := pipeline.Coverage{AppKey: appKey, Stream: drawStream(t), Day: pipeline.DayOf(drawSecond(t))}
		for _, ranges := range []*[]pipeline.Window{&c.Read, &c.Gaps} {
			second := 0
			for rapid.Bool().Draw(t, "one more range") && second < 24*3600-1 {
				begin := rapid.IntRange(second, 24*3600-1).Draw(t, "begin")
				end := rapid.IntRange(begin+1, 24*3600).Draw(t, "end")
				*ranges = append(*ranges, pipeline.Window{Begin: c.Day.Add(time.Duration(begin) * time.Second), End: c.Day.Add(time.Duration(end) * time.Second)})
				second = end + 1
			}
		}
		count := rapid.Int64Range(0, 1<<62)
		for hour := range 24 {
			h := pipeline.HourCounts{
				Hour: hour, Rows: count.Draw(t, "rows"), Published: count.Draw(t, "published"), Rejected: count.Draw(t, "rejected"),
				Late: count.Draw(t, "late"), GapSeconds: count.Draw(t, "gap"),
			}
			if rapid.Bool().Draw(t, "known") && h != (pipeline.HourCounts{Hour: hour}) {
				c.Hours = append(c.Hours, h)
			}
		}
		for partition := range rapid.Int32Range(0, 3).Draw(t, "partitions") {
			c.Offsets = append(c.Offsets, pipeline.LastOffset{Topic: "jmessage.group", Partition: partition, Last: count.Draw(t, "last")})
		}
		value, err := checkpoint.EncodeCoverage(&c)
		if err != nil {
			t.Fatal(err)
		}
		if got, cause := checkpoint.DecodeCoverage(value, "here"); cause != nil || !reflect.DeepEqual(got, c) {
			t.Fatalf("%+v\nbecame %+v\nby %s, %v", c, got, value, cause)
		}
		cp := pipeline.Checkpoint{
			AppKey: appKey, Stream: c.Stream, End: drawSecond(t), SavedAt: drawSecond(t), Coverage: []pipeline.Coverage{c},
			Covered: []pipeline.Window{{Begin: c.Day, End: c.Day.Add(24 * time.Hour)}},
		}
		if value, err = checkpoint.Encode(&cp); err != nil {
			t.Fatal(err)
		}
		if got, cause := checkpoint.Decode(value, appKey, "here"); cause != nil || !reflect.DeepEqual(got, cp) { //nolint:govet // Damage is nil.
			t.Fatalf("%+v\nbecame %+v\nby %s, %v", cp, got, value, cause)
		}
	})
}

// coverageLog is the topic of a cluster that has coverage.
func coverageLog(t *testing.T, partitions int32) *kafkaStore {
	t.Helper()
	s := newKafkaStore(t, partitions)
	if _, err := kadm.NewClient(s.client(t)).CreateTopic(t.Context(), partitions, -1, nil, s.prefix+string(pipeline.TopicCoverage)); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *kafkaStore) coverage(t *testing.T) *checkpoint.Coverage {
	t.Helper()
	conn, err := kafka.Open(kafka.Config{Brokers: s.brokers, ClientID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return checkpoint.NewCoverage(conn.Client, s.prefix+string(pipeline.TopicCoverage), appKey, func() int { return s.partitions }, s.retry)
}

// day writes the coverage of a day in a transaction of its own; n tells it apart, and 0 forgets the day.
func (s *kafkaStore) day(t *testing.T, w *writer, of pipeline.Stream, day time.Time, n int64, verdict kgo.TransactionEndTry) {
	t.Helper()
	r := pipeline.Record{
		Topic: pipeline.TopicCoverage, Partition: int32(checkpoint.PartitionOf(appKey, of, s.partitions)), Key: checkpoint.CoverageKey(appKey, of, day),
	}
	if n > 0 {
		var err error
		r.Value, err = checkpoint.EncodeCoverage(&pipeline.Coverage{
			AppKey: appKey, Stream: of, Day: day, Hours: []pipeline.HourCounts{{Hour: 1, Rows: n, Published: n}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	write(t, w, r)
	end(t, w, verdict)
}

// rowsOf are the rows of the only hour of a day; 0 where nothing is known of it.
func rowsOf(t *testing.T, c *checkpoint.Coverage, s pipeline.Stream, day time.Time) int64 {
	t.Helper()
	found, err := c.Coverage(t.Context(), s, day)
	if err != nil {
		t.Fatal(err)
	}
	if found == nil {
		return 0
	}
	if found.Stream != s || !found.Day.Equal(day) || found.AppKey != appKey {
		t.Errorf("asked for %s %s, found %+v", s, day, found)
	}
	return found.Hours[0].Rows
}

// TestCoverageIsReadBack finds the newest record of a day that is committed, of the stream that is asked for; also after records that
// were aborted, were forgotten, or stand in the partition that the stream had before the topic was given more.
func TestCoverageIsReadBack(t *testing.T) {
	s := coverageLog(t, 2)
	day := dayOf(t)
	next := day.Add(24 * time.Hour)
	a, b := stream(t, "users/a"), stream(t, "users/a/2023-11-14") // The second one's key begins as the first one's.
	c := s.coverage(t)
	want := func(what string, of pipeline.Stream, day time.Time, n int64) {
		t.Helper()
		for which, reader := range map[string]*checkpoint.Coverage{"the same": c, "a new": s.coverage(t)} {
			if got := rowsOf(t, reader, of, day); got != n {
				t.Errorf("%s, %s reader: %d rows, want %d", what, which, got, n)
			}
		}
	}
	want("nothing written", a, day, 0)
	s.day(t, s.main, a, day, 1, kgo.TryCommit)
	s.day(t, s.main, b, day, 5, kgo.TryCommit)
	s.day(t, s.main, a, next, 2, kgo.TryCommit)
	want("one record", a, day, 1)
	want("another day", a, next, 2)
	want("another stream", b, day, 5)
	s.day(t, s.main, a, day, 3, kgo.TryCommit)
	s.day(t, s.main, a, day, 4, kgo.TryAbort)
	want("the newest", a, day, 3)
	s.day(t, s.main, a, next, 0, kgo.TryAbort)
	want("forgotten, but aborted", a, next, 2)
	s.day(t, s.main, a, next, 0, kgo.TryCommit)
	want("forgotten", a, next, 0)
	for i := 0; s.partitions < 3 || checkpoint.PartitionOf(appKey, a, s.partitions) == checkpoint.PartitionOf(appKey, a, 2); i++ {
		s.partitions++
	}
	if _, err := kadm.NewClient(s.client(t)).UpdatePartitions(t.Context(), s.partitions, s.prefix+string(pipeline.TopicCoverage)); err != nil {
		t.Fatal(err)
	}
	want("in the former partition", a, day, 3)
	s.day(t, s.main, a, day, 6, kgo.TryCommit)
	want("in the new partition", a, day, 6)
}

// TestCoverageBehindOthers finds what is committed behind a transaction of another app that is open.
func TestCoverageBehindOthers(t *testing.T) {
	s := coverageLog(t, 1)
	a, day := stream(t, "users/a"), dayOf(t)
	other := s.writer(t, "other")
	write(t, other, pipeline.Record{Topic: pipeline.TopicCoverage, Key: []byte("5f7aef34fb361292c566a1cd/messages/2023-11-14"), Value: []byte("?")})
	s.day(t, s.main, a, day, 1, kgo.TryCommit)
	c := s.coverage(t)
	for i := range int64(2) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		one, err := c.Coverage(ctx, a, day)
		cancel()
		if err != nil || one == nil || one.Hours[0].Rows != i+1 {
			t.Errorf("found %+v, %v", one, err)
		}
		s.day(t, s.main, a, day, i+2, kgo.TryCommit)
	}
	end(t, other, kgo.TryCommit)
}

// TestCoverageReadsOnlyWhatIsNew asks for the topic's beginning once, and afterwards for one record, and what is new.
func TestCoverageReadsOnlyWhatIsNew(t *testing.T) {
	if len(apache) > 0 {
		t.Skip("the embedded broker tells what it was asked for")
	}
	s := coverageLog(t, 1)
	a, day := stream(t, "users/a"), dayOf(t)
	for n := range int64(20) {
		s.day(t, s.main, a, day.Add(time.Duration(n)*24*time.Hour), n+1, kgo.TryCommit)
	}
	var asked atomic.Pointer[[]int64]
	s.cluster.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		if fetch, ok := r.(*kmsg.FetchRequest); ok {
			all := append(slices.Clone(*asked.Load()), fetch.Topics[0].Partitions[0].FetchOffset)
			asked.Store(&all)
		}
		return nil, nil, false
	})
	c := s.coverage(t)
	for i, want := range [][]int64{{0, 10}, {10}, {40, 40}} { // Each transaction takes two offsets.
		asked.Store(new([]int64))
		if i == 2 {
			s.day(t, s.main, a, day.Add(5*24*time.Hour), 100, kgo.TryCommit)
		}
		if got := rowsOf(t, c, a, day.Add(5*24*time.Hour)); got != []int64{6, 6, 100}[i] {
			t.Errorf("reading %d: %d rows", i, got)
		}
		if got := *asked.Load(); !slices.Equal(got, want) {
			t.Errorf("reading %d: fetched from %v, want %v", i, got, want)
		}
	}
}

// TestDamagedCoverageRecord has others write to a day's key: it is told, and what jmpub wrote there before is found. Only of what a newer
// jmpub wrote nothing is made.
func TestDamagedCoverageRecord(t *testing.T) {
	s := coverageLog(t, 1)
	a, day := stream(t, "users/a"), dayOf(t)
	c := s.coverage(t)
	var told []string
	c.Skipped = func(err error) { told = append(told, err.Error()) }
	garbage := func(value string) {
		write(t, s.main, pipeline.Record{Topic: pipeline.TopicCoverage, Key: checkpoint.CoverageKey(appKey, a, day), Value: []byte(value)})
		end(t, s.main, kgo.TryCommit)
	}
	garbage(`{"version":1}`)
	if found, err := c.Coverage(t.Context(), a, day); err != nil || found != nil {
		t.Errorf("it finds %v, %v", found, err)
	}
	s.day(t, s.main, a, day, 7, kgo.TryCommit)
	for _, value := range []string{"", "garbage", `{"version":2}`, strings.Repeat("[", 1<<19)} {
		garbage(value)
		if got := rowsOf(t, c, a, day); got != 7 {
			t.Errorf("behind %.20q are %d rows", value, got)
		}
	}
	if len(told) != 5 || !strings.Contains(told[0], "jmessage.coverage/0 at offset 0") || !strings.Contains(told[0], "is missing") {
		t.Errorf("it tells %q", told)
	}
	garbage(`{"version":2,"app_key":"` + appKey + `"}`)
	_, err := c.Coverage(t.Context(), a, day)
	fault(t, err, "newer jmpub")
}

package contract

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jmpub/jmpub/pipeline/event"
)

// record is what Check is given.
type record struct {
	topic   string
	key     []byte
	headers []Header
	value   []byte
}

func (r record) check(c *Contract) error { return c.Check(r.topic, r.key, r.headers, r.value) }

// eventRecord is an event as docs/events.md has it.
func eventRecord(e *event.Event) record {
	key := strconv.AppendInt(nil, e.MsgID, 10)
	r := record{topic: e.Target.String(), key: key, value: e.Value, headers: []Header{
		{"ce_specversion", []byte("1.0")},
		{"ce_id", key},
		{"ce_source", []byte("urn:jmessage:app:" + appKey)},
		{"ce_type", []byte("jmpub.message.v1")},
		{"content-type", []byte("application/json")},
		{"jmpub_stream", []byte("messages")},
	}}
	if len(e.Time) > 0 {
		r.headers = append(r.headers, Header{"ce_time", e.Time})
	}
	if len(e.Conversation) > 0 {
		r.headers = append(r.headers, Header{"ce_subject", e.Conversation})
	}
	return r
}

// rejectedRecord is a rejected row as docs/events.md has it.
func rejectedRecord(r *event.Rejection) record {
	headers := []Header{
		{"jmpub_reason", []byte(r.Reason)},
		{"jmpub_detail", []byte(r.Detail)},
		{"jmpub_stream", []byte("messages")},
		{"jmpub_app_key", []byte(appKey)},
		{"jmpub_window", []byte("2026-11-01T10:00:00Z/2026-11-01T10:05:00Z")},
	}
	if r.HasMsgID {
		headers = append(headers, Header{"jmpub_msgid", strconv.AppendInt(nil, r.MsgID, 10)})
	}
	return record{topic: "rejected", headers: headers, value: r.Row}
}

// recordOf is what becomes of a row.
func recordOf(row []byte) record {
	e, rejection := event.NewNormalizer(appKey).Normalize(row)
	if rejection != nil {
		return rejectedRecord(rejection)
	}
	return eventRecord(&e)
}

// TestStoredRows holds that what becomes of each stored row keeps the contract.
func TestStoredRows(t *testing.T) {
	c := load(t)
	for name, row := range rows(t) {
		if err := recordOf(row).check(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRefusedRecords breaks what no schema sees: how key, headers and value belong together.
func TestRefusedRecords(t *testing.T) {
	c := load(t)
	message := func() record { return recordOf(rows(t)["row-text-single"]) }
	rejected := func() record { return recordOf(rows(t)["rejected-no-id"]) }
	own := func(topic, name, key string) func() record {
		return func() record { return record{topic: topic, key: []byte(key), value: rawExamples(t, name)[0]} }
	}
	window := own("windows", "window", appKey+"/groups/10055201/2026-11-01T10:00:00Z")
	notice := own("notices", "notice", appKey+"/messages")
	position := own("checkpoints", "checkpoint", appKey+"/groups/10055201")
	coverage := own("coverage", "coverage", appKey+"/messages/2026-11-01")
	claim := own("checkpoints", "claim", appKey+"!jmpub!claim")
	claimOfReplay := own("checkpoints", "claim", appKey+"~r-1!jmpub!claim")
	claimOfRun := own("checkpoints", "claim", appKey+"!jmpub!owner")
	pause := own("checkpoints", "pause", appKey+"!jmpub!pause")
	process := own("processes", "process", "jmpub/process 4711 on im-export-1/JZ4QX7DW/0")
	day := own("statistics.users", "statistics-users", appKey+"/2017-03-01")
	for _, valid := range []func() record{message, rejected, window, notice, position, coverage, claim, claimOfReplay, claimOfRun, pause, process, day} {
		if err := valid().check(c); err != nil {
			t.Error(err)
		}
	}
	for _, forgotten := range []record{position(), process(), pause()} {
		forgotten.value = nil
		if err := forgotten.check(c); err != nil {
			t.Error(err)
		}
	}

	header := func(name, value string) func(*record) {
		return func(r *record) {
			i := slices.IndexFunc(r.headers, func(h Header) bool { return h.Key == name })
			r.headers[i].Value = []byte(value)
		}
	}
	key := func(text string) func(*record) { return func(r *record) { r.key = []byte(text) } }
	topic := func(name string) func(*record) { return func(r *record) { r.topic = name } }
	value := func(old, replacement string) func(*record) {
		return func(r *record) { r.value = []byte(strings.Replace(string(r.value), old, replacement, 1)) }
	}
	twice := func(r *record) { r.headers = append(r.headers, r.headers[0]) }
	for name, tc := range map[string]struct {
		valid  func() record
		change func(*record)
		says   string
	}{
		"unknown topic":                {message, topic("users"), "no such topic"},
		"event in another topic":       {message, topic("group"), `the topic is "group"`},
		"event in other":               {message, topic("other"), `the topic is "other"`},
		"other in single":              {func() record { return recordOf([]byte(`{"msgid":1}`)) }, topic("single"), `the value says "other"`},
		"event under another key":      {message, key("5"), "the key"},
		"event under a key with zeros": {message, key("02456348996"), "the key"},
		"event without a key":          {message, func(r *record) { r.key = nil }, "the key"},
		"event without a value":        {message, func(r *record) { r.value = nil }, "no JSON"},
		"event that is no JSON":        {message, value("{", ""), "no JSON"},
		"event with a second value":    {message, func(r *record) { r.value = append(r.value, '1') }, "no JSON"},
		"event that is not UTF-8":      {message, value("hello", "\xff"), "UTF-8"},
		"event with a fraction as id":  {message, value(`"msgid":2456348996`, `"msgid":2456348996.0`), "the key"},
		"event with a huge exponent":   {message, value(`"msgid":2456348996`, `"msgid":1e999999999999999999999`), "maximum"},
		"event with another ce_id":     {message, header("ce_id", "5"), "ce_id"},
		"event with another source":    {message, header("ce_source", "urn:jmessage:app:other"), "ce_source"},
		"event with another time":      {message, header("ce_time", "2019-03-22T02:46:25.000Z"), "ce_time"},
		"event with another subject":   {message, header("ce_subject", "single:a|b"), "ce_subject"},
		"event with a header twice":    {message, twice, "twice"},
		"header that is not UTF-8":     {message, header("ce_subject", "\xff"), "UTF-8"},
		"coverage of another day":      {coverage, key(appKey + "/messages/2026-11-02"), "the key"},
		"coverage that does not sum":   {coverage, value(`"published":60`, `"published":61`), "the hour 10"},
		"coverage with a header":       {coverage, func(r *record) { r.headers = []Header{{"a", nil}} }, "header a"},
		"rejected row with a key":      {rejected, key("1"), `the key "1"`},
		"rejected row without reason":  {rejected, func(r *record) { r.headers = r.headers[1:] }, "jmpub_reason"},
		"rejected row, header twice":   {rejected, twice, "twice"},
		"window under another key":     {window, key(appKey + "/groups/10055201"), "the key"},
		"window that does not add up":  {window, value(`"skipped":2`, `"skipped":1`), "rows is 8, but the parts of it are 7"},
		"window that ends early":       {window, value(`"end_time":"2026-11-01T10:05:00Z"`, `"end_time":"2026-11-01T09:59:59Z"`), "before it begins"},
		"window with a header":         {window, func(r *record) { r.headers = []Header{{"x", nil}} }, "header x"},
		"window without a value":       {window, func(r *record) { r.value = nil }, "no JSON"},
		"notice under another key":     {notice, key(appKey), "the key"},
		"notice of an unlisted kind":   {notice, value(`"gap"`, `"rain"`), "kind"},
		"checkpoint of another stream": {position, key(appKey + "/messages"), "the key"},
		"claim under another key":      {claim, key(appKey + "/messages"), "claim"},
		"claim without a value":        {claim, func(r *record) { r.value = nil }, "no JSON"},
		"claim with a header":          {claim, func(r *record) { r.headers = []Header{{"x", nil}} }, "header x"},
		"pause of another app":         {pause, key("another!jmpub!pause"), "the key"},
		"pause with a header":          {pause, func(r *record) { r.headers = []Header{{"x", nil}} }, "header x"},
		"process under another key":    {process, key("jmpub/process 4711 on im-export-1/JZ4QX7DW/1"), "the key"},
		"process with a header":        {process, func(r *record) { r.headers = []Header{{"x", nil}} }, "header x"},
		"process in another state":     {process, value(`"publishing"`, `"sleeping"`), "state"},
		"statistics of another day":    {day, key(appKey + "/2017-03-02"), "the key"},
		"statistics of another kind":   {day, topic("statistics.groups"), "kind"},
	} {
		r := tc.valid()
		r.value = bytes.Clone(r.value)
		tc.change(&r)
		if err := r.check(c); err == nil || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "record of "+r.topic) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNumbersOfAnySize passes what a sender may write and no machine can hold.
func TestNumbersOfAnySize(t *testing.T) {
	c := load(t)
	for _, number := range []string{"1e999999999", "-1E-999999999999999999999", "1e+400", "9223372036854775808", "1.50", "-0"} {
		row := `{"msgid":1,"msg_type":"image","msg_body":{"media_id":"m","fsize":` + number + `,"n":[` + number + `]},"x":` + number + `}`
		r := recordOf([]byte(row))
		if err := r.check(c); err != nil || !bytes.Contains(r.value, []byte(`"size":`+number)) {
			t.Errorf("%s: %v", number, err)
		}
	}
}

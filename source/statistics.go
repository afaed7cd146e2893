package source

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/rawjson"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/statistics"
)

// maxStatistics bounds a reply in bytes: 60 periods of some numbers.
const maxStatistics = 1 << 20

// mostPeriods may be asked for at once (API document, statistics).
const mostPeriods = 60

// Statistics asks for n periods from first on; see [statistics.Source].
func (c *Client) Statistics(ctx context.Context, s pipeline.Stream, first pipeline.Period, n int) (all []statistics.Row, requests int, err error) {
	first = pipeline.PeriodOf(first.Unit, first.Begin.In(c.cfg.TimeZone))
	most := mostPeriods
	if s.Name == string(pipeline.StreamMessages) {
		most = 1 // The counts by type that a reply has besides its rows are of all of them together.
	}
	for n > 0 {
		count := min(n, most)
		rows, sent, err := c.periods(ctx, s, first, count)
		requests += sent
		if err != nil {
			return nil, requests, err
		}
		all = append(all, rows...)
		first, n = first.Add(count), n-count
	}
	return all, requests, nil
}

// periods sends one request for statistics.
func (c *Client) periods(ctx context.Context, s pipeline.Stream, first pipeline.Period, n int) ([]statistics.Row, int, error) {
	d := statisticsDecoder{zone: c.cfg.TimeZone, first: first, asked: n}
	r := &extraRequest{call: call{
		op: "get " + s.String() + " of " + first.String(), stream: s, endpoint: c.report, path: "/statistic/" + s.Name,
		service:  s.String(),
		query:    "time_unit=" + strings.ToUpper(string(first.Unit)) + "&start=" + escape(first.String()) + "&duration=" + strconv.Itoa(n),
		handicap: extraHandicap, maxBody: maxStatistics,
	}}
	r.read = func(body []byte) error {
		d.found, d.extra = nil, nil
		if s.Name == string(pipeline.StreamMessages) {
			return d.messages(body)
		}
		return d.rows(body, "date")
	}
	if n > 1 {
		r.op = fmt.Sprintf("get %s of %d %ss from %s on", s, n, first.Unit, first)
	}
	_, err := c.ask(ctx, r)
	if err == nil {
		return d.found, r.tries, nil
	}
	// Of hours there are only those of the present day. A request that was refused because midnight came first, or has come by the
	// API's clock alone, is no lack of a right.
	known := c.clock.read()
	isToday := func(now time.Time) bool {
		return pipeline.PeriodOf(pipeline.Day, now.In(c.cfg.TimeZone)).Begin.Equal(pipeline.PeriodOf(pipeline.Day, first.Begin).Begin)
	}
	if fault, is := errors.AsType[*pipeline.Fault](err); is && fault.Class == pipeline.Drop &&
		first.Unit == pipeline.Hour && (!isToday(known.now()) || !isToday(known.latest())) {
		fault.Class = pipeline.Restart
	}
	return nil, r.tries, err
}

// mostExtra bounds the sums that a reply has besides its rows: there are two of them.
const mostExtra = 16

// statisticsDecoder reads a reply with statistics. It is as strict as a consumer of the events will be: each name once, valid
// UTF-8.
type statisticsDecoder struct {
	zone  *time.Location
	first pipeline.Period
	asked int

	found []statistics.Row
	extra []statistics.Field
}

// messages reads {"send_msg_stat":[…],"group_msg_stat":{…},"single_msg_stat":{…}}, and passes over what it does not know.
func (d *statisticsDecoder) messages(body []byte) error {
	r := rawjson.Strict()
	r.Open(body)
	if r.Kind() != '{' {
		return errNoStatistics
	}
	found := false
	for r.Enter('{'); r.Member(); {
		switch member := string(r.Name()); {
		case member == "send_msg_stat":
			found = true
			d.array(r, "time")
		case strings.HasSuffix(member, "_msg_stat") && r.Kind() == '{':
			if len(d.extra) == mostExtra {
				r.Fail(fmt.Errorf("%w: more than %d sums", errTooMany, mostExtra))
			}
			d.extra = append(d.extra, statistics.Field{Name: member, Value: r.Value()})
		default:
			r.Skip()
		}
	}
	if r.End(); r.Err() == nil && !found {
		return errNoStatistics
	}
	// With rows of several periods, it is unknown which of them the counts are of.
	if len(d.found) == 1 {
		d.found[0].Extra = d.extra
	}
	return r.Err()
}

// rows reads an array of rows that is all of the reply.
func (d *statisticsDecoder) rows(body []byte, name string) error {
	r := rawjson.Strict()
	r.Open(body)
	if r.Kind() != '[' {
		return errNoStatistics
	}
	d.array(r, name)
	r.End()
	return r.Err()
}

// array reads rows, each with its period in the member of that name.
func (d *statisticsDecoder) array(r *rawjson.Reader, name string) {
	var unread error
	for r.Enter('['); r.Element(); {
		if kind := r.Kind(); kind != '{' {
			r.Fail(fmt.Errorf("%s stands where a row should", kind))
			return
		}
		if len(d.found) == 2*mostPeriods {
			r.Fail(fmt.Errorf("%w: more than %d periods", errTooMany, 2*mostPeriods))
			return
		}
		row := r.Value()
		if r.Err() != nil {
			return
		}
		period, err := d.period(row, name)
		switch {
		case err != nil:
			unread = err
		case period.Begin.Before(d.first.Add(-mostPeriods).Begin) || d.first.Add(mostPeriods).Begin.Before(period.Begin):
			r.Fail(fmt.Errorf("%s is far from what was asked for", period))
		}
		for _, other := range d.found {
			if err == nil && other.Period.Begin.Equal(period.Begin) {
				r.Fail(fmt.Errorf("%s stands twice", period))
			}
		}
		d.found = append(d.found, statistics.Row{Period: period, Value: row})
	}
	if unread == nil {
		return
	}
	if len(d.found) > 1 || d.asked > 1 {
		r.Fail(unread)
		return
	}
	d.found[0].Period = d.first // One period was asked for, and one came, however it is written.
}

// period reads the period of a row.
func (d *statisticsDecoder) period(row []byte, name string) (pipeline.Period, error) {
	r := rawjson.Strict()
	r.Open(row)
	for r.Enter('{'); r.Member(); {
		if value := r.Value(); string(r.Name()) == name && r.Err() == nil && value[0] == '"' && len(value) <= printableBytes {
			return pipeline.ParsePeriod(d.first.Unit, string(rawjson.Unquote(value)), d.zone)
		}
	}
	return pipeline.Period{}, fmt.Errorf("a row has no %s: %s", name, printable(string(row)))
}

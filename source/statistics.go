package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/statistics"
)

// perRequest is how many periods one request asks for (API document, statistics). Of messages it is one at a time, because
// the counts by type that a reply has beside its rows are of all of them together.
func perRequest(s pipeline.Stream) int {
	const mostDays = 60
	if s.Name == string(pipeline.StreamMessages) {
		return 1
	}
	return mostDays
}

// Statistics asks for n periods from first on; see [statistics.Source].
func (c *Client) Statistics(ctx context.Context, s pipeline.Stream, first pipeline.Period, n int) (all []statistics.Figures, requests int, err error) {
	first = pipeline.PeriodOf(first.Unit, first.Begin.In(c.cfg.TimeZone))
	for n > 0 {
		part := min(n, perRequest(s))
		figures, sent, err := c.figures(ctx, s, first, part)
		requests += sent
		if err != nil {
			return nil, requests, err
		}
		all = append(all, figures...)
		first, n = first.Add(part), n-part
	}
	return all, requests, nil
}

// figures sends one request for statistics.
func (c *Client) figures(ctx context.Context, s pipeline.Stream, first pipeline.Period, n int) ([]statistics.Figures, int, error) {
	d := figuresDecoder{zone: c.cfg.TimeZone, first: first, asked: n}
	r := &request{
		stream: s, path: "/statistic/" + s.Name,
		query: "time_unit=" + strings.ToUpper(string(first.Unit)) + "&start=" + escape(first.String()) + "&duration=" + strconv.Itoa(n),
		op:    "get " + s.String() + " of " + first.String(),
	}
	r.decode = func(body []byte) error {
		d.figures, d.parts = nil, nil
		if s.Name == string(pipeline.StreamMessages) {
			return d.messages(body)
		}
		return d.rows(d.decoder(body), "date")
	}
	if n > 1 {
		r.op = fmt.Sprintf("get %s of %d %ss from %s on", s, n, first.Unit, first)
	}
	_, err := c.ask(ctx, r)
	if err == nil {
		return d.figures, r.sent, nil
	}
	// Of hours there are only those of the present day. A request that was refused because midnight came first is no lack
	// of a right.
	now, ok := c.clock.now()
	today := pipeline.PeriodOf(pipeline.Day, now.In(c.cfg.TimeZone))
	if fault, is := errors.AsType[*pipeline.Fault](err); is && fault.Class == pipeline.Drop && ok &&
		first.Unit == pipeline.Hour && !pipeline.PeriodOf(pipeline.Day, first.Begin).Begin.Equal(today.Begin) {
		fault.Class = pipeline.Restart
	}
	return nil, r.sent, err
}

// figuresDecoder reads a reply with statistics. It is as strict as a consumer of the events will be: each name once, valid
// UTF-8.
type figuresDecoder struct {
	zone  *time.Location
	first pipeline.Period
	asked int

	body    []byte
	figures []statistics.Figures
	parts   []statistics.FiguresPart
}

func (d *figuresDecoder) decoder(body []byte) *jsontext.Decoder {
	d.body = body
	return jsontext.NewDecoder(bytes.NewBuffer(body))
}

// cut reads a value and returns it as it stands in the body.
func (d *figuresDecoder) cut(dec *jsontext.Decoder) ([]byte, error) {
	value, err := dec.ReadValue()
	end := dec.InputOffset()
	return d.body[end-int64(len(value)) : end : end], err
}

// messages reads {"send_msg_stat":[…],"group_msg_stat":{…},"single_msg_stat":{…}}, and passes over what it does not know.
func (d *figuresDecoder) messages(body []byte) error {
	dec := d.decoder(body)
	if dec.PeekKind() != '{' {
		return errNoFigures
	}
	if err := expect(dec, '{'); err != nil {
		return err
	}
	found := false
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		switch member := name.String(); {
		case member == "send_msg_stat":
			found, err = true, d.array(dec, "time")
		case strings.HasSuffix(member, "_msg_stat") && dec.PeekKind() == '{':
			var value []byte
			value, err = d.cut(dec)
			d.parts = append(d.parts, statistics.FiguresPart{Name: member, Value: value})
		default:
			err = dec.SkipValue()
		}
		if err != nil {
			return err
		}
	}
	if err := end(dec, '}'); err != nil {
		return err
	}
	if !found {
		return errNoFigures
	}
	// With rows of several periods, nobody can tell what the parts are of.
	if len(d.figures) == 1 {
		d.figures[0].Parts = d.parts
	}
	return nil
}

// rows reads an array of rows that is all of the reply.
func (d *figuresDecoder) rows(dec *jsontext.Decoder, name string) error {
	if dec.PeekKind() != '[' {
		return errNoFigures
	}
	if err := d.array(dec, name); err != nil {
		return err
	}
	return end(dec, 0)
}

// end reads the bracket that closes a reply, if it is not 0, and nothing behind it.
func end(dec *jsontext.Decoder, bracket jsontext.Kind) error {
	if bracket != 0 {
		if err := expect(dec, bracket); err != nil {
			return err
		}
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the reply's end")
	}
	return nil
}

// array reads rows, each with its period in the member of that name.
func (d *figuresDecoder) array(dec *jsontext.Decoder, name string) error {
	if err := expect(dec, '['); err != nil {
		return err
	}
	var unread error
	for dec.PeekKind() == '{' {
		row, err := d.cut(dec)
		if err != nil {
			return err
		}
		period, err := d.period(row, name)
		if err != nil {
			unread = err
		}
		for _, f := range d.figures {
			if err == nil && f.Period.Begin.Equal(period.Begin) {
				return fmt.Errorf("%s stands twice", period)
			}
		}
		d.figures = append(d.figures, statistics.Figures{Period: period, Row: row})
	}
	if unread != nil {
		if len(d.figures) > 1 || d.asked > 1 {
			return unread
		}
		d.figures[0].Period = d.first // One period was asked for, and one came, however it is written.
	}
	return expect(dec, ']')
}

// period reads the period of a row.
func (d *figuresDecoder) period(row []byte, name string) (pipeline.Period, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(row))
	if err := expect(dec, '{'); err != nil {
		return pipeline.Period{}, err
	}
	for dec.PeekKind() == '"' {
		member, err := dec.ReadToken()
		if err != nil {
			return pipeline.Period{}, err
		}
		if member.String() != name || dec.PeekKind() != '"' {
			if err = dec.SkipValue(); err != nil {
				return pipeline.Period{}, err
			}
			continue
		}
		text, err := dec.ReadToken()
		if err != nil {
			return pipeline.Period{}, err
		}
		return pipeline.ParsePeriod(d.first.Unit, text.String(), d.zone)
	}
	return pipeline.Period{}, fmt.Errorf("a row has no %s: %s", name, printable(string(row)))
}

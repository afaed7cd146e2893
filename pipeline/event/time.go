package event

import "time"

// The clocks of a row, in milliseconds since 1970.
const (
	// lastMilli is the last millisecond that RFC 3339 can write: its years have four digits.
	lastMilli = 253402300799999
	// firstClientMilli is the number from which on create_time counts milliseconds. Senders give seconds or milliseconds and
	// do not say which: as seconds it would be the year 5138, as milliseconds it is 1973.
	firstClientMilli = 100_000_000_000
)

// appendTimes writes `time` and `client_time`, and returns where the value of `time` stands in b. `time` is msg_ctime, the
// server's clock; without it create_time takes its place, and `time_source` says so. The form of client_time keeps the
// sender's unit: no decimals for seconds, three for milliseconds.
func (n *Normalizer) appendTimes(b []byte, e *Event) ([]byte, span) {
	r := &n.row
	server, hasServer := clock(r.value(fieldMsgCtime))
	client, hasClient := clock(r.value(fieldCreateTime))
	inSeconds := client < firstClientMilli
	if inSeconds {
		client *= 1000
	}
	e.ServerTime, e.ClientTime = server, client

	var where span
	switch {
	case hasServer:
		r.placed[fieldMsgCtime] = true
		b, where = n.calendar.appendMember(b, `"time":"`, server, false)
	case hasClient:
		b, where = n.calendar.appendMember(b, `"time":"`, client, false)
		b = append(b, `"time_source":"client_time",`...)
	}
	if hasClient {
		r.placed[fieldCreateTime] = true
		b, _ = n.calendar.appendMember(b, `"client_time":"`, client, inSeconds)
	}
	return b, where
}

// clock reads a clock: an integer that is positive (0 stands for an unknown time) and that RFC 3339 can write.
func clock(v []byte) (int64, bool) {
	i, ok := integer(v)
	if !ok || i <= 0 || i > lastMilli {
		return 0, false
	}
	return i, true
}

// calendar writes times in RFC 3339, UTC. It remembers the last day, because the rows of a page are of the same day or
// two, and finding the date is most of the work.
type calendar struct {
	known bool
	day   int64
	date  [len("2006-01-02T")]byte
}

// appendMember writes a member whose name and opening quote are given, with a time that is not negative, without decimals or
// with three. It returns where the time stands.
func (c *calendar) appendMember(b []byte, name string, milli int64, inSeconds bool) ([]byte, span) {
	const day = 24 * 60 * 60 * 1000
	if d := milli / day; !c.known || c.day != d {
		c.known, c.day = true, d
		time.UnixMilli(milli).UTC().AppendFormat(c.date[:0], "2006-01-02T")
	}
	b = append(b, name...)
	start := len(b)
	b = append(b, c.date[:]...)
	second := milli % day / 1000
	b = appendPadded(b, second/3600, ':')
	b = appendPadded(b, second/60%60, ':')
	if inSeconds {
		b = appendPadded(b, second%60, 'Z')
	} else {
		b = appendPadded(b, second%60, '.')
		b = appendPadded(append(b, decimal[milli%1000/100]), milli%100, 'Z')
	}
	return append(b, `",`...), span{start, len(b)}
}

const decimal = "0123456789"

// appendPadded writes a number below 100 as two digits, and what follows them.
func appendPadded(b []byte, number int64, then byte) []byte {
	return append(b, decimal[number/10], decimal[number%10], then)
}

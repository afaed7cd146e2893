package pipeline

import (
	"fmt"
	"time"
)

// Window is the closed interval [Begin, End] of a stream, in whole seconds (the API takes no finer bounds).
// It is comparable when both times are in UTC, as all of jmpub's are.
type Window struct {
	Begin time.Time `json:"begin_time"`
	End   time.Time `json:"end_time"`
}

// String is the window in RFC 3339.
func (w Window) String() string {
	return fmt.Sprintf("[%s, %s]", w.Begin.Format(time.RFC3339), w.End.Format(time.RFC3339))
}

// Position is where a stream's next window starts and how long the last ones showed it should be.
type Position struct {
	// End is the end_time up to which every row is read; never zero.
	End time.Time
	// Span is the window length that suits the density last seen; zero when nothing is known.
	Span time.Duration
	// Until, where it is not zero, is where the next window ends at the latest: what follows it is read by another.
	Until time.Time
	// From, where it is not zero, is where the next window begins at the earliest: what was published of the time before it is not
	// known.
	From time.Time
}

// Plan is a window to ask for, and what lies before it and is lost.
type Plan struct {
	Window Window
	// Head tells that the window ends where the server's clock less settle allows, not where its span does.
	Head bool
	// Gap is the time between the position and the oldest second that the API still holds, nil where nothing is lost.
	Gap *Window
}

// Due is when what follows a position can be asked for.
type Due struct {
	// Plan is how long it takes until its window can be; zero where there is something to find out.
	Plan time.Duration
	// Poll is how long it takes until the stream may be asked again at the head.
	Poll time.Duration
	// Head is where the window would end, if it would end at the head; zero otherwise.
	Head time.Time
}

// Page is one reply of the Report API.
type Page struct {
	// Rows are the messages as received, in order, each one JSON value. They stay valid until the
	// second call of [Pages.Next] behind the one that returned them: one page can be read while the next one is fetched.
	Rows [][]byte
	// Total is the number of rows of the whole window, as this reply states it; -1 where no reply has stated it.
	Total int64
	// Span is the window length that suits the density this reply shows.
	Span time.Duration
	// Bytes is what the reply takes in memory.
	Bytes int
}

package pipeline

import (
	"context"
	"time"
)

// Figures are the statistics of one period.
type Figures struct {
	Period Period
	// Row is the API's row as received: one JSON object.
	Row []byte
	// Parts are what the reply tells beside its rows of the same period alone, as received: the message types of groups
	// and of single chats. Empty where there are none, and where they cover several periods.
	Parts []FiguresPart
}

// FiguresPart is a member of the reply, a JSON object.
type FiguresPart struct {
	Name  string
	Value []byte
}

// StatisticsSource reads an app's statistics. Implementations are safe for concurrent use. All errors are *[Fault] or the
// context's; transient faults are retried inside.
type StatisticsSource interface {
	// Now is the server's clock; see [Source].
	Now(ctx context.Context, s Stream) (time.Time, error)
	// Statistics asks for n periods of a unit from first on, in as many requests as the API's limits make of them, and
	// returns what came, by time, and how many requests were sent: there may be fewer periods, and others. The periods are in the zone of the API. A fault of class
	// [Drop] means that the app has no right to them, or that they cannot be understood; one of class [Restart] that the
	// day moved on, which the API gives hours of.
	Statistics(ctx context.Context, s Stream, first Period, n int) (figures []Figures, requests int, err error)
}

// Listing is what a list of the app has.
type Listing struct {
	// Streams are those of the entries, each once, in the order of the list.
	Streams []Stream
	// Whole tells that the list did not move while it was read, so that what is not in it is not there.
	Whole bool
}

// Directory lists the users, groups or chatrooms of an app.
type Directory interface {
	// List reads the list of a kind. All errors are *[Fault] or the context's; transient faults are retried inside. A fault
	// of class [Drop] means that the app has no right to it, or that it cannot be understood.
	List(ctx context.Context, kind StreamKind) (Listing, error)
}

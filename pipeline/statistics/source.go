package statistics

import (
	"context"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// Row is the statistics of one period.
type Row struct {
	Period pipeline.Period
	// Value is the API's row as received: one JSON object.
	Value []byte
	// Extra is what the reply has next to its rows, of the same period alone, as received: the message types of groups
	// and of single chats. Empty where there are none, and where they cover several periods.
	Extra []Field
}

// Field is a member of the reply, a JSON object.
type Field struct {
	Name  string
	Value []byte
}

// Source reads an app's statistics. Implementations are safe for concurrent use. All errors are *[pipeline.Fault] or the
// context's; transient faults are retried inside.
type Source interface {
	// Now is the server's clock; see [pipeline.Source].
	Now(ctx context.Context, s pipeline.Stream) (time.Time, error)
	// Statistics asks for n periods of a unit from first on, in as many requests as the API's limits make of them, and
	// returns what came, by time, and how many requests were sent: there may be fewer periods, and others. The periods are in the zone of the API. A fault of class
	// [pipeline.Drop] means that the app has no right to them; one of class [pipeline.Restart] that the day moved on, which the API gives
	// hours of, or that what came cannot be understood.
	Statistics(ctx context.Context, s pipeline.Stream, first pipeline.Period, n int) (rows []Row, requests int, err error)
}

package sim

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Clock is one of the two clocks of a row.
type Clock string

// The clocks.
const (
	ServerClock Clock = "msg_ctime"
	SenderClock Clock = "create_time"
)

// Options describe the app and its history. [Defaults] gives a working set.
type Options struct {
	AppKey, MasterSecret string
	// Seed makes two histories different.
	Seed uint64
	// Rate is the mean number of rows a second; fractions are fine (one row a day is 1.0/86400).
	Rate float64
	// Burst, at BurstAt, is one very dense second with that many rows more.
	Burst   int
	BurstAt time.Time
	// Begin and End, where set, bound the history; nothing happened outside.
	Begin, End time.Time
	// History is how far back the API answers; 60 days.
	History time.Duration
	// Users, Groups and Rooms are the sizes of the population.
	Users, Groups, Rooms int
	// OddRows is the part of rows (0 to 1) that are hard or impossible to turn into an event.
	OddRows float64
	// Zone is the time zone of the API's local times.
	Zone *time.Location
	// Now is the simulator's clock; time.Now where nil.
	Now func() time.Time

	Unknowns
	Faults
	Limits
}

// Unknowns are the questions that the API's documents leave open.
type Unknowns struct {
	// BeginStrict and EndStrict make the bounds exclusive.
	BeginStrict, EndStrict bool
	// EndMillis makes an upper bound of ...:59 end at ...:59.000; otherwise it covers ...:59.999.
	EndMillis bool
	// Clock sorts and filters.
	Clock Clock
	// CursorAtEnd gives a cursor beside the last page too; asked for, it answers an empty page.
	CursorAtEnd bool
	// Late is the part of rows (0 to 1) that appear up to LateBy after they were sent.
	Late   float64
	LateBy time.Duration
	// RoomsInMessages puts chatroom rows into /messages.
	RoomsInMessages bool
	// ExpiredStatus and ExpiredCode answer an expired cursor.
	ExpiredStatus, ExpiredCode int
	// OldIsError refuses a begin_time before the history; otherwise such a query is answered with what there is.
	OldIsError bool
	// PlusIsSpace accepts + for a space in a query, as the Java SDK sends it.
	PlusIsSpace bool
}

// Faults are parts of requests (0 to 1) that go wrong.
type Faults struct {
	RateLimited, RateLimitedBare float64 // 429 with and without headers
	ServerError, HTMLError       float64 // 5xx with JSON, with HTML
	HTMLPage                     float64 // 200 with HTML
	Truncated, Malformed         float64 // 200 with half a page; with broken JSON
	Dropped, DroppedMidway       float64 // connection closed before and within the reply
	Repeated, Displaced          float64 // a row comes twice, beside all others or in the place of one
	WrongTotal                   float64
	Slow                         float64 // answered after SlowBy
	SlowBy                       time.Duration
	ExpiredEarly                 float64 // the cursor is answered as expired
	// Intercept, where set, may replace the fault of the n-th request, counted from 1; the empty fault is none.
	Intercept func(n int64, r *http.Request) Fault
}

// Limits are what the API imposes.
type Limits struct {
	// CursorTTL is how long a cursor lives; 120 s.
	CursorTTL time.Duration
	// PerMinute is how many requests a minute are answered; 0 is no limit. QuotaHeader spells the header
	// X-Rate-Limit-Quota instead of -Limit; NoRateHeaders sends none.
	PerMinute                  int
	QuotaHeader, NoRateHeaders bool
	// Latency is what each reply takes.
	Latency time.Duration
	// Gzip compresses replies for clients that accept it.
	Gzip bool
}

// Defaults are options of a friendly API with a row each second.
func Defaults() Options {
	return Options{
		AppKey: "4f7aef34fb361292c566a1cd", MasterSecret: "sim-master-secret",
		Seed: 1, Rate: 1, History: 60 * 24 * time.Hour,
		Users: 500, Groups: 50, Rooms: 10,
		Zone:     time.FixedZone("Asia/Shanghai", 8*60*60),
		Unknowns: Unknowns{Clock: ServerClock, RoomsInMessages: true, ExpiredStatus: http.StatusBadRequest, ExpiredCode: codeParameter},
		Limits:   Limits{CursorTTL: 120 * time.Second},
	}
}

// maxRate bounds the rows a second, the burst apart, so that an index within a second fits into a msgid.
const (
	maxRate  = 50_000
	maxBurst = 1 << 20
)

// validate reports every mistake at once.
func (o *Options) validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.AppKey == "" || o.MasterSecret == "" {
		add("app key and master secret must not be empty")
	}
	if o.Rate < 0 || o.Rate > maxRate {
		add("rate %g is not between 0 and %d rows a second", o.Rate, maxRate)
	}
	if o.Burst < 0 || o.Burst > maxBurst {
		add("burst %d is not between 0 and %d rows", o.Burst, maxBurst)
	}
	if o.History <= 0 || o.CursorTTL <= 0 {
		add("history and cursor TTL must be positive")
	}
	if o.Users < 2 || o.Groups < 1 || o.Rooms < 1 {
		add("a population needs 2 users, 1 group and 1 room at least")
	}
	if o.Zone == nil {
		add("the time zone is missing")
	}
	errs = append(errs, o.Unknowns.validate())
	for name, p := range o.parts() {
		if p < 0 || p > 1 {
			add("%s: %g is not between 0 and 1", name, p)
		}
	}
	return errors.Join(errs...)
}

func (u *Unknowns) validate() error {
	var errs []error
	if u.Clock != ServerClock && u.Clock != SenderClock {
		errs = append(errs, fmt.Errorf("clock %q is not %s or %s", u.Clock, ServerClock, SenderClock))
	}
	if u.ExpiredStatus < http.StatusBadRequest || u.ExpiredStatus > 599 {
		errs = append(errs, fmt.Errorf("status %d for an expired cursor is no error", u.ExpiredStatus))
	}
	if u.Late > 0 && u.LateBy <= 0 {
		errs = append(errs, errors.New("late rows need a time by which they are late"))
	}
	return errors.Join(errs...)
}

// parts are the options that are a part of one, by name.
func (o *Options) parts() map[string]float64 {
	return map[string]float64{
		"odd rows": o.OddRows, "late": o.Late, "rate limited": o.RateLimited, "rate limited bare": o.RateLimitedBare,
		"server error": o.ServerError, "html error": o.HTMLError, "html page": o.HTMLPage, "truncated": o.Truncated,
		"malformed": o.Malformed, "dropped": o.Dropped, "dropped midway": o.DroppedMidway, "repeated": o.Repeated,
		"displaced": o.Displaced, "wrong total": o.WrongTotal, "slow": o.Slow, "expired early": o.ExpiredEarly,
	}
}

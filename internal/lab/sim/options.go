package sim

import (
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
	// Daily makes the rate follow the day in Zone, quiet at night and busy in the evening; its mean stays Rate.
	Daily bool
	// Burst, at BurstAt, is one very dense second with that many rows more.
	Burst   int
	BurstAt time.Time
	// TextBytes, where it is above zero, makes text messages longer: each has up to so many bytes of text, half of that in the mean.
	TextBytes int
	// Begin and End, where set, bound the history; nothing happened before Begin, and from End on.
	Begin, End time.Time
	// History is how far back the API answers; 60 days.
	History time.Duration
	// Users, Groups and Rooms are the sizes of the population; see [Username], [GroupID] and [RoomID].
	Users, Groups, Rooms int
	// ChurnEvery, in whole seconds, is how often a user, a group and a room appear and the oldest of each is deleted, from
	// ChurnSince on; zero is never. A row is always between those that exist in its second.
	ChurnEvery time.Duration
	ChurnSince time.Time
	// IrregularRows is the fraction of rows (0 to 1) that are hard or impossible to turn into an event. Each is unlike any other.
	IrregularRows float64
	// NullRows is the fraction of rows (0 to 1) that are a bare null. They are apart from IrregularRows because one cannot be
	// distinguished from another: with two of them near each other, nobody can say which was read.
	NullRows float64
	// RichBodies have extras that are nested, and sizes beyond 31 bits. The Java SDK cannot read them: it takes extras for a map of
	// strings, and a size for an int.
	RichBodies bool
	// Strict refuses what the API's documents forbid, and what clients send nevertheless, the official ones among them: + for a space,
	// text that is not escaped, a list's path with or without its last slash, and parameters that are unknown or go with a cursor.
	Strict bool
	// Zone is the time zone of the API's local times (unknown in the API; Asia/Shanghai).
	Zone *time.Location
	// Now is the simulator's clock, safe for concurrent use; time.Now where nil.
	Now func() time.Time

	Unknowns
	Faults
	Limits
}

// Unknowns are the questions that the API's documents leave open.
type Unknowns struct {
	// BeginStrict and EndStrict make the bounds exclusive, as the Chinese page has it for users, groups and chatrooms.
	BeginStrict, EndStrict bool
	// EndMillis compares bounds with clocks in milliseconds: an upper bound of ...:59 ends at ...:59.000, and a strict lower
	// one excludes ...:00.000 alone. Otherwise whole seconds are compared: ...:59.999 is inside, and a strict lower bound
	// excludes its whole second.
	EndMillis bool
	// Clock sorts and filters.
	Clock Clock
	// CursorAtEnd gives a cursor with the last page too, also with an only one; asked for, it answers an empty page.
	CursorAtEnd bool
	// EmptyPages puts an empty page, with a cursor, before each page behind the first.
	EmptyPages bool
	// ConstantCursor gives all pages of a window the same cursor, and one with the last page too, as a scroll of Elasticsearch does: each
	// request moves it on, also one whose reply gets lost.
	ConstantCursor bool
	// NoTotal leaves the total out.
	NoTotal bool
	// EmptyCursor writes "cursor":"" where there is none, instead of leaving it out.
	EmptyCursor bool
	// Late is the fraction of rows (0 to 1) that appear later than they were sent: between LateFrom and LateBy later, evenly
	// spread. Until then neither pages nor totals have them.
	Late             float64
	LateFrom, LateBy time.Duration
	// Drift lets the pages of a window see rows that appeared since its first request, so that a total changes from page to
	// page, and rows may shift out of reach. Otherwise a window stays as its first request saw it.
	Drift bool
	// RoomsInMessages puts chatroom rows into /messages.
	RoomsInMessages bool
	// ExpiredStatus and ExpiredCode answer an expired cursor, and one that was never given for the path.
	ExpiredStatus, ExpiredCode int
	// GroupCode answers an unknown group: 899006 or 899045.
	GroupCode int
	// OldIsError refuses a begin_time before the history; otherwise such a query is answered with what there is.
	OldIsError bool
	// NoStatistics refuses all statistics with that status and code: the app does not pay for them.
	NoStatistics                         bool
	NoStatisticsStatus, NoStatisticsCode int
	// StatisticsLag is how far statistics are behind: rows of that time do not count yet.
	StatisticsLag time.Duration
	// ExtraPeriod answers a period more than duration says, as the API page's sample for messages does.
	ExtraPeriod bool
	// BareGroups lists groups as numbers, as older editions of the API's page show them.
	BareGroups bool
}

// Faults are parts of requests (0 to 1, all together at most 1) that go wrong; see the [Fault] of the same name.
type Faults struct {
	RateLimited, RateLimitedBare           float64
	ServerError, HTMLError                 float64
	HTMLPage                               float64
	Truncated, Malformed                   float64
	Dropped, DroppedHeaders, DroppedMidway float64
	Repeated, Displaced, Shuffled          float64
	WrongTotal                             float64
	Slow                                   float64
	// SlowBy is how much longer a slow reply takes.
	SlowBy       time.Duration
	ExpiredEarly float64
	Stale        float64
	// StaleBy is how far a stale reply is behind.
	StaleBy time.Duration
	// WrongDate is the fraction of replies (0 to 1), besides all others, whose Date is off by WrongDateBy, ahead where that is positive.
	WrongDate   float64
	WrongDateBy time.Duration
	// Intercept, where set, decides instead of all parts: its result is the fault of the n-th request that was let in,
	// counted from 1 with those that were not; the empty fault is none. It is called concurrently.
	Intercept func(n int64, r *http.Request) Fault
}

// Limits are what the API imposes.
type Limits struct {
	// CursorTTL is how long a cursor lives; 120 s (API page, request params).
	CursorTTL time.Duration
	// PerMinute is how many requests are answered in a minute of the clock; 0 is no limit. QuotaHeader spells the header
	// X-Rate-Limit-Quota instead of -Limit; NoRateHeaders sends none; RetryAfter sends Retry-After with a 429.
	PerMinute                              int
	QuotaHeader, NoRateHeaders, RetryAfter bool
	// Latency is what each reply takes, and up to LatencyJitter more. It is waited for by the real clock.
	Latency, LatencyJitter time.Duration
	// Gzip compresses replies for clients that accept it.
	Gzip bool
}

// Defaults are options of a friendly API with a row each second, which is strict with its client, and whose rows are rich.
func Defaults() Options {
	return Options{
		AppKey: "4f7aef34fb361292c566a1cd", MasterSecret: "SimulatedMasterSecret001", // The SDKs want 24 letters and digits.
		Seed: 1, Rate: 1, History: 60 * 24 * time.Hour,
		Users: 500, Groups: 50, Rooms: 10, RichBodies: true, Strict: true,
		Zone: time.FixedZone("Asia/Shanghai", 8*60*60),
		Unknowns: Unknowns{
			Clock: ServerClock, RoomsInMessages: true, GroupCode: codeNoGroup,
			ExpiredStatus: http.StatusBadRequest, ExpiredCode: codeParameter,
			NoStatisticsStatus: http.StatusForbidden, NoStatisticsCode: codeParameter,
		},
		Limits: Limits{CursorTTL: 120 * time.Second},
	}
}

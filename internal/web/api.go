package web

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jmpub/jmpub/internal/fleet"
	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/internal/usage"
	"github.com/jmpub/jmpub/internal/words"
	"github.com/jmpub/jmpub/pipeline"
)

// document is the OpenAPI document of the API.
//
//go:embed openapi.json
var document []byte

// Document is the OpenAPI 3.1 document of the API, as JSON.
func Document() []byte { return document }

// Reader reads what stands in Kafka of an app. It disturbs nobody who writes. It is used by one goroutine at a time; a done context ends a call.
// An error of an app that the settings do not name is [ErrNoApp]; one of a question that cannot be answered is a [usage.Error].
type Reader interface {
	// Coverage is what is known of each hour of a range.
	Coverage(ctx context.Context, app status.AppName, q Question) (*Coverage, error)
	// Windows are ledger records, the newest ones first.
	Windows(ctx context.Context, app status.AppName, q Question) (*Windows, error)
	// Positions are those of the app's streams, and of its replays, and what is paused.
	Positions(ctx context.Context, app status.AppName) ([]pipeline.Checkpoint, pipeline.Pause, error)
	// Notices are the newest ones, those first; those of all apps in the settings, where none is named.
	Notices(ctx context.Context, app status.AppName, q Question) (*Notices, error)
}

// ErrNoApp is the error of an app that the settings do not name.
var ErrNoApp = errors.New("the settings of this process name no such app")

// Question narrows down what is read. What is empty is not narrowed down; times are in the forms that commands take.
type Question struct {
	Stream, From, To string
	Limit            int
	// Cursor is where the last answer ended.
	Cursor string
}

// Coverage is what is known of each hour of a range, stream by stream.
type Coverage struct {
	AppKey      string           `json:"app_key"`
	TopicPrefix string           `json:"topic_prefix"`
	From        time.Time        `json:"from"`
	To          time.Time        `json:"to"`
	TimeZone    string           `json:"time_zone"`
	Streams     []StreamCoverage `json:"streams"`
	// Replays are those that published some of the range again, as far as the notices tell.
	Replays []ReplayedRange `json:"replays"`
}

// StreamCoverage is that of a stream. Hours has those in which something is known, and those that are to be read.
type StreamCoverage struct {
	Stream string `json:"stream"`
	// Committed is the stream's position; zero where it has none yet.
	Committed time.Time      `json:"committed_to,omitzero"`
	Hours     []HourCoverage `json:"hours"`
}

// HourState is what became of an hour.
type HourState string

// The states of an hour. Of those that hold together, the first one counts.
const (
	// HourGap is one of which some left the API's history before it was read.
	HourGap HourState = "gap"
	// HourBacklog is one of which some lies behind the live position and is still to be published.
	HourBacklog HourState = "backlog"
	// HourReading is one in which the position is, or that comes behind it.
	HourReading HourState = "reading"
	// HourUnread is one of which some was never read, and is not going to be.
	HourUnread HourState = "unread"
	// HourRead is one that was read to its end, HourEmpty one in which nothing was then.
	HourRead  HourState = "read"
	HourEmpty HourState = "empty"
)

// HourCoverage is what is known of an hour. What was read again, because a position was set back, counts again.
type HourCoverage struct {
	Hour       time.Time `json:"hour"`
	State      HourState `json:"state"`
	Rows       int64     `json:"rows"`
	Published  int64     `json:"published"`
	Rejected   int64     `json:"rejected"`
	Late       int64     `json:"late"`
	GapSeconds int64     `json:"gap_seconds"`
	// Replays is how many replays have published some of it again.
	Replays int `json:"replays"`
}

// ReplayedRange is what a replay publishes again.
type ReplayedRange struct {
	Replay string    `json:"replay"`
	Stream string    `json:"stream"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	// Finished tells that all of it was published; Rows is how many rows that were.
	Finished bool  `json:"finished"`
	Rows     int64 `json:"rows"`
}

// Windows are ledger records.
type Windows struct {
	Windows []LedgerRecord `json:"windows"`
	// Next is the cursor with which older ones are asked for; empty where there are none.
	Next string `json:"next_cursor,omitempty"`
}

// LedgerRecord is a ledger record, and when it was committed by the clock of Kafka.
type LedgerRecord struct {
	pipeline.Ledger

	DurationSeconds float64   `json:"duration_seconds"`
	Committed       time.Time `json:"committed_at"`
}

// Position is a stream's position.
type Position struct {
	Stream string `json:"stream"`
	Replay string `json:"replay,omitempty"`
	// End is up to where everything is published, but for the backlog; zero where the position cannot be read.
	End     time.Time      `json:"end_time,omitzero"`
	Backlog []BacklogRange `json:"backlog"`
	pipeline.Counts

	Saved time.Time `json:"saved_at,omitzero"`
	// Paused tells that an operator has stopped the stream, by itself or with the app.
	Paused bool `json:"paused,omitempty"`
	// Unreadable is why the position cannot be read; nothing else is known then.
	Unreadable string `json:"unreadable,omitempty"`
}

// BacklogRange is a range of history behind a position: it is published up to End, and ends at Until.
type BacklogRange struct {
	End   time.Time `json:"end_time"`
	Until time.Time `json:"until"`
}

// NewPosition is a checkpoint as it is answered.
func NewPosition(cp *pipeline.Checkpoint) Position {
	p := Position{Stream: cp.Stream.String(), Replay: cp.Replay, Backlog: []BacklogRange{}}
	if cp.Damage != nil {
		p.Unreadable = words.Shorten(cp.Damage.Error(), longText)
		return p
	}
	p.End, p.Counts, p.Saved = cp.End.UTC(), cp.Counts, cp.SavedAt.UTC()
	for _, b := range cp.Backlog {
		p.Backlog = append(p.Backlog, BacklogRange{b.End.UTC(), b.Until.UTC()})
	}
	return p
}

// Notices are what consumers were told.
type Notices struct {
	Notices []pipeline.Notice `json:"notices"`
}

// Replay is a replay of an app: one that has positions, or that this process runs.
type Replay struct {
	ID          string `json:"id"`
	TopicPrefix string `json:"topic_prefix"`
	// State is running, complete, stopped or failed of one that this process began; unknown of every other one, which another process or a
	// command may be running.
	State string `json:"state"`
	// From and To are the range, where it is known.
	From    time.Time `json:"from,omitzero"`
	To      time.Time `json:"to,omitzero"`
	Started time.Time `json:"started_at,omitzero"`
	Ended   time.Time `json:"ended_at,omitzero"`
	// Expected is how many rows the range has by the API's totals; 0 where that is not known.
	Expected int64 `json:"expected_rows"`
	// Published and Rejected are sums over all runs of the replay.
	Published int64 `json:"published"`
	Rejected  int64 `json:"rejected"`
	// Error is why it has failed.
	Error   string           `json:"error,omitempty"`
	Streams []ReplayedStream `json:"streams"`
}

// The states of replays and audits.
const (
	StateRunning  = "running"
	StateComplete = "complete"
	StateStopped  = "stopped"
	StateFailed   = "failed"
	StateUnknown  = "unknown"
)

// ReplayedStream is up to where a stream is published again.
type ReplayedStream struct {
	Stream string    `json:"stream"`
	End    time.Time `json:"end_time,omitzero"`
}

const (
	apiPath = "/api/v1"
	// defaultLimit and maxLimit bound how many records are answered.
	defaultLimit, maxLimit = 100, 1000
)

// problem is the body of an answer that is none.
type problem struct {
	Error string `json:"error"`
	// Owner is the process that has the app, where that is known.
	Owner string `json:"owner,omitempty"`
}

func refuse(w http.ResponseWriter, code int, why string) {
	answer(w, code, problem{Error: words.Shorten(why, longText)})
}

// route is a path of the API, below apiPath, with its method, as the document has it.
type route struct {
	pattern string
	handler http.Handler
}

// reading are the routes that change nothing.
func (s *Server) reading() []route {
	made := func(pattern string, fn http.HandlerFunc) route { return route{pattern, inTurn(fn)} }
	all := []route{
		made("GET /overview", s.serveOverview),
		made("GET /history", s.serveHistory),
		made("GET /openapi.json", serveDocument),
		{"GET /events", http.HandlerFunc(s.serveEvents)},
		{"GET /apps/{app_key}", http.HandlerFunc(s.serveApp)},
	}
	if s.opts.Fleet != nil {
		all = append(all, route{"GET /apps", http.HandlerFunc(s.serveFleet)})
	}
	if s.opts.Reader != nil {
		all = append(all,
			s.long("GET /apps/{app_key}/coverage", func(ctx context.Context, name status.AppName, q Question) (any, error) {
				return s.opts.Reader.Coverage(ctx, name, q)
			}),
			s.long("GET /apps/{app_key}/windows", func(ctx context.Context, name status.AppName, q Question) (any, error) {
				return s.opts.Reader.Windows(ctx, name, q)
			}),
			s.long("GET /apps/{app_key}/checkpoints", s.checkpoints),
			s.long("GET /notices", func(ctx context.Context, name status.AppName, q Question) (any, error) {
				return s.opts.Reader.Notices(ctx, name, q)
			}),
			s.long("GET /apps/{app_key}/notices", func(ctx context.Context, name status.AppName, q Question) (any, error) {
				return s.opts.Reader.Notices(ctx, name, q)
			}),
			route{"GET /apps/{app_key}/replays", http.HandlerFunc(s.serveReplays)},
		)
	}
	return all
}

// serveAPI adds routes below apiPath. What is not there is answered as the API answers.
func serveAPI(mux *http.ServeMux, routes []route) {
	for _, one := range routes {
		method, path, _ := strings.Cut(one.pattern, " ")
		mux.Handle(method+" "+apiPath+path, one.handler)
	}
	mux.HandleFunc("GET "+apiPath+"/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, "there is no such path; "+apiPath+"/openapi.json has all of them")
	})
}

func serveDocument(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(document) // A client that went away is no news.
}

// appOf is the app that a request names.
func appOf(r *http.Request) status.AppName {
	return status.AppName{AppKey: r.PathValue("app_key"), TopicPrefix: r.URL.Query().Get("topic_prefix")}
}

func (s *Server) serveOverview(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, s.overview())
}

// Overview is what is told of the whole process.
type Overview struct {
	*status.Overview

	// Process is what this process is called, Members are those of its group, itself among them, as they were asked last; empty before.
	Process string         `json:"process"`
	Members []fleet.Member `json:"members"`
	// Changes tells that there are calls which change something.
	Changes bool `json:"changes"`
}

func (s *Server) overview() *Overview {
	return &Overview{Overview: s.opts.Status.Overview(), Process: s.opts.Process, Members: s.members(), Changes: s.opts.changes()}
}

// serveApp answers with all that this process knows of an app that it has.
func (s *Server) serveApp(w http.ResponseWriter, r *http.Request) {
	name := appOf(r)
	detail, there := s.opts.Status.App(name)
	if there && !detail.Standby {
		answer(w, http.StatusOK, compact{detail})
		return
	}
	p := problem{Error: ErrNoApp.Error()}
	if there {
		p.Error = "another process has the app; ask that one"
	}
	if s.opts.Fleet != nil {
		if found, err := s.fleet.get(r.Context()); err == nil {
			for i := range found.Apps {
				if a := &found.Apps[i]; a.AppKey == name.AppKey && a.Owner != "" && (name.TopicPrefix == "" || name.TopicPrefix == a.TopicPrefix) {
					p.Error, p.Owner = "another process has the app; ask that one", a.Owner
				}
			}
		}
	}
	answer(w, http.StatusNotFound, p)
}

// checkpoints are the positions of the app's streams.
func (s *Server) checkpoints(ctx context.Context, name status.AppName, _ Question) (any, error) {
	all, paused, err := s.opts.Reader.Positions(ctx, name)
	if err != nil {
		return nil, err
	}
	list := []Position{}
	for i := range all {
		if all[i].Replay == "" {
			p := NewPosition(&all[i])
			p.Paused = paused.Has(all[i].Stream)
			list = append(list, p)
		}
	}
	return map[string]any{"checkpoints": list}, nil
}

// serveReplays answers with those that have positions, and those that this process has begun, as they are now.
func (s *Server) serveReplays(w http.ResponseWriter, r *http.Request) {
	name := appOf(r)
	if _, err := questionOf(r.URL.Query()); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	var list []Replay
	text, err := s.reads.get(r.Context(), r.URL.RequestURI(), func(ctx context.Context) ([]byte, error) {
		all, _, failed := s.opts.Reader.Positions(ctx, name)
		if failed != nil {
			return nil, failed
		}
		return json.Marshal(s.replays(name, all))
	})
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil {
		refuse(w, codeOf(err), err.Error())
		return
	}
	if s.opts.Replays != nil {
		for _, ours := range s.opts.Replays.List(name) {
			i := slices.IndexFunc(list, func(one Replay) bool { return one.ID == ours.ID && one.TopicPrefix == ours.TopicPrefix })
			if i < 0 { // It has published nothing yet, or its positions are with its own topics.
				list = append(list, ours)
			} else {
				list[i] = ours
			}
		}
	}
	answer(w, http.StatusOK, compact{map[string]any{"replays": list}})
}

// replays are those that have positions.
func (s *Server) replays(name status.AppName, all []pipeline.Checkpoint) []Replay {
	list := []Replay{}
	at := make(map[string]int)
	for i := range all {
		cp := &all[i]
		if cp.Replay == "" {
			continue
		}
		if _, known := at[cp.Replay]; !known {
			at[cp.Replay] = len(list)
			list = append(list, Replay{ID: cp.Replay, State: StateUnknown, TopicPrefix: s.prefixOf(name), Streams: []ReplayedStream{}})
		}
		r := &list[at[cp.Replay]]
		r.Published += cp.Counts.Published
		r.Rejected += cp.Counts.Rejected
		r.Streams = append(r.Streams, ReplayedStream{cp.Stream.String(), cp.End.UTC()})
	}
	return list
}

// prefixOf is the prefix of an app's topics.
func (s *Server) prefixOf(name status.AppName) string {
	if detail, there := s.opts.Status.App(name); there {
		return detail.TopicPrefix
	}
	return name.TopicPrefix
}

// long is a route that reads topics: one is read at a time, for a while at most, and an answer is given again for some seconds.
func (s *Server) long(pattern string, read func(context.Context, status.AppName, Question) (any, error)) route {
	return route{pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := questionOf(r.URL.Query())
		if err != nil {
			refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		body, err := s.reads.get(r.Context(), r.URL.RequestURI(), func(ctx context.Context) ([]byte, error) {
			found, failed := read(ctx, appOf(r), q)
			if failed != nil {
				return nil, failed
			}
			return json.Marshal(found)
		})
		if err != nil {
			refuse(w, codeOf(err), err.Error())
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = (&words.Writer{Out: w}).Write(append(body, '\n')) // A client that went away is no news.
	})}
}

// codeOf is what an error is answered with.
func codeOf(err error) int {
	_, wrong := errors.AsType[usage.Error](err)
	switch {
	case errors.Is(err, ErrNoApp):
		return http.StatusNotFound
	case wrong:
		return http.StatusBadRequest
	default:
		return http.StatusServiceUnavailable
	}
}

// longestParameter is how many bytes a parameter may have.
const longestParameter = 300

// questionOf reads the parameters of a question.
func questionOf(values url.Values) (Question, error) {
	for name, given := range values {
		switch {
		case len(given) != 1 || len(given[0]) > longestParameter:
			return Question{}, errors.New("the parameter " + strconv.Quote(words.Shorten(name, longestParameter)) + " is given twice, or too long")
		case name == "topic_prefix" || name == "stream" || name == "from" || name == "to" || name == "limit" || name == "cursor":
		default:
			return Question{}, errors.New("there is no parameter " + strconv.Quote(words.Shorten(name, longestParameter)))
		}
	}
	q := Question{Stream: values.Get("stream"), From: values.Get("from"), To: values.Get("to"), Limit: defaultLimit, Cursor: values.Get("cursor")}
	if text := values.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxLimit {
			return q, errors.New("limit: " + strconv.Quote(text) + " is not a number from 1 to " + strconv.Itoa(maxLimit))
		}
		q.Limit = n
	}
	return q, nil
}

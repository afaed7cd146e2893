package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"time"

	"github.com/jmpub/jmpub/internal/status"
	"github.com/jmpub/jmpub/pipeline"
)

// Call says who wants what app to be changed.
type Call struct {
	App status.AppName
	// By is whose token was shown, Remote the address from which.
	By, Remote string
}

// Operator changes what is published. Each change that is made leaves a notice. Errors of an app that the settings do not name are [ErrNoApp],
// those of something that cannot be are [usage.Error]s, and those of something that is at work already have [ErrConflict]. It is used by one
// goroutine at a time.
type Operator interface {
	// Reset sets a position, or has a range published again, as `jmpub checkpoint reset` does.
	Reset(ctx context.Context, c Call, r ResetRequest) (*ResetAnswer, error)
	// Pause stops an app or a stream, or has it go on, whoever publishes it.
	Pause(ctx context.Context, c Call, r PauseRequest, paused bool) (*PauseAnswer, error)
}

// Replays are those that this process runs. They end with it, and the same call goes on with one. See [Operator].
type Replays interface {
	// Start begins a replay, as `jmpub replay` does, and returns when it publishes.
	Start(ctx context.Context, c Call, r ReplayRequest) (*ReplayAnswer, error)
	// Stop ends one, and returns when it has come to its end. Its position stays.
	Stop(ctx context.Context, c Call, id string) (*Replay, error)
	// List are those that were begun, also those that have ended.
	List(app status.AppName) []Replay
}

// Audits are those that this process runs. They end with it. See [Operator].
type Audits interface {
	// Start begins an audit, as `jmpub audit` does, and returns when it is known what it takes.
	Start(ctx context.Context, c Call, r AuditRequest) (*AuditAnswer, error)
	// Audit is what one has found; not ok where there is none.
	Audit(app status.AppName, id string) (found *Audit, ok bool)
}

// ErrConflict is in the error of what is at work already, or done.
var ErrConflict = errors.New("nothing was changed")

// ResetRequest is To, or From and To, of a stream. Times are in the forms that commands take.
type ResetRequest struct {
	Stream string `json:"stream"`
	From   string `json:"from"`
	To     string `json:"to"`
	// DryRun has nothing changed: the answer says what would be.
	DryRun bool `json:"dry_run"`
}

// ResetAnswer says what a reset brings about, and the position that the stream has then; nil where nothing was changed.
type ResetAnswer struct {
	DryRun   bool      `json:"dry_run"`
	Question string    `json:"question"`
	Position *Position `json:"position,omitempty"`
}

// PauseRequest is of a stream, or of the whole app where none is named.
type PauseRequest struct {
	Stream string `json:"stream"`
}

// PauseAnswer is what is paused of an app.
type PauseAnswer struct {
	App     bool     `json:"app"`
	Streams []string `json:"streams"`
	// Text says what it means.
	Text string `json:"text"`
}

// ReplayRequest is a range to publish again.
type ReplayRequest struct {
	From        string   `json:"from"`
	To          string   `json:"to"`
	Streams     []string `json:"streams"`
	ID          string   `json:"id"`
	TopicPrefix string   `json:"topic_prefix"`
	DryRun      bool     `json:"dry_run"`
}

// Cost is what reading a range would take.
type Cost struct {
	Rows     int64   `json:"rows"`
	Windows  int64   `json:"windows"`
	Requests int64   `json:"requests"`
	Seconds  float64 `json:"seconds"`
}

// ReplayAnswer says what a replay takes, and which one it is; nil where nothing was begun.
type ReplayAnswer struct {
	DryRun   bool    `json:"dry_run"`
	Question string  `json:"question"`
	Cost     Cost    `json:"cost"`
	Replay   *Replay `json:"replay,omitempty"`
}

// AuditRequest is a range to compare with the API's totals.
type AuditRequest struct {
	From    string   `json:"from"`
	To      string   `json:"to"`
	Streams []string `json:"streams"`
	// Repair publishes what is missing.
	Repair bool `json:"repair"`
	DryRun bool `json:"dry_run"`
}

// AuditAnswer says what an audit takes, and which one it is; empty where none was begun.
type AuditAnswer struct {
	DryRun   bool    `json:"dry_run"`
	ID       string  `json:"id,omitempty"`
	Requests int     `json:"requests"`
	Seconds  float64 `json:"seconds"`
}

// Audit is what an audit has found so far.
type Audit struct {
	ID      string    `json:"id"`
	State   string    `json:"state"`
	Repair  bool      `json:"repair"`
	Started time.Time `json:"started_at"`
	Ended   time.Time `json:"ended_at,omitzero"`
	// Asked is how many requests were sent, of about Requests.
	Asked    int `json:"asked"`
	Requests int `json:"requests"`
	// Notes say what limits it, Differences where another number of rows was published than the API has, Holes where nothing was read; the
	// first ones of each, LeftOut is how many more there are.
	Notes       []string          `json:"notes"`
	Differences []AuditDifference `json:"differences"`
	Holes       []AuditHole       `json:"holes"`
	LeftOut     int               `json:"left_out"`
	// Result is nil before the end, Error why it has failed.
	Result *AuditResult `json:"result,omitempty"`
	Error  string       `json:"error,omitempty"`
}

// AuditDifference is a stretch of time of which another number of rows was published than the API has.
type AuditDifference struct {
	Stream string `json:"stream"`
	pipeline.Window

	Missing int   `json:"missing"`
	Extra   int64 `json:"extra"`
	Deleted int64 `json:"deleted"`
}

// AuditHole is time in which nothing was read.
type AuditHole struct {
	Stream string `json:"stream"`
	pipeline.Window
}

// AuditResult is the end of an audit.
type AuditResult struct {
	// Complete tells that everything is published, and nothing else.
	Complete         bool  `json:"complete"`
	Windows          int   `json:"windows"`
	Rows             int64 `json:"rows"`
	Missing          int   `json:"missing"`
	Extra            int64 `json:"extra"`
	Deleted          int64 `json:"deleted"`
	Repaired         int64 `json:"repaired"`
	RepairedByOthers int64 `json:"repaired_by_others"`
	Holes            int   `json:"holes"`
}

const (
	// maxBody bounds the body of a call that changes something, changeTime how long one may take: it may have to wait for others.
	maxBody    = 64 << 10
	changeTime = 2 * time.Minute
	// changeHeader is one that a form of a web page cannot send.
	changeHeader = "X-Jmpub-Request"
)

// changing are the routes that change something. Without a token there are none.
func (s *Server) changing() []route {
	if !s.opts.changes() {
		return nil
	}
	return []route{
		change(s, "POST /apps/{app_key}/reset", http.StatusOK, func(ctx context.Context, c Call, r ResetRequest) (any, string, error) {
			found, err := s.opts.Operator.Reset(ctx, c, r)
			return found, "reset " + r.Stream + dry(r.DryRun), err
		}),
		change(s, "POST /apps/{app_key}/pause", http.StatusOK, func(ctx context.Context, c Call, r PauseRequest) (any, string, error) {
			found, err := s.opts.Operator.Pause(ctx, c, r, true)
			return found, "pause " + r.Stream, err
		}),
		change(s, "POST /apps/{app_key}/resume", http.StatusOK, func(ctx context.Context, c Call, r PauseRequest) (any, string, error) {
			found, err := s.opts.Operator.Pause(ctx, c, r, false)
			return found, "resume " + r.Stream, err
		}),
		change(s, "POST /apps/{app_key}/replays", http.StatusAccepted, func(ctx context.Context, c Call, r ReplayRequest) (any, string, error) {
			found, err := s.opts.Replays.Start(ctx, c, r)
			return found, "replay " + r.From + " to " + r.To + dry(r.DryRun), err
		}),
		change(s, "DELETE /apps/{app_key}/replays/{id}", http.StatusOK, func(ctx context.Context, c Call, r stopRequest) (any, string, error) {
			found, err := s.opts.Replays.Stop(ctx, c, r.id)
			return found, "stop the replay " + r.id, err
		}),
		change(s, "POST /apps/{app_key}/audits", http.StatusAccepted, func(ctx context.Context, c Call, r AuditRequest) (any, string, error) {
			found, err := s.opts.Audits.Start(ctx, c, r)
			return found, "audit " + r.From + " to " + r.To + dry(r.DryRun), err
		}),
		{"GET /apps/{app_key}/audits/{id}", inTurn(http.HandlerFunc(s.serveAudit))},
	}
}

func dry(is bool) string {
	if is {
		return " (dry run)"
	}
	return ""
}

// stopRequest names a replay by its path.
type stopRequest struct{ id string }

func (s *Server) serveAudit(w http.ResponseWriter, r *http.Request) {
	if _, known := callerOf(r.Context()); !known {
		unauthorized(w)
		return
	}
	found, ok := s.opts.Audits.Audit(appOf(r), r.PathValue("id"))
	if !ok {
		refuse(w, http.StatusNotFound, "this process has no such audit: it may have been begun before its last start, or by another process")
		return
	}
	answer(w, http.StatusOK, found)
}

// change is a route that changes something. Who calls it has shown a token and is no web page of somebody else, and its body is a small JSON
// object of what is known. One call is made at a time. What it has come to stands in the log, whoever still listens.
func change[T any](s *Server, pattern string, code int, do func(context.Context, Call, T) (found any, what string, err error)) route {
	return route{pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, known := callerOf(r.Context())
		if !known {
			unauthorized(w)
			return
		}
		if err := s.origin.Check(r); err != nil || r.Header.Get(changeHeader) != "1" {
			refuse(w, http.StatusForbidden, "a call that changes something has the header "+changeHeader+": 1, and comes from no other site's page")
			return
		}
		var request T
		if stop, is := any(&request).(*stopRequest); is {
			stop.id = r.PathValue("id")
		} else if wrong, err := decode(w, r, &request); err != nil {
			refuse(w, wrong, err.Error())
			return
		}
		c := Call{App: appOf(r), By: who.name, Remote: who.address}
		// It goes on when the client leaves: what is half done would have to be found out by somebody.
		ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(r.Context()), changeTime, errors.New("it took longer than "+changeTime.String()))
		defer cancel()
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(changeTime + writeTimeout)) // A test's writer has none.
		select {
		case s.change <- struct{}{}:
			defer func() { <-s.change }()
		case <-ctx.Done():
			refuse(w, http.StatusServiceUnavailable, "other calls are at work; try again later")
			return
		}
		found, what, err := do(ctx, c, request)
		s.reads.forget()
		s.record(ctx, c, what, err)
		switch {
		case errors.Is(err, ErrConflict):
			refuse(w, http.StatusConflict, err.Error())
		case err != nil:
			refuse(w, codeOf(err), err.Error())
		default:
			answer(w, code, found)
		}
	})}
}

// record leaves a line in the log: who has changed what, from where, and what it has come to.
func (s *Server) record(ctx context.Context, c Call, what string, err error) {
	attrs := []slog.Attr{
		slog.String("what", what), slog.String("app_key", c.App.AppKey), slog.String("by", c.By), slog.String("from", c.Remote),
	}
	if err != nil {
		s.opts.Log.LogAttrs(ctx, slog.LevelWarn, "a call through the API failed", append(attrs, slog.Any("error", err))...)
		return
	}
	s.opts.Log.LogAttrs(ctx, slog.LevelInfo, "a call through the API was made", attrs...)
}

// decode reads a request's body. What is wrong with it has a code.
func decode(w http.ResponseWriter, r *http.Request, into any) (code int, err error) {
	if media, _, failed := mime.ParseMediaType(r.Header.Get("Content-Type")); failed != nil || media != "application/json" {
		return http.StatusUnsupportedMediaType, errors.New("the body is JSON, and the Content-Type application/json")
	}
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	body.DisallowUnknownFields()
	err = body.Decode(into)
	if err == nil {
		if _, more := body.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the object")
		}
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return http.StatusRequestEntityTooLarge, errors.New("the body is larger than 64 KiB")
	}
	if err != nil {
		return http.StatusBadRequest, errors.New("the body cannot be read: " + err.Error())
	}
	return 0, nil
}

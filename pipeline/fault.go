package pipeline

import (
	"errors"
	"strings"
	"time"
)

// Class is what an error asks its caller to do. It is set by the adapter, where the status or code is known, and merely
// obeyed further in.
type Class uint8

// The classes.
const (
	// Permanent: only the operator can correct it (credentials, settings, rights). The run ends.
	Permanent Class = iota
	// Transient: the same call may succeed later. [Retry] does it again, in the adapter that made the call.
	Transient
	// Restart: the window must be read anew from its first request.
	Restart
	// Abort: the transaction is over or in doubt. The session begins again from the committed checkpoints.
	Abort
	// Fenced: another writer has taken over. The run ends at once, without touching anything.
	Fenced
	// Drop: this stream cannot be read any more (its user, group or room is gone); the others go on.
	Drop
)

// ErrTooManyRows is the cause of a [Restart] that only plans anew: the first reply has shown that a shorter window suits. Nothing is
// wrong, and nothing was read in vain.
var ErrTooManyRows = errors.New("too many rows for one window")

// String is the class's name in logs and metrics.
func (c Class) String() string {
	switch c {
	case Permanent:
		return "permanent"
	case Transient:
		return "transient"
	case Restart:
		return "restart"
	case Abort:
		return "abort"
	case Fenced:
		return "fenced"
	case Drop:
		return "drop"
	default:
		return "unknown"
	}
}

// Fault is an error with what it asks for.
type Fault struct {
	Class Class
	// Op is what was being done, to what, and begins with a verb: "get page of groups/10055201", "produce to jmessage.single/3".
	Op string
	// Kind is what went wrong, in a word of few: "rate_limited", "network", "not_leader_for_partition". Metrics count by it; it may be empty.
	Kind string
	// Err is the cause.
	Err error
	// Hint is what the operator can do about it; may be empty.
	Hint string
	// After is the shortest wait before the next try that the other side asked for; zero leaves it to the policy.
	After time.Duration
	// Within, in a Transient, bounds the tries: a call that still fails so much later ends with class [Abort], and what it relied on
	// is learned anew. Zero sets no bound.
	Within time.Duration
	// Span, in a Restart, is the window length to use from now on; zero leaves the window as it is.
	Span time.Duration
}

// Error is Op, cause and hint in one line.
func (f *Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.Op)
	if f.Err != nil {
		b.WriteString(": ")
		b.WriteString(f.Err.Error())
	}
	if f.Hint != "" {
		b.WriteString(" (")
		b.WriteString(f.Hint)
		b.WriteString(")")
	}
	return b.String()
}

// Unwrap gives the cause.
func (f *Fault) Unwrap() error { return f.Err }

// KindOf is the kind of the first Fault in err's chain that has one, or else the class of the last one.
func KindOf(err error) string {
	kind := Permanent.String()
	for f, ok := errors.AsType[*Fault](err); ok; f, ok = errors.AsType[*Fault](f.Err) {
		if f.Kind != "" {
			return f.Kind
		}
		kind = f.Class.String()
	}
	return kind
}

// ClassOf is the class of the outermost Fault in err's chain; an error without one is [Permanent].
func ClassOf(err error) Class {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f.Class
	}
	return Permanent
}

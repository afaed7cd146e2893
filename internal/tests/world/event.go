package world

import (
	"fmt"
	"slices"
	"time"
)

// Kind is what happens to the world.
type Kind string

// The kinds. A process that has ended, for whatever reason, is started again after a while, as by a supervisor.
const (
	// Kill ends the process as kill -9 does, Terminate as SIGTERM does.
	Kill      Kind = "kill -9"
	Terminate Kind = "SIGTERM"
	// Pause holds all that the process sends and receives.
	Pause Kind = "process paused"
	// SlowStart does so with the next process when it sends a message while it begins, and not before.
	SlowStart Kind = "next process paused while it begins"
	// Replace starts a second process beside the first, which is ended later on.
	Replace Kind = "replaced by another process"
	// CutKafka and CutAPI keep the process from either; Lossy loses requests and replies of Kafka now and then.
	CutKafka Kind = "cut off from Kafka"
	CutAPI   Kind = "cut off from the API"
	Lossy    Kind = "messages to Kafka get lost"
	Slow     Kind = "messages to Kafka are slow"
	// Broker ends a broker, Brokers all of them at once.
	Broker  Kind = "broker down"
	Brokers Kind = "all brokers down"
	// BadAPI has requests to the API fail in all ways.
	BadAPI Kind = "API misbehaves"
	// LeaveOut has an app of a file stand there no more.
	LeaveOut Kind = "left out of the file"
	// CutGroup keeps the process from its group alone.
	CutGroup Kind = "cut off from the group"
	// Away has no process of any app run.
	Away Kind = "nobody there"
	// Reset and those behind it are what operators do.
	Reset      Kind = "checkpoint reset --to"
	ResetRange Kind = "checkpoint reset --from --to"
	Delete     Kind = "checkpoint delete"
	Replay     Kind = "replay"
	Audit      Kind = "audit --repair"
	Windows    Kind = "windows"
	// PauseStream and ResumeStream are of a stream, or of the whole app.
	PauseStream  Kind = "pause"
	ResumeStream Kind = "resume"
)

// operator tells whether an operator does it.
func (k Kind) operator() bool {
	return slices.Contains([]Kind{Reset, ResetRange, Delete, Replay, Audit, Windows, PauseStream, ResumeStream}, k)
}

// Event is something that happens.
type Event struct {
	// At is when, since the world began.
	At   time.Duration
	Kind Kind
	// For is how long it lasts. An operator answers a question that late.
	For time.Duration
	// Broker is which one ends.
	Broker int
	// From and To are how long before the event a command's range begins and ends.
	From, To time.Duration
	// Dies is how long after its begin a command is killed; never where zero.
	Dies time.Duration
	// App is which one it happens to; what happens to brokers happens to all. Process is to which of its processes, by its place among them.
	App, Process int
	// Stream is which one an operator means, by its place among all.
	Stream int
	// Whole has a command be about all streams.
	Whole bool
	// Message is the one at which a process is stopped that begins, counted from its first one.
	Message int
	// Network is what is wrong with a command's way to Kafka while it begins; nothing where empty.
	Network Kind
	// Elsewhere has a replay publish to topics of its own.
	Elsewhere bool
	// AtCommit has it begin when the process commits next, and lose that request or its reply. A command is cut off from Kafka then.
	AtCommit bool
}

func (e *Event) String() string {
	s := fmt.Sprintf("+%s %s", e.At, e.Kind)
	switch {
	case e.Kind == Reset:
		s += fmt.Sprintf(" %s ago, answered after %s", e.To, e.For)
	case e.Kind == ResetRange || e.Kind == Replay || e.Kind == Audit:
		s += fmt.Sprintf(" %s to %s ago, answered after %s", e.From, e.To, e.For)
	case e.For > 0:
		s += fmt.Sprintf(" for %s", e.For)
	}
	if e.AtCommit {
		s += " at its commit"
	}
	if e.Message > 0 {
		s += fmt.Sprintf(" at its message %d", e.Message)
	}
	switch {
	case e.Kind != PauseStream && e.Kind != ResumeStream:
	case e.Whole:
		s += " the app"
	default:
		s += fmt.Sprintf(" stream %d", e.Stream)
	}
	if e.Kind == Broker {
		s += fmt.Sprintf(", broker %d", e.Broker)
	}
	if e.Network != "" {
		s += ", " + string(e.Network)
	}
	if e.Dies > 0 {
		s += fmt.Sprintf(", killed after %s", e.Dies)
	}
	if e.App > 0 {
		s += fmt.Sprintf(", app %d", e.App)
	}
	if e.Process > 0 {
		s += fmt.Sprintf(", place %d", e.Process)
	}
	return s
}

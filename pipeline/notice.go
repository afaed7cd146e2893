package pipeline

import "time"

// NoticeKind is what a notice tells.
type NoticeKind string

// The notices.
const (
	NoticeGap      NoticeKind = "gap"      // time left the API's history before it was read
	NoticeMismatch NoticeKind = "mismatch" // a window was closed although the rows did not add up to its total
	NoticeRemoved  NoticeKind = "removed"  // a user, group or chatroom was deleted, and its stream is read no longer
	// NoticeReplayStarted comes with a replay's first window, NoticeReplayFinished with its last one.
	NoticeReplayStarted  NoticeKind = "replay_started"
	NoticeReplayFinished NoticeKind = "replay_finished"
	// NoticeLateRows tells that rows appeared in a window after it had been read, and were published then.
	NoticeLateRows NoticeKind = "late_rows"
)

// Notice is what a consumer of the topics must know.
type Notice struct {
	Kind   NoticeKind `json:"kind"`
	AppKey string     `json:"app_key"`
	Stream Stream     `json:"stream"`
	Window
	// Detail is one sentence for people.
	Detail string `json:"detail"`
	// Total is what the API announced, in a mismatch. Rows are those that came then, that a replay read, or that were late.
	Total int64     `json:"total,omitempty"`
	Rows  int64     `json:"rows,omitempty"`
	At    time.Time `json:"at"`
	// Replay is the id of the replay that this is about.
	Replay string `json:"replay,omitempty"`
}

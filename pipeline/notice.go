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
	// NoticeAdmin tells that somebody has changed something through the API, or has paused or resumed by command.
	NoticeAdmin NoticeKind = "admin"
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
	// Admin is who has changed something, and what; nil of every other kind.
	Admin *Admin `json:"admin,omitempty"`
}

// Admin is a change that somebody has made through the API, or a pause or resume by command.
type Admin struct {
	// Action is reset, replay, replay_stop, audit, pause or resume.
	Action string `json:"action"`
	// App tells that it is about the whole app: the notice's stream is then the first one that the settings name.
	App bool `json:"app,omitempty"`
	// By is the name of the token, Remote the address from which the call came; of a command, the user and the host.
	By     string `json:"by"`
	Remote string `json:"remote"`
}

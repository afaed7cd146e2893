// Package event is the transform stage: it turns a row as the Report API sent it into an event, or into a rejection that says why
// it cannot be one, and an event back into its row. It is pure: the same bytes in, the same bytes out.
//
// From v0.1.0 on, the JSON and the headers that it makes of a row are bound by docs/schemas/released: a later release may add members, and
// what is there keeps its meaning. For the Go identifiers see Stability in package pipeline.
package event

// Target is the topic that an event goes to, by the row's target_type.
type Target uint8

// The targets. A target_type that is none of the three goes to TargetOther and stays in the event as received.
const (
	TargetSingle Target = iota
	TargetGroup
	TargetChatroom
	TargetOther
	// TargetCount is the number of targets, for arrays indexed by one.
	TargetCount
)

// String is the target's part of the topic name.
func (t Target) String() string {
	return [TargetCount]string{"single", "group", "chatroom", "other"}[t]
}

// TargetNamed is the target of events with a target_type.
func TargetNamed(targetType string) Target {
	for target := range TargetOther {
		if target.String() == targetType {
			return target
		}
	}
	return TargetOther
}

// Event is one normalized row. Value and Conversation are the event's own memory.
type Event struct {
	// MsgID is the row's msgid: the record's key, in decimal, and what identifies a row.
	MsgID int64
	// Target is the topic the event goes to.
	Target Target
	// Conversation is the conversation id, empty where the row names no partner.
	Conversation []byte
	// Time is the event's `time` as it stands in the value (RFC 3339, UTC), empty where the row has no usable clock.
	Time []byte
	// ServerTime and ClientTime are msg_ctime and create_time in milliseconds since 1970; zero where absent or unusable.
	ServerTime, ClientTime int64
	// Value is the event as JSON.
	Value []byte
}

// Reason is why a row was rejected: a short fixed word, fit for a header and a metric's label.
type Reason string

// The reasons.
const (
	ReasonInvalidJSON     Reason = "invalid_json"      // not one JSON value, or not valid UTF-8
	ReasonNotObject       Reason = "not_object"        // JSON, but no object
	ReasonDuplicateField  Reason = "duplicate_field"   // a top-level name stands twice: which one is meant is unknown
	ReasonMsgIDAbsent     Reason = "msgid_absent"      // no msgid
	ReasonMsgIDNotInteger Reason = "msgid_not_integer" // msgid is no integer of 64 bits
	ReasonMsgIDConflict   Reason = "msgid_conflict"    // another row has the same msgid
	ReasonTooLarge        Reason = "too_large"         // the event exceeds the topic's max.message.bytes
	ReasonNotEncodable    Reason = "not_encodable"     // the event cannot be written in the format that is set
)

// Reasons are all that there are.
func Reasons() []Reason {
	return []Reason{
		ReasonInvalidJSON, ReasonNotObject, ReasonDuplicateField, ReasonMsgIDAbsent, ReasonMsgIDNotInteger, ReasonMsgIDConflict,
		ReasonTooLarge, ReasonNotEncodable,
	}
}

// Rejection is a row that cannot become an event; it goes to the rejected topic, whole.
type Rejection struct {
	Row    []byte
	Reason Reason
	// Detail is one sentence for people.
	Detail string
	// MsgID is the row's id where it has one (HasMsgID).
	MsgID    int64
	HasMsgID bool
}

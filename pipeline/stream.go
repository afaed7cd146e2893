package pipeline

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// StreamKind is what a stream is the history of.
type StreamKind string

// The stream kinds, named as the Report API names their paths.
const (
	StreamMessages  StreamKind = "messages"
	StreamUsers     StreamKind = "users"
	StreamGroups    StreamKind = "groups"
	StreamChatrooms StreamKind = "chatrooms"
	// StreamStatistics is the kind of statistics/users, statistics/messages and statistics/groups, which have no rows.
	StreamStatistics StreamKind = "statistics"
)

// Stream is one pageable history of an app: `messages`, `users/{username}`, `groups/{gid}` or `chatrooms/{id}`, or one of
// its statistics. It is comparable.
type Stream struct {
	Kind StreamKind
	// Name is the username, group id or room id, raw (not escaped), or what the statistics are about; empty for messages.
	Name string
}

// maxStreamName bounds a name. JMessage usernames have 4 to 128 bytes (IM REST documents, user registration).
const maxStreamName = 128

// ParseStream reads the form that String writes: everything after the first slash is the name, raw.
func ParseStream(s string) (Stream, error) {
	kind, name, hasName := strings.Cut(s, "/")
	stream := Stream{Kind: StreamKind(kind), Name: name}
	switch stream.Kind {
	case StreamMessages:
		if hasName {
			return Stream{}, fmt.Errorf("stream %q: messages takes no name", s)
		}
		return stream, nil
	case StreamStatistics:
		switch StreamKind(name) {
		case StreamUsers, StreamMessages, StreamGroups:
			return stream, nil
		default:
			return Stream{}, fmt.Errorf("stream %q: there are statistics/users, statistics/messages and statistics/groups", s)
		}
	case StreamUsers, StreamGroups, StreamChatrooms:
	default:
		return Stream{}, fmt.Errorf("stream %q: want messages, users/{username}, groups/{gid} or chatrooms/{id}", s)
	}
	switch {
	case name == "":
		return Stream{}, fmt.Errorf("stream %q: %s needs a name, as in %s/{name}", s, kind, kind)
	case len(name) > maxStreamName:
		return Stream{}, fmt.Errorf("stream %q: the name has %d bytes, more than %d", s, len(name), maxStreamName)
	case !utf8.ValidString(name):
		return Stream{}, fmt.Errorf("stream %q: the name is not valid UTF-8", s)
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return Stream{}, fmt.Errorf("stream %q: the name holds a control character", s)
	case climbs(name):
		return Stream{}, fmt.Errorf("stream %q: a server or a proxy would take the name for another path, however it is escaped", s)
	case name == "*":
		return Stream{}, fmt.Errorf("stream %q: discovery by * is not available; name each one", s)
	case stream.Kind != StreamUsers && strings.Trim(name, "0123456789") != "":
		return Stream{}, fmt.Errorf("stream %q: the id of %s is a number", s, kind)
	}
	return stream, nil
}

// climbs tells whether a part of a name means another path (RFC 3986 §5.2.4), also to those that decode slashes first, take backslashes
// for them, or drop what follows a semicolon.
func climbs(name string) bool {
	for part := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '/' || r == '\\' }) {
		if part, _, _ = strings.Cut(part, ";"); part == "." || part == ".." {
			return true
		}
	}
	return false
}

// ParseStreams reads a comma-separated list. A comma inside a name is written %2C; nothing else is escaped.
func ParseStreams(list string) ([]Stream, error) {
	var streams []Stream
	var errs []error
	seen := make(map[Stream]bool)
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		stream, err := ParseStream(strings.ReplaceAll(item, "%2C", ","))
		switch {
		case err != nil:
			errs = append(errs, err)
		case stream.Kind == StreamStatistics:
			errs = append(errs, fmt.Errorf("stream %q: it has no messages", item))
		case seen[stream]:
			errs = append(errs, fmt.Errorf("stream %q is named twice", item))
		default:
			seen[stream] = true
			streams = append(streams, stream)
		}
	}
	if len(streams) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("no stream is named"))
	}
	return streams, errors.Join(errs...)
}

// String is the stream's name in settings, keys, headers, logs and metrics.
func (s Stream) String() string {
	if s.Name == "" {
		return string(s.Kind)
	}
	return string(s.Kind) + "/" + s.Name
}

// MarshalText writes the form that ParseStream reads.
func (s Stream) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the form that MarshalText writes.
func (s *Stream) UnmarshalText(text []byte) error {
	stream, err := ParseStream(string(text))
	if err != nil {
		return err
	}
	*s = stream
	return nil
}

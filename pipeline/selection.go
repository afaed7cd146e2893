package pipeline

import (
	"errors"
	"fmt"
	"strings"
)

// Selection is what the operator asked for.
type Selection struct {
	// Streams are those that were named and have messages; Statistics are the streams of statistics that were named.
	Streams, Statistics []Stream
	// Discover are the kinds of which every one is read that exists: `users/*`, `groups/*`, `chatrooms/*`.
	Discover []StreamKind
}

// ParseSelection reads a comma-separated list of streams and of kinds with a `*` for the name. A comma inside a name is
// written %2C; nothing else is escaped.
func ParseSelection(list string) (Selection, error) {
	var selection Selection
	var named []string
	var errs []error
	seen := make(map[string]bool)
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		kind, discover := strings.CutSuffix(item, "/*")
		isStatistics := strings.HasPrefix(item, string(StreamStatistics)+"/")
		if !discover && !isStatistics {
			named = append(named, item)
			continue
		}
		if seen[item] {
			errs = append(errs, fmt.Errorf("stream %q is named twice", item))
			continue
		}
		seen[item] = true
		switch kind := StreamKind(kind); {
		case isStatistics:
			stream, err := ParseStream(item)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			selection.Statistics = append(selection.Statistics, stream)
		case kind == StreamUsers || kind == StreamGroups || kind == StreamChatrooms:
			selection.Discover = append(selection.Discover, kind)
		default:
			errs = append(errs, fmt.Errorf("stream %q: there are users/*, groups/* and chatrooms/*", item))
		}
	}
	if rest := strings.Join(named, ","); strings.Trim(rest, ", ") != "" || len(seen) == 0 {
		streams, err := ParseStreams(rest)
		selection.Streams = streams
		errs = append(errs, err)
	}
	return selection, errors.Join(errs...)
}

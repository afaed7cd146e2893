package sim

import (
	"net/http"
	"net/url"
	"strings"
)

// endpoint answers a request that was let in.
type endpoint func(x *exchange) *apiError

// route finds what answers a path, by its raw form: a name in it may have slashes, escaped.
//
//	/v2/messages
//	/v2/{users|groups|chatrooms}/{name}/messages
func (s *Server) route(u *url.URL) (endpoint, *apiError) {
	notFound := &apiError{http.StatusNotFound, codeParameter, "no such path"}
	// RawPath is set where the path was not written as Go would; only then can it be wrong.
	raw := u.RawPath
	if raw == "" {
		raw = u.EscapedPath()
	}
	rest, ok := strings.CutPrefix(raw, "/v2/")
	if !ok {
		return nil, notFound
	}
	segments := strings.Split(rest, "/")
	for i, segment := range segments {
		name, err := url.PathUnescape(segment)
		if err != nil || !isEscaped(segment, "") {
			return nil, parameter("the path is not escaped")
		}
		segments[i] = name
	}
	switch {
	case len(segments) == 1 && segments[0] == "messages":
		return s.messages(stream{}), nil
	case len(segments) == 3 && segments[2] == "messages":
	default:
		return nil, notFound
	}
	which, known := s.history.parseStream(segments[0] + "/" + segments[1])
	if known && which.kind != streamMessages {
		return s.messages(which), nil
	}
	switch segments[0] {
	case "users":
		return nil, &apiError{http.StatusBadRequest, codeNoUser, "no such user"}
	case "groups":
		return nil, &apiError{http.StatusBadRequest, s.GroupCode, "no such group"}
	case "chatrooms":
		return nil, &apiError{http.StatusBadRequest, codeNoRoom, "no such chatroom"}
	default:
		return nil, notFound
	}
}

package sim

import (
	"net/http"
	"net/url"
	"strings"
)

// endpoint answers a request that was let in.
type endpoint func(x *exchange) *apiError

func noSuchPath() *apiError { return &apiError{http.StatusNotFound, codeParameter, "no such path"} }

// route finds what answers a path, by its raw form: a name in it may have slashes, escaped.
//
//	/v2/messages
//	/v2/{users|groups|chatrooms}/{name}/messages
//	/v2/statistic/{users|messages|groups}
//	/v1/users/, /v1/groups/, /v1/chatroom       the lists, which another host has in production
func (s *Server) route(u *url.URL) (endpoint, *apiError) {
	// RawPath is set where the path was not written as Go would; only then can it be wrong.
	raw := u.RawPath
	if raw == "" {
		raw = u.EscapedPath()
	}
	rest, ok := strings.CutPrefix(raw, "/v2/")
	if !ok {
		return s.routeList(raw)
	}
	segments := strings.Split(rest, "/")
	for i, segment := range segments {
		name, err := url.PathUnescape(segment)
		if err != nil || s.Strict && !isEscaped(segment, "") {
			return nil, parameter("the path is not escaped")
		}
		segments[i] = name
	}
	switch {
	case len(segments) == 1 && segments[0] == "messages":
		return s.messages(stream{}), nil
	case len(segments) == 2 && segments[0] == "statistic":
		return s.routeStatistic(segments[1])
	case len(segments) == 3 && segments[2] == "messages":
		return s.routeMember(segments[0], segments[1])
	default:
		return nil, noSuchPath()
	}
}

// routeMember finds the messages of a user, group or room that exists now.
func (s *Server) routeMember(kind, name string) (endpoint, *apiError) {
	which, known := s.history.parseStream(kind + "/" + name)
	if known && which.kind != streamMessages && which.idx >= s.history.churn.gone(s.Now().Unix()) {
		return s.messages(which), nil
	}
	switch kind {
	case "users":
		return nil, &apiError{http.StatusBadRequest, codeNoUser, "no such user"}
	case "groups":
		return nil, &apiError{http.StatusBadRequest, s.GroupCode, "no such group"}
	case "chatrooms":
		return nil, &apiError{http.StatusBadRequest, codeNoRoom, "no such chatroom"}
	default:
		return nil, noSuchPath()
	}
}

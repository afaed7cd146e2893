package sim

import (
	"strconv"
	"time"
)

// maxListed is how many entries a list gives at once: documented for groups (IM REST page), taken to hold for all.
const maxListed = 500

// list is one of the lists of the IM REST API.
type list struct {
	// member is what the entries stand under.
	member string
	size   int
	entry  func(dst []byte, i int) []byte
}

// routeList finds a list by its path. The trailing slashes are as the API's page has them.
func (s *Server) routeList(raw string) (endpoint, *apiError) {
	switch raw {
	case "/v1/users/":
		return s.list(list{"users", s.Users, s.appendUserEntry}), nil
	case "/v1/groups/":
		return s.list(list{"groups", s.Groups, s.appendGroupEntry}), nil
	case "/v1/chatroom":
		return s.list(list{"rooms", s.Rooms, s.appendRoomEntry}), nil
	default:
		return nil, noSuchPath()
	}
}

// list is the endpoint of a list: those that exist when it is asked, the oldest first. So whoever pages through it while one
// is deleted misses one.
func (s *Server) list(l list) endpoint {
	return func(x *exchange) *apiError {
		values, apiErr := s.parseQuery(x.r.URL.RawQuery, "start", "count")
		if apiErr != nil {
			return apiErr
		}
		start, startErr := parseCount(values["start"])
		count, countErr := parseCount(values["count"])
		switch {
		case startErr != nil:
			return parameter("start is not a number from 0 on")
		case countErr != nil || count < 1 || count > maxListed:
			return parameter("count is not between 1 and 500")
		}
		s.counters.lists.Add(1)
		first := s.history.churn.gone(s.Now().Unix())
		count = max(0, min(count, l.size-start))
		dst := strconv.AppendInt([]byte(`{"total":`), int64(l.size), 10)
		dst = strconv.AppendInt(append(dst, `,"start":`...), int64(start), 10)
		dst = strconv.AppendInt(append(dst, `,"count":`...), int64(count), 10)
		dst = append(append(append(dst, `,"`...), l.member...), `":[`...)
		for i := range count {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = l.entry(dst, first+start+i)
		}
		s.send(x, append(dst, "]}"...))
		return nil
	}
}

// parseCount reads a number that is not negative and written in the one usual way.
func parseCount(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err == nil && (n < 0 || strconv.Itoa(n) != text) {
		err = strconv.ErrSyntax
	}
	return n, err
}

// appendTimes writes mtime and ctime, the ends of most entries.
func (s *Server) appendTimes(dst []byte, born int64) []byte {
	at := time.Unix(born, 0).In(s.Zone).Format(time.DateTime)
	dst = append(append(dst, `,"mtime":"`...), at...)
	return append(append(append(dst, `","ctime":"`...), at...), `"}`...)
}

func (s *Server) appendUserEntry(dst []byte, i int) []byte {
	dst = appendUsername(append(dst, `{"username":"`...), i)
	dst = append(dst, '"')
	if i%3 != 0 { // A field that is empty is left out (IM REST page, user information).
		dst = append(append(append(dst, `,"nickname":"`...), s.history.phrases.fromNames[i%len(s.history.phrases.fromNames)]...), '"')
	}
	return s.appendTimes(dst, s.history.churn.born(i, s.Users))
}

func (s *Server) appendGroupEntry(dst []byte, i int) []byte {
	if s.BareGroups {
		return strconv.AppendInt(dst, firstGroup+int64(i), 10)
	}
	dst = strconv.AppendInt(append(dst, `{"gid":`...), firstGroup+int64(i), 10)
	dst = append(dst, `,"name":"jpush","desc":"push","appkey":"`...)
	dst = append(append(dst, s.AppKey...), `","MaxMemberCount":500`...)
	return s.appendTimes(dst, s.history.churn.born(i, s.Groups))
}

func (s *Server) appendRoomEntry(dst []byte, i int) []byte {
	dst = strconv.AppendInt(append(dst, `{"id":`...), firstRoom+int64(i), 10)
	dst = appendUsername(append(dst, `,"owner_username":"`...), s.history.churn.gone(s.Now().Unix()))
	dst = append(append(dst, `","max_member_count":10000,"appkey":"`...), s.AppKey...)
	dst = append(dst, `","name":"test","description":"","total_member_count":2,"ctime":"`...)
	at := time.Unix(s.history.churn.born(i, s.Rooms), 0).In(s.Zone).Format(time.DateTime)
	return append(append(dst, at...), `"}`...)
}

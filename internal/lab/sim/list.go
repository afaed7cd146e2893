package sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxListed is how many entries a list gives at once: documented for groups (IM REST page), taken to hold for all.
const maxListed = 500

// routeList finds a list by its path. The trailing slashes are as the API's page has them; the Java SDK sends none.
func (s *Server) routeList(raw string) (endpoint, *apiError) {
	switch {
	case raw == "/v1/users/", raw == "/v1/users" && !s.Strict:
		return s.list("users", s.Users, s.userEntry), nil
	case raw == "/v1/groups/", raw == "/v1/groups" && !s.Strict:
		return s.list("groups", s.Groups, s.groupEntry), nil
	case raw == "/v1/chatroom", raw == "/v1/chatroom/" && !s.Strict:
		return s.list("rooms", s.Rooms, s.roomEntry), nil
	default:
		return nil, noSuchPath()
	}
}

// list is the endpoint of one of the lists of the IM REST API, whose entries stand under member: those that exist when it is
// asked, the oldest first. So whoever pages through it while one is deleted misses one.
func (s *Server) list(member string, size int, entry func(i int) string) endpoint {
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
		s.counters.count(func(t *Stats) { t.Lists++ })
		first := s.history.churn.gone(s.Now().Unix())
		entries := make([]string, max(0, min(count, size-start)))
		for i := range entries {
			entries[i] = entry(first + start + i)
		}
		s.send(x, fmt.Appendf(nil, `{"total":%d,"start":%d,"count":%d,"%s":[%s]}`,
			size, start, len(entries), member, strings.Join(entries, ",")))
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

// born is when the i-th of a population of n appeared, in local time.
func (s *Server) born(i, n int) string {
	return time.Unix(s.history.churn.born(i, n), 0).In(s.Zone).Format(time.DateTime)
}

func (s *Server) userEntry(i int) string {
	nickname := ""
	if i%3 != 0 { // A field that is empty is left out (IM REST page, user information).
		names := s.history.phrases.fromNames
		nickname = `,"nickname":"` + names[i%len(names)] + `"`
	}
	return fmt.Sprintf(`{"username":"%s"%s,"mtime":"%[3]s","ctime":"%[3]s"}`, Username(i), nickname, s.born(i, s.Users))
}

func (s *Server) groupEntry(i int) string {
	if s.BareGroups {
		return GroupID(i)
	}
	return fmt.Sprintf(`{"gid":%s,"name":"jpush","desc":"push","appkey":"%s","MaxMemberCount":500,"mtime":"%[3]s","ctime":"%[3]s"}`,
		GroupID(i), s.AppKey, s.born(i, s.Groups))
}

func (s *Server) roomEntry(i int) string {
	return fmt.Sprintf(`{"id":%s,"owner_username":"%s","max_member_count":10000,"appkey":"%s",`+
		`"name":"test","description":"","total_member_count":2,"ctime":"%s"}`,
		RoomID(i), Username(s.history.churn.gone(s.Now().Unix())), s.AppKey, s.born(i, s.Rooms))
}

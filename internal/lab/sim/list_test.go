package sim_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
)

// listing is a reply of one of the lists.
type listing struct {
	Total int `json:"total"`
	Start int `json:"start"`
	Count int `json:"count"`
	Users []struct {
		Username string `json:"username"`
		CTime    string `json:"ctime"`
	} `json:"users"`
	Groups []json.RawMessage `json:"groups"`
	Rooms  []struct {
		ID    int64  `json:"id"`
		Owner string `json:"owner_username"`
		CTime string `json:"ctime"`
	} `json:"rooms"`
}

func (l *listing) names(tb testing.TB) []string {
	tb.Helper()
	var names []string
	for _, u := range l.Users {
		names = append(names, u.Username)
	}
	for _, g := range l.Groups {
		id := strings.Trim(string(g), " ")
		var entry struct {
			GID int64 `json:"gid"`
		}
		if json.Unmarshal(g, &entry) == nil {
			id = strconv.FormatInt(entry.GID, 10)
		}
		names = append(names, id)
	}
	for _, r := range l.Rooms {
		names = append(names, strconv.FormatInt(r.ID, 10))
	}
	return names
}

func listed(tb testing.TB, s *sim.Server, path, query string) listing {
	tb.Helper()
	w, _ := send(s, request(tb, s, path+"?"+query))
	var got listing
	if err := json.Unmarshal(w.Body.Bytes(), &got); w.Code != http.StatusOK || err != nil {
		tb.Fatalf("%s?%s: %d %s, %v", path, query, w.Code, w.Body, err)
	}
	if n := len(got.names(tb)); n != got.Count {
		tb.Fatalf("%s?%s: count %d of %d entries", path, query, got.Count, n)
	}
	return got
}

func TestListsArePaged(t *testing.T) {
	t.Parallel()
	for _, bare := range []bool{false, true} {
		s := newSim(t, func(o *sim.Options) { o.Users, o.Groups, o.Rooms, o.BareGroups = 1203, 501, 7, bare })
		for _, c := range []struct {
			path string
			size int
			name func(int) string
		}{{"/v1/users/", 1203, sim.Username}, {"/v1/groups/", 501, sim.GroupID}, {"/v1/chatroom", 7, sim.RoomID}} {
			var got, want []string
			for start := 0; ; start += 500 {
				page := listed(t, s, c.path, "start="+strconv.Itoa(start)+"&count=500")
				if page.Total != c.size || page.Start != start {
					t.Fatalf("%s: total %d, start %d; want %d, %d", c.path, page.Total, page.Start, c.size, start)
				}
				if page.Count == 0 {
					break
				}
				got = append(got, page.names(t)...)
			}
			for i := range c.size {
				want = append(want, c.name(i))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %d entries, want %d", c.path, len(got), len(want))
			}
		}
	}
}

func TestListsAreRefused(t *testing.T) {
	t.Parallel()
	s := newSim(t, nil)
	for _, path := range []string{"/v1/users/", "/v1/groups/", "/v1/chatroom"} {
		for _, query := range []string{
			"", "start=0", "count=1", "start=-1&count=1", "start=0&count=0", "start=0&count=501", "start=00&count=1",
			"start=0&count=1&page=1", "start=x&count=1", "start=0&count=1e2",
		} {
			if status, got := ask(t, s, path+"?"+query); status != http.StatusBadRequest || got.Error.Code != 899003 {
				t.Errorf("%s?%s: %d, code %d; want 400, code 899003", path, query, status, got.Error.Code)
			}
		}
	}
	for _, path := range []string{"/v1/users", "/v1/groups", "/v1/chatroom/", "/v1/chatrooms", "/v1/", "/v2/users/"} {
		if status, _ := ask(t, s, path+"?start=0&count=1"); status != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, status)
		}
	}
	r := request(t, s, "/v1/users/?start=0&count=1")
	r.Header.Del("Authorization")
	if w, got := send(s, r); w.Code != http.StatusUnauthorized || got.Error.Code != 899007 {
		t.Errorf("without credentials: %d, code %d", w.Code, got.Error.Code)
	}
}

// TestChurn lets the oldest of each kind go and a new one come, every minute.
func TestChurn(t *testing.T) {
	t.Parallel()
	s, at := settable(t, func(o *sim.Options) {
		o.Users, o.Groups, o.Rooms = 4, 3, 2
		o.ChurnEvery, o.ChurnSince = time.Minute, now
	})
	kinds := []struct {
		path, stream string
		size, code   int
		name         func(int) string
	}{
		{"/v1/users/", "users/", 4, 899002, sim.Username},
		{"/v1/groups/", "groups/", 3, 899006, sim.GroupID},
		{"/v1/chatroom", "chatrooms/", 2, 899081, sim.RoomID},
	}
	for gone := range 9 {
		*at = now.Add(time.Duration(gone)*time.Minute + time.Second)
		for _, c := range kinds {
			var want []string
			for i := range c.size {
				want = append(want, c.name(gone+i))
			}
			got := listed(t, s, c.path, "start=0&count=500")
			if names := got.names(t); !slices.Equal(names, want) {
				t.Errorf("after %d: %s has %v, want %v", gone, c.path, names, want)
			}
			for i := range gone + c.size + 2 {
				there := i >= gone && i < gone+c.size
				status, got := ask(t, s, path(c.stream+c.name(i))+"?"+window(s, *at, *at, 1))
				if there && status != http.StatusOK || !there && got.Error.Code != c.code {
					t.Errorf("after %d: messages of %s%s: %d, code %d", gone, c.stream, c.name(i), status, got.Error.Code)
				}
			}
		}
	}
	if got := listed(t, s, "/v1/users/", "start=3&count=1").Users[0].CTime; got != "2026-11-20 20:08:00" {
		t.Errorf("the newest was born at %s, want the eighth minute, local time", got)
	}
}

// TestRowsAreOfThoseThatExist looks at the rows of a time in which the population changes.
func TestRowsAreOfThoseThatExist(t *testing.T) {
	t.Parallel()
	begin := now.Add(-10 * time.Minute)
	s := newSim(t, func(o *sim.Options) {
		o.Users, o.Groups, o.Rooms, o.Rate = 5, 5, 5, 20
		o.ChurnEvery, o.ChurnSince = time.Minute, begin
	})
	whole := 0
	for minute := range 10 {
		from := begin.Add(time.Duration(minute) * time.Minute)
		allowed := make(map[string]bool)
		for i := range 5 {
			for _, name := range []string{sim.Username(minute + i), sim.GroupID(minute + i), sim.RoomID(minute + i)} {
				allowed[name] = true
			}
		}
		for r := range s.Truth(sim.Range{Begin: from, End: from.Add(time.Minute - time.Millisecond)}) {
			var row struct {
				From   string `json:"from_id"`
				Target string `json:"target_id"`
			}
			if err := json.Unmarshal(r.Raw, &row); err != nil {
				t.Fatal(err)
			}
			if !allowed[row.Target] || !allowed[row.From] && row.From != "admin_01" {
				t.Fatalf("minute %d: from %s to %s", minute, row.From, row.Target)
			}
			whole++
		}
	}
	// Streams divide the rows, those of the deleted included.
	parts := 0
	for i := range 15 {
		parts += len(truth(s, begin, now.Add(-time.Millisecond), "groups/"+sim.GroupID(i)))
		parts += len(truth(s, begin, now.Add(-time.Millisecond), "chatrooms/"+sim.RoomID(i)))
	}
	if parts == 0 || parts >= whole {
		t.Errorf("%d rows of groups and rooms, of %d", parts, whole)
	}
	// Totals count them in the same way as pages do.
	last := "groups/" + sim.GroupID(12)
	total, rows := pages(t, s, path(last), begin, now.Add(-time.Second), 100)
	if want := truth(s, begin, now.Add(-time.Millisecond), last); total != int64(len(want)) || !slices.Equal(rows, want) {
		t.Errorf("%s: total %d, %d rows; want %d", last, total, len(rows), len(want))
	}
}

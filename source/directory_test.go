package source

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/internal/lab/sim"
	"github.com/jmpub/jmpub/internal/secret"
	"github.com/jmpub/jmpub/pipeline"
	"github.com/jmpub/jmpub/pipeline/discovery"
)

// roll is a list that a test changes between requests. Like a server that is asked for too many, it may give fewer.
type roll struct {
	mu    sync.Mutex
	names []string
	asked []string
	most  int
	total func(n int) string
	// after is called behind each reply, with their number.
	after func(n int)
}

func (r *roll) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, req.URL.RequestURI())
	start, _ := strconv.Atoi(req.URL.Query().Get("start"))
	count, _ := strconv.Atoi(req.URL.Query().Get("count"))
	part := r.names[min(start, len(r.names)):min(start+min(count, r.most), len(r.names))]
	var entries []string
	for _, name := range part {
		entries = append(entries, fmt.Sprintf(`{"x":[1],"username":%q}`, name))
	}
	w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
	fmt.Fprintf(w, `{%s"start":%d,"count":%d,"users":[%s]}`, r.total(len(r.names)), start, len(part), strings.Join(entries, ","))
	if r.after != nil {
		r.after(len(r.asked))
	}
}

func totalOf(n int) string { return fmt.Sprintf(`"total":%d,`, n) }

func names(first, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("user_%04d", first+i)
	}
	return all
}

func namesIn(l discovery.Listing) []string {
	var all []string
	for _, s := range l.Streams {
		all = append(all, s.Name)
	}
	return all
}

func TestListsAreReadWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		none := func(int) string { return "" }
		for _, n := range []int{0, 1, 99, 100, 101, 499, 500, 501, 999, 1000, 1300} {
			for name, r := range map[string]*roll{
				"as documented": {most: 500, total: totalOf}, "smaller pages": {most: 100, total: totalOf}, "no total": {most: 500, total: none},
			} {
				r.names = names(0, n)
				got, err := newTestClient(t, testConfig(r)).List(t.Context(), pipeline.StreamUsers)
				if err != nil || !got.Whole || !slices.Equal(namesIn(got), r.names) {
					t.Errorf("%s: %d of %d, whole: %v, %v", name, len(got.Streams), n, got.Whole, err)
				}
			}
		}
		low := &roll{most: 500, total: func(int) string { return `"total":3,` }, names: names(0, 1200)}
		got, err := newTestClient(t, testConfig(low)).List(t.Context(), pipeline.StreamUsers)
		if err != nil || len(got.Streams) != 1200 || got.Whole {
			t.Errorf("a total too low: %d of 1200, whole: %v, %v; want all, but not whole", len(got.Streams), got.Whole, err)
		}
	})
}

// TestListsThatMove deletes an entry between two pages: the one that moves to the page before must not be missed.
func TestListsThatMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &roll{most: 500, total: totalOf, names: names(0, 1200)}
		r.after = func(n int) {
			if n == 1 {
				r.names = r.names[1:]
			}
		}
		got, err := newTestClient(t, testConfig(r)).List(t.Context(), pipeline.StreamUsers)
		if err != nil || !got.Whole || len(got.Streams) != 1200 {
			t.Errorf("%d streams, whole: %v, %v; want the 1200 that were there", len(got.Streams), got.Whole, err)
		}
		r = &roll{most: 500, total: totalOf, names: names(0, 1200)}
		r.after = func(n int) { r.names = append(r.names[1:], names(1199+n, 1)...) }
		got, err = newTestClient(t, testConfig(r)).List(t.Context(), pipeline.StreamUsers)
		if err != nil || got.Whole || len(got.Streams) < 1200 || len(r.asked) > 12 {
			t.Errorf("%d streams, whole: %v, %d requests, %v; want an end to it", len(got.Streams), got.Whole, len(r.asked), err)
		}
	})
}

func TestListRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for kind, c := range map[pipeline.StreamKind]struct {
			path, body string
			want       []string
		}{
			pipeline.StreamUsers:  {"/v1/users/", `{"total":1,"users":[{"nickname":"x","username":"用户"}]}`, []string{"users/用户"}},
			pipeline.StreamGroups: {"/v1/groups/", `{"groups":[{"gid":12345},{"gid":"7","MaxMemberCount":1}],"total":2}`, []string{"groups/12345", "groups/7"}},
			pipeline.StreamChatrooms: {
				"/v1/chatroom", `{"total":2,"rooms":[9,{"id":62,"owner_username":"x"}],"start":0,"count":2}`, []string{"chatrooms/9", "chatrooms/62"},
			},
		} {
			s := &script{answers: []answer{{body: c.body, date: time.Hour}}}
			cfg := testConfig(s)
			cfg.ListsURL = "https://im.test/v1/"
			client := newTestClient(t, cfg)
			got, err := client.List(t.Context(), kind)
			var streams []string
			for _, stream := range got.Streams {
				streams = append(streams, stream.String())
			}
			if err != nil || !slices.Equal(streams, c.want) {
				t.Errorf("%s: %v, %v; want %v", kind, streams, err, c.want)
			}
			if want := []string{c.path + "?start=0&count=500"}; !slices.Equal(s.requests(), want) {
				t.Errorf("asked %q, want %q", s.requests(), want)
			}
			if _, known := client.clock.now(); known {
				t.Error("the clock of another host was taken for the API's")
			}
		}
	})
}

func TestListFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			a     answer
			class pipeline.Class
			says  string
		}{
			{answer{status: 404}, pipeline.Drop, "JMPUB_IM_URL"},
			{answer{status: 403, body: apiErrorBody(1)}, pipeline.Drop, "right"},
			{answer{body: `{"total":1,"users":[{"name":"x"}]}`}, pipeline.Restart, "no username"},
			{answer{body: `{"total":1,"groups":[1]}`}, pipeline.Restart, "no list"},
			{answer{body: `{"total":1,"users":[{]}`}, pipeline.Restart, "reply"},
			{answer{status: 401, body: apiErrorBody(899008)}, pipeline.Permanent, "JMPUB_MASTER_SECRET"},
		} {
			_, err := newTestClient(t, testConfig(&script{answers: []answer{c.a}})).List(t.Context(), pipeline.StreamUsers)
			if fault := wantFault(t, err, c.class); !strings.Contains(fault.Error(), c.says) {
				t.Errorf("%v; want %q in it", err, c.says)
			}
		}
	})
}

func TestNamesThatNoStreamCanHave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{{body: `{"total":3,"users":[{"username":"a\u0000"},{"username":""},{"username":"good"}]}`}}}
		cfg := testConfig(s)
		var warned []string
		cfg.Warn = func(message string, attrs ...slog.Attr) { warned = append(warned, fmt.Sprint(message, attrs)) }
		got, err := newTestClient(t, cfg).List(t.Context(), pipeline.StreamUsers)
		if err != nil || !slices.Equal(namesIn(got), []string{"good"}) || len(warned) != 1 || !strings.Contains(warned[0], "entries=2") {
			t.Errorf("%v, %v, warned %q", namesIn(got), err, warned)
		}
	})
}

// TestListsOfTheSimulator reads a population that changes all the time, with faults.
func TestListsOfTheSimulator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := sim.Defaults()
		o.Users, o.Groups, o.Rooms = 1600, 501, 3
		o.ChurnEvery, o.ChurnSince = time.Second, time.Now()
		o.Truncated, o.HTMLError, o.Dropped = 0.1, 0.1, 0.1
		api, err := sim.New(o)
		if err != nil {
			t.Fatal(err)
		}
		cfg := testConfig(api)
		cfg.AppKey, cfg.MasterSecret = o.AppKey, secret.New(o.MasterSecret)
		cfg.ListsURL = "https://sim.test/v1"
		c := newTestClient(t, cfg)
		for _, kind := range []pipeline.StreamKind{pipeline.StreamUsers, pipeline.StreamGroups, pipeline.StreamChatrooms} {
			for range 3 {
				before := int(time.Since(o.ChurnSince) / time.Second)
				got, err := c.List(t.Context(), kind)
				if err != nil {
					t.Fatal(err)
				}
				after := int(time.Since(o.ChurnSince) / time.Second)
				size, name := o.Users, sim.Username
				switch kind {
				case pipeline.StreamGroups:
					size, name = o.Groups, sim.GroupID
				case pipeline.StreamChatrooms:
					size, name = o.Rooms, sim.RoomID
				default:
				}
				listed := make(map[string]bool)
				for _, n := range namesIn(got) {
					listed[n] = true
				}
				missed := 0
				for i := after; i < before+size; i++ { // Those that were there all the time.
					if !listed[name(i)] {
						missed++
					}
				}
				if missed > 0 && got.Whole {
					t.Errorf("%s: %d of %d were missed, and it is called whole", kind, missed, size)
				}
				time.Sleep(time.Minute)
			}
		}
		if refused := api.Stats().Refused; refused != 0 {
			t.Errorf("%d requests were refused", refused)
		}
	})
}

func FuzzDecodeList(f *testing.F) {
	f.Add([]byte(`{"total":2,"start":0,"count":2,"users":[{"username":"a","nickname":null},{"username":"b"}]}`))
	f.Add([]byte(`{"users":[1,"x"]}`))
	f.Add([]byte(`{"users":null,"total":0}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := decodeList(body, "users", "username")
		if again, againErr := decodeList(body, "users", "username"); !slices.Equal(got.names, again.names) || (err == nil) != (againErr == nil) {
			t.Fatalf("%v, %v; and then %v, %v", got, err, again, againErr)
		}
	})
}

func TestListsAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(&script{answers: []answer{{body: `{"total":0,"rooms":null}`}}})
		for _, wrong := range []string{"im.test/v1", "ftp://im.test", "https://u:p@im.test/v1", "https://im.test/v1?x"} {
			cfg.ListsURL = wrong
			if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "JMPUB_IM_URL") || strings.Contains(err.Error(), "u:p") {
				t.Errorf("%s: %v; want the setting named", wrong, err)
			}
		}
		var warned []string
		cfg.Warn = func(message string, attrs ...slog.Attr) { warned = append(warned, fmt.Sprint(message, attrs)) }
		cfg.ListsURL = "http://im.test/v1"
		c := newTestClient(t, cfg)
		for range 2 {
			if _, err := c.List(t.Context(), pipeline.StreamChatrooms); err != nil {
				t.Fatal(err)
			}
		}
		if len(warned) != 1 || !strings.Contains(warned[0], "JMPUB_IM_URL") {
			t.Errorf("warned %q, want once that it is not https", warned)
		}
	})
}

package sim

import (
	"fmt"
	"net/http"
	"strings"
)

// Many is the API of several apps, told apart by the key that a request is sent with. Safe for concurrent use.
type Many struct {
	apps  map[string]*Server
	first *Server
}

var _ http.Handler = (*Many)(nil)

// NewMany makes the API of several apps, each with options of its own.
func NewMany(all []Options) (*Many, error) {
	m := &Many{apps: make(map[string]*Server, len(all))}
	for _, o := range all {
		s, err := New(o)
		if err != nil {
			return nil, err
		}
		if m.apps[o.AppKey] = s; m.first == nil {
			m.first = s
		}
	}
	if len(m.apps) != len(all) || m.first == nil {
		return nil, fmt.Errorf("simulated API: %d apps have %d different keys", len(all), len(m.apps))
	}
	return m, nil
}

// Alike are the options of n apps that differ in their keys, made of o's, and in their histories.
func Alike(o Options, n int) []Options {
	const digits = 6
	all := make([]Options, n)
	for i := range all {
		all[i] = o
		all[i].AppKey = fmt.Sprintf("%s%0*d", o.AppKey[:max(0, len(o.AppKey)-digits)], digits, i+1)
		all[i].Seed = o.Seed + uint64(i)
	}
	return all
}

// AppsFile is the file that names the apps to jmpub.
func AppsFile(all []Options) string {
	var b strings.Builder
	b.WriteString("apps:\n")
	for i := range all {
		fmt.Fprintf(&b, "  - {app_key: %q, master_secret: %q}\n", all[i].AppKey, all[i].MasterSecret)
	}
	return b.String()
}

// App is the API of one app; nil of a key that is unknown.
func (m *Many) App(key string) *Server { return m.apps[key] }

// ServeHTTP answers as the API of the app by whose key the request is sent, under /sim/ by that of ?app=, and where there is no such app as any
// would.
func (m *Many) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, _, _ := r.BasicAuth()
	if strings.HasPrefix(r.URL.Path, "/sim/") {
		key = r.URL.Query().Get("app")
	}
	app := m.apps[key]
	if app == nil {
		app = m.first
	}
	app.ServeHTTP(w, r)
}

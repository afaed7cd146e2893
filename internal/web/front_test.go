package web

import (
	"net/http"
	"strings"
	"testing"
)

// Browsers are shown the page and programs the list of paths: on this machine, and elsewhere where there are tokens that the page can ask for.
func TestFrontPage(t *testing.T) {
	html := header("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	without := header("Authorization")
	s := apiServer()
	none := New(Options{Status: s.opts.Status})
	for _, c := range []struct {
		name   string
		server *Server
		local  bool
		accept func(*http.Request)
		want   string
		files  int
	}{
		{"a browser here", s, true, html, "<!doctype html>", http.StatusOK},
		{"a program here", s, true, header("Accept", "*/*"), "\n/healthz\n", http.StatusOK},
		{"a browser elsewhere", s, false, html, "<!doctype html>", http.StatusOK},
		{"a browser elsewhere, without tokens", none, false, html, "\n/healthz\n", http.StatusNotFound},
		{"a browser here, without tokens", none, true, html, "<!doctype html>", http.StatusOK},
	} {
		to := func(path string) func(*http.Request) { return func(r *http.Request) { r.URL.Path = path } }
		w := ask(t, c.server.root(c.local), http.MethodGet, "/", "", to("/"), without, c.accept)
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), c.want) || w.Header().Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %d, %.60q, %v", c.name, w.Code, w.Body, w.Header())
		}
		if w := ask(t, c.server.root(c.local), http.MethodGet, "/", "", to("/page/js/main.js"), without); w.Code != c.files {
			t.Errorf("%s: the page's files are answered with %d, want %d", c.name, w.Code, c.files)
		}
	}
}

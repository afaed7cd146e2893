// Package page has the page for people: HTML, CSS and modules that the browser loads as they are. It shows what /api/v1 answers, and knows
// nothing else. What comes from outside (names of streams, errors) becomes text, never HTML, and the policy that goes with each file lets
// nothing run that does not come from here.
package page

import (
	"embed"
	"net/http"
	"path"
)

//go:embed index.html page.css icon.svg words.json js vendor
var files embed.FS

// policy is the Content-Security-Policy of the page: everything comes from this server, and nothing stands in the document itself.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Prefix is the path below which the page's files are; its index is wherever [Index] is served, at a path that ends in a slash.
const Prefix = "/page/"

// Index serves the page itself.
func Index() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { serve(w, "index.html") })
}

// Files serves what the page loads, below [Prefix].
func Files() http.Handler {
	return http.StripPrefix(Prefix, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serve(w, r.URL.Path) }))
}

func serve(w http.ResponseWriter, name string) {
	body, err := files.ReadFile(name)
	if err != nil {
		http.Error(w, "the page has no such file", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", kindOf(name))
	w.Header().Set("Content-Security-Policy", policy)
	_, _ = w.Write(body) //nolint:gosec // A file of this binary. A client that went away is no news.
}

// kindOf is the media type of a file. The machine's own tables say something else here and there, and browsers run no module of another type.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".json":
		return "application/json"
	case ".svg":
		return "image/svg+xml"
	default:
		return "text/plain; charset=utf-8"
	}
}

package page

import (
	"encoding/json"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The languages have the same words, with the same values in them.
func TestLanguages(t *testing.T) {
	t.Parallel()
	words := dictionary(t)
	if got := slices.Sorted(maps.Keys(words)); !slices.Equal(got, []string{"en", "zh"}) {
		t.Fatalf("the languages are %q", got)
	}
	value := regexp.MustCompile(`\{\w+\}`)
	for key, text := range words["en"] {
		other, there := words["zh"][key]
		if !there || other == "" || text == "" {
			t.Errorf("%s: %q in English, %q in Chinese", key, text, other)
			continue
		}
		values := func(text string) []string { return slices.Sorted(slices.Values(value.FindAllString(text, -1))) }
		// The words of one say the number themselves.
		if got, want := values(other), values(text); !slices.Equal(got, want) && !strings.HasSuffix(key, ".one") {
			t.Errorf("%s: %q has %q, %q has %q", key, text, want, other, got)
		}
	}
	for key := range words["zh"] {
		if _, there := words["en"][key]; !there {
			t.Errorf("%s is in Chinese alone", key)
		}
	}
}

// Each word that the modules ask for is there, and each that is there is asked for. Of those that are put together, as in
// t(`hint.${state}`), the beginning is looked for.
func TestWordsAreUsed(t *testing.T) {
	t.Parallel()
	words, modules := dictionary(t)["en"], modules(t)
	named := regexp.MustCompile(`"([a-z_]+(?:\.[a-z_]+)+|[a-z]+)"|data-word="(\w+)"`)
	begun := regexp.MustCompile("`([a-z]+)\\.\\$\\{")
	used, begins := make(map[string]bool), make(map[string]bool)
	for _, text := range modules {
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			used[m[1]+m[2]] = true
		}
		for _, m := range begun.FindAllStringSubmatch(text, -1) {
			begins[m[1]] = true
		}
		for _, m := range regexp.MustCompile(`\bt\("([^"]+)"|name: "([a-z_]+\.[a-z_]+)"|new Chart\("([^"]+)"`).FindAllStringSubmatch(text, -1) {
			if key := m[1] + m[2] + m[3]; words[key] == "" {
				t.Errorf("there is no word %q", key)
			}
		}
	}
	for key := range words {
		first, _, _ := strings.Cut(key, ".")
		if !used[strings.TrimSuffix(key, ".one")] && !begins[first] {
			t.Errorf("nothing asks for %q", key)
		}
	}
}

// Nothing in the page makes HTML of text, and nothing stands in the document that the policy forbids.
func TestNothingIsParsed(t *testing.T) {
	t.Parallel()
	parsing := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|createContextualFragment|setAttribute\("style"`)
	inline := regexp.MustCompile(`(?i)\sstyle=|\son\w+=|<style|<script(?:\s+(?:type|defer)[^>]*)?>[^<]|https?://`)
	for name, text := range modules(t) {
		if found := parsing.FindString(text); found != "" && path.Ext(name) == ".js" {
			t.Errorf("%s has %q", name, found)
		}
		if found := inline.FindString(text); found != "" && path.Ext(name) == ".html" {
			t.Errorf("%s has %q", name, found)
		}
	}
}

// All files are served with a type that browsers take, and with the policy; what is not there is not found.
func TestFiles(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", Index())
	mux.Handle("GET "+Prefix, Files())
	ask := func(from string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, from, http.NoBody))
		return w
	}
	seen := 0
	for _, name := range append(names(t), "/") {
		w := ask(strings.Replace(Prefix+name, Prefix+"/", "/", 1))
		seen++
		kind := w.Header().Get("Content-Type")
		if w.Code != http.StatusOK || w.Body.Len() == 0 || kind == "" {
			t.Errorf("%s: code %d, %d bytes of %q", name, w.Code, w.Body.Len(), kind)
		}
		if policy := w.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'; script-src 'self';") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the policy is %q", name, policy)
		}
		if path.Ext(name) == ".js" && kind != "text/javascript; charset=utf-8" {
			t.Errorf("%s is %q, which is no module", name, kind)
		}
	}
	if seen < 15 {
		t.Errorf("the page has %d files", seen)
	}
	for _, name := range []string{"page.go", "page_test.go", "js", "..%2fpage.go", "none.js"} {
		if w := ask(Prefix + name); w.Code != http.StatusNotFound {
			t.Errorf("%s: code %d", name, w.Code)
		}
	}
}

// What index.html and the modules load is there.
func TestLinks(t *testing.T) {
	t.Parallel()
	all := modules(t)
	for _, m := range regexp.MustCompile(`(?:src|href)="page/([^"]+)"`).FindAllStringSubmatch(all["index.html"], -1) {
		if _, err := files.ReadFile(m[1]); err != nil {
			t.Errorf("index.html loads %s: %v", m[1], err)
		}
	}
	for name, text := range all {
		for _, m := range regexp.MustCompile(`from "(\.[^"]+)"`).FindAllStringSubmatch(text, -1) {
			if _, err := files.ReadFile(path.Join(path.Dir(name), m[1])); err != nil {
				t.Errorf("%s imports %s: %v", name, m[1], err)
			}
		}
	}
}

// What is vendored has its licence beside it.
func TestVendored(t *testing.T) {
	t.Parallel()
	folders, err := fs.ReadDir(files, "vendor")
	if err != nil || len(folders) == 0 {
		t.Fatal(folders, err)
	}
	for _, folder := range folders {
		body, err := files.ReadFile("vendor/" + folder.Name() + "/LICENSE")
		if err != nil || !strings.Contains(string(body), "MIT License") {
			t.Errorf("%s: the licence is %.40q: %v", folder.Name(), body, err)
		}
	}
}

func dictionary(t *testing.T) map[string]map[string]string {
	t.Helper()
	body, err := files.ReadFile("words.json")
	if err != nil {
		t.Fatal(err)
	}
	var words map[string]map[string]string
	if err := json.Unmarshal(body, &words); err != nil {
		t.Fatal(err)
	}
	return words
}

// names are the files.
func names(t *testing.T) []string {
	t.Helper()
	var all []string
	if err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// modules are the texts of the page's own files, without what is vendored.
func modules(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, name := range names(t) {
		if ext := path.Ext(name); !strings.HasPrefix(name, "vendor/") && (ext == ".js" || ext == ".html") {
			body, err := files.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all[name] = string(body)
		}
	}
	return all
}

// Package documents holds the documents against each other: each page in Chinese has what its page in English has, and links lead somewhere.
package documents

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/jmpub/jmpub/internal/settings"
)

const root = "../../.."

// follow writes into the Chinese pages which text of the English ones they follow. It is for whoever has just brought them up to date.
var follow = flag.Bool("documents.follow", false, "mark the Chinese pages as up to date")

// section is a heading and what stands below it, up to the next heading of any level.
type section struct {
	level int
	title string
	// text is all of it, the heading included, without the mark.
	text string
	// mark is the sum of the English section that a Chinese one follows.
	mark string
	// blocks are its fenced blocks, code its spans of code, each once and in order of the alphabet, rows counts lines of tables.
	blocks, code []string
	rows         int
}

var (
	heading = regexp.MustCompile(`^(#+) (.+)$`)
	marked  = regexp.MustCompile(`^<!-- en: ([0-9a-f]{8}) -->$`)
	span    = regexp.MustCompile("`[^`]+`")
	link    = regexp.MustCompile(`(?:\]\(|<(?:img|source|a) [^>]*\b(?:src|srcset|href)=")([^)"\s]+)[)"]`)
)

func (s *section) sum() string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s.text)))[:8] }

func readPage(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func sections(text string) []*section {
	var all []*section
	var block *strings.Builder // The fenced block that is open.
	now := &section{}
	for line := range strings.Lines(text) {
		bare := strings.TrimSuffix(line, "\n")
		if match := heading.FindStringSubmatch(bare); match != nil && block == nil {
			now = &section{level: len(match[1]), title: match[2]}
			all = append(all, now)
		}
		if match := marked.FindStringSubmatch(bare); match != nil && block == nil {
			now.mark = match[1]
			continue
		}
		now.text += line
		switch {
		case strings.HasPrefix(bare, "```") && block == nil:
			block = &strings.Builder{}
			block.WriteString(line)
		case strings.HasPrefix(bare, "```"):
			now.blocks = append(now.blocks, block.String()+line)
			block = nil
		case block != nil:
			block.WriteString(line)
		case strings.HasPrefix(bare, "|"):
			now.rows++
		}
	}
	for _, s := range all {
		plain := s.text
		for _, block := range s.blocks {
			plain = strings.Replace(plain, block, "", 1)
		}
		found := map[string]bool{}
		// A span may go on in the next line.
		for _, code := range span.FindAllString(strings.ReplaceAll(plain, "\n", " "), -1) {
			found[code] = true
		}
		s.code = slices.Sorted(maps.Keys(found))
	}
	return all
}

// pairs are the English pages, and the Chinese ones that follow them.
var pairs = []struct{ english, chinese string }{
	{"README.md", "README.zh-CN.md"},
	{"docs/quickstart.md", "docs/zh/quickstart.md"},
	{"docs/operating.md", "docs/zh/operating.md"},
}

// The settings are a page of their own in Chinese.
const (
	settingsEnglish = "Settings"
	settingsPage    = "docs/zh/settings.md"
)

// A change of an English page is one of the Chinese page too: the same sections with the same commands, screens, settings, defaults and rows
// of tables, and each says which text it follows.
func TestChineseFollowsEnglish(t *testing.T) {
	for _, pair := range pairs {
		english, chinese := sections(readPage(t, pair.english)), sections(readPage(t, pair.chinese))
		var outline, follows []int
		for _, s := range english {
			outline = append(outline, s.level)
		}
		for _, s := range chinese {
			follows = append(follows, s.level)
		}
		if !slices.Equal(outline, follows) {
			t.Errorf("%s has headings of the levels %v, %s has %v", pair.english, outline, pair.chinese, follows)
			continue
		}
		for i, s := range english {
			if pair.english == "README.md" && s.title == settingsEnglish {
				compare(t, s, sections(readPage(t, settingsPage))[0], pair.english, settingsPage)
				continue
			}
			compare(t, s, chinese[i], pair.english, pair.chinese)
		}
	}
}

func compare(t *testing.T, english, chinese *section, from, to string) {
	t.Helper()
	at := fmt.Sprintf("%s, section %q, beside %s, section %q", to, chinese.title, from, english.title)
	if !slices.Equal(english.blocks, chinese.blocks) {
		t.Errorf("%s: the blocks of code differ", at)
	}
	for _, code := range english.code {
		if !slices.Contains(chinese.code, code) {
			t.Errorf("%s: %s is missing", at, code)
		}
	}
	for _, code := range chinese.code {
		if !slices.Contains(english.code, code) {
			t.Errorf("%s: %s is not in the English one", at, code)
		}
	}
	if english.rows != chinese.rows {
		t.Errorf("%s: %d lines of tables, the English one has %d", at, chinese.rows, english.rows)
	}
	if english.sum() == chinese.mark {
		return
	}
	if !*follow {
		t.Errorf("%s: the English text has changed. Bring the Chinese one up to date, and then mark it by\n"+
			"\tgo test ./internal/tests/documents -documents.follow", at)
		return
	}
	path := filepath.Join(root, to)
	title := strings.Repeat("#", chinese.level) + " " + chinese.title + "\n"
	old, mark := title, title+"<!-- en: "+english.sum()+" -->\n"
	if chinese.mark != "" {
		old += "<!-- en: " + chinese.mark + " -->\n"
	}
	text := strings.Replace(readPage(t, to), old, mark, 1)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // A page of the repository.
		t.Fatal(err)
	}
}

// The tables of settings have each setting, and the default that it has.
func TestSettingsAreDocumented(t *testing.T) {
	var english *section
	for _, s := range sections(readPage(t, "README.md")) {
		if s.title == settingsEnglish {
			english = s
		}
	}
	for name, text := range map[string]string{"README.md": english.text, settingsPage: readPage(t, settingsPage)} {
		for _, setting := range (&settings.Settings{}).List() {
			if !documented(text, setting.Name, setting.Default) {
				t.Errorf("%s: no line of the table has %s with the default %q", name, setting.Name, setting.Default)
			}
		}
	}
}

// documented tells whether a line of a table has the setting, perhaps as the end of a name that stands before it, and its default.
func documented(text, name, byDefault string) bool {
	for line := range strings.Lines(text) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || !strings.HasPrefix(cells[1], " `JMPUB_") {
			continue
		}
		inLine := false
		first := ""
		for i, code := range span.FindAllString(line, -1) {
			code = strings.Trim(code, "`")
			if i == 0 {
				first = code
			}
			inLine = inLine || code == name || strings.HasPrefix(code, "_") && strings.HasPrefix(name, stem(first, name)) &&
				strings.HasSuffix(name, code)
		}
		if inLine && (byDefault == "" || strings.Contains(cells[2], byDefault) ||
			slices.Contains(strings.Split(strings.Trim(cells[2], " `"), ", "), byDefault)) {
			return true
		}
	}
	return false
}

// stem is what two names have in common, up to an underscore.
func stem(a, b string) string {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return a[:strings.LastIndexByte(a[:n], '_')+1]
}

// Links between the documents lead to a file, and to a heading of it; pictures are there.
func TestLinks(t *testing.T) {
	var pages []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && slices.Contains([]string{".git", "dist", "node_modules", "testdata"}, entry.Name()) {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			pages = append(pages, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(pages) < 10 {
		t.Fatalf("only %d pages are there", len(pages))
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		plain := string(text)
		for _, s := range sections(plain) {
			for _, block := range s.blocks {
				plain = strings.Replace(plain, block, "", 1)
			}
		}
		for _, match := range link.FindAllStringSubmatch(plain, -1) {
			file, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(match[1], "://") || strings.HasPrefix(match[1], "mailto:") {
				continue
			}
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(target); err != nil { //nolint:gosec // A page of the repository names it.
				t.Errorf("%s: the link to %s leads nowhere", page, match[1])
				continue
			}
			if anchor != "" && strings.HasSuffix(target, ".md") && !slices.Contains(anchors(t, target), anchor) {
				t.Errorf("%s: the link to %s leads to no heading", page, match[1])
			}
		}
	}
}

// anchors are the names that GitHub gives a page's headings.
func anchors(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile(page) //nolint:gosec // A page of the repository.
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, s := range sections(string(text)) {
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			default:
				return -1
			}
		}, s.title))
	}
	return all
}

// What the comparison would miss if it were wrong.
func TestSections(t *testing.T) {
	got := sections("# A\n<!-- en: 01234567 -->\nuse `x` and `y\nz`\n\n| a |\n|---|\n\n```sh\n# no heading\n`no` span\n```\n## B\ntext\n")
	want := []*section{
		{level: 1, title: "A", mark: "01234567", blocks: []string{"```sh\n# no heading\n`no` span\n```\n"}, code: []string{"`x`", "`y z`"}, rows: 2},
		{level: 2, title: "B"},
	}
	if len(got) != len(want) {
		t.Fatalf("%d sections", len(got))
	}
	for i, s := range got {
		s.text = ""
		if !reflect.DeepEqual(s, want[i]) {
			t.Errorf("got %+v, want %+v", s, want[i])
		}
	}
}

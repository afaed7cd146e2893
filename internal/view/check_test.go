package view_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/jmpub/jmpub/internal/check"
	"github.com/jmpub/jmpub/internal/view"
)

// TestChecklist has a line a finding where nothing has to fit, and what to do below it, once.
func TestChecklist(t *testing.T) {
	var out bytes.Buffer
	list := &view.Checklist{Out: &out}
	r := &check.Report{Errors: 2, Warnings: 1}
	for _, f := range []check.Finding{
		{Subject: "clock", Level: check.OK, Text: "fine"},
		{Subject: "broker of a very long name:9092", Level: check.Error, Text: "away\x1b[2J", Fix: "start it\n  command --one\n  command --two"},
		{Subject: "other", Level: check.Error, Text: "away", Fix: "start it\n  command --one\n  command --two"},
		{Subject: "rest", Level: check.Skipped, Text: "not checked"},
	} {
		list.Show(&f)
	}
	if err := list.Summary(r); err != nil {
		t.Fatal(err)
	}
	const want = `✓ clock                       fine
✗ broker of a very long name:9092
                              away\u001b[2J
                            → start it
  command --one
  command --two
✗ other                       away
- rest                        not checked

2 errors, 1 warning
`
	if out.String() != want {
		t.Errorf("it shows\n%s", out.String())
	}
}

// TestChecklistOfManyApps folds what is well with apps into one line.
func TestChecklistOfManyApps(t *testing.T) {
	var out bytes.Buffer
	list := &view.Checklist{Out: &out, Many: true}
	for _, f := range []check.Finding{
		{Subject: "credentials", App: "one", Level: check.OK, Text: "fine"},
		{Subject: "credentials", App: "two", Level: check.Error, Text: "wrong"},
		{Subject: "quota", App: "two", Level: check.Skipped, Text: "not checked"},
		{Subject: "quota", App: "one", Level: check.OK, Text: "fine"},
	} {
		list.Show(&f)
	}
	if err := list.Summary(&check.Report{Errors: 1, Skipped: 1}); err != nil {
		t.Fatal(err)
	}
	const want = `✗ two                         credentials: wrong
✓ 1 app                       nothing is wrong with them

1 error, 1 not checked
`
	if out.String() != want || strings.Contains(out.String(), "✓ one") {
		t.Errorf("it shows\n%s", out.String())
	}
}

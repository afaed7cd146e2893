package operate

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/jmpub/jmpub/checkpoint"
	"github.com/jmpub/jmpub/internal/settings"
	"github.com/jmpub/jmpub/sink"
	"github.com/jmpub/jmpub/source"
)

// TestIDsDoNotCollide draws names of few letters and all separators, and takes those that the settings take: two different writers have
// different transactional ids, and two replays with files different folders.
func TestIDsDoNotCollide(t *testing.T) {
	isKey := func(key string) bool {
		valid, err := (&source.Config{AppKey: "a"}).Validate(), (&source.Config{AppKey: key}).Validate() // The rest is missing from both.
		return valid.Error() == err.Error()
	}
	isPrefix := func(prefix string) bool {
		_, err := sink.NewRouting("", prefix, "a")
		return err == nil
	}
	type writer struct{ group, prefix, app, replay string }
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune("a0A./~!-_ :%\n\\é")), 1, 4, -1)
		draw := func(name string) writer {
			w := writer{
				text.Filter(settings.IsName).Draw(t, name+" group"), text.Filter(isPrefix).Draw(t, name+" prefix"),
				text.Filter(isKey).Draw(t, name+" app"), "",
			}
			if rapid.Bool().Draw(t, name+" is a replay") {
				w.replay = text.Filter(settings.IsName).Draw(t, name+" replay")
			}
			return w
		}
		one, other := draw("one"), draw("other")
		if rapid.Bool().Draw(t, "alike") {
			other.group, other.app = one.group, one.app
		}
		if one == other {
			return
		}
		if id := transactionalID(one.group, one.prefix, one.app, one.replay); id == transactionalID(other.group, other.prefix, other.app, other.replay) {
			t.Errorf("%+v and %+v have the transactional id %s", one, other, id)
		}
		if one.replay == "" || other.replay == "" || one.prefix == other.prefix && one.replay == other.replay {
			return
		}
		if folder := checkpoint.ReplayFolder(one.prefix, one.replay); folder == checkpoint.ReplayFolder(other.prefix, other.replay) {
			t.Errorf("%+v and %+v have the folder %s", one, other, folder)
		}
	})
}

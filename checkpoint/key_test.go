package checkpoint

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/jmpub/jmpub/pipeline"
)

// TestKeysDoNotCollide draws from all letters that the settings let stand in an app's key, a group and a replay's id: in a topic, positions
// and claims of different apps, replays and groups have different keys, and no position has that of a claim.
func TestKeysDoNotCollide(t *testing.T) {
	type owner struct {
		app, replay, group, word string
		stream                   pipeline.Stream
	}
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringOfN(rapid.RuneFrom([]rune("a0._-%é")), 1, 3, -1)
		name := rapid.StringOfN(rapid.RuneFrom([]rune("a0._-")), 1, 3, -1)
		claims := []string{"claim", "owner", "!", "~", "/"} // What a user may be called.
		draw := func(of string) owner {
			o := owner{app: key.Draw(t, of+" app"), group: name.Draw(t, of+" group")}
			o.word = rapid.SampledFrom([]string{claimWord, ownerWord}).Draw(t, of+" word")
			o.stream = pipeline.Stream{Kind: pipeline.StreamUsers, Name: rapid.SampledFrom(claims).Draw(t, of+" user")}
			if rapid.Bool().Draw(t, of+" is a replay") {
				o.replay = name.Draw(t, of+" replay")
			}
			return o
		}
		one, other := draw("one"), draw("other")
		position, claim := string(replayKey(one.app, one.replay, one.stream)), string(announcementKey(one.app, one.replay, one.group, one.word))
		samePlace := one.app == other.app && one.replay == other.replay
		if position == string(replayKey(other.app, other.replay, other.stream)) != (samePlace && one.stream == other.stream) {
			t.Errorf("positions of %+v and %+v: %s", one, other, position)
		}
		if claim == string(announcementKey(other.app, other.replay, other.group, other.word)) != (samePlace && one.group == other.group && one.word == other.word) {
			t.Errorf("claims of %+v and %+v: %s", one, other, claim)
		}
		if claim == string(replayKey(other.app, other.replay, other.stream)) {
			t.Errorf("the claim of %+v is the position of %+v: %s", one, other, claim)
		}
		if (&Kafka{appKey: one.app}).isOfApp([]byte(claim)) {
			t.Errorf("the claim %s is taken for a position", claim)
		}
	})
}

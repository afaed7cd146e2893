package kafka

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

// rebalance has a group share its shards out once, and every member take what it is given.
func rebalance(members []claim, shards []int, generation int) map[string][]int {
	all := balance(members, shards)
	for i := range members {
		members[i].Held, members[i].Generation = all[members[i].id], generation
	}
	return all
}

// TestShardsAreSharedOutAndStay lets members join and leave by chance. It expects that no shard is given to one while another one has it, that
// after two more rounds all are given away as evenly as can be, and that no more have moved than had to.
func TestShardsAreSharedOutAndStay(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	var members []claim
	names, generation := 0, 0
	for range 2000 {
		shards := make([]int, 1+dice.IntN(30))
		for i := range shards {
			shards[i] = i
		}
		if dice.IntN(2) == 0 || len(members) == 0 {
			names++
			members = append(members, claim{id: "member " + strconv.Itoa(names)})
		} else {
			at := dice.IntN(len(members))
			members = slices.Delete(members, at, at+1)
		}
		if len(members) == 0 {
			continue
		}
		before := ownersOf(members)
		stay := moves(members, shards)
		for round := range 3 {
			owners := ownersOf(members)
			generation++
			all := rebalance(members, shards, generation)
			for id, own := range all {
				for _, s := range own {
					if owner, held := owners[s]; held && owner != id {
						t.Fatalf("shard %d goes to %s, and %s has it", s, id, owner)
					}
				}
			}
			if round > 0 {
				wantEven(t, all, shards)
			}
		}
		stayed := 0
		after := ownersOf(members)
		for _, s := range shards {
			if owner, held := before[s]; held && after[s] == owner {
				stayed++
			}
		}
		if stayed != stay {
			t.Fatalf("%d shards of %d stayed with %d members, want %d", stayed, len(shards), len(members), stay)
		}
	}
}

// moves is how many shards can stay where they are: as many as each member may have in the end, of those that it has.
func moves(members []claim, shards []int) (stay int) {
	counts := make([]int, len(members))
	owners := ownersOf(members)
	for i, m := range members {
		for _, s := range shards {
			if owners[s] == m.id {
				counts[i]++
			}
		}
	}
	slices.Sort(counts)
	slices.Reverse(counts)
	for i, n := range counts {
		most := len(shards) / len(members)
		if i < len(shards)%len(members) {
			most++
		}
		stay += min(n, most)
	}
	return stay
}

func wantEven(t *testing.T, all map[string][]int, shards []int) {
	t.Helper()
	var given []int
	least, most := len(shards), 0
	for own := range maps.Values(all) {
		given = append(given, own...)
		least, most = min(least, len(own)), max(most, len(own))
	}
	slices.Sort(given)
	if !slices.Equal(given, shards) || most-least > 1 {
		t.Fatalf("%v are given away, of %v: %v", given, shards, all)
	}
}

// TestWhoWasAwayHasNothing expects the member to have a shard who has had it since the newest generation.
func TestWhoWasAwayHasNothing(t *testing.T) {
	t.Parallel()
	members := []claim{
		{id: "woke up", Held: []int{0, 1}, Generation: 3},
		{id: "took over", Held: []int{0, 1}, Generation: 4},
	}
	if got := balance(members, []int{0, 1}); len(got["woke up"]) > 0 || len(got["took over"]) != 1 {
		t.Errorf("first, the shards are %v", got)
	}
}

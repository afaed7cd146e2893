package kafka

import (
	"cmp"
	"slices"
)

// balance shares shards out among members, as evenly as can be, and leaves each where it is as long as that is even. A shard that its member
// has to give to another one goes to nobody: the other gets it once its member has joined again without it. All members are in the result.
func balance(members []claim, shards []int) map[string][]int {
	all := make(map[string][]int, len(members))
	owners := ownersOf(members)
	kept := make(map[string]int, len(members))
	for _, s := range shards {
		if owner, held := owners[s]; held {
			kept[owner]++
		}
	}
	// Who has most keeps one more than the others, where they cannot have the same.
	order := slices.SortedFunc(slices.Values(members), func(a, b claim) int {
		return cmp.Or(cmp.Compare(kept[b.id], kept[a.id]), cmp.Compare(a.id, b.id))
	})
	room := make(map[string]int, len(members))
	for i, m := range order {
		all[m.id] = nil
		room[m.id] = len(shards) / len(members)
		if i < len(shards)%len(members) {
			room[m.id]++
		}
	}
	give := func(id string, s int) {
		all[id] = append(all[id], s)
		room[id]--
	}
	var free []int
	for _, s := range shards {
		switch owner, held := owners[s]; {
		case !held:
			free = append(free, s)
		case room[owner] > 0:
			give(owner, s)
		}
	}
	for _, m := range order {
		for room[m.id] > 0 && len(free) > 0 {
			give(m.id, free[0])
			free = free[1:]
		}
	}
	return all
}

// ownersOf finds who has each shard: of several that say so, the one whose generation is the newest, for the others were out of the group
// since.
func ownersOf(members []claim) map[int]string {
	owners := make(map[int]string)
	newest := make(map[int]int)
	for _, m := range members {
		for _, s := range m.Held {
			if _, held := owners[s]; !held || m.Generation > newest[s] {
				owners[s], newest[s] = m.id, m.Generation
			}
		}
	}
	return owners
}

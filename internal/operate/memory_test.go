package operate

import (
	"runtime"
	"runtime/debug"
	"testing"
	"testing/fstest"
)

// TestCollectorFollowsWhatIsLive has it hold more, and less again.
func TestCollectorFollowsWhatIsLive(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	followLive()
	settle := func() heap {
		for range 100 { // The collector tells of itself in a goroutine of its own.
			runtime.GC()
			if h := readMemory(); h.suits() >= h.percent-h.percent/8 && h.suits() <= h.percent+h.percent/8 {
				return h
			}
		}
		t.Fatal("the percentage does not follow")
		return heap{}
	}
	small := settle()
	held := make([]byte, 256<<20)
	large := settle()
	runtime.KeepAlive(held) // Until here.
	if large.percent >= small.percent || large.percent < 12 || large.percent > 20 {
		t.Errorf("%d MiB: %d %%, %d MiB: %d %%", small.live>>20, small.percent, large.live>>20, large.percent)
	}
	if again := settle(); again.percent <= large.percent {
		t.Errorf("%d %% when there is less", again.percent)
	}
}

func TestGarbageIsAShareOfWhatIsLive(t *testing.T) {
	for _, test := range []struct {
		heap heap
		want uint64
	}{
		{heap{}, 100}, // Go lets there be 4 MiB then in any case.
		{heap{live: 1 << 20, roots: 1 << 20}, 100},
		{heap{live: 15 << 20, roots: 1 << 20}, 25},
		{heap{live: 31 << 20, roots: 1 << 20}, 12},
		{heap{live: 48 << 20}, 11},
		{heap{live: 1 << 30}, 16},
		{heap{live: 64 << 20, roots: 64 << 20}, 6}, // Roots are no garbage.
		{heap{live: 1 << 20, roots: 1 << 40}, 1},
	} {
		if got := test.heap.suits(); got != test.want {
			t.Errorf("%+v: %d %%, want %d", test.heap, got, test.want)
		}
	}
}

func TestLimitOfTheOperator(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 40))
	before := readMemory().percent
	LimitMemory()
	if limit, percent := debug.SetMemoryLimit(-1), readMemory().percent; limit != 1<<40 || percent != before {
		t.Errorf("%d and %d %% of an operator's limit", limit, percent)
	}
}

func TestMemoryOfContainers(t *testing.T) {
	files := func(texts map[string]string) fstest.MapFS {
		all := make(fstest.MapFS)
		for name, text := range texts {
			all[name] = &fstest.MapFile{Data: []byte(text)}
		}
		return all
	}
	for name, test := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"none":      {nil, 0},
		"no limit":  {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 0},
		"container": {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"}, 512 << 20},
		"service": {map[string]string{
			"proc/self/cgroup": "0::/system.slice/jmpub.service\n", "sys/fs/cgroup/system.slice/jmpub.service/memory.max": "max\n",
			"sys/fs/cgroup/system.slice/memory.max": "268435456\n", "sys/fs/cgroup/memory.max": "536870912\n",
		}, 256 << 20},
		"version 1, without a limit": {map[string]string{
			"proc/self/cgroup": "4:memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "9223372036854771712\n",
		}, 0},
		"version 1, which the container sees as the root": {map[string]string{
			"proc/self/cgroup":                           "9:name=systemd:/docker/ab\n4:cpu,memory:/docker/ab\n0::/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "134217728\n",
		}, 128 << 20},
		"nonsense": {map[string]string{"proc/self/cgroup": "x\n\n0::..\n", "sys/fs/cgroup/memory.max": "-1\n"}, 0},
	} {
		if got := containerMemory(files(test.files)); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}

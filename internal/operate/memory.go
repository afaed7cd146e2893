package operate

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
)

// How much garbage there may be before it is collected: a sixth of what is live beyond usualHeap, so that collecting costs about the same however
// much that is, and at least leastGarbage, which a small heap would otherwise be collected for many times a second.
const (
	leastGarbage = 4 << 20
	usualHeap    = 16 << 20
	garbageShare = 6
	// containerShare is what Go may take, in percent, of the memory that a container has: the rest is for the program itself and for the kernel.
	containerShare = 85
	unlimited      = 1 << 50
)

// LimitMemory has the garbage collector's target follow what is live, for as long as the process runs: without it there may be as much
// garbage as there is live, and a fixed limit would be too much for some and would have it work all the time for others. Where a
// container has less memory than the machine, it also sets a soft limit below that. An operator's GOMEMLIMIT or GOGC takes the place of
// both. It is called once.
func LimitMemory() {
	if debug.SetMemoryLimit(-1) != math.MaxInt64 || readMemory().percent != 100 {
		return
	}
	if most := containerMemory(os.DirFS("/")); most > 0 {
		debug.SetMemoryLimit(most / 100 * containerShare)
	}
	followLive()
}

// heap is what the last collection found, in bytes, and the percentage by which garbage may grow until the next.
type heap struct{ live, roots, percent uint64 }

func readMemory() heap {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}, {Name: "/gc/gogc:percent"},
	}
	metrics.Read(samples)
	return heap{samples[0].Value.Uint64(), samples[1].Value.Uint64() + samples[2].Value.Uint64(), samples[3].Value.Uint64()}
}

// suits is the percentage that suits the heap: Go counts it of what is live and of the roots. Of 4 MiB it lets it have that much in any case.
func (h heap) suits() uint64 {
	const most = 100 * leastGarbage / (4 << 20)
	garbage := max(leastGarbage, (max(h.live, usualHeap)-usualHeap)/garbageShare)
	return min(most, max(1, 100*garbage/max(1, h.live+h.roots)))
}

// sentinel is found to be garbage by each collection, and a new one is made then.
type sentinel struct{ _ *sentinel }

// followLive sets the percentage after each collection. A change stops the world for a moment, so small ones are left.
func followLive() {
	h := readMemory()
	if suits := h.suits(); suits < h.percent-h.percent/8 || suits > h.percent+h.percent/8 {
		debug.SetGCPercent(int(suits)) //nolint:gosec // It is small.
	}
	runtime.SetFinalizer(&sentinel{}, func(*sentinel) { followLive() })
}

// containerMemory is the least memory, in bytes, that a control group allows this process; 0 is no limit. root is the root of the file system.
func containerMemory(root fs.FS) int64 {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	least := int64(math.MaxInt64)
	for line := range strings.Lines(string(groups)) {
		mount, file := "sys/fs/cgroup", "memory.max" // Version 2, which has no controllers here.
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		if controllers != "" {
			mount, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
			if !slices.Contains(strings.Split(controllers, ","), "memory") {
				continue
			}
		}
		// A container may see its own group as the root, under the path that the group has outside.
		for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
			if n := number(root, path.Join(mount, dir, file)); n > 0 {
				least = min(least, n)
			}
			if dir == "/" {
				break
			}
		}
	}
	if least > unlimited { // Version 1 says so by a number that no machine has.
		return 0
	}
	return least
}

// number is what a file says; 0 where it says none.
func number(root fs.FS, name string) int64 {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

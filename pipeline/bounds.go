package pipeline

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Bounds bound what all pipelines that are given them do at the same time ([Config.Bounds]), below what each is allowed by itself, so
// that a process with many apps takes no more than one with few. Safe for concurrent use.
//
// Nobody waits here for what only another one that waits could free. The one order is: memory, a place to be streamed, the app's own
// slot, a shared slot.
//   - Who has a shared slot reads pages, and waits for nothing else that is shared. Who gets none for long leaves the slot meanwhile.
//   - Memory is waited for only by a window that has nothing and behind which its reader has none under way: windows that have memory
//     may wait until those before them are handed on, which therefore never wait for memory.
//   - A place to be streamed is waited for when all windows before this one are handed on, and with nothing but that place in hand. Who
//     has one waits for slots, for pages and for the app's own publisher. Who gets no page for long gives it up.
type Bounds struct {
	fetches, memory, streamed *semaphore.Weighted
	memoryBytes               int64
}

// NewBounds lets so many windows be fetched at the same time, so much memory be taken by windows that are held, in bytes, and so many
// windows be streamed in parts, each of which takes up to 16 MiB besides. All three are at least one. Where there is too little, those who
// ask first get it first.
func NewBounds(fetches int, memoryBytes int64, streamed int) *Bounds {
	b := &Bounds{memoryBytes: max(1, memoryBytes)}
	b.fetches = semaphore.NewWeighted(int64(max(1, fetches)))
	b.memory = semaphore.NewWeighted(b.memoryBytes)
	b.streamed = semaphore.NewWeighted(int64(max(1, streamed)))
	return b
}

// patience is how long a window that gets no page keeps what others wait for: its app has no quota left, or the API does not answer.
// streamPatience is that of one that is being streamed, which would have to begin anew.
const (
	patience       = 5 * time.Second
	streamPatience = time.Minute
)

// memory counts the bytes of windows held: those of a session and, where bounds are shared, those of all pipelines. That others give back
// shared memory is not told to a reader, which need not know: its first window is under way in any case, or stands in the queue for
// memory, and with each message of that the reader tries again to start those behind it.
type memory struct {
	own      *semaphore.Weighted
	shared   *Bounds
	observer Observer

	mu   sync.Mutex // Guards held, and orders what the observer is told of it.
	held int64
}

// tryTake takes room for so many bytes, if it is there.
func (m *memory) tryTake(n int64) bool {
	if !m.own.TryAcquire(n) {
		return false
	}
	if m.shared == nil || m.shared.memory.TryAcquire(n) {
		m.tell(n)
		return true
	}
	m.own.Release(n)
	return false
}

// await waits for room that is shared, and returns how much it has taken: n or all that there is. It takes nothing where nothing is
// shared, or where the session's own windows are in the way: they end without its help, and so it does without.
func (m *memory) await(ctx context.Context, n int64) (int64, error) {
	if m.shared == nil {
		return 0, nil
	}
	if n = min(n, m.shared.memoryBytes); !m.own.TryAcquire(n) {
		return 0, nil
	}
	if err := m.shared.memory.Acquire(ctx, n); err != nil {
		m.own.Release(n)
		return 0, err
	}
	m.tell(n)
	return n, nil
}

func (m *memory) giveBack(n int64) {
	m.own.Release(n)
	if m.shared != nil {
		m.shared.memory.Release(n)
	}
	m.tell(-n)
}

// tell reports what is held once so much more is.
func (m *memory) tell(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held += n
	m.observer.Tell(MemoryHeld{m.held})
}

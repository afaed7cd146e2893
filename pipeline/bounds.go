package pipeline

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Bounds bound what all pipelines that are given them do at the same time ([Config.Bounds]), below what each is allowed by itself, so
// that a process with many apps takes no more than one with few. Each session of a pipeline that is given none has its own. Safe for
// concurrent use.
//
// Nobody waits here for what only another one that waits could free. The one order is: memory, a place to be streamed, the app's own
// slot, a shared slot, the app's own publisher, a turn to commit.
//   - Who has a shared slot reads pages, and waits for nothing else that is shared. Who gets none for long leaves the slot meanwhile.
//   - Memory is waited for only by a window that has nothing and behind which its reader has none under way: windows that have memory
//     may wait until those before them are handed on, which therefore never wait for memory. Where it is there anyway, it is taken only
//     when there is a slot: streams that wait for their turn to be asked, of which there may be thousands, hold none.
//   - A place to be streamed is waited for when all windows before this one are handed on, and with nothing but that place in hand; where
//     the bounds are one pipeline's, also with memory, as who is streamed needs none. Who has one waits for slots, for pages and for the
//     app's own publisher. Who gets no page for long gives it up.
//   - A turn to commit is waited for by a publisher that has whole windows, and is given back when Kafka has answered. A window that is
//     streamed needs none, because its commit lasts as long as its pages take.
type Bounds struct {
	fetches, memory, streamed, commits *semaphore.Weighted
	memoryBytes                        int64
	// single tells that they are one pipeline's, so that a window may keep what it has while it waits for those before it.
	single bool
}

// Limits are how much there is of what [Bounds] bound. Each is at least one. Where there is too little, those who ask first get it first.
type Limits struct {
	// Fetches is how many windows may be fetched at the same time.
	Fetches int
	// MemoryBytes is how much memory may be taken by windows that are held.
	MemoryBytes int64
	// Streamed is how many windows may be streamed in parts, each of which takes up to 14 MiB besides.
	Streamed int
	// Commits is how many apps may commit whole windows at the same time. Each commit that is under way has connections of its own.
	Commits int
}

// NewBounds are bounds of which nothing is taken.
func NewBounds(l Limits) *Bounds {
	b := &Bounds{memoryBytes: max(1, l.MemoryBytes)}
	b.fetches = semaphore.NewWeighted(int64(max(1, l.Fetches)))
	b.memory = semaphore.NewWeighted(b.memoryBytes)
	b.streamed = semaphore.NewWeighted(int64(max(1, l.Streamed)))
	b.commits = semaphore.NewWeighted(int64(max(1, l.Commits)))
	return b
}

// singleBounds are those of a pipeline that shares none. Its publisher is busy with one streamed window at a time, and so there is one.
func singleBounds(cfg *Config) *Bounds {
	b := NewBounds(Limits{Fetches: 2*cfg.Parallel + 2, MemoryBytes: int64(cfg.MemoryBytes), Streamed: 1, Commits: 1}) // See [fetchSlots].
	b.single = true
	return b
}

// commit calls a function that commits whole windows when it is its turn.
func (b *Bounds) commit(ctx context.Context, call func() error) error {
	if b == nil {
		return call()
	}
	if err := b.commits.Acquire(ctx, 1); err != nil {
		return err
	}
	defer b.commits.Release(1)
	return call()
}

// patience is how long a window that gets no page keeps what others wait for: its app has no quota left, or the API does not answer.
// streamPatience is that of one that is being streamed, which would have to begin anew.
const (
	patience       = 5 * time.Second
	streamPatience = time.Minute
)

// memory counts the bytes of windows held: those of a session, and those of all pipelines that have the same bounds. That others give back
// shared memory is not told to a reader, which need not know: its first window is under way in any case, or stands in the queue for
// memory, and with each message of that the reader tries again to start those behind it.
type memory struct {
	own      *semaphore.Weighted
	ownBytes int64
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
	if m.shared.memory.TryAcquire(n) {
		m.tell(n)
		return true
	}
	m.own.Release(n)
	return false
}

// await waits for room for a stream's window, and returns how much it has taken: n or all that there is. The stream with all messages does
// not wait for the session's other streams, of which there may be thousands: where their windows are in the way, it does without.
func (m *memory) await(ctx context.Context, s Stream, n int64) (int64, error) {
	n = min(n, m.ownBytes, m.shared.memoryBytes)
	if s.Kind == StreamMessages {
		if !m.own.TryAcquire(n) {
			return 0, nil
		}
	} else if err := m.own.Acquire(ctx, n); err != nil {
		return 0, err
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
	m.shared.memory.Release(n)
	m.tell(-n)
}

// tell reports what is held once so much more is.
func (m *memory) tell(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held += n
	m.observer.Tell(MemoryHeld{m.held})
}

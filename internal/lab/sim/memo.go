package sim

import "sync"

// memo remembers results that cannot change any more; it is emptied when it is full. Safe for concurrent use.
type memo[K comparable, V any] struct {
	most int

	mu    sync.Mutex
	known map[K]V
}

func newMemo[K comparable, V any](most int) *memo[K, V] {
	return &memo[K, V]{most: most, known: make(map[K]V)}
}

func (m *memo[K, V]) get(key K) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.known[key]
	return v, ok
}

// put keeps a result. Two may have computed the same one at once; they come to the same.
func (m *memo[K, V]) put(key K, v V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.known) >= m.most {
		clear(m.known)
	}
	m.known[key] = v
}

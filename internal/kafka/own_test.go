package kafka

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmpub/jmpub/pipeline"
)

// growOpen writes transactions of producers, each of which writes one letter's keys, and leaves some of them open, whose first offsets are
// returned. Where key is given, its transaction is among them.
func (l *txLog) growOpen(r *rand.Rand, key string) map[int64]int64 {
	l.grow(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	const letters = "abcd"
	begun := make(map[int64]int64)
	for range 30 + r.IntN(60) {
		producer := int64(10 + r.IntN(len(letters)))
		first, open := begun[producer]
		if open && r.IntN(5) == 0 {
			l.end(producer, first, r.IntN(2) == 0)
			delete(begun, producer)
			continue
		}
		if !open {
			begun[producer] = int64(len(l.entries))
		}
		l.write(producer, letters[producer-10:producer-9]+strconv.Itoa(len(l.entries)))
	}
	own := int64(10 + strings.Index(letters, key))
	if first, open := begun[own]; open && r.IntN(2) == 0 {
		l.end(own, first, r.IntN(2) == 0)
		delete(begun, own)
	}
	return begun
}

// ownKeys are the keys within bounds that are committed.
func (l *txLog) ownKeys(b Bounds, prefix string) (keys []string, open bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for at := b.First; at < b.End; at++ {
		e := l.entries[at]
		if e.marker != 0 || e.key == "" || !strings.HasPrefix(e.key, prefix) {
			continue
		}
		switch l.endOf(at) {
		case committed:
			keys = append(keys, e.key)
		case notEnded:
			open = true
		case aborted:
		}
	}
	return keys, open
}

// TestOwn finds what is committed of one prefix behind the transactions that others have open, and waits for those alone that have written what
// it wants: with one reader, and with several who read together.
func TestOwn(t *testing.T) {
	waited, not := 0, 0
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			l := &txLog{batches: 1 + r.IntN(6)}
			const prefix = "a"
			begun := l.growOpen(r, prefix)
			b := Bounds{r.Int64N(l.size()), l.size() - r.Int64N(5)}
			b.End = max(b.End, b.First)
			_, open := l.ownKeys(b, prefix)
			const later = 10 * time.Second
			ends := make(map[int64]bool)
			for producer := range begun {
				ends[producer] = r.IntN(2) == 0
			}
			more := rand.New(rand.NewPCG(seed, 2))
			go func() { // All of them end, and more comes, which is outside the bounds.
				time.Sleep(later)
				l.mu.Lock()
				for _, producer := range slices.Sorted(maps.Keys(begun)) {
					l.end(producer, begun[producer], ends[producer])
				}
				l.mu.Unlock()
				l.grow(more)
			}()
			together := &Together{}
			readers := 1 + r.IntN(3)
			var reading sync.WaitGroup
			for range readers {
				log := l.log(together)
				if readers == 1 {
					log = l.log(nil)
				}
				log.Prefix, log.Retry = prefix, pipeline.Retry{Initial: time.Second, Max: time.Second}
				reading.Go(func() {
					began := time.Now()
					var got []string
					err := log.Own(t.Context(), 0, b, func(r *LogRecord) error {
						got = append(got, string(r.Key))
						return nil
					})
					took := time.Since(began)
					want, _ := l.ownKeys(b, prefix)
					if err != nil || !slices.Equal(got, want) || took >= later != open {
						t.Errorf("after %s, own transaction open %t: found %v, want %v, %v", took, open, got, want, err)
					}
				})
			}
			reading.Wait()
			time.Sleep(2 * later)
			synctest.Wait()
			if !together.idle() {
				t.Error("somebody is still read for")
			}
			if open {
				waited++
			} else {
				not++
			}
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		})
	}
	if waited < 20 || not < 20 {
		t.Errorf("%d waited, %d did not", waited, not)
	}
}

// TestOwnTellsWhoIsWaitedFor names the transaction that is open, and what it has written.
func TestOwnTellsWhoIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := filled()
		l.write(7, "b1")
		l.write(8, "a1")
		var told []string
		log := l.log(nil)
		log.Prefix = "a"
		log.Retry.Notify = func(op string, err error, _ time.Duration) {
			told = append(told, fmt.Sprintf("%s: %v", op, err))
			if len(told) == 1 {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.end(8, 102, true)
			}
		}
		found := 0
		err := log.Own(t.Context(), 0, Bounds{0, l.size()}, func(*LogRecord) error { found++; return nil })
		if err != nil || found != 101 || len(told) != 1 || !strings.Contains(told[0], `producer 8, which wrote the key "a1"`) {
			t.Errorf("found %d, told %q, %v", found, told, err)
		}
	})
}

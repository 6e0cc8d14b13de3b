package cache

import (
	"context"
	"errors"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// model makes random use of a small cache, with a clock that is set now and then,
// and checks what holds whatever happens.
type model struct {
	t     *testing.T
	c     *Cache[int, drawn]
	ahead atomic.Int64 // of the cache's clock, nanoseconds
	mints atomic.Int64

	mu       sync.Mutex // guards rejected
	rejected map[drawn]bool
}

// drawn is a credential of a random life.
type drawn struct {
	key       int
	number    int64
	expiresAt int64
}

func (m *model) now() time.Time { return time.Now().Add(time.Duration(m.ahead.Load())) }

// Mint implements [Source]. It fails now and then, and takes its time.
func (m *model) Mint(ctx context.Context, key int) (Credential[drawn], error) {
	number := m.mints.Add(1)
	select {
	case <-time.After(time.Duration(rand.IntN(3)) * 100 * time.Millisecond):
	case <-ctx.Done():
		return Credential[drawn]{}, ctx.Err()
	}
	if rand.IntN(4) == 0 {
		return Credential[drawn]{}, errDown
	}
	lives := []time.Duration{0, time.Millisecond, time.Second, 2 * time.Second, time.Minute, time.Hour, 24 * time.Hour}
	now := m.now()
	expiresAt := now.Add(lives[rand.IntN(len(lives))])
	return Credential[drawn]{Value: drawn{key, number, expiresAt.UnixNano()}, IssuedAt: now, ExpiresAt: expiresAt}, nil
}

func TestRandomUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &model{t: t, rejected: make(map[drawn]bool)}
		m.c = New[int, drawn](Config[int]{
			Size: 16,
			Hash: func(_ maphash.Seed, key int) uint64 { return uint64(key % 5) }, // long chains
			Now:  m.now,
		})
		for range 15 {
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for range 100 {
						m.step()
					}
				})
			}
			wg.Wait()
			synctest.Wait()
			m.check()
			m.ahead.Add(int64([]time.Duration{0, time.Hour, -time.Hour, 30 * time.Second, -30 * time.Second, 48 * time.Hour}[rand.IntN(6)]))
			time.Sleep(2 * maxSleep)
			synctest.Wait()
			m.check()
			m.checkNoneIsOverdue()
		}

		// Left alone, it comes to rest.
		time.Sleep(100 * time.Hour)
		synctest.Wait()
		m.c.mu.Lock()
		if n := m.c.recency.Len(); n != 0 || m.c.refreshing {
			t.Errorf("%d keys after days of silence, refresher runs: %t", n, m.c.refreshing)
		}
		m.c.mu.Unlock()

		// It is closed in the midst of calls. The bubble ends only when all
		// goroutines have.
		for range 8 {
			go m.call(rand.IntN(24))
		}
		m.c.Close()
		if _, err := m.c.Get(t.Context(), 100, m); !errors.Is(err, ErrClosed) {
			t.Errorf("a call after Close got %v", err)
		}
	})
}

// step does one random thing.
func (m *model) step() {
	key := rand.IntN(24)
	switch rand.IntN(20) {
	case 0:
		m.c.Purge(func(k int) bool { return k%7 == key%7 })
	case 1:
		m.c.Each(func(i Info[int]) bool { return !i.ExpiresAt.Before(i.IssuedAt) })
	case 2, 3:
		if got, ok := m.call(key); ok && m.c.Reject(key, got) {
			m.mu.Lock()
			m.rejected[got] = true
			m.mu.Unlock()
		}
	case 4:
		time.Sleep(time.Duration(rand.Int64N(int64(20 * time.Second))))
	default:
		m.call(key)
	}
}

// call gets the credential of key and checks it.
func (m *model) call(key int) (drawn, bool) {
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Duration(1+rand.IntN(3))*70*time.Millisecond)
	defer cancel()
	m.mu.Lock()
	before := len(m.rejected)
	m.mu.Unlock()
	got, result, err := m.c.Lookup(ctx, key, m)
	m.mu.Lock()
	rejected := m.rejected[got] && len(m.rejected) == before // not rejected meanwhile
	m.mu.Unlock()
	switch {
	case err != nil:
		if result != Failed || got != (drawn{}) {
			m.t.Errorf("%v: %s with a credential", err, result)
		}
	case got.key != key:
		m.t.Errorf("key %d has the credential of %d", key, got.key)
	case m.now().UnixNano() >= got.expiresAt:
		m.t.Errorf("%s: a credential that has expired", result)
	case rejected:
		m.t.Errorf("%s: a credential that was rejected", result)
	}
	return got, err == nil
}

// check is called while nothing moves.
func (m *model) check() {
	m.t.Helper()
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	indexed := 0
	m.c.index.each(func(e *entry[int, drawn]) bool {
		indexed++
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.gone || !m.c.recency.Contains(e) {
			m.t.Errorf("key %d is in the index and was removed", e.key)
		}
		if e.position == notQueued && e.mint == nil {
			m.t.Errorf("key %d is out of the refresher's sight", e.key)
		}
		return true
	})
	if n := m.c.recency.Len(); indexed != n || n > 16 {
		m.t.Errorf("%d keys in the index and %d in all, of 16 at most", indexed, n)
	}
	for i, e := range m.c.queue {
		if e.position != i || e.gone || i > 0 && e.due < m.c.queue[(i-1)/2].due {
			m.t.Errorf("key %d is in the wrong place of the queue", e.key)
		}
	}
	if len(m.c.queue) > 0 && !m.c.refreshing {
		m.t.Errorf("%d keys are queued, and the refresher does not run", len(m.c.queue))
	}
}

// checkNoneIsOverdue is called when the refresher has had time to wake and make a
// credential for each key.
func (m *model) checkNoneIsOverdue() {
	m.t.Helper()
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	for _, e := range m.c.queue {
		if late := time.Duration(m.c.clock.read() - e.due); late > maxSleep {
			m.t.Errorf("key %d is overdue by %s", e.key, late)
		}
	}
}

package cache

import (
	"container/heap"
	"context"
	"errors"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Source makes credentials. A Source that is shared by several calls of Get for
// one key must make equivalent credentials for it. Mint must be safe for
// concurrent use for different keys; ctx ends when the cache is closed.
type Source[K, V comparable] interface {
	Mint(ctx context.Context, key K) (Credential[V], error)
}

// Credential is a value with its time of validity, by the wall clock.
type Credential[V comparable] struct {
	Value     V
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// ErrExpired is returned by Get when a Source made a credential that had expired
// already, twice in a row.
var ErrExpired = errors.New("cache: the new credential has expired already")

// ErrClosed is returned by Get after Close.
var ErrClosed = errors.New("cache: closed")

// Config configures a Cache. The zero value of each field means its default.
type Config[K comparable] struct {
	// Size is how many keys are kept at most; one that has not been used
	// recently makes room. Default: 10,000.
	Size int

	// Hash returns the hash of a key. Keys that are equal must have equal
	// hashes. Default: maphash.Comparable, which is slow for keys of many
	// parts.
	Hash func(maphash.Seed, K) uint64

	// Now is the clock. Default: the system's.
	Now func() time.Time

	// Jitter returns a number in [0,1) that spreads refreshes and back-offs.
	// Default: math/rand/v2.Float64.
	Jitter func() float64
}

// DefaultSize is the number of keys that a Cache keeps by default.
const DefaultSize = 10_000

// Cache is a bounded set of credentials. It is safe for concurrent use.
type Cache[K, V comparable] struct {
	index  index[K, V]
	seed   maphash.Seed
	hash   func(maphash.Seed, K) uint64
	clock  *clock
	jitter func() float64

	ctx     context.Context
	cancel  context.CancelFunc
	running group
	started atomic.Uint64
	wake    chan struct{} // holds one token

	mu         sync.Mutex // guards what follows, and writes of index; locked after an entry's, never before
	size       int
	recency    *simplelru.LRU[*entry[K, V], struct{}]
	queue      queue[K, V]
	refreshing bool // the refresher runs
}

// New returns an empty cache. Close must be called when it is no longer used.
func New[K, V comparable](cfg Config[K]) *Cache[K, V] {
	if cfg.Size <= 0 {
		cfg.Size = DefaultSize
	}
	if cfg.Hash == nil {
		cfg.Hash = maphash.Comparable[K]
	}
	if cfg.Jitter == nil {
		cfg.Jitter = rand.Float64
	}
	c := &Cache[K, V]{
		index:  newIndex[K, V](cfg.Size),
		seed:   maphash.MakeSeed(),
		hash:   cfg.Hash,
		clock:  newClock(cfg.Now),
		jitter: cfg.Jitter,
		wake:   make(chan struct{}, 1),
		size:   cfg.Size,
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	recency, err := simplelru.NewLRU(cfg.Size, c.forget)
	if err != nil {
		panic(err) // only for a size below 1
	}
	c.recency = recency
	return c
}

// Get returns the credential of key, and has source make one where there is none
// or where it needs replacing. It waits for a mint no longer than ctx.
//
// The cache keeps the source that it was given last for key, and refreshes with
// it in the background.
func (c *Cache[K, V]) Get(ctx context.Context, key K, source Source[K, V]) (V, error) {
	value, _, err := c.Lookup(ctx, key, source)
	return value, err
}

// Result says how a credential was come by.
type Result uint8

const (
	Hit    Result = iota // it was there and fresh
	Stale                // it was there; it is being replaced, or could not be
	Minted               // the caller waited for a mint
	Failed               // there is none
)

// String returns the result in lower case.
func (r Result) String() string {
	return [...]string{"hit", "stale", "minted", "failed"}[r]
}

// Lookup is Get that says how it went.
func (c *Cache[K, V]) Lookup(ctx context.Context, key K, source Source[K, V]) (V, Result, error) {
	now := c.clock.nanos()
	hash := c.hash(c.seed, key)
	if e := c.index.find(hash, key); e != nil {
		if s := e.current.Load(); s != nil && s.fresh(now) {
			e.hit()
			return s.value, Hit, nil
		}
	}
	return c.slow(ctx, c.entry(hash, key), source)
}

// slow is Lookup for a credential that is not fresh.
func (c *Cache[K, V]) slow(ctx context.Context, e *entry[K, V], source Source[K, V]) (V, Result, error) {
	var zero V
	now := c.clock.read()

	e.mu.Lock()
	e.source = source
	s := e.current.Load()
	usable := s != nil && s.usable(now)
	switch {
	case s != nil && s.fresh(now):
		e.mu.Unlock()
		e.hit()
		return s.value, Hit, nil
	case usable && now < s.mandatoryAt:
		rests := e.mint != nil || resting(now, e.notBefore)
		e.mu.Unlock()
		e.hit()
		if !rests {
			c.hurry(e, now)
		}
		return s.value, Stale, nil
	case e.mint == nil && resting(now, e.notBefore):
		err := e.err
		e.mu.Unlock()
		if usable {
			e.hit()
			return s.value, Stale, nil
		}
		return zero, Failed, err
	}
	m, began, err := c.begin(e)
	e.mu.Unlock()
	if err != nil {
		return zero, Failed, err
	}
	if began {
		go c.run(e, m, source)
	}

	select {
	case <-m.done:
		if err = m.err; err == nil {
			return m.value, Minted, nil
		}
	case <-ctx.Done():
		err = ctx.Err()
	}
	if usable && s.usable(c.clock.read()) {
		e.hit()
		return s.value, Stale, nil
	}
	return zero, Failed, err
}

// Reject says that value, which Get returned for key, was refused by the one it
// was made for. It reports whether the next Get will make another: not when the
// current credential is no longer value (someone has replaced it already: then
// the next Get returns that one, and Reject reports true), and not within a
// back-off after an earlier rejection, so that a credential which is refused
// every time is not made anew for every call.
func (c *Cache[K, V]) Reject(key K, value V) bool {
	e := c.index.find(c.hash(c.seed, key), key)
	if e == nil {
		return true
	}
	return e.reject(value, c.clock.read(), c.jitter)
}

// Purge drops the keys for which drop returns true.
func (c *Cache[K, V]) Purge(drop func(K) bool) {
	var dropped []*entry[K, V]
	c.index.each(func(e *entry[K, V]) bool {
		if drop(e.key) {
			dropped = append(dropped, e)
		}
		return true
	})
	for _, e := range dropped {
		c.remove(e)
	}
}

// Info is what a status page may know of a key.
type Info[K comparable] struct {
	Key       K
	IssuedAt  time.Time
	ExpiresAt time.Time
	RefreshAt time.Time // when the background refresh begins
	Failures  int       // of mints, in a row
	Used      bool      // asked for since its credential was made: it will be refreshed
}

// Each calls do for every key that has a credential, in no order, until it
// returns false.
func (c *Cache[K, V]) Each(do func(Info[K]) bool) {
	c.index.each(func(e *entry[K, V]) bool {
		s := e.current.Load()
		if s == nil {
			return true
		}
		e.mu.Lock()
		failures := int(e.failures)
		e.mu.Unlock()
		return do(Info[K]{
			Key: e.key, IssuedAt: time.Unix(0, s.issuedAt), ExpiresAt: time.Unix(0, s.expiresAt), RefreshAt: time.Unix(0, s.advisoryAt),
			Failures: failures, Used: e.marks.Load()&used != 0,
		})
	})
}

// Len returns the number of keys.
func (c *Cache[K, V]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.recency.Len()
}

// Mints returns how many mints were started.
func (c *Cache[K, V]) Mints() uint64 { return c.started.Load() }

// Close ends the refresher and all mints, and waits for them.
func (c *Cache[K, V]) Close() {
	c.running.close()
	c.cancel()
	c.running.wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recency.Purge()
}

// entry returns the entry of key, which it makes where there is none.
func (c *Cache[K, V]) entry(hash uint64, key K) *entry[K, V] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.index.find(hash, key); e != nil {
		return e
	}
	e := &entry[K, V]{hash: hash, key: key, position: notQueued}
	c.makeRoom()
	c.recency.Add(e, struct{}{})
	c.index.add(e)
	return e
}

// secondChances is how many recently used entries an eviction passes over.
const secondChances = 16

// makeRoom removes the oldest entry of a full cache. Hits do not move an entry,
// which would take a lock: they mark it, and a marked one is moved here.
func (c *Cache[K, V]) makeRoom() {
	if c.recency.Len() < c.size {
		return
	}
	for range secondChances {
		oldest, _, _ := c.recency.GetOldest()
		if !oldest.take(recent) {
			break
		}
		c.recency.Get(oldest)
	}
	c.recency.RemoveOldest()
}

// remove drops e.
func (c *Cache[K, V]) remove(e *entry[K, V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recency.Remove(e)
}

// forget is called for an entry that recency has let go, with c.mu held.
func (c *Cache[K, V]) forget(e *entry[K, V], _ struct{}) {
	e.gone = true
	c.index.remove(e)
	if e.position != notQueued {
		heap.Remove(&c.queue, e.position)
	}
}

package cache

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
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
// already.
var ErrExpired = errors.New("cache: the new credential has expired already")

// ErrClosed is returned by Get after Close.
var ErrClosed = errors.New("cache: closed")

// Config configures a Cache. The zero value of each field means its default.
type Config struct {
	// Size is how many keys are kept at most; the least recently used goes
	// first. Default: 10,000.
	Size int

	// Now is the clock. Default: time.Now.
	Now func() time.Time

	// Jitter returns a number in [0,1) that spreads refreshes and back-offs.
	// Default: math/rand/v2.Float64.
	Jitter func() float64
}

// DefaultSize is the number of keys that a Cache keeps by default.
const DefaultSize = 10_000

// Cache is a bounded set of credentials. It is safe for concurrent use.
type Cache[K, V comparable] struct {
	entries *lru.Cache[K, *entry[V]]
	now     func() time.Time
	jitter  func() float64

	ctx    context.Context
	cancel context.CancelFunc
	mints  sync.WaitGroup

	started atomic.Uint64

	mu     sync.Mutex // guards closed and mints.Add after it
	closed bool
}

// New returns an empty cache. Close must be called when it is no longer used.
func New[K, V comparable](cfg Config) *Cache[K, V] {
	if cfg.Size <= 0 {
		cfg.Size = DefaultSize
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Jitter == nil {
		cfg.Jitter = rand.Float64
	}
	entries, err := lru.New[K, *entry[V]](cfg.Size)
	if err != nil {
		panic(err) // only for a size below 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Cache[K, V]{entries: entries, now: cfg.Now, jitter: cfg.Jitter, ctx: ctx, cancel: cancel}
}

// Get returns the credential of key, and has source make one where there is none
// or where it needs replacing. It waits for a mint no longer than ctx.
func (c *Cache[K, V]) Get(ctx context.Context, key K, source Source[K, V]) (V, error) {
	now := c.now()
	e, ok := c.entries.Get(key)
	if ok {
		if s := e.current.Load(); s != nil && s.fresh(now) {
			return s.credential.Value, nil
		}
	}
	return c.slow(ctx, key, source, now)
}

// Reject says that value, which Get returned for key, was refused by the one it
// was made for. It reports whether the next Get will make another: not when the
// current credential is no longer value (someone has replaced it already: then
// the next Get returns that one, and Reject reports true), and not within a
// back-off after an earlier rejection, so that a credential which is refused
// every time is not made anew for every call.
func (c *Cache[K, V]) Reject(key K, value V) bool {
	e, ok := c.entries.Peek(key)
	if !ok {
		return true
	}
	return e.reject(value, c.now(), c.jitter)
}

// Purge drops the keys for which drop returns true.
func (c *Cache[K, V]) Purge(drop func(K) bool) {
	for _, key := range c.entries.Keys() {
		if drop(key) {
			c.entries.Remove(key)
		}
	}
}

// Len returns the number of keys.
func (c *Cache[K, V]) Len() int { return c.entries.Len() }

// Mints returns how many mints were started.
func (c *Cache[K, V]) Mints() uint64 { return c.started.Load() }

// Close ends all mints and waits for them.
func (c *Cache[K, V]) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.mints.Wait()
	c.entries.Purge()
}

// slow is Get for a credential that is not fresh.
func (c *Cache[K, V]) slow(ctx context.Context, key K, source Source[K, V], now time.Time) (V, error) {
	e := c.entry(key)

	e.mu.Lock()
	s := e.current.Load()
	if s != nil && s.fresh(now) {
		e.mu.Unlock()
		return s.credential.Value, nil
	}
	usable := s != nil && s.usable(now)
	if e.mint == nil {
		if resting(now, e.notBefore) {
			err := e.err
			e.mu.Unlock()
			if usable {
				return s.credential.Value, nil
			}
			var zero V
			return zero, err
		}
		if err := c.start(key, e, source); err != nil {
			e.mu.Unlock()
			var zero V
			return zero, err
		}
	}
	m := e.mint
	e.mu.Unlock()

	if usable && now.Before(s.mandatoryAt) {
		return s.credential.Value, nil
	}
	select {
	case <-m.done:
	case <-ctx.Done():
		if usable {
			return s.credential.Value, nil
		}
		var zero V
		return zero, ctx.Err()
	}
	if m.err != nil {
		if usable && s.usable(c.now()) {
			return s.credential.Value, nil
		}
		var zero V
		return zero, m.err
	}
	return m.value, nil
}

// entry returns the entry of key, which it makes where there is none.
func (c *Cache[K, V]) entry(key K) *entry[V] {
	e := new(entry[V])
	if previous, ok, _ := c.entries.PeekOrAdd(key, e); ok {
		return previous
	}
	return e
}

// start begins the one mint of e. It is called with e.mu held.
func (c *Cache[K, V]) start(key K, e *entry[V], source Source[K, V]) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	m := &mint[V]{done: make(chan struct{})}
	e.mint = m
	c.started.Add(1)
	c.mints.Go(func() {
		defer close(m.done)
		credential, err := source.Mint(c.ctx, key)
		now := c.now()
		if err == nil && !now.Before(credential.ExpiresAt) {
			err = ErrExpired
		}
		e.finish(m, credential, err, now, c.jitter)
	})
	return nil
}

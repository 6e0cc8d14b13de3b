package cache

import (
	"sync"
	"sync/atomic"
	"time"
)

// entry is what is known of one key. Times are in nanoseconds since the Unix
// epoch.
type entry[K, V comparable] struct {
	// What a hit reads comes first, to lie together in memory.
	hash    uint64
	next    atomic.Pointer[entry[K, V]] // in its chain of the index
	current atomic.Pointer[snapshot[V]]
	marks   atomic.Uint32 // recent, used
	key     K

	mu        sync.Mutex   // guards what follows, and writes of current; never held across a mint
	source    Source[K, V] // that Get was called with last
	mint      *mint[V]     // the mint that is under way, if any
	notBefore int64        // no mint starts earlier, because the last one failed
	failures  int32        // in a row
	err       error        // of the last mint

	rejections    int32 // in a row
	rejectedUntil int64 // a rejection before this replaces nothing

	// These are guarded by the cache's mutex.
	due      int64 // when the refresher looks at it; see queue
	position int   // in the queue, or notQueued
	gone     bool  // removed
}

// What a hit leaves behind, written only where it changes something, so that
// hits of one key do not write to one cache line.
const (
	recent uint32 = 1 << iota // since eviction last looked at it
	used                      // since its credential was made
)

// hit records that the credential was asked for.
func (e *entry[K, V]) hit() {
	if e.marks.Load() != recent|used {
		e.marks.Store(recent | used)
	}
}

// take clears a mark and reports whether it was set.
func (e *entry[K, V]) take(mark uint32) bool {
	return e.marks.And(^mark)&mark != 0
}

// snapshot is a credential with the times at which its state changes. It does
// not change once it is published.
type snapshot[V comparable] struct {
	value       V
	issuedAt    int64
	notBefore   int64 // a clock that shows an earlier time has been put back far
	advisoryAt  int64
	mandatoryAt int64
	expiresAt   int64
}

const (
	advisoryMax  = time.Hour
	mandatoryMax = time.Minute

	// stepBack is how far the clock may be put back without a credential of
	// before counting as one from the future, which its verifier would refuse.
	stepBack = time.Minute
)

// newSnapshot returns the snapshot of c. A window is a part of the lifetime, so
// that a short-lived credential is not due again the moment it is made.
func newSnapshot[V comparable](c Credential[V], jitter func() float64) *snapshot[V] {
	lifetime := c.lifetime()
	advisory := min(lifetime/5, advisoryMax)
	advisory -= time.Duration(jitter() * float64(advisory) / 10)
	issuedAt, expiresAt := c.IssuedAt.UnixNano(), c.ExpiresAt.UnixNano()
	return &snapshot[V]{
		value:       c.Value,
		issuedAt:    issuedAt,
		notBefore:   issuedAt - int64(stepBack),
		advisoryAt:  expiresAt - int64(advisory),
		mandatoryAt: expiresAt - int64(min(lifetime/20, mandatoryMax)),
		expiresAt:   expiresAt,
	}
}

// lifetime is by the wall clock: the monotonic one stands still while a machine
// is suspended. It is not negative, whatever the clock did between the two times.
func (c Credential[V]) lifetime() time.Duration {
	return max(0, c.ExpiresAt.Round(0).Sub(c.IssuedAt.Round(0)))
}

func (s *snapshot[V]) fresh(now int64) bool {
	return now < s.advisoryAt && now >= s.notBefore
}

// usable reports whether the credential may be handed out at all.
func (s *snapshot[V]) usable(now int64) bool {
	return now < s.expiresAt && now >= s.notBefore
}

// reject is Cache.Reject for one entry.
func (e *entry[K, V]) reject(value V, now int64, jitter func() float64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.current.Load()
	if s == nil || s.value != value {
		return true
	}
	if resting(now, e.rejectedUntil) {
		return false
	}
	if now-e.rejectedUntil > int64(2*backoffMax) {
		e.rejections = 0
	}
	e.rejectedUntil = now + int64(backoff(e.rejections, jitter))
	e.rejections++
	e.current.Store(nil)
	return true
}

package cache

import (
	"sync"
	"sync/atomic"
	"time"
)

// entry is what is known of one key.
type entry[V comparable] struct {
	current atomic.Pointer[snapshot[V]]

	mu        sync.Mutex // guards what follows, and writes of current; never held across a mint
	mint      *mint[V]   // the mint that is under way, if any
	notBefore time.Time  // no mint starts earlier, because the last one failed
	failures  int        // in a row
	err       error      // of the last mint

	rejectedUntil time.Time // a rejection before this replaces nothing
	rejections    int       // in a row
}

// snapshot is a credential with the times at which its state changes. It does
// not change once it is published.
type snapshot[V comparable] struct {
	credential  Credential[V]
	notBefore   time.Time // a clock that shows an earlier time has been put back far
	advisoryAt  time.Time
	mandatoryAt time.Time
}

// mint is a mint that is under way, or over once done is closed.
type mint[V comparable] struct {
	done  chan struct{}
	value V     // set before done is closed
	err   error // likewise
}

const (
	advisoryMax  = time.Hour
	mandatoryMax = time.Minute

	backoffMin = time.Second
	backoffMax = time.Minute

	// stepBack is how far the clock may be put back without a credential of
	// before counting as one from the future, which its verifier would refuse.
	stepBack = time.Minute
)

// newSnapshot returns the snapshot of c. A window is a part of the lifetime, so
// that a short-lived credential is not due again the moment it is made.
func newSnapshot[V comparable](c Credential[V], jitter func() float64) *snapshot[V] {
	// Round drops the monotonic clock reading, which stands still while a
	// machine is suspended.
	c.IssuedAt, c.ExpiresAt = c.IssuedAt.Round(0), c.ExpiresAt.Round(0)
	lifetime := c.ExpiresAt.Sub(c.IssuedAt)
	advisory := min(lifetime/5, advisoryMax)
	advisory -= time.Duration(jitter() * float64(advisory) / 10)
	return &snapshot[V]{
		credential:  c,
		notBefore:   c.IssuedAt.Add(-stepBack),
		advisoryAt:  c.ExpiresAt.Add(-advisory),
		mandatoryAt: c.ExpiresAt.Add(-min(lifetime/20, mandatoryMax)),
	}
}

func (s *snapshot[V]) fresh(now time.Time) bool {
	return now.Before(s.advisoryAt) && !now.Before(s.notBefore)
}

// usable reports whether the credential may be handed out at all.
func (s *snapshot[V]) usable(now time.Time) bool {
	return now.Before(s.credential.ExpiresAt) && !now.Before(s.notBefore)
}

// finish records how m ended.
func (e *entry[V]) finish(m *mint[V], c Credential[V], err error, now time.Time, jitter func() float64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mint = nil
	m.value, m.err = c.Value, err
	if err != nil {
		wait := backoff(e.failures, jitter)
		if s := e.current.Load(); s != nil {
			wait = min(wait, s.credential.ExpiresAt.Sub(s.credential.IssuedAt)/4)
		}
		e.failures++
		e.notBefore = now.Round(0).Add(wait)
		e.err = err
		return
	}
	e.failures, e.notBefore, e.err = 0, time.Time{}, nil
	e.current.Store(newSnapshot(c, jitter))
}

// reject is Cache.Reject for one entry.
func (e *entry[V]) reject(value V, now time.Time, jitter func() float64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.current.Load()
	if s == nil || s.credential.Value != value {
		return true
	}
	if resting(now, e.rejectedUntil) {
		return false
	}
	wait := backoff(e.rejections, jitter)
	if now.Sub(e.rejectedUntil) > 2*backoffMax {
		e.rejections, wait = 0, backoff(0, jitter)
	}
	e.rejections++
	e.rejectedUntil = now.Round(0).Add(wait)
	e.current.Store(nil)
	return true
}

// resting reports whether a rest goes on. One that ends later than any rest can
// was set before the clock was put back, and is over.
func resting(now, until time.Time) bool {
	return now.Before(until) && until.Sub(now) <= backoffMax
}

// backoff returns how long to rest after the n-th failure in a row, counted from
// 0: 1 s, doubling to 1 min, of which a random half is taken away.
func backoff(n int, jitter func() float64) time.Duration {
	wait := backoffMax
	if n < 6 {
		wait = min(backoffMin<<n, backoffMax)
	}
	return wait - time.Duration(jitter()*float64(wait)/2)
}

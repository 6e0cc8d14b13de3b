package cache

import "time"

// mint is a mint that is under way, or over once done is closed.
type mint[V comparable] struct {
	done  chan struct{}
	value V     // set before done is closed
	err   error // likewise
}

const (
	backoffMin = time.Second
	backoffMax = time.Minute
)

// begin returns the mint of e that is under way, or begins one. It is called
// with e.mu held. The caller runs a mint that began.
func (c *Cache[K, V]) begin(e *entry[K, V]) (m *mint[V], began bool, err error) {
	if e.mint != nil {
		return e.mint, false, nil
	}
	if !c.running.add() {
		return nil, false, ErrClosed
	}
	e.mint = &mint[V]{done: make(chan struct{})}
	c.started.Add(1)
	return e.mint, true, nil
}

// run makes the credential of m, which began for e.
func (c *Cache[K, V]) run(e *entry[K, V], m *mint[V], source Source[K, V]) {
	defer c.running.done()
	defer close(m.done)
	credential, err := source.Mint(c.ctx, e.key)
	if err == nil && c.clock.read() >= credential.ExpiresAt.UnixNano() {
		// Where times are whole seconds, the second of a short life may have
		// been nearly over. The next one has just begun.
		credential, err = source.Mint(c.ctx, e.key)
	}
	now := c.clock.read()
	if err == nil && now >= credential.ExpiresAt.UnixNano() {
		err = ErrExpired
	}

	e.mu.Lock()
	e.mint = nil
	m.value, m.err = credential.Value, err
	var due int64
	if err != nil {
		due = e.failed(err, now, c.jitter)
	} else {
		due = e.made(credential, c.jitter)
	}
	e.mu.Unlock()
	c.schedule(e, due)
}

// made puts the new credential in place. It returns when it is due to be
// refreshed.
func (e *entry[K, V]) made(credential Credential[V], jitter func() float64) int64 {
	e.failures, e.notBefore, e.err = 0, 0, nil
	s := newSnapshot(credential, jitter)
	e.take(used)
	e.current.Store(s)
	return s.advisoryAt
}

// failed begins a rest. It returns when that ends.
func (e *entry[K, V]) failed(err error, now int64, jitter func() float64) int64 {
	wait := backoff(e.failures, jitter)
	if s := e.current.Load(); s != nil {
		// What lives for seconds is not left alone for a minute. What lives for
		// less than one is not tried without end.
		wait = min(wait, max(time.Duration(s.expiresAt-s.issuedAt), time.Second)/4)
	}
	e.failures++
	e.notBefore, e.err = now+int64(wait), err
	return e.notBefore
}

// resting reports whether a rest goes on. One that ends later than any rest can
// was set before the clock was put back, and is over.
func resting(now, until int64) bool {
	return now < until && until-now <= int64(backoffMax)
}

// backoff returns how long to rest after the n-th failure in a row, counted from
// 0: 1 s, doubling to 1 min, of which a random half is taken away.
func backoff(n int32, jitter func() float64) time.Duration {
	wait := backoffMax
	if n < 6 {
		wait = min(backoffMin<<n, backoffMax)
	}
	return wait - time.Duration(jitter()*float64(wait)/2)
}

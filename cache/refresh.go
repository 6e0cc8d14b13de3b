package cache

import (
	"container/heap"
	"time"
)

// queue are the entries of a cache, those first that the refresher has to look
// at first. It implements [heap.Interface].
type queue[K, V comparable] []*entry[K, V]

const notQueued = -1

func (q queue[K, V]) Len() int           { return len(q) }
func (q queue[K, V]) Less(i, j int) bool { return q[i].due < q[j].due }

func (q queue[K, V]) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].position, q[j].position = i, j
}

func (q *queue[K, V]) Push(x any) {
	e := x.(*entry[K, V])
	e.position = len(*q)
	*q = append(*q, e)
}

func (q *queue[K, V]) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	e.position = notQueued
	return e
}

// maxSleep is how long the refresher sleeps at most: its timer counts by the
// monotonic clock, and the wall clock may be set in the meantime.
const maxSleep = time.Minute

// schedule has the refresher look at e when due, and starts it where it is not
// running.
func (c *Cache[K, V]) schedule(e *entry[K, V], due int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.gone {
		return
	}
	e.due = due
	if e.position == notQueued {
		heap.Push(&c.queue, e)
	} else {
		heap.Fix(&c.queue, e.position)
	}
	if !c.refreshing {
		if c.refreshing = c.running.add(); c.refreshing {
			go c.refresh()
		}
		return
	}
	if e.position == 0 {
		c.nudge()
	}
}

// hurry has the refresher look at e now: its credential is due, and was asked
// for.
func (c *Cache[K, V]) hurry(e *entry[K, V], now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.position == notQueued {
		return // the refresher has it in hand
	}
	if e.due > now {
		e.due = now
		heap.Fix(&c.queue, e.position)
	}
	c.nudge()
}

// nudge wakes the refresher.
func (c *Cache[K, V]) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// refresh is the one background worker. It replaces credentials as they become
// due, one at a time, but not those that nobody has asked for since they were
// made: these it drops when they expire. It ends when there are none left.
// Nothing depends on it: callers mint what they find in its mandatory window.
func (c *Cache[K, V]) refresh() {
	defer c.running.done()
	timer := time.NewTimer(maxSleep)
	defer timer.Stop()
	for {
		e, wait, ok := c.next()
		if !ok {
			return
		}
		if e != nil {
			c.refreshOne(e)
			if c.ctx.Err() != nil {
				return
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-c.ctx.Done():
			return
		case <-timer.C:
		case <-c.wake:
		}
	}
}

// next returns the entry that is due, or how long to wait for one. ok is false
// where there is none to wait for: the refresher then ends.
func (c *Cache[K, V]) next() (e *entry[K, V], wait time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		c.refreshing = false
		return nil, 0, false
	}
	if wait = time.Duration(c.queue[0].due - c.clock.read()); wait > 0 {
		return nil, min(wait, maxSleep), true
	}
	return heap.Pop(&c.queue).(*entry[K, V]), 0, true
}

// refreshOne replaces the credential of e, or lets e go. run puts it back into
// the queue.
func (c *Cache[K, V]) refreshOne(e *entry[K, V]) {
	now := c.clock.read()
	e.mu.Lock()
	s, asked := e.current.Load(), e.marks.Load()&used != 0
	switch {
	case e.mint != nil:
		e.mu.Unlock()
		return // a caller's mint will put it back
	case s != nil && s.fresh(now):
		e.mu.Unlock()
		c.schedule(e, s.advisoryAt) // a caller's mint was quicker
		return
	case resting(now, e.notBefore):
		notBefore := e.notBefore
		e.mu.Unlock()
		c.schedule(e, notBefore) // a caller was about to hurry while a mint failed
		return
	case s != nil && s.usable(now):
		if !asked {
			// It is not replaced, but stays for whom it may still serve.
			e.mu.Unlock()
			c.schedule(e, s.expiresAt)
			return
		}
	case !e.take(used):
		// Nobody has asked since it expired, or there never was one. Only what
		// is known of its failures is worth keeping for a while.
		forgetAt := e.notBefore + int64(2*backoffMax)
		e.mu.Unlock()
		if forgetAt > now {
			c.schedule(e, forgetAt)
		} else {
			c.remove(e)
		}
		return
	}
	source := e.source
	m, _, err := c.begin(e)
	e.mu.Unlock()
	if err == nil {
		c.run(e, m, source)
	}
}

package cache

import (
	"sync/atomic"
	"time"
)

// clock tells the time of the wall clock, in nanoseconds since the Unix epoch.
//
// Reading the system's wall clock costs about as much as all the rest of a hit.
// So the clock reads it once in clockTrust and adds what the monotonic clock,
// which is cheaper, has counted since. A suspension or a step of the clock is
// seen at most clockTrust later, which is less than it takes to send what Get
// has returned.
type clock struct {
	now func() time.Time // nil: the system's

	base   time.Time
	offset atomic.Int64 // of the wall clock from time.Since(base)
	readAt atomic.Int64 // time.Since(base) when offset was taken
}

const clockTrust = time.Millisecond

func newClock(now func() time.Time) *clock {
	c := &clock{now: now, base: time.Now()}
	c.read()
	return c
}

// nanos returns the time, at most clockTrust behind a step of the wall clock.
func (c *clock) nanos() int64 {
	if c.now != nil {
		return c.now().UnixNano()
	}
	since := int64(time.Since(c.base))
	// readAt before offset: an offset is then never older than its readAt.
	if since-c.readAt.Load() < int64(clockTrust) {
		return c.offset.Load() + since
	}
	return c.read()
}

// read returns the time by the wall clock itself.
func (c *clock) read() int64 {
	if c.now != nil {
		return c.now().UnixNano()
	}
	now := time.Now()
	since, wall := int64(now.Sub(c.base)), now.UnixNano()
	c.offset.Store(wall - since)
	c.readAt.Store(since)
	return wall
}

package connect

import (
	"sync/atomic"
	"time"
)

// throttle lets one line per minute into the log of those that clients can cause.
type throttle struct {
	now  func() time.Time
	last atomic.Int64 // Unix nanoseconds, 0 before the first
}

const noticeInterval = time.Minute

func newThrottle(now func() time.Time) *throttle { return &throttle{now: now} }

// pass reports whether there may be a line.
func (t *throttle) pass() bool {
	now, last := t.now().UnixNano(), t.last.Load()
	return (last == 0 || now-last >= int64(noticeInterval) || now < last) && t.last.CompareAndSwap(last, now)
}

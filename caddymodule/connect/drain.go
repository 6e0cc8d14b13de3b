package connect

import (
	"context"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// lull is how long nothing may come on what is no request, once the server stops or
// its configuration is replaced: a handshake, or a tunnel.
const lull = time.Second

// lateness is how long after the server began to stop a CONNECT may still come: one
// that was read before, on a machine that has too much to do.
const lateness = 3 * time.Second

// drains are the handlers, of this configuration and of earlier ones, that have
// connections to end. The process waits for them.
var drains sync.Map // of *Handler

// underWay counts what has to end before a handler has. The zero value is not ready.
type underWay struct {
	mu      sync.Mutex // guards what follows
	n       int
	stopped bool
	none    chan struct{} // closed once there are none any more
}

func newUnderWay() *underWay { return &underWay{none: make(chan struct{})} }

// begin reports whether one more may begin; if so, end ends it.
func (u *underWay) begin() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.stopped {
		u.n++
	}
	return !u.stopped
}

func (u *underWay) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.n--; u.stopped && u.n == 0 {
		close(u.none)
	}
}

// stop lets no further ones begin, and returns a channel that is closed when those
// under way have ended. It is called once.
func (u *underWay) stop() <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stopped = true
	if u.n == 0 {
		close(u.none)
	}
	return u.none
}

// drain has connections end as those of the server do: requests when they are
// answered, and what is idle at once; tunnels end when nothing comes any more, and
// soon in any case. A CONNECT that was read before, or whose handshake goes on, may
// still become one request. It does not wait.
func (h *Handler) drain() {
	h.drainOnce.Do(func() {
		close(h.draining)
		drains.Store(h, nil)
		go func() {
			defer drains.Delete(h)
			defer close(h.drained)
			var inside sync.WaitGroup
			inside.Go(h.inside.end)
			select {
			case <-time.After(lateness):
			case <-h.hurried:
			}
			h.endLate()
			inside.Wait()
			for range maxTunnels {
				h.slots <- struct{}{} // that of a tunnel which has ended, for good
			}
		}()
	})
}

// endLate ends what has come since the server began to stop.
func (h *Handler) endLate() {
	select {
	case <-h.shaking.stop():
	case <-time.After(lull):
	}
	h.cancelShaking()
	h.late.end()
}

// stop waits for that where the process ends, and as long as the grace period lasts.
func (h *Handler) stop(ctx context.Context) error {
	h.drain()
	if caddy.Exiting() {
		Wait(ctx)
	}
	return nil
}

// Wait waits for the connections of all handlers that were stopped, at most until
// ctx ends. No further ones come.
func Wait(ctx context.Context) {
	drains.Range(func(h, _ any) bool {
		h.(*Handler).hurry()
		return true
	})
	drains.Range(func(h, _ any) bool {
		select {
		case <-h.(*Handler).drained:
		case <-ctx.Done():
		}
		return ctx.Err() == nil
	})
}

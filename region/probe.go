package region

import (
	"context"
	"sync"
	"time"
)

// Prober finds out whether hosts can be reached. Probe is called from several
// goroutines at a time.
type Prober interface {
	// Probe connects to e, with TLS where calls would use it, and hangs up: no
	// request is sent, and no credential. It returns how long the connection
	// took, name resolution excluded, or why there is none. It must end soon,
	// by time-outs of its own, and at once when ctx ends.
	Probe(ctx context.Context, e Endpoint) (took time.Duration, cause Cause, ok bool)
}

const (
	// probeSpacing is the least time from the end of one probe of a host to the
	// next.
	probeSpacing = 2 * time.Second

	// roundSpacing is the least time from the end of one measurement of a
	// host's latency to the next.
	roundSpacing = 30 * time.Second
)

// result is what came of a probe.
type result struct {
	began, ended time.Duration
	took         time.Duration
	cause        Cause
	ok           bool
	cut          bool // it was ended before its time, and says nothing of the host
}

func (t *Tracker) connect(ctx context.Context, p Prober, e Endpoint) result {
	r := result{began: t.clock()}
	r.took, r.cause, r.ok = p.Probe(ctx, e)
	r.ended = t.clock()
	return r
}

// begin notes that a probe of h begins. The tracker's mu is held.
func (h *host) begin(now time.Duration) { h.probing, h.began = true, now }

// recover starts the probes that are due of hosts that are not available.
func (g *Group) recover(now time.Duration, p Prober) {
	t := g.tracker
	t.mu.Lock()
	defer t.unlock()
	if t.closed || g.users == 0 {
		return
	}
	none := g.noneAvailable()
	for i, h := range g.hosts {
		due, ok := h.probeDue(none)
		if !ok || now < due {
			continue
		}
		h.begin(now)
		t.reschedule(h)
		t.running.Go(func() {
			r := t.connect(t.ctx, p, g.endpoints[i])
			t.mu.Lock()
			defer t.unlock()
			t.probed(h, r)
		})
	}
}

// measure starts a round of latency probes: the available hosts are probed at
// the same time, and the order of preference changes when all have been, so that
// it never follows half of a change.
func (g *Group) measure(now time.Duration, p Prober) {
	t := g.tracker
	t.mu.Lock()
	defer t.unlock()
	if t.closed || g.users == 0 || int64(now) < g.roundAt.Load() {
		return
	}
	next := now + roundSpacing
	var due []int
	for i, h := range g.hosts {
		switch {
		case h.probing || !h.is(Available):
		case now < h.sampled+roundSpacing:
			next = min(next, h.sampled+roundSpacing) // another group has measured it
		default:
			due = append(due, i)
		}
	}
	if len(due) == 0 {
		g.roundAt.Store(int64(next))
		g.prefer()
		return
	}
	g.roundAt.Store(atNoTime)
	for _, i := range due {
		g.hosts[i].begin(now)
		t.reschedule(g.hosts[i])
	}
	t.running.Go(func() {
		results := make([]result, len(due))
		var probes sync.WaitGroup
		for n, i := range due {
			probes.Go(func() { results[n] = t.connect(t.ctx, p, g.endpoints[i]) })
		}
		probes.Wait()
		t.mu.Lock()
		defer t.unlock()
		for n, i := range due {
			h, r := g.hosts[i], results[n]
			h.sampled = r.ended
			if r.ok {
				h.latency.add(r.took)
			}
			t.probed(h, r)
		}
		g.roundAt.Store(int64(t.clock() + roundSpacing))
		g.prefer()
	})
}

// probed takes in the result of a probe. The tracker's mu is held.
func (t *Tracker) probed(h *host, r result) {
	h.probing, h.doubted = false, false
	h.probed = r.ended
	switch {
	case t.ctx.Err() != nil: // cut short
	case r.ok:
		h.reached, h.took, h.connect = r.began, r.ended-r.began, r.took
		t.succeeded(h, r.began, r.ended, true)
	default:
		h.missed = r.began
		if !r.cut {
			t.failed(h, r.began, r.ended, r.cause)
		}
	}
	t.reschedule(h)
	for _, g := range h.groups {
		g.announce()
	}
}

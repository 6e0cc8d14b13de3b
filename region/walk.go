package region

import "time"

// Walk is the way of one call through the endpoints of a [Group]: it names each
// at most once. The zero Walk names none. It is not safe for concurrent use.
//
// After every endpoint that Next has named, one of Answered, Failed and
// Abandoned says how the attempt ended.
//
// The vendor's published procedure asks for a back-off of 1 s, 3 s and 6 s
// between tries of the same host. A Walk has none to wait for, because it never
// tries a host again.
type Walk struct {
	group   *Group
	prober  Prober
	began   time.Duration // of the present attempt
	tried   uint16        // bit i: the endpoint with index i
	visited uint16        // bit i: the region with index i has been tried
	last    int8          // index of the last endpoint named, -1 at the start
}

// Walk begins the way of a call. Probes that are due, when it begins and when it
// is answered, are made by p. Without it there are none: a host is then tried by
// one call, and not by others, when its rest is over.
func (g *Group) Walk(p Prober) Walk { return Walk{group: g, prober: p, last: -1} }

// Next returns the endpoint to try next, after the last one failed for cause
// (which the first call ignores). Of the available ones that were not tried it
// is, after [NameNotResolved], the next name of the same region; otherwise, and
// when that region has no more, the first name of the most preferred region that
// was not tried; then the names that remain. When no available one is left, the
// others follow by the same rules. ok is false when all have been tried.
func (w *Walk) Next(cause Cause) (e Endpoint, ok bool) {
	if w.group == nil {
		return Endpoint{}, false
	}
	g := w.group
	now := g.tracker.clock()
	if w.last < 0 && w.prober != nil && int64(now) >= g.recoveryAt.Load() {
		g.recover(now, w.prober)
	}
	w.began = now
	i := w.choose(cause, now)
	if i < 0 {
		return Endpoint{}, false
	}
	w.tried |= 1 << i
	w.visited |= 1 << g.regionOf[i]
	w.last = int8(i)
	return g.endpoints[i], true
}

// More reports whether Next has an endpoint left.
func (w *Walk) More() bool { return w.group != nil && w.untried() != 0 }

func (w *Walk) untried() uint16 { return ^w.tried & (1<<len(w.group.hosts) - 1) }

// choose returns the index of the next endpoint, or -1.
func (w *Walk) choose(cause Cause, now time.Duration) int {
	g := w.group
	untried := w.untried()
	var usable uint16
	for i, h := range g.hosts {
		if h.is(Available) || w.prober == nil && int64(now) >= h.tryFrom.Load() {
			usable |= 1 << i
		}
	}
	for usable &= untried; usable != 0; {
		i := w.pick(usable, cause)
		h := g.hosts[i]
		from := h.tryFrom.Load()
		if h.is(Available) || int64(now) >= from && h.tryFrom.CompareAndSwap(from, int64(now+trialTime)) {
			return i
		}
		usable &^= 1 << i // another call has begun to try it
	}
	return w.pick(untried, cause)
}

// pick returns the index of the first of candidates by the rules of Next, or -1.
func (w *Walk) pick(candidates uint16, cause Cause) int {
	g := w.group
	order := g.order.Load()
	further, any := -1, -1
	for _, at := range order.at[:order.n] {
		i, region := int(at), g.regionOf[at]
		if candidates&(1<<i) == 0 {
			continue
		}
		if cause == NameNotResolved && w.last >= 0 && region == g.regionOf[w.last] {
			return i
		}
		if further < 0 && w.visited&(1<<region) == 0 {
			further = i
		}
		if any < 0 {
			any = i
		}
	}
	if further >= 0 {
		return further
	}
	return any
}

// Answered says that the last endpoint has answered, whatever it was but that it
// cannot serve: that is Failed with [Unavailable].
func (w *Walk) Answered() {
	if h := w.host(); h != nil {
		h.answered.Store(int64(w.began))
		if !h.clean.Load() {
			t := w.group.tracker
			t.mu.Lock()
			t.succeeded(h, w.began, t.clock(), false)
			t.unlock()
		}
	}
	// Measuring comes after the attempt, so as not to compete with it.
	if w.prober != nil && int64(w.began) >= w.group.roundAt.Load() {
		w.group.measure(w.group.tracker.clock(), w.prober)
	}
}

// Failed says why the last endpoint has not answered.
func (w *Walk) Failed(cause Cause) {
	if h := w.host(); h != nil {
		t := w.group.tracker
		t.mu.Lock()
		t.failed(h, w.began, t.clock(), cause)
		t.unlock()
	}
}

// Abandoned says that the attempt ended for a reason that is not the host's: the
// caller has gone. Where it was still connecting after a time in which
// connections are made, the host is probed.
func (w *Walk) Abandoned(connecting bool) {
	if h := w.host(); h != nil && connecting {
		t := w.group.tracker
		t.mu.Lock()
		if now := t.clock(); now-w.began >= patience {
			h.doubted = true
			t.reschedule(h)
		}
		t.unlock()
	}
}

// patience is how long a connection may take without giving rise to doubts.
const patience = 500 * time.Millisecond

func (w *Walk) host() *host {
	if w.group == nil || w.last < 0 {
		return nil
	}
	return w.group.hosts[w.last]
}

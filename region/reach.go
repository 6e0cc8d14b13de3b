package region

import (
	"context"
	"time"
)

// Reach says whether connections to a host, or to one host of a [Group] at least,
// are made.
type Reach uint8

const (
	// Unknown: nothing has been found out yet.
	Unknown Reach = iota

	// Reached: the last that was heard is that they are.
	Reached

	// Unreached: they are not.
	Unreached
)

const (
	// freshFor is how long the news that a host was reached makes a probe
	// unnecessary. It is probeSpacing, so that each probe is worth as much as it
	// can be.
	freshFor = probeSpacing

	// headStart is how long the most preferred host has for itself before the
	// others are probed beside it.
	headStart = 250 * time.Millisecond

	// A host is taken for unreached, although its probe goes on, when that has
	// taken twice as long as the last one which succeeded, and patienceMin. More
	// than patienceMax is never waited for.
	patienceMin = 1500 * time.Millisecond
	patienceMax = 3500 * time.Millisecond

	// probeLimit is how long a probe may take where the time-outs of the Prober
	// are longer. One that takes this long says nothing of what calls would meet.
	probeLimit = 4 * time.Second

	// foresight is how long after a question probes are still begun that were not
	// due yet at the time: whoever asks once a second need not meet the moment.
	foresight = 1500 * time.Millisecond
)

// Reach returns whether a host of g can be reached: at once where that is known
// from the last 2 s, be it from a call or from a probe. Otherwise it has p make
// probes, and waits for what comes of them until ctx ends; what was known before
// holds until then.
//
// The most preferred available host is probed first, the others as soon as that
// has failed or has taken 250 ms. None is probed by Reach within 2 s after its
// last probe began. What probes find out has the same effect as when calls have
// them made.
//
// Without p nothing is probed, and the hosts are presumed to be within reach
// unless calls have just found that none is.
func (g *Group) Reach(ctx context.Context, p Prober) Reach {
	if p == nil {
		return g.presumed()
	}
	for {
		reach, settled, news, again := g.ask(p)
		if settled {
			return reach
		}
		select {
		case <-news:
		case <-time.After(again):
		case <-ctx.Done():
			return reach
		}
	}
}

// ask has the probes made that are due, and returns what is known. Unless it is
// settled, there is more to know when news is closed, and after a time.
func (g *Group) ask(p Prober) (reach Reach, settled bool, news <-chan struct{}, again time.Duration) {
	t := g.tracker
	t.mu.Lock()
	defer t.unlock()
	if t.closed || g.users == 0 {
		return g.reach, true, nil, 0
	}
	now := t.clock()
	g.asked = now
	next := g.seek(now, p)
	if !g.seeking && next <= now+foresight {
		g.seeking = true
		t.running.Go(func() { g.keepSeeking(p) })
	}
	reach, settled = g.judge(now)
	return reach, settled, g.listen(), next - now
}

// keepSeeking has probes made that become due while nobody waits for them. It
// ends when none does within foresight of the last question.
func (g *Group) keepSeeking(p Prober) {
	t := g.tracker
	t.mu.Lock()
	defer t.unlock()
	for !t.closed && g.users > 0 {
		now := t.clock()
		next := g.seek(now, p)
		g.judge(now)
		if next > g.asked+foresight {
			break
		}
		news := g.listen()
		t.unlock()
		select {
		case <-news:
		case <-time.After(next - now):
		case <-t.ctx.Done():
		}
		t.mu.Lock()
	}
	g.seeking = false
}

// seek starts the probes that are due for want of a host that was reached lately.
// It returns when there is more to do, or to be found out. The tracker's mu is
// held.
func (g *Group) seek(now time.Duration, p Prober) (next time.Duration) {
	lead, order := -1, g.order.Load()
	failing := false
	for _, at := range order.at[:order.n] {
		h := g.hosts[at]
		if h.fresh(now) {
			return h.good() + freshFor
		}
		missed := h.missedAt(now)
		failing = failing || missed > h.good() && missed > now-2*probeSpacing
		if lead < 0 && h.is(Available) && missed <= h.good() {
			lead = int(at)
		}
	}
	from := now // when the others' turn comes
	if lead >= 0 && !failing {
		h := g.hosts[lead]
		if due, ok := h.seekDue(false); ok && due <= now {
			g.probe(lead, now, p)
		}
		if h.probing {
			from = max(now, h.began+headStart)
		}
	}
	next = atNoTime
	none := g.noneAvailable()
	for i, h := range g.hosts {
		due, ok := h.seekDue(none)
		if i != lead {
			due = max(due, from)
		}
		if ok && due <= now {
			g.probe(i, now, p)
		} else if ok {
			next = min(next, due)
		}
		if until := h.began + h.patience(); h.probing && until > now {
			next = min(next, until)
		}
	}
	return next
}

// judge works out what is known of g's reach. It is settled when no probe is under
// way that may still say more. The tracker's mu is held.
func (g *Group) judge(now time.Duration) (reach Reach, settled bool) {
	known, open := false, false
	for _, h := range g.hosts {
		if h.fresh(now) {
			g.reach = Reached
			return g.reach, true
		}
		known = known || h.reach(now) == Reached
		open = open || h.probing && now < h.began+h.patience()
	}
	switch {
	case known:
		g.reach = Reached
	case !open:
		g.reach = Unreached
	}
	return g.reach, !open
}

// presumed is Reach where nothing can be probed. At the end of a rest a host has
// the benefit of the doubt, as calls give it.
func (g *Group) presumed() Reach {
	t := g.tracker
	t.mu.Lock()
	defer t.unlock()
	now := t.clock()
	for _, h := range g.hosts {
		if !h.is(Resting) || h.cause.soft() || now >= h.restEnd {
			return Reached
		}
	}
	return Unreached
}

// listen returns a channel that is closed when a probe has ended. The tracker's mu
// is held.
func (g *Group) listen() <-chan struct{} {
	if g.news == nil {
		g.news = make(chan struct{})
	}
	return g.news
}

func (g *Group) announce() {
	if g.news != nil {
		close(g.news)
		g.news = nil
	}
}

// probe starts a probe of the host with index i. The tracker's mu is held.
func (g *Group) probe(i int, now time.Duration, p Prober) {
	t, h := g.tracker, g.hosts[i]
	h.begin(now)
	t.reschedule(h)
	t.running.Go(func() {
		ctx, cancel := context.WithTimeout(t.ctx, probeLimit)
		defer cancel()
		r := t.connect(ctx, p, g.endpoints[i])
		r.cut = !r.ok && ctx.Err() != nil
		t.mu.Lock()
		defer t.unlock()
		t.probed(h, r)
	})
}

// good returns when the last attempt or probe began that has reached h.
func (h *host) good() time.Duration {
	return max(time.Duration(h.answered.Load()), h.reached)
}

// missedAt returns when the last probe began that has not reached h: one that has
// failed, or that takes too long.
func (h *host) missedAt(now time.Duration) time.Duration {
	if h.probing && now >= h.began+h.patience() {
		return h.began
	}
	return h.missed
}

func (h *host) reach(now time.Duration) Reach {
	good, missed := h.good(), h.missedAt(now)
	switch {
	case good == never && missed == never:
		return Unknown
	case missed > good:
		return Unreached
	}
	return Reached
}

// fresh reports whether h was reached lately, and no call has found otherwise
// since.
func (h *host) fresh(now time.Duration) bool {
	return h.is(Available) && h.reach(now) == Reached && now < h.good()+freshFor
}

// patience is how long a probe of h may take before the host counts as unreached.
func (h *host) patience() time.Duration {
	return min(max(2*h.took, patienceMin), patienceMax)
}

// seekDue returns when h may be probed next for Reach; urgent says that calls have
// no host that is available.
func (h *host) seekDue(urgent bool) (at time.Duration, ok bool) {
	if h.probing {
		return 0, false
	}
	at = h.began + probeSpacing
	if h.is(Resting) && !urgent {
		at = max(at, h.restEnd)
	}
	return at, true
}

package region

import (
	"slices"
	"strings"
	"time"
)

// Status is what is known of one host.
type Status struct {
	Endpoint Endpoint
	State    State
	Since    time.Time // of the state; not that of the end of a rest

	// RestsUntil is the end of the present or last rest, and Cause its cause.
	// The time is zero for a host that has never rested.
	RestsUntil time.Time
	Cause      Cause
	Failures   int // rests since the last success

	// Reach says whether the last connection was made, as far as calls that were
	// answered and probes tell, and ReachedAt when the last call or probe began
	// that has reached the host; zero: none has.
	Reach     Reach
	ReachedAt time.Time

	// Connect is how long the connection of the last probe took that has reached
	// the host, name resolution excluded. 0: none has.
	Connect time.Duration

	// Latency is how long a connection takes, name resolution excluded, as it
	// decides about preference. 0: not known yet.
	Latency time.Duration
}

// Snapshot returns what is known of all hosts, in alphabetical order.
func (t *Tracker) Snapshot() []Status {
	t.mu.Lock()
	defer t.unlock()
	now := t.clock()
	list := make([]Status, 0, len(t.hosts))
	for _, h := range t.hosts {
		list = append(list, t.status(h, h.endpoint, now))
	}
	slices.SortFunc(list, func(a, b Status) int {
		return strings.Compare(a.Endpoint.String(), b.Endpoint.String())
	})
	return list
}

// Snapshot returns what is known of the hosts of g, the most preferred first.
func (g *Group) Snapshot() []Status {
	t := g.tracker
	t.mu.Lock()
	defer t.unlock()
	now := t.clock()
	order := g.order.Load()
	list := make([]Status, order.n)
	for n := range list {
		i := order.at[n]
		list[n] = t.status(g.hosts[i], g.endpoints[i], now)
	}
	return list
}

// status is h as the endpoint e. t.mu is held.
func (t *Tracker) status(h *host, e Endpoint, now time.Duration) Status {
	s := Status{
		Endpoint: e,
		State:    State(h.state.Load()),
		Since:    t.epoch.Add(h.since),
		Cause:    h.cause,
		Failures: h.failures,
		Reach:    h.reach(now),
		Connect:  h.connect,
		Latency:  h.latency.value(),
	}
	if good := h.good(); good != never {
		s.ReachedAt = t.epoch.Add(good)
	}
	if h.restEnd != never {
		s.RestsUntil = t.epoch.Add(h.restEnd)
	}
	if s.State == Resting && now >= h.restEnd {
		s.State = Unproven
	}
	return s
}

package region

import (
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// MaxEndpoints is how many endpoints a Group can have.
const MaxEndpoints = 16

// Group is the candidates of a site's calls, in their order of preference. It is
// safe for concurrent use.
type Group struct {
	tracker *Tracker
	key     string

	// By index of the endpoint.
	endpoints []Endpoint
	hosts     []*host
	regionOf  []uint8

	// By index of the region.
	regions  []string
	fallback []bool // a global name: last, however fast it is

	order atomic.Pointer[order]

	// When the next probes are due, by the tracker's clock.
	recoveryAt atomic.Int64 // of hosts that are not available
	roundAt    atomic.Int64 // of latency

	// What the tracker's mu guards.
	users   int
	ranking []uint8 // the regions, the most preferred first

	reach   Reach         // as it was last known
	asked   time.Duration // when it was last asked for
	seeking bool          // keepSeeking runs
	news    chan struct{} // closed when a probe has ended; nil: nobody listens
}

// order is the indexes of endpoints, the most preferred first.
type order struct {
	n  int
	at [MaxEndpoints]uint8
}

const atNoTime = math.MaxInt64

// globalRegion is the region of the vendor's global names: the fallback, and not
// a place.
const globalRegion = "global"

// newGroup returns a group whose hosts are those that t knows, or new ones. The
// tracker's mu is held.
func newGroup(t *Tracker, key string, endpoints []Endpoint) *Group {
	g := &Group{tracker: t, key: key, endpoints: slices.Clone(endpoints)}
	now := t.clock()
	for i, e := range endpoints {
		g.endpoints[i].address = e.Address()
		h := t.hosts[keyOf(e)]
		if h == nil {
			h = newHost(e, now)
			t.hosts[keyOf(e)] = h
		}
		h.groups = append(h.groups, g)
		g.hosts = append(g.hosts, h)
		region := slices.Index(g.regions, e.Region)
		if region < 0 {
			region = len(g.regions)
			g.regions = append(g.regions, e.Region)
			g.fallback = append(g.fallback, e.Region == globalRegion && VendorHost(e.Host))
			g.ranking = append(g.ranking, uint8(region))
		}
		g.regionOf = append(g.regionOf, uint8(region))
	}
	slices.SortStableFunc(g.ranking, func(a, b uint8) int {
		if g.fallback[a] == g.fallback[b] {
			return 0
		} else if g.fallback[a] {
			return 1
		}
		return -1
	})
	g.setOrder()
	g.reschedule()
	if g.competing() < 2 {
		g.roundAt.Store(atNoTime) // there is nothing to choose
	}
	return g
}

// competing returns how many regions latency decides between.
func (g *Group) competing() int {
	n := 0
	for _, fallback := range g.fallback {
		if !fallback {
			n++
		}
	}
	return n
}

// Release says that a user of g is gone. What is known of hosts that are in no
// group any more is let go.
func (g *Group) Release() {
	t := g.tracker
	t.mu.Lock()
	defer t.unlock()
	if g.users--; g.users > 0 {
		return
	}
	delete(t.groups, g.key)
	for _, h := range g.hosts {
		h.groups = slices.DeleteFunc(h.groups, func(other *Group) bool { return other == g })
		if len(h.groups) == 0 {
			delete(t.hosts, keyOf(h.endpoint))
		}
	}
}

// Endpoints returns the endpoints of g, in the present order of preference.
func (g *Group) Endpoints() []Endpoint {
	order := g.order.Load()
	list := make([]Endpoint, order.n)
	for i := range list {
		list[i] = g.endpoints[order.at[i]]
	}
	return list
}

// setOrder makes the order of endpoints that of their regions; within a region
// they stay as they were given. The tracker's mu is held.
func (g *Group) setOrder() {
	o := new(order)
	for _, region := range g.ranking {
		for i, other := range g.regionOf {
			if other == region {
				o.at[o.n] = uint8(i)
				o.n++
			}
		}
	}
	g.order.Store(o)
}

// prefer ranks the regions by their latencies, each that of its first available
// name. The tracker's mu is held.
func (g *Group) prefer() {
	latency := make([]time.Duration, len(g.regions))
	seen := make([]bool, len(g.regions))
	for i, h := range g.hosts {
		region := g.regionOf[i]
		if seen[region] || g.fallback[region] || !h.is(Available) {
			continue
		}
		seen[region] = true
		latency[region] = h.latency.value()
	}
	ranked := rank(g.ranking, latency)
	if slices.Equal(ranked, g.ranking) {
		return
	}
	change := OrderChange{From: g.names(g.ranking), To: g.names(ranked)}
	for _, region := range ranked {
		change.Latency = append(change.Latency, latency[region])
	}
	g.ranking = ranked
	g.setOrder()
	g.tracker.reordered(change)
}

func (g *Group) names(ranking []uint8) []string {
	names := make([]string, len(ranking))
	for i, region := range ranking {
		names[i] = g.regions[region]
	}
	return names
}

// neighbours returns the other hosts of h's region.
func (g *Group) neighbours(h *host) []*host {
	var list []*host
	at := slices.Index(g.hosts, h)
	for i, other := range g.hosts {
		if i != at && g.regionOf[i] == g.regionOf[at] {
			list = append(list, other)
		}
	}
	return list
}

// reschedule works out when the next probes of hosts that are not available are
// due: when a rest is over, and soon where no host of a group is available.
// The tracker's mu is held.
func (t *Tracker) reschedule(h *host) {
	for _, g := range h.groups {
		g.reschedule()
	}
}

func (g *Group) reschedule() {
	at, none := int64(atNoTime), g.noneAvailable()
	for _, h := range g.hosts {
		if due, ok := h.probeDue(none); ok {
			at = min(at, int64(due))
		}
	}
	g.recoveryAt.Store(at)
}

func (g *Group) noneAvailable() bool {
	return !slices.ContainsFunc(g.hosts, func(h *host) bool { return h.is(Available) })
}

// probeDue returns when h is to be probed next to find out whether it can be
// used; urgent says that calls have no host that can. What has just failed is
// left alone for a moment all the same.
func (h *host) probeDue(urgent bool) (at time.Duration, ok bool) {
	if h.probing || h.is(Available) && !h.doubted {
		return 0, false
	}
	if h.is(Resting) {
		at = h.restEnd
		if urgent {
			at = min(at, h.since+probeSpacing)
		}
	}
	return max(at, h.probed+probeSpacing), true
}

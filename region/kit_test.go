package region_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-convoai/convoai/region"
)

const ms = time.Millisecond

// network is hosts that can be up, down or slow, and the Prober of it.
// Its zero value has every host up, with no delay.
type network struct {
	mu     sync.Mutex // guards what follows
	down   map[string]region.Cause
	delay  map[string]time.Duration
	probes []probe
	active map[string]int
	twice  bool // a host was probed twice at a time
}

type probe struct {
	host string
	at   time.Time
}

func (n *network) Probe(ctx context.Context, e region.Endpoint) (time.Duration, region.Cause, bool) {
	n.mu.Lock()
	n.probes = append(n.probes, probe{e.Host, time.Now()})
	if n.active == nil {
		n.active = map[string]int{}
	}
	if n.active[e.Host]++; n.active[e.Host] > 1 {
		n.twice = true
	}
	delay := n.delay[e.Host]
	n.mu.Unlock()

	cause, ended := region.Unreachable, false
	select {
	case <-time.After(delay):
		ended = true
	case <-ctx.Done():
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.active[e.Host]--
	down, isDown := n.down[e.Host]
	if isDown {
		cause = down
	}
	return delay, cause, ended && !isDown
}

func (n *network) kill(cause region.Cause, hosts ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down == nil {
		n.down = map[string]region.Cause{}
	}
	for _, host := range hosts {
		n.down[host] = cause
	}
}

func (n *network) revive(hosts ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, host := range hosts {
		delete(n.down, host)
	}
}

func (n *network) slow(delays map[string]time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = delays
}

// probed returns when host was probed.
func (n *network) probed(host string) []time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	var times []time.Time
	for _, p := range n.probes {
		if p.host == host {
			times = append(times, p.at)
		}
	}
	return times
}

// site is a group of hosts on a network, in a tracker that records what happens.
type site struct {
	t *testing.T
	*network
	tracker *region.Tracker
	group   *region.Group

	mu      sync.Mutex // guards what follows
	changes []region.Change
	orders  []region.OrderChange
}

// inTime runs a test in a bubble of its own time. names are hosts, each a region
// of its own, or region/host.
func inTime(t *testing.T, names []string, test func(*site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &site{t: t, network: new(network)}
		s.tracker = region.NewTracker(region.Config{
			Jitter: func() float64 { return 0.5 }, // none
			OnChange: func(c region.Change) {
				s.tracker.Snapshot() // must not deadlock
				s.mu.Lock()
				defer s.mu.Unlock()
				s.changes = append(s.changes, c)
			},
			OnOrder: func(c region.OrderChange) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.orders = append(s.orders, c)
			},
		})
		defer s.tracker.Close()
		s.group = s.tracker.Group(endpoints(names...))
		test(s)
		synctest.Wait()
		if s.network.twice {
			t.Error("a host was probed twice at a time")
		}
	})
}

func endpoints(names ...string) []region.Endpoint {
	var list []region.Endpoint
	for _, name := range names {
		e := region.Endpoint{Scheme: "https", Host: name, Port: "443", Region: name}
		if before, after, ok := strings.Cut(name, "/"); ok {
			e.Region, e.Host = before, after
		}
		list = append(list, e)
	}
	return list
}

// call makes a call, which takes no time, and returns the hosts that it tried.
func (s *site) call() []string { return s.callOf(s.group, s.network) }

func (s *site) callOf(g *region.Group, p region.Prober) []string {
	var tried []string
	w := g.Walk(p)
	cause := region.Unreachable
	for {
		e, ok := w.Next(cause)
		if !ok {
			break
		}
		tried = append(tried, e.Host)
		s.network.mu.Lock()
		down, isDown := s.down[e.Host]
		s.network.mu.Unlock()
		if !isDown {
			w.Answered()
			break
		}
		cause = down
		w.Failed(cause)
	}
	// What the call has started goes on, but gets as far as it can in no time.
	synctest.Wait()
	return tried
}

// want makes a call and compares the hosts that it tries.
func (s *site) want(when string, hosts ...string) {
	s.t.Helper()
	if got := s.call(); fmt.Sprint(got) != fmt.Sprint(hosts) {
		s.t.Fatalf("%s: a call tried %v, want %v", when, got, hosts)
	}
}

func (s *site) status(host string) region.Status {
	s.t.Helper()
	for _, status := range s.group.Snapshot() {
		if status.Endpoint.Host == host {
			return status
		}
	}
	s.t.Fatalf("no status of %s", host)
	return region.Status{}
}

func (s *site) wantState(when, host string, want region.State) {
	s.t.Helper()
	if got := s.status(host).State; got != want {
		s.t.Fatalf("%s: %s is %s, want %s", when, host, got, want)
	}
}

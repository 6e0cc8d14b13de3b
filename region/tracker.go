package region

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// Config configures a [Tracker]. The zero value of each field means its default.
type Config struct {
	// Now is the clock. Default: the system's.
	Now func() time.Time

	// Jitter returns a number in [0,1) that spreads the rests of hosts.
	// Default: math/rand/v2.Float64.
	Jitter func() float64

	// OnChange is told of every change of a host's state, OnOrder of every
	// change of an order of preference: one call at a time, in the order in
	// which things happened, and with no lock held. Default: nobody is told.
	OnChange func(Change)
	OnOrder  func(OrderChange)
}

// Change is a change of a host's state.
type Change struct {
	Endpoint Endpoint
	From, To State

	// Cause is why the host rests, or why another name of its region does,
	// which makes this one unproven. It means nothing for a host that has
	// become available.
	Cause Cause

	Rest     time.Duration // of a host that rests
	Failures int           // how many rests in a row, this one included
}

// OrderChange is a change of the order in which the regions of a group are
// preferred.
type OrderChange struct {
	From, To []string        // the regions, the most preferred first
	Latency  []time.Duration // of the regions of To; 0: unknown
}

// Tracker keeps what is known of hosts for all the groups of a process. It is
// safe for concurrent use.
type Tracker struct {
	now    func() time.Time
	epoch  time.Time
	jitter func() float64

	onChange func(Change)
	onOrder  func(OrderChange)

	ctx     context.Context // of probes
	cancel  context.CancelFunc
	running sync.WaitGroup // probes; grows only under mu, and not once closed

	mu      sync.Mutex // guards what follows, and the fields of hosts and groups that say so
	hosts   map[hostKey]*host
	groups  map[string]*Group
	closed  bool
	news    []func() // not told yet
	telling bool     // a goroutine does
}

// NewTracker returns a tracker that knows no host. Close must be called when it
// is no longer used.
func NewTracker(cfg Config) *Tracker {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Jitter == nil {
		cfg.Jitter = rand.Float64
	}
	t := &Tracker{
		now:      cfg.Now,
		epoch:    cfg.Now(),
		jitter:   cfg.Jitter,
		onChange: cfg.OnChange,
		onOrder:  cfg.OnOrder,
		hosts:    make(map[hostKey]*host),
		groups:   make(map[string]*Group),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// Close ends the probes that run, and waits for them. Groups can still be used,
// but nothing is probed any more.
func (t *Tracker) Close() {
	t.mu.Lock()
	t.closed = true
	t.unlock()
	t.cancel()
	t.running.Wait()
}

// Group returns the group of endpoints, which are in order of preference; those
// beyond [MaxEndpoints] are left out, and so is what occurs again. A group with
// the same endpoints that is still in use is shared. Release must be called when
// it is no longer used.
func (t *Tracker) Group(endpoints []Endpoint) *Group {
	endpoints = distinct(endpoints)
	var key strings.Builder
	for _, e := range endpoints {
		key.WriteString(e.String() + "|" + e.Region)
		if e.AllowPrivate {
			key.WriteString("|private")
		}
		if e.Proxied {
			key.WriteString("|proxied")
		}
		key.WriteByte('\n')
	}
	t.mu.Lock()
	defer t.unlock()
	g := t.groups[key.String()]
	if g == nil {
		g = newGroup(t, key.String(), endpoints)
		t.groups[g.key] = g
	}
	g.users++
	return g
}

// distinct returns the first MaxEndpoints of endpoints that differ.
func distinct(endpoints []Endpoint) []Endpoint {
	var list []Endpoint
	seen := make(map[hostKey]bool)
	for _, e := range endpoints {
		if key := keyOf(e); !seen[key] && len(list) < MaxEndpoints {
			seen[key] = true
			list = append(list, e)
		}
	}
	return list
}

// clock returns the time since t was made.
func (t *Tracker) clock() time.Duration { return t.now().Sub(t.epoch) }

// unlock unlocks t.mu, and tells the news.
func (t *Tracker) unlock() {
	if !t.telling && len(t.news) > 0 {
		t.telling = true
		for len(t.news) > 0 {
			news := t.news
			t.news = nil
			t.mu.Unlock()
			for _, tell := range news {
				tell()
			}
			t.mu.Lock()
		}
		t.telling = false
	}
	t.mu.Unlock()
}

// changed has the owner told of a change. t.mu is held.
func (t *Tracker) changed(c Change) {
	if t.onChange != nil {
		t.news = append(t.news, func() { t.onChange(c) })
	}
}

// reordered has the owner told of a change. t.mu is held.
func (t *Tracker) reordered(c OrderChange) {
	if t.onOrder != nil {
		t.news = append(t.news, func() { t.onOrder(c) })
	}
}

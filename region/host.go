package region

import (
	"math"
	"sync/atomic"
	"time"
)

// State says whether calls can go to a host.
type State uint8

const (
	// Available: calls go there.
	Available State = iota

	// Resting: it has failed. Calls go there only when nothing else is left.
	Resting

	// Unproven: its rest is over, or another name of its region has failed.
	// Calls go there when a probe has reached it.
	Unproven
)

// String returns s in one word.
func (s State) String() string {
	switch s {
	case Available:
		return "available"
	case Resting:
		return "resting"
	case Unproven:
		return "unproven"
	}
	return "unknown"
}

// How long hosts rest, and how many failures in a row of the softer kind have
// the same effect as one of the other.
const (
	restMin    = 10 * time.Second
	restMax    = 5 * time.Minute
	restSpread = 0.1
	maxStrikes = 3

	// trialTime is how long others wait for the result of a call that tries a
	// host where there are no probes.
	trialTime = 10 * time.Second
)

// hostKey is what makes two endpoints the same host.
type hostKey struct {
	scheme, host, port string
	allowPrivate       bool
	proxied            bool
}

func keyOf(e Endpoint) hostKey {
	return hostKey{e.Scheme, e.Host, e.Port, e.AllowPrivate, e.Proxied}
}

// never is before everything that a clock says.
const never = time.Duration(math.MinInt64 / 2)

// host is what is known of one host. Times are those of the tracker's clock.
type host struct {
	endpoint Endpoint // as the group has it that named it first

	// What calls read, without the tracker's lock; written under it, except
	// that a call which tries the host may move tryFrom, and that each which is
	// answered sets answered.
	state    atomic.Uint32 // State
	tryFrom  atomic.Int64  // from when on a call may try it where there are no probes
	clean    atomic.Bool   // nothing that an answer would change
	answered atomic.Int64  // when an attempt began that was answered; one of the last

	// What the tracker's mu guards.
	since    time.Duration // of the present state
	trusted  time.Duration // when it last became available
	restEnd  time.Duration
	cause    Cause // of the last rest
	failures int   // rests since the last success
	strikes  int   // soft failures in a row
	doubted  bool  // a call was given up while it tried to connect

	probing bool          // a probe is under way
	began   time.Duration // when the last probe began
	probed  time.Duration // when the last probe ended
	reached time.Duration // when the last probe began that reached it
	missed  time.Duration // when the last probe began that did not
	took    time.Duration // by the last probe that reached it, with the name's resolution
	connect time.Duration // that, without it
	sampled time.Duration // when the last latency probe ended
	latency latency

	groups []*Group // that it belongs to
}

func newHost(e Endpoint, now time.Duration) *host {
	h := &host{
		endpoint: e, since: now, trusted: now, restEnd: never,
		began: never, probed: never, reached: never, missed: never, sampled: never,
	}
	h.clean.Store(true)
	h.answered.Store(int64(never))
	return h
}

// is reports whether h is in state s.
func (h *host) is(s State) bool { return State(h.state.Load()) == s }

// failed takes in that an attempt which began at a time has failed. The
// tracker's mu is held.
//
// What began before the host last recovered is old news, and a failure during a
// rest is what the rest is for: the many calls that fail at the same moment
// count as one. That a call is slow says nothing about a host which has answered
// a later one.
func (t *Tracker) failed(h *host, began, now time.Duration, cause Cause) {
	if h.is(Resting) && began < h.restEnd || !h.is(Resting) && began < h.trusted {
		return
	}
	if cause.soft() {
		if began < time.Duration(h.answered.Load()) {
			return
		}
		h.clean.Store(false)
		if h.strikes++; h.strikes < maxStrikes {
			return
		}
	}
	t.rest(h, now, cause)
}

// rest sends h to rest.
func (t *Tracker) rest(h *host, now time.Duration, cause Cause) {
	from := State(h.state.Load())
	h.failures++
	h.strikes, h.doubted = 0, false
	h.cause = cause
	rest := restMax
	if doublings := h.failures - 1; doublings < 8 {
		rest = min(restMin<<doublings, restMax)
	}
	rest += time.Duration(float64(rest) * restSpread * (2*t.jitter() - 1))
	rest = min(rest, restMax)
	h.restEnd = now + rest
	h.set(Resting, now)
	h.tryFrom.Store(int64(h.restEnd))
	h.clean.Store(false)
	t.changed(Change{Endpoint: h.endpoint, From: from, To: Resting, Cause: cause, Rest: rest, Failures: h.failures})
	if from == Available && cause.ofThePlace() {
		t.doubtNeighbours(h, now)
	}
	t.reschedule(h)
}

// doubtNeighbours makes the other names of h's region unproven.
func (t *Tracker) doubtNeighbours(h *host, now time.Duration) {
	for _, g := range h.groups {
		for _, other := range g.neighbours(h) {
			if !other.is(Available) {
				continue
			}
			other.set(Unproven, now)
			other.tryFrom.Store(int64(h.restEnd))
			other.clean.Store(false)
			t.changed(Change{Endpoint: other.endpoint, From: Available, To: Unproven, Cause: h.cause})
			t.reschedule(other)
		}
	}
}

// succeeded takes in that a call, or a probe, which began at a time has reached
// h. The tracker's mu is held.
func (t *Tracker) succeeded(h *host, began, now time.Duration, probe bool) {
	from := State(h.state.Load())
	if from != Available && began < h.since {
		return
	}
	h.doubted = false
	if !probe {
		h.strikes = 0
	}
	// That connections are made says nothing against a host that answers with
	// 503, so its next rest is longer all the same.
	if !probe || !h.cause.soft() {
		h.failures = 0
	}
	if from != Available {
		h.set(Available, now)
		h.trusted = now
		t.changed(Change{Endpoint: h.endpoint, From: from, To: Available})
	}
	h.clean.Store(h.strikes == 0 && h.failures == 0)
	t.reschedule(h)
}

func (h *host) set(s State, now time.Duration) {
	h.state.Store(uint32(s))
	h.since = now
}

package caddymodule

import "time"

// timing is how the time of a call splits, for the access log. Whatever the call
// waits for is added up over all of its attempts; the rest is the sidecar's.
type timing struct {
	began time.Time // the gate had the header of the request
	ended time.Time // the answer was written, or the caller told why there is none; zero until then

	// connect is how long the call waited for connections: for looking up names,
	// TCP and TLS, until it had one or there was none to be had. Where a kept
	// connection is free, that is some microseconds.
	connect time.Duration

	// upstream is how long it waited for upstreams that it had a connection to:
	// from the connection to the header of the answer, sending included, and then
	// for the parts of the body.
	upstream time.Duration
}

// begin says that the gate has the request.
func (t *timing) begin() {
	if observing {
		t.began = time.Now()
	}
}

// end says that the gate is done with it.
func (t *timing) end() {
	if observing {
		t.ended = time.Now()
	}
}

// sidecar is all time until now, or the end, that was not waited for connections
// and upstreams: the sidecar's own work, and the caller's sending of its body and
// taking of the answer.
func (t *timing) sidecar() time.Duration {
	until := t.ended
	if until.IsZero() {
		until = time.Now()
	}
	return max(until.Sub(t.began)-t.connect-t.upstream, 0)
}

// wantsConn says that a asks for a connection: for its first, or because the last
// one was no good.
func (a *attempt) wantsConn(now time.Time) {
	if observing && a.connected {
		a.timing.upstream += now.Sub(a.got)
	}
}

// hasConn says that a has the connection that it has asked for since a.since.
func (a *attempt) hasConn() {
	if observing {
		a.got = time.Now()
		a.timing.connect += a.got.Sub(a.since)
	}
}

// hasAnswer says that a has an answer's header, or none.
func (a *attempt) hasAnswer() {
	if !observing {
		return
	}
	now := time.Now()
	switch {
	case a.connected:
		a.timing.upstream += now.Sub(a.got)
	case !a.since.IsZero():
		a.timing.connect += now.Sub(a.since)
	}
}

// milliseconds is d as Caddy's placeholders that end in _ms have it.
func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

package caddymodule

import (
	"crypto/sha256"
	"sync"
	"time"
)

// refusals keeps account of fresh tokens that the vendor refused as it had
// refused the ones before. The fault then lies with the certificate, not with a
// token, and every channel would have its token replaced for nothing: so the
// whole app rests from that, 1 s at first and up to 1 min. Calls go out
// meanwhile, each once. Another certificate ends the rest.
type refusals struct {
	mu          sync.Mutex // guards what follows
	certificate [sha256.Size]byte
	count       int // in a row
	until       time.Time
}

const (
	restMin = time.Second
	restMax = time.Minute
)

// resting reports whether tokens of certificate are not to be replaced now.
func (r *refusals) resting(certificate [sha256.Size]byte, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	// A rest that lies further ahead than any can be was set by a clock that has
	// been put back since.
	return r.certificate == certificate && now.Before(r.until) && r.until.Sub(now) <= restMax
}

// record notes whether a token that was just replaced was refused again.
func (r *refusals) record(refused bool, certificate [sha256.Size]byte, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !refused || r.certificate != certificate {
		r.certificate, r.count, r.until = certificate, 0, time.Time{}
	}
	if refused {
		r.until = now.Round(0).Add(min(restMin<<min(r.count, 6), restMax))
		r.count++
	}
}

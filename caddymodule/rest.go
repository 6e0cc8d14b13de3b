package caddymodule

import "time"

// rest is a pause after something was tried in vain: 1 s at first, and twice as
// long each further time in a row, up to 1 min.
type rest struct {
	count int // in a row
	until time.Time
}

const (
	restMin = time.Second
	restMax = time.Minute
)

// on reports whether the rest goes on. One that ends later than any rest can was
// begun by a clock that has been put back since, and is over.
func (r *rest) on(now time.Time) bool {
	return now.Before(r.until) && r.until.Sub(now) <= restMax
}

// begin begins a rest, unless one goes on: what is tried in vain by many at a
// time has been tried once.
func (r *rest) begin(now time.Time) {
	if r.on(now) {
		return
	}
	if now.Sub(r.until) > 2*restMax {
		r.count = 0
	}
	r.until = now.Round(0).Add(min(restMin<<min(r.count, 6), restMax))
	r.count++
}

// end ends the rest: the next begins with 1 s again.
func (r *rest) end() { *r = rest{} }

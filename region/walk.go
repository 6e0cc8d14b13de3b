package region

// Cause is why an attempt ended without an answer, as far as it decides where
// the next one goes.
type Cause uint8

const (
	// Unreachable: the connection was refused, reset or timed out, or TLS failed.
	// The other name of the region leads to the same place.
	Unreachable Cause = iota

	// NameNotResolved: the resolver had no address. The region may be well, and
	// have an address under its other name.
	NameNotResolved
)

// Walk is the way of one call through the endpoints of an area: it names each
// at most once. It is not safe for concurrent use.
//
// The vendor's published procedure asks for a back-off of 1 s, 3 s and 6 s
// between tries of the same host. A Walk has none to wait for, because it never
// tries a host again.
type Walk struct {
	endpoints []Endpoint
	tried     uint64 // bit i: endpoints[i]
	last      int    // index of the last one named, -1 at the start
}

// MaxEndpoints is how many endpoints a Walk can lead through.
const MaxEndpoints = 16

// NewWalk returns a walk through endpoints, in their order of preference.
// Endpoints beyond [MaxEndpoints] are not visited. The slice must not change.
func NewWalk(endpoints []Endpoint) Walk {
	if len(endpoints) > MaxEndpoints {
		endpoints = endpoints[:MaxEndpoints]
	}
	return Walk{endpoints: endpoints, last: -1}
}

// Next returns the endpoint to try next, after the last one failed for cause
// (which the first call ignores): after [NameNotResolved] the next name of the
// same region; otherwise, and when that region has no more, the first name of
// the next region that was not tried; then the names that remain. ok is false
// when all have been tried.
func (w *Walk) Next(cause Cause) (e Endpoint, ok bool) {
	i := -1
	if w.last >= 0 && cause == NameNotResolved {
		i = w.find(func(e Endpoint) bool { return e.Region == w.endpoints[w.last].Region })
	}
	if i < 0 {
		i = w.find(func(e Endpoint) bool { return !w.regionTried(e.Region) })
	}
	if i < 0 {
		i = w.find(func(Endpoint) bool { return true })
	}
	if i < 0 {
		return Endpoint{}, false
	}
	w.tried |= 1 << i
	w.last = i
	return w.endpoints[i], true
}

// More reports whether Next has an endpoint left.
func (w *Walk) More() bool { return w.find(func(Endpoint) bool { return true }) >= 0 }

// find returns the index of the first endpoint that was not tried and that
// matches, or -1.
func (w *Walk) find(match func(Endpoint) bool) int {
	for i, e := range w.endpoints {
		if w.tried&(1<<i) == 0 && match(e) {
			return i
		}
	}
	return -1
}

func (w *Walk) regionTried(region string) bool {
	for i, e := range w.endpoints {
		if w.tried&(1<<i) != 0 && e.Region == region {
			return true
		}
	}
	return false
}

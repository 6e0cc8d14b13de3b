package region

import "time"

// How much faster the connections to a region must be made for it to move ahead
// of another: both.
const (
	fasterRatio = 0.75
	fasterBy    = 5 * time.Millisecond
)

// latency is the last measurements of one host.
type latency struct {
	last [3]time.Duration
	n    int // how many there were
}

func (l *latency) add(d time.Duration) {
	l.last[l.n%len(l.last)] = max(d, 1)
	l.n++
}

// value returns the median of the last three measurements, so that one that is
// far off has no effect, and a change has all of it at once. Of two it returns
// the shorter: what disturbs a measurement makes it longer. One alone is no
// ground to move calls, and counts for nothing: 0.
func (l *latency) value() time.Duration {
	a, b, c := l.last[0], l.last[1], l.last[2]
	switch l.n {
	case 0, 1:
		return 0
	case 2:
		return min(a, b)
	}
	return max(min(a, b), min(max(a, b), c))
}

// faster reports whether a region at a is worth moving ahead of one at b.
func faster(a, b time.Duration) bool {
	return float64(a) <= fasterRatio*float64(b) && b-a >= fasterBy
}

// rank returns the regions of order in the order in which they are to be
// preferred by their latencies. Every place goes to the region that has it,
// unless the fastest of those behind is faster by enough. Regions without a
// latency (0) keep their places.
func rank(order []uint8, latency []time.Duration) []uint8 {
	var places []int
	var ranked []uint8
	for place, region := range order {
		if latency[region] > 0 {
			places = append(places, place)
			ranked = append(ranked, region)
		}
	}
	for i := range ranked {
		best := i
		for j := i + 1; j < len(ranked); j++ {
			if latency[ranked[j]] < latency[ranked[best]] {
				best = j
			}
		}
		if first := ranked[best]; faster(latency[first], latency[ranked[i]]) {
			copy(ranked[i+1:best+1], ranked[i:best])
			ranked[i] = first
		}
	}
	result := append([]uint8(nil), order...)
	for i, place := range places {
		result[place] = ranked[i]
	}
	return result
}

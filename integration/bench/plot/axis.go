package plot

import (
	"math"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
)

// axis maps values to places along one side of the chart.
type axis struct {
	from, to   float64 // values
	start, end float64 // places, in pixels
	log        bool
	ticks      []float64
	decimals   int // of the ticks' labels
}

func (a axis) at(v float64) float64 {
	from, to := a.from, a.to
	if a.log {
		v, from, to = math.Log10(v), math.Log10(from), math.Log10(to)
	}
	return a.start + (v-from)/(to-from)*(a.end-a.start)
}

func (a axis) label(v float64) string {
	return humanize.FormatFloat("#,###."+strings.Repeat("#", a.decimals), v)
}

// linear returns an axis that has all values on it and ends on ticks, of which
// there are about as many as wanted.
func linear(values []float64, start, end float64, wanted int) axis {
	from, to := slices.Min(values), slices.Max(values)
	if from == to {
		to = from + 1
	}
	step, decimals := niceStep((to - from) / float64(wanted))
	first, last := math.Floor(from/step), math.Ceil(to/step)
	a := axis{from: first * step, to: last * step, start: start, end: end, decimals: decimals}
	for i := first; i <= last; i++ {
		a.ticks = append(a.ticks, i*step)
	}
	return a
}

// niceStep returns the least of 1, 2 and 5 times a power of ten that is not below
// a step, and the decimals that its multiples are written with.
func niceStep(step float64) (nice float64, decimals int) {
	exponent := math.Floor(math.Log10(step))
	power := math.Pow(10, exponent)
	nice = 10 * power
	for _, factor := range []float64{1, 2, 5} {
		if factor*power >= step {
			nice = factor * power
			break
		}
	}
	// Not the exponent: 10 times the power has one decimal less.
	return nice, max(0, -int(math.Floor(math.Log10(nice)+1e-9)))
}

// logarithmic returns an axis whose ticks are the values themselves, if their
// labels have room, and otherwise those powers of ten that are on it.
func logarithmic(values []float64, start, end float64) axis {
	a := axis{from: slices.Min(values), to: slices.Max(values), start: start, end: end, log: true}
	if a.from == a.to {
		a.from, a.to = a.from/10, a.to*10
	}
	a.ticks = slices.Compact(slices.Sorted(slices.Values(values)))
	if !a.roomy() {
		a.ticks = nil
		for e := math.Ceil(math.Log10(a.from) - 1e-9); e <= math.Log10(a.to)+1e-9; e++ {
			a.ticks = append(a.ticks, math.Pow(10, e))
		}
	}
	for _, v := range a.ticks {
		a.decimals = max(a.decimals, decimalsOf(v))
	}
	return a
}

// roomy reports whether no two labels of the ticks touch.
func (a axis) roomy() bool {
	for i := 1; i < len(a.ticks); i++ {
		if math.Abs(a.at(a.ticks[i])-a.at(a.ticks[i-1])) < 44 {
			return false
		}
	}
	return true
}

// decimalsOf returns how many decimals a value needs, three at most.
func decimalsOf(v float64) int {
	for n, power := range []float64{1, 10, 100} {
		if math.Abs(v*power-math.Round(v*power)) < 1e-6 {
			return n
		}
	}
	return 3
}

package main

import (
	"fmt"
	"math"
	"slices"

	"github.com/dustin/go-humanize"
)

// A summary is the median and the quartiles of figures.
type summary struct{ Low, Median, High float64 }

// summarize returns the summary of figures, of which there is at least one.
func summarize(values []float64) summary {
	sorted := slices.Sorted(slices.Values(values))
	return summary{quantile(sorted, 0.25), quantile(sorted, 0.5), quantile(sorted, 0.75)}
}

// quantile is that of sorted values, between two of them in proportion.
func quantile(sorted []float64, q float64) float64 {
	position := q * float64(len(sorted)-1)
	below := int(math.Floor(position))
	if below+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	part := position - float64(below)
	return sorted[below]*(1-part) + sorted[below+1]*part
}

// format is how figures are written: the median, and the quartiles.
func format(values []float64, write func(float64) string) string {
	if len(values) == 0 {
		return ""
	}
	s := summarize(values)
	return fmt.Sprintf("%s (%s – %s)", write(s.Median), write(s.Low), write(s.High))
}

// rounded writes a figure with as many digits as make sense.
func rounded(v float64) string {
	switch {
	case math.Abs(v) >= 100:
		return grouped(v)
	case math.Abs(v) >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// grouped writes a whole number.
func grouped(v float64) string { return humanize.Comma(int64(math.Round(v))) }

func hundredths(v float64) string { return fmt.Sprintf("%.2f", v) }

package plot

import (
	"slices"
	"strings"
	"testing"
)

func labels(a axis) string {
	var all []string
	for _, tick := range a.ticks {
		all = append(all, a.label(tick))
	}
	return strings.Join(all, " ")
}

func TestLinearAxes(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   string
	}{
		{[]float64{0, 100}, "0 20 40 60 80 100"},
		{[]float64{0, 11}, "0 2 4 6 8 10 12"},
		{[]float64{0, 0.9}, "0.0 0.2 0.4 0.6 0.8 1.0"},
		{[]float64{0, 0.021}, "0.000 0.005 0.010 0.015 0.020 0.025"},
		{[]float64{0, 1}, "0.0 0.2 0.4 0.6 0.8 1.0"},
		{[]float64{0, 6}, "0 1 2 3 4 5 6"},
		{[]float64{0, 60}, "0 10 20 30 40 50 60"},
		{[]float64{0, 55}, "0 10 20 30 40 50 60"},
		{[]float64{-3, 9}, "-4 -2 0 2 4 6 8 10"},
		{[]float64{0, 1_234_567}, "0 500,000 1,000,000 1,500,000"},
		{[]float64{0, 0}, "0.0 0.2 0.4 0.6 0.8 1.0"},
	} {
		a := linear(test.values, 0, 100, 6)
		if got := labels(a); got != test.want {
			t.Errorf("%v: %s, want %s", test.values, got, test.want)
		}
		if a.at(a.ticks[0]) != 0 || a.at(a.ticks[len(a.ticks)-1]) != 100 {
			t.Errorf("%v: the axis does not end on its ticks", test.values)
		}
	}
}

func TestLogarithmicAxes(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   string
	}{
		{[]float64{64, 1, 16, 4, 256, 16}, "1 4 16 64 256"},
		{[]float64{1, 100, 10_000}, "1 100 10,000"},
		{[]float64{0.5, 1, 2}, "0.5 1.0 2.0"},
		{[]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1000}, "1 10 100 1,000"},
	} {
		a := logarithmic(test.values, 0, 500)
		if got := labels(a); got != test.want {
			t.Errorf("%v: %s, want %s", test.values, got, test.want)
		}
		if a.at(slices.Min(test.values)) != 0 || a.at(slices.Max(test.values)) != 500 {
			t.Errorf("%v: the axis does not end on its values", test.values)
		}
	}
	a := logarithmic([]float64{1, 100}, 0, 500)
	if a.at(10) != 250 {
		t.Errorf("10 is at %g between 1 at 0 and 100 at 500", a.at(10))
	}
}

package region

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

func TestLatencyIsTheMedianOfThree(t *testing.T) {
	for _, test := range []struct {
		samples []time.Duration
		want    time.Duration
	}{
		{nil, 0},
		{[]time.Duration{9 * ms}, 0},
		{[]time.Duration{9 * ms, 5 * ms}, 5 * ms},
		{[]time.Duration{5 * ms, 900 * ms}, 5 * ms},
		{[]time.Duration{5 * ms, 900 * ms, 6 * ms}, 6 * ms},
		{[]time.Duration{1 * ms, 2 * ms, 3 * ms}, 2 * ms},
		{[]time.Duration{3 * ms, 2 * ms, 1 * ms}, 2 * ms},
		{[]time.Duration{2 * ms, 3 * ms, 1 * ms}, 2 * ms},
		{[]time.Duration{2 * ms, 2 * ms, 1 * ms}, 2 * ms},
		{[]time.Duration{5 * ms, 5 * ms, 5 * ms, 80 * ms}, 5 * ms},
		{[]time.Duration{5 * ms, 5 * ms, 5 * ms, 80 * ms, 80 * ms}, 80 * ms},
		{[]time.Duration{0, 0}, 1},
	} {
		var l latency
		for _, sample := range test.samples {
			l.add(sample)
		}
		if got := l.value(); got != test.want {
			t.Errorf("%v: %s, want %s", test.samples, got, test.want)
		}
	}
}

func TestRank(t *testing.T) {
	for _, test := range []struct {
		name, order string
		latency     []int // ms, of the regions a, b, …
		want        string
	}{
		{"nothing is known", "abc", []int{0, 0, 0}, "abc"},
		{"already sorted", "abcd", []int{5, 20, 40, 80}, "abcd"},
		{"reversed", "abcd", []int{80, 40, 20, 5}, "dcba"},
		{"the last is the fastest", "abc", []int{80, 70, 5}, "cab"},
		{"4 ms are too few", "ab", []int{6, 2}, "ab"},
		{"5 ms are enough", "ab", []int{7, 2}, "ba"},
		{"less than a quarter", "ab", []int{100, 76}, "ab"},
		{"a quarter", "ab", []int{100, 75}, "ba"},
		{"each a little faster, the last by enough", "abc", []int{20, 16, 12}, "cab"},
		{"unmeasured keeps its place", "abc", []int{80, 0, 5}, "cba"},
		{"unmeasured in front", "abc", []int{0, 80, 5}, "acb"},
		{"a present order is kept where it is good enough", "ba", []int{10, 12}, "ba"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var order []uint8
			for _, letter := range test.order {
				order = append(order, uint8(letter-'a'))
			}
			var latency []time.Duration
			for _, n := range test.latency {
				latency = append(latency, time.Duration(n)*ms)
			}
			var got strings.Builder
			for _, region := range rank(order, latency) {
				got.WriteByte('a' + region)
			}
			if got.String() != test.want {
				t.Errorf("ranked %s, want %s", &got, test.want)
			}
		})
	}
}

// Whatever the latencies, ranking loses no region, and ranking again changes
// nothing: it does not flap by itself.
func TestRankIsStable(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 5000 {
		var order []uint8
		var latency []time.Duration
		for _, region := range random.Perm(1 + random.IntN(MaxEndpoints)) {
			order = append(order, uint8(region))
			latency = append(latency, time.Duration(random.IntN(100))*ms)
		}
		ranked := rank(order, latency)
		if !slices.Equal(slices.Sorted(slices.Values(ranked)), slices.Sorted(slices.Values(order))) {
			t.Fatalf("%v became %v", order, ranked)
		}
		if again := rank(ranked, latency); !slices.Equal(again, ranked) {
			t.Fatalf("%v became %v, and then %v (%v)", order, ranked, again, latency)
		}
		// The first is not much slower than any other that was measured.
		if first := latency[ranked[0]]; first > 0 {
			for _, region := range ranked {
				if l := latency[region]; l > 0 && faster(l, first) {
					t.Fatalf("%v: first has %s, another %s", ranked, first, l)
				}
			}
		}
	}
}

// Two hosts of about the same latency whose measurements vary by a tenth do not
// change places, and one that is off by any amount moves nothing.
func TestNearlyEqualHostsDoNotFlap(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for _, base := range []time.Duration{2 * ms, 20 * ms, 200 * ms} {
		hosts := make([]latency, 2)
		order := []uint8{0, 1}
		changes := 0
		for n := range 2000 {
			values := make([]time.Duration, 2)
			for i := range hosts {
				sample := base + time.Duration(float64(base)*0.1*(2*random.Float64()-1))
				if (n+i)%5 == 0 {
					sample *= 10
				}
				hosts[i].add(sample)
				values[i] = hosts[i].value()
			}
			ranked := rank(order, values)
			if !slices.Equal(ranked, order) {
				changes++
			}
			order = ranked
		}
		if changes > 0 {
			t.Errorf("%d changes of place between two hosts of about %s", changes, base)
		}
	}
}

func TestCausesHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for c := Unreachable; c <= Unavailable; c++ {
		name := c.String()
		if name == "" || name == "unknown" || seen[name] {
			t.Errorf("cause %d is called %q", c, name)
		}
		seen[name] = true
	}
	for _, s := range []fmt.Stringer{Unavailable + 1, Unproven + 1} {
		if s.String() != "unknown" {
			t.Errorf("what does not exist is called %s", s)
		}
	}
}

package region_test

import (
	"fmt"
	"testing"

	"github.com/caddy-convoai/convoai/region"
)

// BenchmarkChoose is what a call costs that is answered by the host it is sent
// to first: the walk, the choice and the report.
func BenchmarkChoose(b *testing.B) {
	var names []string
	for i := range region.MaxEndpoints {
		names = append(names, fmt.Sprint("host", i))
	}
	for _, bench := range []struct {
		name      string
		endpoints []region.Endpoint
		resting   int
	}{
		{"area", region.US.Endpoints(), 0},
		{"1", endpoints(names[:1]...), 0},
		{"8", endpoints(names[:8]...), 0},
		{"8, 4 of them resting", endpoints(names[:8]...), 4},
		{"16", endpoints(names...), 0},
	} {
		b.Run(bench.name, func(b *testing.B) {
			tracker := region.NewTracker(region.Config{})
			defer tracker.Close()
			g := tracker.Group(bench.endpoints)
			p := new(network)
			for range bench.resting {
				w := g.Walk(p)
				w.Next(0)
				w.Failed(region.Unreachable)
			}
			b.ReportAllocs()
			for b.Loop() {
				w := g.Walk(p)
				if _, ok := w.Next(0); !ok {
					b.Fatal("no host")
				}
				w.Answered()
			}
		})
	}
}

func BenchmarkChooseParallel(b *testing.B) {
	tracker := region.NewTracker(region.Config{})
	defer tracker.Close()
	g := tracker.Group(region.US.Endpoints())
	p := new(network)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			w := g.Walk(p)
			w.Next(0)
			w.Answered()
		}
	})
}

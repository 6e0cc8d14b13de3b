package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const output = `goos: linux
goarch: amd64
pkg: github.com/caddy-convoai/convoai/api
cpu: Some Processor @ 2.00GHz
BenchmarkComplete/token_missing   	     936	      3584 ns/op	 261.71 MB/s	    1240 B/op	       5 allocs/op
BenchmarkComplete/token_missing   	    1224	      2919.5 ns/op	 321.33 MB/s	    1241 B/op	       6 allocs/op
BenchmarkMint  	       1	       592.0 B/token	     10914 floor-ns/token	     11772 ns/token	    817850 vendor-B/token
PASS
`

func TestOfEachFigureTheLeastIsKept(t *testing.T) {
	r := make(results)
	processor, err := r.read("api", strings.NewReader(output))
	if err != nil || processor != "Some Processor @ 2.00GHz" {
		t.Errorf("the processor is %q, error %v", processor, err)
	}
	complete, mint := subject{"api", "BenchmarkComplete/token_missing"}, subject{"api", "BenchmarkMint"}
	for _, want := range []struct {
		subject
		unit  string
		value float64
	}{
		{complete, "ns/op", 2919.5}, {complete, "B/op", 1240}, {complete, "allocs/op", 5}, {complete, "MB/s", 261.71},
		{mint, "ns/token", 11772}, {mint, "B/token", 592},
	} {
		if got := r[want.subject][want.unit]; got != want.value {
			t.Errorf("%s: %g %s, want %g", want.name, got, want.unit, want.value)
		}
	}
	if len(r) != 2 {
		t.Errorf("%d benchmarks, want 2", len(r))
	}
}

func TestALineThatIsNoResultIsAnError(t *testing.T) {
	for _, line := range []string{"BenchmarkX", "BenchmarkX 1", "BenchmarkX 1 2", "BenchmarkX 1 2 ns/op 3", "BenchmarkX 1 two ns/op"} {
		if err := make(results).add("api", line); err == nil {
			t.Errorf("%q is taken", line)
		}
	}
}

func TestACostIsTimeByRatioAndMemoryByDifference(t *testing.T) {
	g := guards[0]
	for _, test := range []struct {
		name     string
		measured [][2]float64 // the path, its reference
		want     float64
	}{
		{"once", [][2]float64{{120, 100}}, 1.2},
		{"each alone once, never both", [][2]float64{{200, 100}, {120, 80}}, 1.5},
		{"the path alone once", [][2]float64{{120, 80}, {300, 100}}, 1.5},
		{"all slower later", [][2]float64{{180, 100}, {240, 200}}, 1.2},
		{"all faster later", [][2]float64{{360, 200}, {120, 100}}, 1.2},
	} {
		m := newMeasurement(nil)
		for _, ns := range test.measured {
			m.keep(results{
				g.subject:   {"ns/op": ns[0], "allocs/op": 194},
				g.reference: {"ns/op": ns[1], "allocs/op": 181},
			}, []guard{g})
		}
		if got := m.cost(g); got != (cost{test.want, 13}) {
			t.Errorf("%s: the cost is %+v, want a ratio of %g", test.name, got, test.want)
		}
	}
}

func TestABenchmarkThatReportsNothingIsAnError(t *testing.T) {
	g := guards[0]
	whole := map[string]float64{"ns/op": 1, "allocs/op": 1}
	for name, r := range map[string]results{
		"no benchmark": {g.reference: whole},
		"no reference": {g.subject: whole},
		"no memory":    {g.reference: whole, g.subject: {"ns/op": 1}},
	} {
		if r.check([]guard{g}) == nil {
			t.Errorf("%s: nothing is missed", name)
		}
	}
	if err := (results{g.subject: whole, g.reference: whole}).check([]guard{g}); err != nil {
		t.Error(err)
	}
}

func TestLimits(t *testing.T) {
	here, elsewhere := machine{"go1", "one"}, machine{"go1", "other"}
	call, path := guards[0], guards[1]
	b := baseline{machine: here, costs: map[string]cost{call.name(): {1, 13}, path.name(): {2, 20}}}
	for _, test := range []struct {
		name  string
		guard guard
		on    machine
		cost  cost
		over  bool
	}{
		{"as before", path, here, cost{2, 20}, false},
		{"15% slower", path, here, cost{2.29, 20}, false},
		{"more than that", path, here, cost{2.31, 20}, true},
		{"slower on another machine", path, elsewhere, cost{2.79, 20}, false},
		{"much slower on another machine", path, elsewhere, cost{2.81, 20}, true},
		{"slower with another Go", path, machine{"go2", "one"}, cost{2.79, 20}, false},
		{"more memory", path, here, cost{2, 22}, false},
		{"more memory than that", path, here, cost{2, 24}, true},
		{"more memory on another machine", path, elsewhere, cost{2, 24}, true},
		{"one allocation more in a call", call, here, cost{1, 14}, false},
		{"two allocations more in a call", call, here, cost{1, 15}, true},
	} {
		g := test.guard
		m := newMeasurement(nil)
		m.machine = test.on
		m.keep(results{
			g.subject:   {g.time: test.cost.ratio * 100, g.memory: test.cost.memory},
			g.reference: {"ns/op": 100},
		}, []guard{g})
		over, err := b.over([]guard{g}, m)
		if err != nil || (len(over) > 0) != test.over {
			t.Errorf("%s: over its limit is %t, error %v", test.name, len(over) > 0, err)
		}
	}
	if _, err := b.over(guards[2:3], newMeasurement(nil)); err == nil {
		t.Error("a path that the baseline does not have is taken")
	}
}

func TestTheBaselineIsReadAsItIsWritten(t *testing.T) {
	b := baseline{machine: machine{"go1.26.8", "Some Processor: 2.00GHz"}, date: "2026-11-21", costs: make(map[string]cost)}
	for i, g := range guards {
		b.costs[g.name()] = cost{1 + float64(i)/8, float64(i)}
	}
	got, err := parseBaseline(b.String())
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != b.String() {
		t.Errorf("%s\nbecame\n%s", b.String(), got.String())
	}
	for _, line := range []string{"a.B 1 2", "a.B one 2 allocs/op", "a.B 1 two allocs/op", "a.B 1 2 allocs/op more"} {
		if _, err := parseBaseline(line); err == nil {
			t.Errorf("%q is taken", line)
		}
	}
}

func TestTheBaselineHasTheGuardedPaths(t *testing.T) {
	text, err := os.ReadFile("baseline.txt")
	if err != nil {
		t.Fatal(err)
	}
	b, err := parseBaseline(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(text) {
		t.Error("baseline.txt is not what -update writes")
	}
	for _, g := range guards {
		if _, ok := b.costs[g.name()]; !ok {
			t.Errorf("baseline.txt has nothing about %s", g.name())
		}
	}
	if len(b.costs) != len(guards) {
		t.Errorf("baseline.txt has %d paths, %d are guarded", len(b.costs), len(guards))
	}
}

func TestPatternsMatchOneBenchmark(t *testing.T) {
	for name, want := range map[string]string{
		"BenchmarkMint":                  "^BenchmarkMint$",
		"BenchmarkHit/credential/keys=1": "^BenchmarkHit$/^credential$/^keys=1$",
	} {
		if got := (subject{"", name}).pattern(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// machineThatSettles answers every benchmark with 100 ns, but the sidecar's call
// with what it took in that run, the last of them for ever.
func machineThatSettles(took ...float64) (m *measurement, ran map[string]int) {
	ran = make(map[string]int)
	return newMeasurement(func(folder string, args ...string) ([]byte, error) {
		var out strings.Builder
		for _, g := range guards {
			for _, s := range []subject{g.subject, g.reference} {
				if s.folder != folder || !slices.ContainsFunc(args, func(a string) bool { return strings.Contains(a, s.pattern()) }) {
					continue
				}
				ns := 100.0
				if s == guards[0].subject {
					ns = took[min(ran[s.name], len(took)-1)]
				}
				ran[s.name]++
				fmt.Fprintf(&out, "%s 1 %g ns/op %g ns/token 0 allocs/op 0 B/token\n", s.name, ns, ns)
			}
		}
		return []byte(out.String()), nil
	}), ran
}

func TestWhatSeemsTooSlowIsMeasuredAgain(t *testing.T) {
	b := baseline{costs: make(map[string]cost)}
	for _, g := range guards {
		b.costs[g.name()] = cost{1, 0}
	}
	b.machine.goVersion = runtime.Version()
	slow := slices.Repeat([]float64{150}, rounds+1)
	call, other := guards[0].subject.name, guards[1].subject.name
	for _, test := range []struct {
		name        string
		took        []float64
		over        int
		call, other int // runs
	}{
		{"never slow", []float64{100}, 0, 1, 1},
		{"slow but once", []float64{150, 100, 150}, 0, 1, 1},
		{"slow at first", append(slow, 110), 0, 2, 1},
		{"slow", slow, 1, 4, 1},
	} {
		m, ran := machineThatSettles(test.took...)
		left := 3
		over, err := b.compare(m, func() bool { left--; return left >= 0 }, io.Discard)
		if err != nil || len(over) != test.over {
			t.Errorf("%s: %d over their limits, error %v", test.name, len(over), err)
		}
		if ran[call] != test.call*(rounds+1) || ran[other] != test.other*(rounds+1) {
			t.Errorf("%s: the call ran in %d rounds and another path in %d", test.name, ran[call], ran[other])
		}
	}
}

func TestABenchmarkThatFailsOrIsNotThereIsAnError(t *testing.T) {
	for name, run := range map[string]func(string, ...string) ([]byte, error){
		"fails":        func(string, ...string) ([]byte, error) { return nil, os.ErrNotExist },
		"is not there": func(string, ...string) ([]byte, error) { return []byte("PASS\n"), nil },
	} {
		if err := newMeasurement(run).measure(guards, 1); err == nil {
			t.Errorf("a benchmark that %s: no error", name)
		}
	}
}

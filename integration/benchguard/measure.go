package main

import (
	"bytes"
	"runtime"
	"slices"
	"strings"
)

// rounds is how many rounds one measurement has. In each, every package runs once,
// and the references before each of them.
const rounds = 10

var (
	// A round is many short runs: one of them fits between two turns of other
	// programs.
	shortRuns = []string{"-test.benchtime=1ms", "-test.count=12"}
	// A call takes so long that its first one, which connects, would be much of a
	// short run.
	callRuns = []string{"-test.benchtime=4ms", "-test.count=8"}
	// Before them comes a longer one, over which what a benchmark allocates at its
	// beginning is spread.
	longRun = []string{"-test.benchtime=200ms", "-test.count=1"}
)

// machine is what a ratio depends on besides the program.
type machine struct{ goVersion, processor string }

func (m machine) String() string { return m.processor + " with " + m.goVersion }

// measurement runs benchmarks and keeps what they have reported.
type measurement struct {
	run     func(folder string, args ...string) ([]byte, error) // runs the tests of a folder
	machine machine
	least   results             // of all runs
	ratios  map[subject]float64 // the least of each time that it was measured
}

func newMeasurement(run func(folder string, args ...string) ([]byte, error)) *measurement {
	return &measurement{run: run, least: make(results), ratios: make(map[subject]float64)}
}

// measure runs guards and their references in turn.
func (m *measurement) measure(guards []guard, rounds int) error {
	r, all := make(results), groups(guards)
	for _, group := range all {
		if err := m.bench(r, group[0].folder, group, longRun); err != nil {
			return err
		}
	}
	for range rounds {
		for _, group := range all {
			for _, folder := range []string{references, group[0].folder} {
				if err := m.bench(r, folder, group, group[0].runs); err != nil {
					return err
				}
			}
		}
	}
	if err := r.check(guards); err != nil {
		return err
	}
	m.keep(r, guards)
	return nil
}

func (m *measurement) keep(r results, guards []guard) {
	m.least.merge(r)
	for _, g := range guards {
		if least, ok := m.ratios[g.subject]; !ok || r.ratio(g) < least {
			m.ratios[g.subject] = r.ratio(g)
		}
	}
}

// cost returns what a path costs. Its ratio is that of the shortest runs of all, or
// of those of one time that it was measured, if that is less: where the machine as a
// whole becomes slower, the reference may have had its shortest run before, and the
// path not. What has become slower itself is so in either.
func (m *measurement) cost(g guard) cost {
	return cost{
		ratio:  min(m.least.ratio(g), m.ratios[g.subject]),
		memory: m.least[g.subject][g.memory] - m.least[g.reference][g.memory],
	}
}

// groups returns the guards by what runs in one process: those of a folder whose runs
// are as long.
func groups(guards []guard) [][]guard {
	var all [][]guard
	for _, g := range guards {
		i := slices.IndexFunc(all, func(group []guard) bool {
			return group[0].folder == g.folder && slices.Equal(group[0].runs, g.runs)
		})
		if i < 0 {
			all = append(all, []guard{g})
		} else {
			all[i] = append(all[i], g)
		}
	}
	return all
}

// bench runs the benchmarks of a folder that guards need.
func (m *measurement) bench(r results, folder string, guards []guard, runs []string) error {
	var patterns []string
	for _, g := range guards {
		for _, s := range []subject{g.subject, g.reference} {
			if s.folder == folder && !slices.Contains(patterns, s.pattern()) {
				patterns = append(patterns, s.pattern())
			}
		}
	}
	if len(patterns) == 0 {
		return nil
	}
	// On one processor, so that no goroutine has to be woken on another.
	args := append([]string{"-test.run=^$", "-test.cpu=1", "-test.benchmem", "-test.bench=" + strings.Join(patterns, "|")}, runs...)
	out, err := m.run(folder, args...)
	if err != nil {
		return err
	}
	processor, err := r.read(folder, bytes.NewReader(out))
	m.machine = machine{runtime.Version(), processor}
	return err
}

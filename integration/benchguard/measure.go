package main

import (
	"bytes"
	"runtime"
	"slices"
	"strings"
)

const (
	// attempts is how often a path is measured before it is called too slow.
	attempts = 5
	// rounds is how many rounds one attempt has. In each, every package runs once,
	// and the references before each of them.
	rounds = 10
)

var (
	// A round is many short runs: one of them fits between two times that another
	// program gets the processor.
	shortRuns = []string{"-test.benchtime=3ms", "-test.count=4"}
	// Before them comes a longer one, over which what a benchmark allocates at its
	// beginning is spread.
	longRun = []string{"-test.benchtime=200ms", "-test.count=1"}
)

// machine is what a ratio depends on besides the program.
type machine struct{ goVersion, processor string }

func (m machine) String() string { return m.processor + " with " + m.goVersion }

// measurement runs benchmarks and keeps the least of each figure.
type measurement struct {
	run     func(folder string, args ...string) ([]byte, error) // runs the tests of a folder
	machine machine
	results results
}

// measure runs guards and their references in turn.
func (m *measurement) measure(guards []guard, rounds int) error {
	for round := range rounds + 1 {
		runs := shortRuns
		if round == 0 {
			runs = longRun
		}
		for _, folder := range folders(guards)[1:] {
			for _, folder := range []string{references, folder} {
				if err := m.bench(folder, guards, runs); err != nil {
					return err
				}
			}
		}
	}
	return m.results.check(guards)
}

// folders returns where the benchmarks are, each folder once, and that of the
// references in front.
func folders(guards []guard) []string {
	all := []string{references}
	for _, g := range guards {
		if !slices.Contains(all, g.folder) {
			all = append(all, g.folder)
		}
	}
	return all
}

// bench runs the benchmarks of a folder that guards need.
func (m *measurement) bench(folder string, guards []guard, runs []string) error {
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
	processor, err := m.results.read(folder, bytes.NewReader(out))
	m.machine = machine{runtime.Version(), processor}
	return err
}

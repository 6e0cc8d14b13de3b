package main

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	growth        = 1.15 // that a cost may have
	growthForeign = 1.40 // that a ratio may have on another machine than the baseline's
)

// cost is what a path costs: its time as a multiple of its reference's, and the
// memory that it takes beyond the reference's.
type cost struct{ ratio, memory float64 }

// baseline is what the guarded paths cost when it was written.
type baseline struct {
	machine machine
	date    string
	costs   map[string]cost
}

const baselineHead = `# What the hot paths cost: nanoseconds as a multiple of a reference that runs beside
# them, and the memory beyond the reference's. Written by
#
#	go run ./integration/benchguard -update
`

func (b baseline) String() string {
	var s strings.Builder
	s.WriteString(baselineHead)
	fmt.Fprintf(&s, "date: %s\ngo: %s\ncpu: %s\n\n", b.date, b.machine.goVersion, b.machine.processor)
	for _, g := range guards {
		c := b.costs[g.name()]
		fmt.Fprintf(&s, "%-48s %8.3f %6g %s\n", g.name(), c.ratio, c.memory, g.memory)
	}
	return s.String()
}

func parseBaseline(text string) (baseline, error) {
	b := baseline{costs: make(map[string]cost)}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		if key, value, ok := strings.Cut(line, ": "); ok {
			switch key {
			case "date":
				b.date = value
			case "go":
				b.machine.goVersion = value
			case "cpu":
				b.machine.processor = value
			}
			continue
		}
		if err := b.add(line); err != nil {
			return baseline{}, err
		}
	}
	return b, lines.Err()
}

func (b baseline) add(line string) error {
	fields := strings.Fields(line)
	if len(fields) != 4 {
		return fmt.Errorf("not a benchmark, a ratio, a number and its unit: %q", line)
	}
	ratio, err := strconv.ParseFloat(fields[1], 64)
	if err != nil {
		return err
	}
	memory, err := strconv.ParseFloat(fields[2], 64)
	if err != nil {
		return err
	}
	b.costs[fields[0]] = cost{ratio, memory}
	return nil
}

// limit returns what a path may cost on a machine.
func (b baseline) limit(g guard, m machine) cost {
	c := b.costs[g.name()]
	most := cost{c.ratio * growth, c.memory * growth}
	if m != b.machine {
		most.ratio = c.ratio * growthForeign
	}
	if g.exact {
		most.memory = c.memory + 1
	}
	return most
}

// compare measures all guarded paths, and those that are over their limits again as
// long as it may. It returns those that remain so, and writes down what it measures
// again.
func (b baseline) compare(m *measurement, again func() bool, w io.Writer) (over []guard, err error) {
	over = guards
	for {
		if err := m.measure(over, rounds); err != nil {
			return nil, err
		}
		if over, err = b.over(guards, m); err != nil || len(over) == 0 || !again() {
			return over, err
		}
		for _, g := range over {
			now, limit := m.cost(g), b.limit(g, m.machine)
			fmt.Fprintf(w, "%s is measured again: %.3f of %.3f, %g of %.1f %s\n", g.name(), now.ratio, limit.ratio, now.memory, limit.memory, g.memory)
		}
	}
}

// over returns the guards whose paths cost more than they may.
func (b baseline) over(guards []guard, m *measurement) ([]guard, error) {
	var over []guard
	for _, g := range guards {
		if _, ok := b.costs[g.name()]; !ok {
			return nil, fmt.Errorf("%s has nothing about %s: write it with -update", baselineFile, g.name())
		}
		now, limit := m.cost(g), b.limit(g, m.machine)
		if now.ratio > limit.ratio || now.memory > limit.memory {
			over = append(over, g)
		}
	}
	return over, nil
}

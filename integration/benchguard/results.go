package main

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// results are the least values that the benchmarks have reported, by unit.
type results map[subject]map[string]float64

// read takes the output of the benchmarks of a folder and returns the processor that
// it names.
func (r results) read(folder string, output io.Reader) (processor string, err error) {
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		line := lines.Text()
		if name, ok := strings.CutPrefix(line, "cpu: "); ok {
			processor = name
		}
		if strings.HasPrefix(line, "Benchmark") {
			if err := r.add(folder, line); err != nil {
				return "", err
			}
		}
	}
	return processor, lines.Err()
}

// add takes a line such as
//
//	BenchmarkFill/token_given   831   4539 ns/op   2264 B/op   5 allocs/op
func (r results) add(folder, line string) error {
	fields := strings.Fields(line)
	if len(fields) < 4 || len(fields)%2 != 0 {
		return fmt.Errorf("no result of a benchmark: %q", line)
	}
	s := subject{folder, fields[0]}
	for i := 2; i < len(fields); i += 2 {
		value, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return fmt.Errorf("no result of a benchmark: %q", line)
		}
		r.keep(s, fields[i+1], value)
	}
	return nil
}

// keep keeps a value if it is less than the one that there is.
func (r results) keep(s subject, unit string, value float64) {
	if r[s] == nil {
		r[s] = make(map[string]float64)
	}
	if least, ok := r[s][unit]; !ok || value < least {
		r[s][unit] = value
	}
}

func (r results) merge(other results) {
	for s, values := range other {
		for unit, value := range values {
			r.keep(s, unit, value)
		}
	}
}

// check tells of a benchmark that did not run, or reports other units.
func (r results) check(guards []guard) error {
	for _, g := range guards {
		_, time := r[g.subject][g.time]
		_, memory := r[g.subject][g.memory]
		_, reference := r[g.reference]["ns/op"]
		if !time || !memory || !reference {
			return fmt.Errorf("%s or %s.%s has not reported what is compared", g.name(), g.reference.folder, g.reference.name)
		}
	}
	return nil
}

// ratio returns the time of a path as a multiple of its reference's.
func (r results) ratio(g guard) float64 { return r[g.subject][g.time] / r[g.reference]["ns/op"] }

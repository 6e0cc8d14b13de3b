// Benchguard fails where a hot path has become slower or allocates more than
// baseline.txt says:
//
//	go run ./integration/benchguard          # compares, from the module's root
//	go run ./integration/benchguard -update  # writes baseline.txt
//
// A time says little on a machine that others use too. What is compared is the
// ratio to a reference that does the same kind of work and runs beside it: the stock
// reverse_proxy for a whole call, loops of the standard library for the rest. Of
// many short runs in turn the shortest counts, and what seems too slow runs again
// before it is called so.
//
// A ratio may grow by 15%. On another processor or with another Go than the
// baseline's even an unchanged program may be further off, so there it may grow by
// 40%.
package main

import (
	"flag"
	"fmt"
	"os"
	"text/tabwriter"
	"time"
)

const (
	baselineFile = "integration/benchguard/baseline.txt"
	// patience is how long what seems too slow is measured again, and attempts how
	// often at least.
	patience = 45 * time.Second
	attempts = 5
)

func main() {
	update := flag.Bool("update", false, "write "+baselineFile+" from what is measured")
	flag.Parse()
	if err := run(*update); err != nil {
		fmt.Fprintln(os.Stderr, "benchguard:", err)
		os.Exit(1)
	}
}

func run(update bool) error {
	dir, err := os.MkdirTemp("", "benchguard")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tests := binaries(dir)
	if err := tests.build(guards); err != nil {
		return err
	}
	m := newMeasurement(tests.run)
	if update {
		if err := m.measure(guards, 3*rounds); err != nil {
			return err
		}
		return writeBaseline(m)
	}
	text, err := os.ReadFile(baselineFile)
	if err != nil {
		return err
	}
	b, err := parseBaseline(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", baselineFile, err)
	}
	deadline, attempt := time.Now().Add(patience), 0
	again := func() bool {
		attempt++
		return attempt < attempts || time.Now().Before(deadline)
	}
	over, err := b.compare(m, again, os.Stdout)
	if err != nil {
		return err
	}
	report(b, m)
	if len(over) > 0 {
		return fmt.Errorf("%d of %d hot paths cost more than the baseline allows; if that is meant, -update writes a new one", len(over), len(guards))
	}
	return nil
}

func writeBaseline(m *measurement) error {
	b := baseline{machine: m.machine, date: time.Now().UTC().Format(time.DateOnly), costs: make(map[string]cost)}
	for _, g := range guards {
		b.costs[g.name()] = m.cost(g)
	}
	return os.WriteFile(baselineFile, []byte(b.String()), 0o644)
}

func report(b baseline, m *measurement) {
	if b.machine != m.machine {
		fmt.Printf("measured on %s, the baseline on %s\n", m.machine, b.machine)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "benchmark\tns\tratio\twas\tmay be\tmemory\twas\tmay be\tunit")
	for _, g := range guards {
		now, was, limit := m.cost(g), b.costs[g.name()], b.limit(g, m.machine)
		fmt.Fprintf(w, "%s\t%.1f\t%.3f\t%.3f\t%.3f\t%g\t%g\t%.1f\t%s\n", g.name(), m.least[g.subject][g.time],
			now.ratio, was.ratio, limit.ratio, now.memory, was.memory, limit.memory, g.memory)
	}
	_ = w.Flush() // to standard output
}

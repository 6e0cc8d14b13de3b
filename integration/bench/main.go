// Command bench shows how fast the sidecar is beside its peers: with nothing in
// between, nginx and stock Caddy that add a fixed header, on this machine, in one
// session. docs/performance.md says what is measured and how to read it.
//
//	go run ./integration/bench                        # all of it, some 20 minutes
//	go run ./integration/bench -quick                 # does it work? less than a minute
//	go run ./integration/bench -suite scale           # many channels, many apps
//	go run ./integration/bench -json FILE -write      # keep the results, and put them into docs/performance.md
//	go run ./integration/bench -from FILE -write      # the same from results that were kept
//
// The load generator is this process; the upstream is another one of the same
// program, and each contender is one. All traffic is on loopback. Processor time
// and memory of the contenders are read on Linux only, so it measures there only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := benchmark
	if len(os.Args) == 3 && os.Args[1] == upstreamArgument {
		run = func(ctx context.Context, arguments []string) error { return serveUpstream(ctx, arguments[1]) }
	}
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// Where the report goes with -write, from the root of the module.
var (
	reportPage   = filepath.FromSlash("docs/performance.md")
	reportCharts = filepath.FromSlash("docs/performance")
)

func benchmark(ctx context.Context, arguments []string) error {
	o, err := parseOptions(arguments)
	if err != nil {
		return err
	}
	var r *results
	if o.from != "" {
		r, err = readResults(o.from)
	} else {
		r, err = o.measure(ctx)
	}
	if err != nil {
		return err
	}
	if o.json != "" {
		if err := r.write(o.json); err != nil {
			return err
		}
	}
	if o.write {
		return newReport(r).update(reportPage, reportCharts)
	}
	return newReport(r).print(os.Stdout)
}

// measure measures what the options ask for.
func (o options) measure(ctx context.Context) (*results, error) {
	began := time.Now()
	// One more, so that a thread that sleeps until a request is due does not wait
	// for the others when it is.
	runtime.GOMAXPROCS(runtime.NumCPU() + 1)
	dir, err := os.MkdirTemp("", "convoai-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if o.caddy == "" {
		o.caddy = filepath.Join(dir, "caddy")
		fmt.Fprintln(o.progress, "building caddy")
		if err := buildCaddy(ctx, o.caddy); err != nil {
			return nil, err
		}
	}
	upstream, at, err := startUpstream(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer upstream.stop()
	s := &session{
		settings: o.settings,
		stage:    &stage{dir: dir, caddy: o.caddy, upstreams: at},
		results: &results{
			Began: began, Command: o.command, Machine: describeMachine(ctx, o.caddy), Settings: o.settings,
		},
		progress: o.progress,
	}
	expected := s.expected().Round(time.Second)
	s.say("about %s to go", expected)
	// Contenders that hang would make it last for hours.
	ctx, cancel := context.WithTimeoutCause(ctx, 2*expected+time.Minute, fmt.Errorf("given up after twice the %s expected", expected))
	defer cancel()
	if slices.Contains(o.Suites, peersSuite) {
		if err := s.comparePeers(ctx); err != nil {
			return nil, err
		}
	}
	if slices.Contains(o.Suites, scaleSuite) {
		if err := s.measureScale(ctx); err != nil {
			return nil, err
		}
	}
	s.results.Took = time.Since(began)
	return s.results, nil
}

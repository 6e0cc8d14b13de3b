// Command measure says how large binaries are, how much memory they have idle, and
// how long they take from their start to the answer of their first call. See
// deploy/size.sh, which calls it.
//
//	measure [-runs 10] [-idle 5s] slim=PATH full=PATH stock=PATH
//
// The binary called stock is Caddy without our modules: it is given a Caddyfile in
// which reverse_proxy adds a fixed Authorization header. The others are started as
// in the image, and mint a token for the first call. All of them call a simulated
// vendor in this process, over HTTPS. The binaries take turns, so that what else
// the machine does hits all of them.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

// figures are what was measured of a binary.
type figures struct {
	subject
	bytes int64
	idle  []float64 // MiB
	first []float64 // ms
}

func run() error {
	runs := flag.Int("runs", 10, "how often each binary is started")
	idle := flag.Duration("idle", 5*time.Second, "how long it is left alone before its memory is looked at")
	flag.Parse()
	var list []*figures
	for _, argument := range flag.Args() {
		name, path, ok := strings.Cut(argument, "=")
		if !ok {
			return fmt.Errorf("%q is not name=path", argument)
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		list = append(list, &figures{subject: subject{name: name, path: path}, bytes: info.Size()})
	}
	if len(list) == 0 || *runs < 1 {
		return errors.New("nothing to measure")
	}
	v, err := startVendor()
	if err != nil {
		return err
	}
	defer v.stop()

	for range *runs {
		for _, f := range list {
			took, err := v.firstCall(f.subject)
			if err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			f.first = append(f.first, float64(took.Microseconds())/1000)
		}
	}
	for range min(*runs, 3) {
		if err := v.measureIdle(list, *idle); err != nil {
			return err
		}
	}
	print(list)
	return nil
}

// measureIdle starts all binaries at once, for they do nothing, and looks at their
// memory after a while.
func (v *vendor) measureIdle(list []*figures, idle time.Duration) error {
	var running []*process
	defer func() {
		for _, p := range running {
			p.stop()
		}
	}()
	for _, f := range list {
		p, err := v.start(f.subject)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		running = append(running, p)
		if err := p.listens(); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	time.Sleep(idle)
	for i, f := range list {
		mib, err := running[i].residentMiB()
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		f.idle = append(f.idle, mib)
	}
	return nil
}

func print(list []*figures) {
	fmt.Printf("%-8s %12s %18s %34s\n", "", "binary", "idle, resident", "start to first answer")
	fmt.Printf("%-8s %12s %18s %34s\n", "", "MB", "MiB", "ms: fastest, median, slowest")
	for _, f := range list {
		slices.Sort(f.idle)
		slices.Sort(f.first)
		fmt.Printf("%-8s %12.1f %18.1f %18.0f %7.0f %7.0f\n", f.name, float64(f.bytes)/1e6, f.idle[len(f.idle)/2],
			f.first[0], f.first[len(f.first)/2], f.first[len(f.first)-1])
	}
}

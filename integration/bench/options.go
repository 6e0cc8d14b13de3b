package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are what the command line asks for.
type options struct {
	settings
	caddy, json, from string
	write             bool
	progress          io.Writer
	command           string // what measures the same
}

func parseOptions(arguments []string) (options, error) {
	o := options{progress: os.Stderr}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "few and short runs, only to see that all of it works")
	suite := flags.String("suite", peersSuite+","+scaleSuite, "what is measured: "+peersSuite+", "+scaleSuite+" or both")
	flags.IntVar(&o.Rounds, "rounds", 7, "how often everything is measured")
	flags.DurationVar(&o.Duration, "duration", 1200*time.Millisecond, "length of a run")
	connections := flags.String("connections", "1,16,64,256", "numbers of connections")
	bodies := flags.String("bodies", "0.2,1,2,64", "sizes of the requests' bodies in KiB, from 0.2 to 1024")
	names := flags.String("contenders", "", "which of "+strings.Join(contenderNames(), ",")+" (default all)")
	flags.StringVar(&o.caddy, "caddy", "", "the binary to measure (default: built from ./cmd/caddy)")
	flags.StringVar(&o.json, "json", "", "a file for the results")
	flags.StringVar(&o.from, "from", "", "report the results of this file and measure nothing")
	flags.BoolVar(&o.write, "write", false, "put the report into "+reportPage+" instead of printing it")
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q is no flag", flags.Arg(0))
	}
	o.command = "go run ./integration/bench"
	flags.Visit(func(f *flag.Flag) {
		if !slices.Contains([]string{"caddy", "json", "from", "write"}, f.Name) {
			o.command += " -" + f.Name + "=" + f.Value.String()
		}
	})
	o.Channels, o.Apps = []int{1, 100, 1_000, 10_000}, []int{1, 10, 100, 1_000}
	o.Suites = strings.Split(*suite, ",")
	if *quick {
		o.Rounds, o.Duration = 2, 100*time.Millisecond
		*connections, *bodies = "1,16", "1,2"
		o.Channels, o.Apps = []int{1, 100}, []int{1, 10}
	}
	o.Contenders = contenderNames()
	if *names != "" {
		o.Contenders = strings.Split(*names, ",")
	}
	var err error
	if o.Connections, err = numbers(*connections, 1, 1024, 1); err != nil {
		return o, fmt.Errorf("-connections: %w", err)
	}
	if o.Bodies, err = numbers(*bodies, 0.2, 1024, 1<<10); err != nil {
		return o, fmt.Errorf("-bodies: %w", err)
	}
	return o, o.check()
}

func (o options) check() error {
	for _, name := range o.Contenders {
		if !slices.Contains(contenderNames(), name) {
			return fmt.Errorf("-contenders: there is no %q, only %s", name, strings.Join(contenderNames(), ", "))
		}
	}
	for _, suite := range o.Suites {
		if suite != peersSuite && suite != scaleSuite {
			return fmt.Errorf("-suite: there is no %q, only %s and %s", suite, peersSuite, scaleSuite)
		}
	}
	if o.Rounds < 1 || o.Duration < 10*time.Millisecond {
		return errors.New("-rounds must be at least 1, and -duration 10ms")
	}
	return nil
}

func contenderNames() []string {
	names := make([]string, len(contenders))
	for i, c := range contenders {
		names[i] = c.Name
	}
	return names
}

// numbers reads a list of numbers within bounds, ascending, each of a unit.
func numbers(list string, least, most, unit float64) ([]int, error) {
	var all []int
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil || !(n >= least && n <= most) {
			return nil, fmt.Errorf("%q is no number from %g to %g", field, least, most)
		}
		all = append(all, int(n*unit+0.5))
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// kibibytes writes a size of a body as the flag has it, but for what tenths leaves.
func kibibytes(bytes int) string { return strconv.FormatFloat(tenths(bytes), 'f', -1, 64) }

// tenths is a size in KiB, to a tenth.
func tenths(bytes int) float64 { return math.Round(float64(bytes)/(1<<10)*10) / 10 }

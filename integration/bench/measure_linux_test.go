package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// shortest are options for runs as short as can be, with this binary in the place
// of Caddy; see TestMain.
func shortest(t *testing.T, arguments ...string) options {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o, err := parseOptions(append([]string{"-rounds=1", "-duration=20ms", "-connections=1,2", "-bodies=0.2,1",
		"-contenders=direct,stock,sidecar", "-caddy=" + self}, arguments...))
	if err != nil {
		t.Fatal(err)
	}
	o.Channels, o.Apps = []int{1, 3}, []int{1, 2}
	o.progress = new(transcript)
	return o
}

// A transcript collects what is said, and calls hear with each of it.
type transcript struct {
	mu   sync.Mutex // guards text
	text strings.Builder
	hear func(string)
}

func (l *transcript) Write(p []byte) (int, error) {
	if l.hear != nil {
		l.hear(string(p))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func TestMeasuringBothSuites(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	o := shortest(t)
	r, err := o.measure(t.Context())
	if err != nil {
		t.Fatalf("%v\n%s", err, &o.progress.(*transcript).text)
	}
	counted := make(map[string]int)
	for _, s := range r.Samples {
		if s.Error != "" {
			t.Errorf("%+v", s)
		}
		kind := s.Suite + " closed"
		switch {
		case s.Start > 0:
			kind = "start"
		case s.Rate > 0:
			kind = s.Suite + " open"
		}
		counted[kind]++
		if kind != "start" && (s.Requests == 0 || s.P50 <= 0 || s.P99 < s.P50 || s.Max < s.P99 || s.Throughput <= 0) {
			t.Errorf("%+v", s)
		}
		// As many as are due, which a closed loop would not know.
		if due := s.Rate * o.Duration.Seconds(); kind == "peers open" && (float64(s.Requests) < due || float64(s.Requests) > due+1) {
			t.Errorf("%d requests, want %.1f, of %+v", s.Requests, due, s)
		}
		if measured := s.Resident > 0; measured != (s.Contender != direct && kind != "start") {
			t.Errorf("resident memory of %d bytes in %+v", s.Resident, s)
		}
	}
	// Two numbers of connections and another body; more than one connection; two
	// channels and apps, each with two numbers of processors.
	for kind, want := range map[string]int{"peers closed": 3 * 3, "peers open": 3, "scale closed": 8, "start": 8} {
		if counted[kind] != want {
			t.Errorf("%d samples of %s, want %d", counted[kind], kind, want)
		}
	}
	for _, b := range newReport(r).blocks() {
		if strings.Count(b.text, "\n") < 3 {
			t.Errorf("block %s has no rows:\n%s", b.name, b.text)
		}
	}
	if left, _ := filepath.Glob(temporary + "/*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Whatever ends it, nothing that it has started is left.
func TestInterruptedMeasuringLeavesNoProcess(t *testing.T) {
	for _, during := range []string{"closed loop", "open loop", "starts", "scale"} {
		t.Run(during, func(t *testing.T) {
			temporary := t.TempDir()
			t.Setenv("TMPDIR", temporary)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			o := shortest(t)
			o.progress = &transcript{hear: func(said string) {
				if strings.HasPrefix(said, during) {
					cancel()
				}
			}}
			if _, err := o.measure(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want %v", err, context.Canceled)
			}
			if children := childrenOf(t); len(children) > 0 {
				t.Errorf("processes that run on: %v", children)
			}
		})
	}
}

func childrenOf(t *testing.T) []string {
	t.Helper()
	var children []string
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
		children = append(children, strings.Fields(string(text))...)
	}
	return children
}

func TestContenderThatFailsIsReported(t *testing.T) {
	broken := contenders[slices.IndexFunc(contenders, func(c contender) bool { return c.Name == "sidecar" })]
	broken.site = func(upstreams) string { return "no address" }
	o := shortest(t, "-suite=peers")
	s := &stage{dir: t.TempDir(), caddy: o.caddy}
	_, err := s.start(t.Context(), broken, broken.request(1<<10))
	if err == nil || !strings.Contains(err.Error(), "no address in") {
		t.Errorf("error %v, want what the program says", err)
	}
}

func TestUsageOfThisProcess(t *testing.T) {
	before, err := usageOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for after := before; after.processor < before.processor+0.01; {
		if after, err = usageOf(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	if mib := before.resident >> 20; mib < 1 || mib > 10_000 {
		t.Errorf("%d MiB resident", mib)
	}
	if _, err := ticked("/proc/self"); err != nil {
		t.Error(err)
	}
}

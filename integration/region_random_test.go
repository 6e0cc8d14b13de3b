package integration

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Hosts die and come back at random under 1,000 calls, 50 at a time. Every GET
// is answered, as one host is up at any time, and no join comes to two hosts, or
// to one twice.
func TestCallsWhileHostsDieAndComeBack(t *testing.T) {
	t.Parallel()
	const (
		hosts   = 4
		callers = 50
		calls   = 1000
		phase   = 500 * time.Millisecond
	)
	var upstreams []*upstream
	var gates []*gate
	for i := range hosts {
		// An answer takes a while, so that calls are cut off in the middle; and it
		// has no body, which could be cut off from it.
		upstreams = append(upstreams, newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(20 * time.Millisecond)
			w.WriteHeader(http.StatusOK)
		}))
		gates = append(gates, newGate(t, upstreams[i].Listener.Addr().String()))
	}
	s := start(t, site(credentialsA, throughGates(gates...)), envA...)
	if a := s.send("GET", listA, ""); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}

	// In each phase two hosts are up: one that was up in the phase before, and one
	// that will be in the next. So there is always one that no call outlives. The
	// others come and go.
	done := make(chan struct{})
	var killing sync.WaitGroup
	killing.Go(func() {
		random := rand.New(rand.NewPCG(12, 13))
		anchors := []int{0, 1}
		for {
			for range 10 {
				for i, g := range gates {
					switch {
					case i == anchors[0] || i == anchors[1]:
						g.open()
					case random.IntN(2) == 0:
						g.close()
					case random.IntN(4) == 0:
						g.open()
					}
				}
				select {
				case <-done:
					return
				case <-time.After(phase / 10):
				}
			}
			anchors = append(anchors[1:], random.IntN(hosts))
		}
	})
	var calling sync.WaitGroup
	answered := make([]map[string]bool, callers)
	var failures sync.Map
	for caller := range callers {
		answered[caller] = map[string]bool{}
		calling.Go(func() {
			random := rand.New(rand.NewPCG(uint64(caller), 14))
			for n := range calls / callers {
				time.Sleep(time.Duration(random.IntN(int(phase))))
				if n%2 == 0 {
					a, err := s.try("GET", listA, "")
					if err != nil || a.StatusCode != http.StatusOK {
						failures.Store(fmt.Sprintf("GET %d of caller %d: %v", n, caller, describe(a, err)), true)
					}
					continue
				}
				body := joinBody(fmt.Sprintf("room-%d-%d", caller, n), "1")
				a, err := s.try("POST", joinA, body)
				switch {
				case err != nil:
					failures.Store(fmt.Sprintf("join %d of caller %d: %v", n, caller, err), true)
				case a.StatusCode == http.StatusOK:
					answered[caller][body] = true
				case a.StatusCode != http.StatusBadGateway || !strings.Contains(a.body, "UpstreamConnectionLost"):
					failures.Store(fmt.Sprintf("join %d of caller %d: %v", n, caller, describe(a, nil)), true)
				}
			}
		})
	}
	calling.Wait()
	close(done)
	killing.Wait()
	failures.Range(func(failure, _ any) bool {
		t.Error(failure)
		return true
	})
	joins := map[string]int{}
	for _, up := range upstreams {
		for _, r := range up.received() {
			if r.method == "POST" {
				joins[r.body]++
			}
		}
	}
	for body, n := range joins {
		if n > 1 {
			t.Errorf("a join came %d times: %s", n, body)
		}
	}
	accepted := 0
	for _, bodies := range answered {
		for body := range bodies {
			accepted++
			if joins[body] != 1 {
				t.Errorf("a join that was answered came %d times: %s", joins[body], body)
			}
		}
	}
	failed := len(logLines(s.stderr, hostFailed))
	t.Logf("%d of %d joins were answered; hosts failed %d times", accepted, calls/2, failed)
	if accepted < calls/4 || failed == 0 {
		t.Error("too few joins were answered, or no host has failed: the test proves nothing")
	}
}

func describe(a answer, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(a.StatusCode, " ", a.body)
}

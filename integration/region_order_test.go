package integration

import (
	"net/http"
	"slices"
	"testing"
	"time"
)

// Calls settle on the host that connections are made to the fastest, and stay
// there; when the delays change, they follow, once.
func TestCallsFollowTheFastestHost(t *testing.T) {
	if raceDetector {
		t.Skip("two minutes, in which the race detector sees what it sees in other tests")
	}
	t.Parallel()
	const ms = time.Millisecond
	// So far apart that what a busy machine adds changes no order.
	delays := []time.Duration{400 * ms, 50 * ms, 800 * ms, 200 * ms}
	var gates []*gate
	var upstreams []*upstream
	for i := range delays {
		upstreams = append(upstreams, signing(t, itoa(i)))
		g := newGate(t, upstreams[i].Listener.Addr().String())
		g.delay.Store(int64(delays[i]))
		gates = append(gates, g)
	}
	s := start(t, site(credentialsA, throughGates(gates...)), envA...)

	// use makes calls for a time, or until stop, and returns who answered, each
	// run once.
	use := func(d time.Duration, stop string) []string {
		t.Helper()
		var answers []string
		for began := time.Now(); time.Since(began) < d; time.Sleep(100 * ms) {
			a := s.send("GET", listA, "")
			if a.StatusCode != http.StatusOK {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			if answers = append(answers, answeredBy(a)); answeredBy(a) == stop {
				break
			}
		}
		return slices.Compact(answers)
	}
	if got := use(time.Minute, "1"); !slices.Equal(got, []string{"0", "1"}) {
		t.Fatalf("within a minute calls went to %v, want 0 and then 1", got)
	}
	if got := use(5*time.Second, ""); !slices.Equal(got, []string{"1"}) {
		t.Fatalf("then they went to %v", got)
	}
	slices.Reverse(delays[1:3]) // 1 and 2 change places
	for i, g := range gates {
		g.delay.Store(int64(delays[i]))
	}
	if got := use(2*time.Minute, "2"); !slices.Equal(got, []string{"1", "2"}) {
		t.Fatalf("after the change calls went to %v, want 1 and then 2", got)
	}
	if got := use(35*time.Second, ""); !slices.Equal(got, []string{"2"}) {
		t.Fatalf("then they went to %v", got)
	}
	if lines := logLines(s.stderr, "faster"); len(lines) != 2 {
		t.Errorf("two changes of order were logged as %q", lines)
	}
	// Two or three probes and no more came through each gate that no call used.
	if n := gates[3].connections(); n < 3 || n > 6 {
		t.Errorf("%d probes of a host in about two minutes", n)
	}
	upstreams[3].unasked(t)
}

package region_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-convoai/convoai/region"
)

// use makes ten calls a second for a time and returns the hosts that they went
// to, each run once.
func (s *site) use(d time.Duration) []string {
	var hosts []string
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * ms) {
		hosts = append(hosts, s.call()...)
	}
	return slices.Compact(hosts)
}

func delays(values ...time.Duration) map[string]time.Duration {
	m := map[string]time.Duration{}
	for i, d := range values {
		m[string(rune('a'+i))] = d
	}
	return m
}

func TestCallsSettleOnTheFastestAndFollowASwapOnce(t *testing.T) {
	for _, first := range [][]time.Duration{
		{5 * ms, 20 * ms, 40 * ms, 80 * ms},
		{80 * ms, 40 * ms, 20 * ms, 5 * ms},
		{40 * ms, 5 * ms, 80 * ms, 20 * ms},
	} {
		t.Run(fmt.Sprint(first), func(t *testing.T) {
			inTime(t, []string{"a", "b", "c", "d"}, func(s *site) {
				fastest := func() string { return string(rune('a' + slices.Index(first, slices.Min(first)))) }
				s.slow(delays(first...))
				s.use(time.Minute)
				if got := s.use(10 * time.Minute); !slices.Equal(got, []string{fastest()}) {
					t.Fatalf("after a minute calls go to %v, want %s", got, fastest())
				}
				old := fastest()
				slices.Reverse(first)
				time.Sleep(7 * time.Second) // in the middle of a round, or not
				s.slow(delays(first...))
				if got := s.use(10 * time.Minute); !slices.Equal(got, []string{old, fastest()}) {
					t.Fatalf("after the swap calls go to %v, want %s and then %s", got, old, fastest())
				}
				if len(s.orders) > 2 {
					t.Errorf("the order changed %d times: %+v", len(s.orders), s.orders)
				}
				if last := s.orders[len(s.orders)-1]; last.To[0] != fastest() || last.From[0] != old || last.Latency[0] != 5*ms {
					t.Errorf("told of %+v", last)
				}
			})
		})
	}
}

// A swap that happens while a round is under way is seen by half of it.
func TestSwapDuringARoundIsFollowedOnce(t *testing.T) {
	inTime(t, []string{"a", "b", "c", "d"}, func(s *site) {
		s.slow(delays(500*ms, 2000*ms, 4000*ms, 8000*ms))
		s.use(3 * time.Minute)
		before := len(s.probed("a"))
		for len(s.probed("a")) == before {
			s.use(100 * ms)
		}
		time.Sleep(time.Second) // a has been measured, the others have not
		s.slow(delays(8000*ms, 4000*ms, 2000*ms, 500*ms))
		if got := s.use(5 * time.Minute); !slices.Equal(got, []string{"a", "d"}) {
			t.Errorf("calls go to %v, want a and then d", got)
		}
	})
}

func TestOneSlowMeasurementMovesNothing(t *testing.T) {
	inTime(t, []string{"a", "b"}, func(s *site) {
		for round := range 30 {
			s.slow(delays(5*ms, 20*ms))
			if round%3 == 0 {
				s.slow(delays(900*ms, 20*ms))
			}
			for n := len(s.probed("a")); len(s.probed("a")) == n; {
				if got := s.use(time.Second); !slices.Equal(got, []string{"a"}) {
					t.Fatalf("round %d: calls go to %v", round, got)
				}
			}
		}
	})
}

func TestHostsAreMeasuredEvery30SecondsOfUseOnly(t *testing.T) {
	inTime(t, []string{"a", "b"}, func(s *site) {
		if n := len(s.probed("a")); n != 0 {
			t.Errorf("measured %d times before any call", n)
		}
		s.want("at first", "a")
		if n := len(s.probed("b")); n != 1 {
			t.Errorf("measured %d times by the first call", n)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(s.probed("a")); n != 1 {
			t.Errorf("measured %d times while nobody called", n-1)
		}
		s.use(5 * time.Minute)
		for _, host := range []string{"a", "b"} {
			times := s.probed(host)[1:]
			if len(times) < 9 || len(times) > 11 {
				t.Errorf("%s was measured %d times in 5 minutes", host, len(times))
			}
			for i := 1; i < len(times); i++ {
				if gap := times[i].Sub(times[i-1]); gap < 30*time.Second {
					t.Errorf("%s was measured again after %s", host, gap)
				}
			}
		}
	})
}

func TestHostsOfSeveralSitesAreMeasuredOnce(t *testing.T) {
	inTime(t, []string{"a", "b", "c"}, func(s *site) {
		same := s.tracker.Group(endpoints("a", "b", "c"))
		other := s.tracker.Group(endpoints("c", "b", "d"))
		s.slow(map[string]time.Duration{"a": 50 * ms, "b": 50 * ms, "c": 50 * ms, "d": 5 * ms})
		for range 3000 {
			s.call()
			s.callOf(same, s.network)
			s.callOf(other, s.network)
			time.Sleep(100 * ms)
		}
		for _, host := range []string{"a", "b", "c", "d"} {
			times := s.probed(host)
			if len(times) < 9 || len(times) > 11 {
				t.Errorf("%s was measured %d times in 5 minutes", host, len(times))
			}
			for i := 1; i < len(times); i++ {
				if gap := times[i].Sub(times[i-1]); gap < 30*time.Second {
					t.Errorf("%s was measured again after %s", host, gap)
				}
			}
		}
		if got := other.Endpoints()[0].Host; got != "d" {
			t.Errorf("a site that shares hosts prefers %s", got)
		}
	})
}

func TestGlobalNameStaysLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracker := region.NewTracker(region.Config{})
		defer tracker.Close()
		g := tracker.Group(region.US.Endpoints())
		net := new(network)
		net.slow(map[string]time.Duration{
			"api-us-west-1.agora.io": 80 * ms, "api-us-west-1.sd-rtn.com": 80 * ms,
			"api-us-east-1.agora.io": 40 * ms, "api-us-east-1.sd-rtn.com": 40 * ms, "api.agora.io": 5 * ms,
		})
		s := &site{t: t, network: net, tracker: tracker, group: g}
		s.use(2 * time.Minute)
		var hosts []string
		for _, e := range g.Endpoints() {
			hosts = append(hosts, e.Host)
		}
		want := "api-us-east-1.agora.io api-us-east-1.sd-rtn.com api-us-west-1.agora.io api-us-west-1.sd-rtn.com api.agora.io"
		if got := strings.Join(hosts, " "); got != want {
			t.Errorf("the order is %s", got)
		}
		if status := g.Snapshot()[4]; status.Latency != 5*ms {
			t.Errorf("the global name has the latency %s", status.Latency)
		}
	})
}

// A configured upstream that happens to be called so is a place like any other.
func TestUpstreamWithTheNameGlobalCompetes(t *testing.T) {
	inTime(t, []string{"a", "global"}, func(s *site) {
		s.slow(map[string]time.Duration{"a": 40 * ms, "global": 5 * ms})
		s.use(time.Minute)
		s.want("after a minute", "global")
	})
}

func TestSingleRegionIsNotMeasured(t *testing.T) {
	inTime(t, []string{"w/a", "w/b"}, func(s *site) {
		s.use(2 * time.Minute)
		if n := len(s.probed("a")) + len(s.probed("b")); n != 0 {
			t.Errorf("%d probes although there is nothing to choose", n)
		}
	})
}

// The latency of a region is that of the name that calls would use.
func TestLatencyOfARegionIsThatOfItsFirstAvailableName(t *testing.T) {
	inTime(t, []string{"w/a", "w/b", "e/c"}, func(s *site) {
		s.slow(map[string]time.Duration{"a": 5 * ms, "b": 90 * ms, "c": 30 * ms})
		s.use(2 * time.Minute)
		s.kill(region.NameNotResolved, "a")
		s.want("at first", "a", "b")
		s.use(time.Minute)
		s.want("while only the slow name works", "c")
		s.revive("a")
		s.use(2 * time.Minute)
		s.want("when the fast name is back", "a")
	})
}

// A host that rests is not measured; and not until its rest is over.
func TestRestingHostIsNotMeasured(t *testing.T) {
	inTime(t, []string{"a", "b", "c"}, func(s *site) {
		s.use(29 * time.Second)
		s.kill(region.Refused, "a")
		s.want("at first", "a", "b")
		at := time.Now()
		s.use(3 * time.Minute)
		want := []time.Duration{0, 10, 30, 70, 150}
		var got []time.Duration
		for _, p := range s.probed("a")[1:] {
			got = append(got, p.Sub(at).Round(time.Second)/time.Second)
		}
		if !slices.Equal(got, want[1:]) {
			t.Errorf("probed %d s after it failed, want %d", got, want[1:])
		}
	})
}

// A host that nobody calls is known to be down before a call needs it.
func TestFailedMeasurementCounts(t *testing.T) {
	inTime(t, []string{"a", "b", "c"}, func(s *site) {
		s.kill(region.ConnectTimeout, "b")
		s.want("at first", "a")
		s.wantState("after the round", "b", region.Resting)
		s.kill(region.Refused, "a")
		s.want("when the first is down", "a", "c")
	})
}

func TestSitesWithTheSameHostsShareAll(t *testing.T) {
	inTime(t, []string{"a", "b"}, func(s *site) {
		s.slow(delays(80*ms, 5*ms))
		s.use(time.Minute)
		reloaded := s.tracker.Group(endpoints("a", "b"))
		s.group.Release()
		if got := s.callOf(reloaded, s.network); !slices.Equal(got, []string{"b"}) {
			t.Errorf("the order did not survive: %v", got)
		}
		s.kill(region.Refused, "b")
		s.callOf(reloaded, s.network)
		third := s.tracker.Group(endpoints("c", "b"))
		if got := third.Snapshot()[1]; got.State != region.Resting || got.Latency != 5*ms {
			t.Errorf("another site knows %+v", got)
		}
		private := endpoints("b")
		private[0].AllowPrivate = true
		if got := s.tracker.Group(private).Snapshot()[0]; got.State != region.Available || got.Latency != 0 {
			t.Errorf("a host with other rules knows %+v", got)
		}
		reloaded.Release()
		if n := len(s.tracker.Snapshot()); n != 3 {
			t.Errorf("%d hosts are known, want b, c and the other b", n)
		}
		third.Release()
		if n := len(s.tracker.Snapshot()); n != 1 {
			t.Errorf("%d hosts are known, want the other b", n)
		}
		if got := s.tracker.Group(endpoints("a", "b")).Snapshot()[0]; got.Latency != 0 || got.Endpoint.Host != "a" {
			t.Errorf("what nobody used any more was kept: %+v", got)
		}
	})
}

func TestGroupLeavesOutWhatOccursAgainAndWhatIsTooMuch(t *testing.T) {
	tracker := region.NewTracker(region.Config{})
	defer tracker.Close()
	names := []string{"a", "b", "a", "c", "b"}
	for i := range 20 {
		names = append(names, fmt.Sprint("h", i))
	}
	got := tracker.Group(endpoints(names...)).Endpoints()
	if len(got) != region.MaxEndpoints || got[0].Host != "a" || got[1].Host != "b" || got[2].Host != "c" || got[3].Host != "h0" {
		t.Errorf("the group has %v", got)
	}
}

func TestCloseEndsProbesAndWaits(t *testing.T) {
	inTime(t, []string{"a", "b"}, func(s *site) {
		s.slow(delays(time.Hour, time.Hour))
		s.call()
		start := time.Now()
		s.tracker.Close()
		if d := time.Since(start); d != 0 {
			t.Errorf("Close took %s", d)
		}
		s.network.mu.Lock()
		for host, n := range s.active {
			if n != 0 {
				t.Errorf("%s is still being probed", host)
			}
		}
		s.network.mu.Unlock()
		s.wantState("after a probe was cut short", "a", region.Available)
		time.Sleep(time.Hour)
		s.use(time.Minute)
		s.kill(region.Refused, "a")
		s.want("after Close", "a", "b")
		s.use(time.Minute)
		if n := len(s.probed("a")); n != 1 {
			t.Errorf("%d probes after Close", n-1)
		}
	})
}

// What a slow probe of a group that is gone finds out is of no use, and no harm.
func TestGroupThatWasReleasedIsNotProbed(t *testing.T) {
	inTime(t, []string{"a", "b"}, func(s *site) {
		first := s.group.Walk(nil)
		first.Next(0)
		first.Failed(region.Refused)
		s.group.Release()
		time.Sleep(time.Minute)
		s.want("on the way out", "b")
		if n := len(s.probed("a")) + len(s.probed("b")); n != 0 {
			t.Errorf("%d probes", n)
		}
	})
}

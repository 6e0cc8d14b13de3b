package region_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-convoai/convoai/region"
)

// answerTime is how long whoever asks waits for an answer, at most.
const answerTime = 700 * ms

// reach asks as a readiness probe does.
func (s *site) reach() region.Reach {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	return s.group.Reach(ctx, s.network)
}

// reachWithin asks once a second, a second after the last question or after the
// last answer, until the answer is want, and returns how long that took.
func (s *site) reachWithin(want region.Reach, afterAnswer bool) time.Duration {
	began := time.Now()
	for time.Since(began) < time.Minute {
		asked := time.Now()
		if s.reach() == want {
			break
		}
		if afterAnswer {
			asked = time.Now()
		}
		time.Sleep(time.Until(asked.Add(time.Second)))
	}
	return time.Since(began)
}

// wantSpaced checks that no host was probed more than once in 2 s.
func (s *site) wantSpaced(hosts ...string) {
	s.t.Helper()
	for _, host := range hosts {
		times := s.probed(host)
		for i := range times[min(1, len(times)):] {
			if gap := times[i+1].Sub(times[i]); gap < 2*time.Second {
				s.t.Errorf("%s was probed again after %s", host, gap)
			}
		}
	}
}

// lossKinds are the ways in which hosts are lost: at once, without a word until
// dial_timeout or tls_timeout, and without a word for as long as one cares to
// wait.
var lossKinds = map[string]struct {
	cause region.Cause
	delay time.Duration
}{
	"refused":      {region.Refused, 0},
	"dial timeout": {region.ConnectTimeout, 2 * time.Second},
	"TLS timeout":  {region.ConnectTimeout, 3 * time.Second},
	"silent":       {region.ConnectTimeout, time.Hour},
	"late":         {region.Refused, 240 * ms},
	"no name":      {region.NameNotResolved, 5 * ms},
}

// The bound that a readiness probe holds, whenever the hosts are lost between two
// questions, and whenever they come back.
func TestLossAndReturnOfAllHostsAreKnownWithinFiveSeconds(t *testing.T) {
	const bound = 5 * time.Second
	for _, hosts := range [][]string{{"a"}, {"a", "b"}, {"w/a1", "w/a2", "e/b1", "e/b2", "global/g"}} {
		for kind, loss := range lossKinds {
			for _, afterAnswer := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d hosts/%s/%t", len(hosts), kind, afterAnswer), func(t *testing.T) {
					var longest [2]time.Duration
					for phase := time.Duration(0); phase < 4*time.Second; phase += 130 * ms {
						inTime(t, hosts, func(s *site) {
							var names []string
							for _, e := range s.group.Endpoints() {
								names = append(names, e.Host)
							}
							up := func() {
								delays := map[string]time.Duration{}
								for _, name := range names {
									delays[name] = 30 * ms
								}
								s.revive(names...)
								s.slow(delays)
							}
							down := func() {
								delays := map[string]time.Duration{}
								for _, name := range names {
									delays[name] = loss.delay
								}
								s.slow(delays)
								s.kill(loss.cause, names...)
							}
							up()
							if got := s.reach(); got != region.Reached {
								t.Fatalf("reach is %d at first", got)
							}
							time.Sleep(time.Second)
							for range 5 {
								if took := s.reachWithin(region.Reached, afterAnswer); took != 0 && took > 40*ms {
									t.Fatalf("phase %s: not reached for %s while all is well", phase, took)
								}
								time.Sleep(time.Second)
							}
							timer := time.AfterFunc(phase, down)
							defer timer.Stop()
							for deadline := time.Now().Add(phase); time.Now().Before(deadline); {
								s.reach()
								time.Sleep(min(time.Second, time.Until(deadline)))
							}
							longest[0] = max(longest[0], s.reachWithin(region.Unreached, afterAnswer))
							time.Sleep(17*time.Second + phase)
							if got := s.reach(); got != region.Unreached {
								t.Errorf("phase %s: reach is %d later", phase, got)
							}
							for range 8 {
								time.Sleep(time.Second)
								s.reach()
							}
							time.Sleep(phase % time.Second)
							up()
							longest[1] = max(longest[1], s.reachWithin(region.Reached, afterAnswer))
							s.wantSpaced(names...)
						})
					}
					t.Logf("lost: known within %s; back: known within %s", longest[0], longest[1])
					if longest[0] > bound || longest[1] > bound {
						t.Errorf("lost: known within %s; back: known within %s; want %s", longest[0], longest[1], bound)
					}
				})
			}
		}
	}
}

func TestNothingIsKnownBeforeTheFirstProbe(t *testing.T) {
	inTime(t, []string{"a", "b"}, func(s *site) {
		s.slow(map[string]time.Duration{"a": 900 * ms, "b": time.Second})
		began := time.Now()
		if got := s.reach(); got != region.Unknown || time.Since(began) != answerTime {
			t.Errorf("reach is %d after %s, want unknown after %s", got, time.Since(began), answerTime)
		}
		if got := s.reach(); got != region.Reached || time.Since(began) != 900*ms {
			t.Errorf("reach is %d after %s, want reached after 900ms", got, time.Since(began))
		}
	})
}

func TestOnlyThePreferredHostIsProbedWhileItIsWell(t *testing.T) {
	inTime(t, []string{"a", "b", "c"}, func(s *site) {
		s.slow(map[string]time.Duration{"a": 20 * ms})
		began := time.Now()
		for range 20 {
			if got := s.reach(); got != region.Reached {
				t.Fatalf("reach is %d", got)
			}
			time.Sleep(time.Until(began.Add(time.Since(began).Truncate(time.Second) + time.Second)))
		}
		time.Sleep(100 * ms)
		n := len(s.probed("a")) // one for the question that may have followed
		if n != 11 {
			t.Errorf("asked for 20 s, the preferred host was probed %d times, want every 2 s", n)
		}
		if others := len(s.probed("b")) + len(s.probed("c")); others != 0 {
			t.Errorf("%d probes of the others", others)
		}
		// Who asks seldom has as many probes made as he asks.
		for range 5 {
			time.Sleep(10 * time.Second)
			s.reach()
		}
		if further := len(s.probed("a")) - n; further != 5 {
			t.Errorf("%d probes for 5 further questions", further)
		}
	})
}

// When the preferred host has failed, all others are probed at the same time.
func TestOthersAreProbedAtOnceWhenThePreferredHostHasFailed(t *testing.T) {
	inTime(t, []string{"a", "b", "c", "d"}, func(s *site) {
		delays := map[string]time.Duration{}
		for _, host := range []string{"a", "b", "c", "d"} {
			delays[host] = 200 * ms
		}
		s.slow(delays)
		s.kill(region.Refused, "a", "b", "c")
		began := time.Now()
		if got := s.reach(); got != region.Reached || time.Since(began) != 400*ms {
			t.Errorf("reach is %d after %s, want reached after 400ms", got, time.Since(began))
		}
	})
}

func TestOneHostThatIsWellIsEnough(t *testing.T) {
	for kind, loss := range lossKinds {
		t.Run(kind, func(t *testing.T) {
			inTime(t, []string{"a", "b", "c"}, func(s *site) {
				s.reach()
				s.slow(map[string]time.Duration{"a": loss.delay, "b": loss.delay, "c": 40 * ms})
				s.kill(loss.cause, "a", "b")
				for range 60 {
					time.Sleep(time.Second)
					if got := s.reach(); got != region.Reached {
						t.Fatalf("reach is %d with one host left", got)
					}
				}
				s.wantSpaced("a", "b", "c")
			})
		})
	}
}

func TestAnsweredCallsSpareTheProbe(t *testing.T) {
	inTime(t, []string{"a"}, func(s *site) {
		for range 100 {
			s.call()
			time.Sleep(300 * ms)
			if got := s.reach(); got != region.Reached {
				t.Fatalf("reach is %d", got)
			}
		}
		if n := len(s.probed("a")); n != 0 {
			t.Errorf("%d probes of a host that answers calls", n)
		}
	})
}

// What the hosts answer is for their callers to see: they can be reached.
func TestHostsThatAnswerThatTheyCannotServeAreReached(t *testing.T) {
	inTime(t, []string{"a", "b"}, func(s *site) {
		for range 40 {
			for range 3 {
				w := s.group.Walk(s.network)
				for {
					if _, ok := w.Next(region.Unavailable); !ok {
						break
					}
					w.Failed(region.Unavailable)
				}
			}
			if got := s.reach(); got != region.Reached {
				t.Fatalf("reach is %d", got)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestOneFailedCallIsVerifiedByAProbe(t *testing.T) {
	inTime(t, []string{"a"}, func(s *site) {
		s.reach()
		for range 30 {
			w := s.group.Walk(s.network)
			w.Next(0)
			w.Failed(region.ConnectionLost)
			if got := s.reach(); got != region.Reached {
				t.Fatalf("reach is %d after a connection that was lost", got)
			}
			time.Sleep(time.Second)
		}
		s.wantSpaced("a")
	})
}

// Connections that take their time, as over satellites, are no loss.
func TestSlowConnectionsAreWaitedForTwiceAsLongAsTheyTake(t *testing.T) {
	inTime(t, []string{"a"}, func(s *site) {
		s.slow(map[string]time.Duration{"a": 1700 * ms})
		if took := s.reachWithin(region.Reached, false); took > 3*time.Second {
			t.Fatalf("reached after %s", took)
		}
		for range 60 {
			time.Sleep(time.Second)
			if got := s.reach(); got != region.Reached {
				t.Fatalf("reach is %d", got)
			}
		}
		s.wantSpaced("a")
		for _, change := range s.changes {
			t.Errorf("told of %+v", change)
		}
	})
}

// A probe that was cut short is no ground for calls to go elsewhere.
func TestProbesThatAreCutShortMoveNoCalls(t *testing.T) {
	inTime(t, []string{"a", "b"}, func(s *site) {
		s.slow(map[string]time.Duration{"a": time.Hour, "b": 30 * ms})
		if got := s.reach(); got != region.Reached {
			t.Errorf("reach is %d", got)
		}
		time.Sleep(10 * time.Second)
		s.wantState("after a probe that was cut short", "a", region.Available)
		if status := s.status("a"); status.Reach != region.Unreached || !status.ReachedAt.IsZero() {
			t.Errorf("the status says reach %d at %s", status.Reach, status.ReachedAt)
		}
		if status := s.status("b"); status.Reach != region.Reached || status.ReachedAt.IsZero() || status.Connect != 30*ms {
			t.Errorf("the status says reach %d at %s", status.Reach, status.ReachedAt)
		}
	})
}

// One that has failed is.
func TestFailedProbesCountForCallsAsWell(t *testing.T) {
	inTime(t, []string{"a", "b"}, func(s *site) {
		s.kill(region.Refused, "a")
		if got := s.reach(); got != region.Reached {
			t.Errorf("reach is %d", got)
		}
		s.wantState("after a probe that has failed", "a", region.Resting)
		s.want("after a probe that has failed", "b")
	})
}

func TestReachIsKeptOverAReload(t *testing.T) {
	inTime(t, []string{"a", "b"}, func(s *site) {
		s.reach()
		for range 20 {
			time.Sleep(50 * ms)
			next := s.tracker.Group(endpoints("a", "b"))
			s.group.Release()
			s.group = next
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if got := s.group.Reach(ctx, s.network); got != region.Reached {
				t.Fatalf("reach is %d", got)
			}
		}
		// Other hosts beside one that is known.
		other := s.tracker.Group(endpoints("c", "b", "a"))
		s.group.Release()
		s.group = other
		if got := s.reach(); got != region.Reached {
			t.Errorf("reach is %d", got)
		}
		s.wantSpaced("a", "b", "c")
	})
}

func TestAReleasedGroupHasNothingProbed(t *testing.T) {
	inTime(t, []string{"a"}, func(s *site) {
		s.group.Release()
		if got := s.reach(); got != region.Unknown || len(s.probed("a")) != 0 {
			t.Errorf("reach is %d after %d probes", got, len(s.probed("a")))
		}
	})
}

// Where nothing can be probed, calls alone say what is out of reach.
func TestHostsThatCannotBeProbedArePresumedWithinReach(t *testing.T) {
	inTime(t, []string{"a", "b"}, func(s *site) {
		want := func(when string, want region.Reach) {
			t.Helper()
			if got := s.group.Reach(context.Background(), nil); got != want {
				t.Errorf("%s: reach is %d, want %d", when, got, want)
			}
		}
		want("at first", region.Reached)
		s.kill(region.Refused, "a")
		s.callOf(s.group, nil)
		want("with one of two", region.Reached)
		s.kill(region.Refused, "a", "b")
		s.callOf(s.group, nil)
		want("with none", region.Unreached)
		time.Sleep(11 * time.Second)
		want("at the end of the rest", region.Reached)

		s.kill(region.Unavailable, "a", "b")
		time.Sleep(time.Minute)
		for range 3 {
			s.callOf(s.group, nil)
		}
		s.wantState("after answers that it cannot serve", "a", region.Resting)
		want("with hosts that answer that they cannot serve", region.Reached)
	})
}

// Several sites ask at the same time, each from several goroutines.
func TestManyWhoAskShareTheProbes(t *testing.T) {
	inTime(t, []string{"a", "b"}, func(s *site) {
		other := s.tracker.Group(endpoints("b", "a"))
		defer other.Release()
		s.slow(map[string]time.Duration{"a": 100 * ms, "b": 100 * ms})
		for range 30 {
			results := make(chan region.Reach)
			for i := range 40 {
				g := []*region.Group{s.group, other}[i%2]
				go func() {
					ctx, cancel := context.WithTimeout(context.Background(), answerTime)
					defer cancel()
					results <- g.Reach(ctx, s.network)
				}()
			}
			for range 40 {
				if got := <-results; got != region.Reached {
					t.Errorf("reach is %d", got)
				}
			}
			time.Sleep(300 * ms)
		}
		s.wantSpaced("a", "b")
	})
}

// When nobody asks any more, nothing goes on.
func TestNothingIsProbedUnasked(t *testing.T) {
	inTime(t, []string{"a", "b"}, func(s *site) {
		for range 5 {
			s.reach()
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Second)
		before := slices.Concat(s.probed("a"), s.probed("b"))
		time.Sleep(time.Hour)
		synctest.Wait()
		if after := slices.Concat(s.probed("a"), s.probed("b")); len(after) != len(before) {
			t.Errorf("%d probes in an hour in which nobody asked", len(after)-len(before))
		}
	})
}

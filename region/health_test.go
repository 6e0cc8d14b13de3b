package region_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-convoai/convoai/region"
)

func TestFailedHostRestsAndIsProbedBeforeItIsUsedAgain(t *testing.T) {
	inTime(t, []string{"a", "b"}, func(s *site) {
		s.kill(region.Refused, "a")
		s.want("at first", "a", "b")
		s.revive("a")
		for range 9 {
			time.Sleep(time.Second)
			s.want("during the rest", "b")
		}
		if n := len(s.probed("a")); n != 0 {
			t.Fatalf("probed %d times while resting", n)
		}
		// The call that has the probe made does not wait for it.
		s.slow(map[string]time.Duration{"a": 20 * ms})
		time.Sleep(time.Second)
		s.want("when the rest is over", "b")
		s.wantState("while it is probed", "a", region.Unproven)
		time.Sleep(19 * ms)
		s.want("while it is probed", "b")
		time.Sleep(ms)
		synctest.Wait()
		s.wantState("after the probe", "a", region.Available)
		s.want("after the probe", "a")
		if n := len(s.probed("a")); n != 1 {
			t.Errorf("probed %d times, want once", n)
		}
		want := []region.Change{
			{Endpoint: endpoints("a")[0], From: region.Available, To: region.Resting, Cause: region.Refused, Rest: 10 * time.Second, Failures: 1},
			{Endpoint: endpoints("a")[0], From: region.Resting, To: region.Available},
		}
		if !reflect.DeepEqual(s.changes, want) {
			t.Errorf("told of %+v", s.changes)
		}
	})
}

func TestRestDoublesUpToFiveMinutesUntilASuccess(t *testing.T) {
	inTime(t, []string{"a", "b"}, func(s *site) {
		round := func(want ...time.Duration) {
			s.kill(region.Refused, "a")
			s.want("at first", "a", "b")
			for i, rest := range want {
				from := time.Now()
				if status := s.status("a"); status.RestsUntil.Sub(from) != rest || status.Failures != i+1 {
					t.Fatalf("rest %d: %s after %d failures, want %s", i+1, status.RestsUntil.Sub(from), status.Failures, rest)
				}
				time.Sleep(rest - time.Second)
				s.want("during the rest", "b")
				if i == len(want)-1 {
					s.revive("a")
				}
				time.Sleep(time.Second)
				s.want("when the rest is over", "b") // and the probe fails
			}
			s.want("after a probe that succeeded", "a")
		}
		const second = time.Second
		round(10*second, 20*second, 40*second, 80*second, 160*second, 300*second, 300*second)
		round(10 * second)
	})
}

// A probe is as good as a call.
func TestRestIsShortAgainAfterAProbeThatSucceeded(t *testing.T) {
	inTime(t, []string{"a", "b"}, func(s *site) {
		s.kill(region.Refused, "a")
		s.want("at first", "a", "b")
		time.Sleep(10 * time.Second)
		s.want("when the rest is over", "b")
		s.revive("a")
		time.Sleep(20 * time.Second)
		s.want("when the second rest is over", "b")
		s.wantState("after the probe", "a", region.Available)
		s.kill(region.Refused, "a")
		s.want("when it fails again", "a", "b")
		if rest := s.changes[len(s.changes)-1].Rest; rest != 10*time.Second {
			t.Errorf("rests for %s", rest)
		}
	})
}

func TestRestsAreSpreadByATenth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rests := map[float64]time.Duration{}
		for _, jitter := range []float64{0, 0.5, 0.999999} {
			tracker := region.NewTracker(region.Config{
				Jitter:   func() float64 { return jitter },
				OnChange: func(c region.Change) { rests[jitter] = c.Rest.Round(time.Millisecond) },
			})
			w := tracker.Group(endpoints("a")).Walk(nil)
			w.Next(0)
			w.Failed(region.Unreachable)
			tracker.Close()
		}
		want := map[float64]time.Duration{0: 9 * time.Second, 0.5: 10 * time.Second, 0.999999: 11 * time.Second}
		if !reflect.DeepEqual(rests, want) {
			t.Errorf("rests are %v, want %v", rests, want)
		}
	})
}

func TestRestIsNeverLongerThanFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rest time.Duration
		tracker := region.NewTracker(region.Config{
			Jitter:   func() float64 { return 0.999 },
			OnChange: func(c region.Change) { rest = c.Rest },
		})
		defer tracker.Close()
		g := tracker.Group(endpoints("a"))
		for range 100 {
			w := g.Walk(nil)
			w.Next(0)
			w.Failed(region.Unreachable)
			time.Sleep(6 * time.Minute)
		}
		if rest != 5*time.Minute {
			t.Errorf("the last rest is %s", rest)
		}
	})
}

// Many calls that fail at the same moment are one failure, and what began before
// a host recovered says nothing against it.
func TestFailuresOfOneMomentCountOnce(t *testing.T) {
	inTime(t, []string{"a", "b"}, func(s *site) {
		walks := make([]region.Walk, 50)
		for i := range walks {
			walks[i] = s.group.Walk(s.network)
			walks[i].Next(0)
		}
		time.Sleep(time.Second)
		for i := range walks[:40] {
			walks[i].Failed(region.ConnectTimeout)
			time.Sleep(10 * ms)
		}
		if status := s.status("a"); status.Failures != 1 {
			t.Errorf("%d failures were counted, want one", status.Failures)
		}
		time.Sleep(10 * time.Second)
		s.call() // has the probe made
		s.wantState("after the probe", "a", region.Available)
		for i := range walks[40:] {
			walks[40+i].Failed(region.ConnectionLost)
		}
		s.wantState("after news from before the rest", "a", region.Available)
		if n := len(s.changes); n != 2 {
			t.Errorf("%d changes, want 2: %+v", n, s.changes)
		}
	})
}

func TestSuccessOfAnAttemptFromBeforeTheRestDoesNotEndIt(t *testing.T) {
	inTime(t, []string{"a", "b"}, func(s *site) {
		before := s.group.Walk(s.network)
		before.Next(0)
		time.Sleep(time.Second)
		s.kill(region.Refused, "a")
		s.want("at first", "a", "b")
		before.Answered()
		s.wantState("after an answer to an older call", "a", region.Resting)
	})
}

// A call never gives up while there is a host that it has not tried.
func TestWhenAllRestAllAreTriedInOrder(t *testing.T) {
	inTime(t, []string{"w/a", "w/b", "e/c", "e/d"}, func(s *site) {
		s.kill(region.ConnectTimeout, "a", "b", "c", "d")
		for range 5 {
			s.want("when all are down", "a", "c", "b", "d")
			time.Sleep(100 * ms)
		}
		s.revive("c")
		s.want("when one is back", "a", "c")
		s.wantState("after a call's success", "c", region.Available)
		s.want("then", "c")
	})
}

func TestWhileAllRestEachIsProbedEveryTwoSeconds(t *testing.T) {
	inTime(t, []string{"a", "b", "c"}, func(s *site) {
		s.kill(region.ConnectTimeout, "a", "b", "c")
		start := time.Now()
		for time.Since(start) < 8*time.Second {
			s.call()
			time.Sleep(10 * ms)
		}
		for _, host := range []string{"a", "b", "c"} {
			times := s.probed(host)
			if len(times) < 3 || len(times) > 4 {
				t.Errorf("%s was probed %d times in 8 s", host, len(times))
			}
			for i, last := range append([]time.Time{start}, times[:len(times)-1]...) {
				if gap := times[i].Sub(last); gap < 2*time.Second {
					t.Errorf("%s was probed %s after it had failed or been probed", host, gap)
				}
			}
		}
		// None of it made the rests longer: those are over in two seconds.
		if f := s.status("a").Failures; f != 1 {
			t.Errorf("%d failures", f)
		}
		s.revive("c")
		time.Sleep(2 * time.Second)
		s.call()
		s.wantState("after a probe while all rest", "c", region.Available)
		s.want("then", "c")
		probes := len(s.probed("a"))
		time.Sleep(1500 * ms)
		s.want("then", "c")
		if n := len(s.probed("a")); n != probes {
			t.Error("a host was probed during its rest although another is available")
		}
	})
}

// A call that is held up by one host goes on to another that came back in the
// meantime, not to the next that rests.
func TestNextLooksAtTheStatesOfItsMoment(t *testing.T) {
	inTime(t, []string{"a", "b", "c"}, func(s *site) {
		s.kill(region.ConnectTimeout, "a", "b", "c")
		s.want("at first", "a", "b", "c")
		s.revive("c")
		time.Sleep(3 * time.Second)
		w := s.group.Walk(s.network)
		if e, _ := w.Next(0); e.Host != "a" { // and has all probed
			t.Fatalf("begins with %s", e.Host)
		}
		time.Sleep(2 * time.Second)
		w.Failed(region.ConnectTimeout)
		if e, _ := w.Next(region.ConnectTimeout); e.Host != "c" {
			t.Errorf("goes on to %s, want c", e.Host)
		}
	})
}

func TestThreeSoftFailuresInARowCount(t *testing.T) {
	const (
		answered    = -1
		unavailable = int(region.Unavailable)
		late        = int(region.NoAnswer)
	)
	for _, test := range []struct {
		name     string
		outcomes []int
		want     region.State
	}{
		{"two", []int{unavailable, unavailable}, region.Available},
		{"three", []int{unavailable, unavailable, unavailable}, region.Resting},
		{"three without an answer", []int{late, late, late}, region.Resting},
		{"of both kinds", []int{late, unavailable, late}, region.Resting},
		{"an answer in between", []int{unavailable, unavailable, answered, unavailable, unavailable}, region.Available},
		{"answers", []int{answered, answered, answered, answered}, region.Available},
	} {
		t.Run(test.name, func(t *testing.T) {
			inTime(t, []string{"w/a", "w/b", "e/c"}, func(s *site) {
				for _, outcome := range test.outcomes {
					w := s.group.Walk(s.network)
					if e, _ := w.Next(0); e.Host != "a" {
						t.Fatalf("went to %s", e.Host)
					}
					if outcome == answered {
						w.Answered()
					} else {
						w.Failed(region.Cause(outcome))
					}
					time.Sleep(ms)
				}
				s.wantState("at last", "a", test.want)
				s.wantState("at last", "b", region.Available) // its own answers count
			})
		})
	}
}

// Calls that began together and are slow end together, too: three in a row, on a
// host that has answered all the others meanwhile.
func TestSlowCallsDoNotTakeOutAHostThatAnswers(t *testing.T) {
	inTime(t, []string{"a", "b"}, func(s *site) {
		for _, test := range []struct {
			name     string
			answered bool
			want     region.State
		}{
			{"others are answered", true, region.Available},
			{"no other is answered", false, region.Resting},
		} {
			slow := make([]region.Walk, 5)
			for i := range slow {
				slow[i] = s.group.Walk(s.network)
				if e, _ := slow[i].Next(0); e.Host != "a" {
					t.Fatalf("went to %s", e.Host)
				}
			}
			time.Sleep(30 * time.Second)
			if test.answered {
				s.want(test.name, "a")
			}
			time.Sleep(30 * time.Second)
			for i := range slow {
				slow[i].Failed(region.NoAnswer)
			}
			s.wantState(test.name, "a", test.want)
		}
	})
}

// Connections to a host that answers with 503 are made all right. That must not
// let calls come back to it every 10 s for ever.
func TestRestOfAHostThatCannotServeGrowsAlthoughProbesSucceed(t *testing.T) {
	inTime(t, []string{"a", "b"}, func(s *site) {
		for _, want := range []time.Duration{10, 20, 40} {
			for range 3 {
				w := s.group.Walk(s.network)
				if e, _ := w.Next(0); e.Host != "a" {
					t.Fatalf("went to %s", e.Host)
				}
				w.Failed(region.Unavailable)
				time.Sleep(ms)
			}
			if rest := s.changes[len(s.changes)-1].Rest; rest != want*time.Second {
				t.Errorf("rests for %s, want %d s", rest, want)
			}
			time.Sleep(want * time.Second)
			s.want("when the rest is over", "b")
		}
		s.want("then", "a") // and is answered
		if f := s.status("a").Failures; f != 0 {
			t.Errorf("%d failures after an answer", f)
		}
	})
}

// The other name of a region leads to the same place. It must not cost a second
// call a second time-out.
func TestOtherNamesOfAFailedRegionAreProbedFirst(t *testing.T) {
	for cause := region.Unreachable; cause <= region.ConnectionLost; cause++ {
		t.Run(cause.String(), func(t *testing.T) {
			inTime(t, []string{"w/a", "w/b", "e/c", "g/d"}, func(s *site) {
				s.slow(map[string]time.Duration{"a": 50 * ms, "b": 50 * ms, "c": 50 * ms, "d": 50 * ms})
				s.kill(cause, "a")
				if cause == region.NameNotResolved {
					s.want("at first", "a", "b")
					s.wantState("then", "b", region.Available)
					s.want("then", "b")
					return
				}
				s.want("at first", "a", "c")
				s.wantState("then", "b", region.Unproven)
				if len(s.probed("b")) != 0 {
					t.Error("probed beside the attempts of the call")
				}
				s.want("the next call", "c")
				time.Sleep(ms)
				s.want("before the probe has ended", "c")
				time.Sleep(50 * ms)
				synctest.Wait()
				s.wantState("after the probe", "b", region.Available)
				s.want("after the probe", "b")
				// The first name goes on failing; the second has proved itself.
				for range 4 {
					time.Sleep(time.Minute)
					s.want("then", "b")
				}
			})
		})
	}
}

func TestOtherNameThatFailsItsProbeRests(t *testing.T) {
	inTime(t, []string{"w/a", "w/b", "e/c"}, func(s *site) {
		s.kill(region.ConnectTimeout, "a", "b")
		s.want("at first", "a", "c")
		s.want("then", "c")
		s.wantState("after the probe", "b", region.Resting)
		if got := s.status("b"); time.Until(got.RestsUntil) != 10*time.Second || got.Cause != region.ConnectTimeout {
			t.Errorf("%+v", got)
		}
		s.want("then", "c")
	})
}

// Through a forward proxy nothing can be probed. Then one call tries the host
// when its rest is over, and the others wait for what comes of it.
func TestWithoutProbesOneCallTriesTheHost(t *testing.T) {
	inTime(t, []string{"w/a", "w/b", "e/c"}, func(s *site) {
		first := s.group.Walk(nil)
		first.Next(0)
		first.Failed(region.ConnectTimeout)
		next := func(when, want string) region.Walk {
			t.Helper()
			w := s.group.Walk(nil)
			if e, _ := w.Next(0); e.Host != want {
				t.Fatalf("%s: went to %s, want %s", when, e.Host, want)
			}
			return w
		}
		next("during the rest", "c")
		time.Sleep(10*time.Second - 1)
		next("just before its end", "c")
		time.Sleep(time.Nanosecond)
		trial := next("when the rest is over", "a")
		next("during the trial of a", "b")
		next("during both trials", "c")
		time.Sleep(2 * time.Second)
		trial.Failed(region.ConnectTimeout)
		time.Sleep(10*time.Second - 1)
		w := next("after it failed", "b") // nothing was heard of the trial of b
		w.Answered()
		time.Sleep(10*time.Second + 1)
		trial = next("after a longer rest", "a")
		trial.Answered()
		next("after the trial", "a")
		s.wantState("after the trial", "a", region.Available)
	})
}

// A caller may have less patience than the dial time-out. Its leaving does not
// count, but a host that it was still connecting to is looked at.
func TestHostOnWhichCallersGiveUpIsProbed(t *testing.T) {
	inTime(t, []string{"a", "b"}, func(s *site) {
		s.kill(region.ConnectTimeout, "a")
		give := func(after time.Duration, connecting bool) {
			w := s.group.Walk(s.network)
			if e, _ := w.Next(0); e.Host != "a" {
				t.Fatalf("went to %s", e.Host)
			}
			time.Sleep(after)
			w.Abandoned(connecting)
			s.wantState("when a caller has left", "a", region.Available)
		}
		s.revive("a")
		s.call() // has the first round made
		s.kill(region.ConnectTimeout, "a")
		time.Sleep(3 * time.Second)
		give(10*time.Second, false)
		give(100*ms, true)
		if n := len(s.probed("a")); n != 1 {
			t.Fatalf("probed %d times", n)
		}
		give(time.Second, true)
		s.call()
		s.wantState("after the probe", "a", region.Resting)
		s.want("then", "b")
	})
}

// Whatever happens to the hosts, calls that are made while one is up reach it,
// and none tries a host twice.
func TestCallsReachAHostWhileOneIsUp(t *testing.T) {
	inTime(t, []string{"w/a", "w/b", "e/c", "e/d", "g/e"}, func(s *site) {
		random := rand.New(rand.NewPCG(9, 10))
		names := []string{"a", "b", "c", "d", "e"}
		for range 3000 {
			alive := random.IntN(6)
			for _, i := range random.Perm(5) {
				if alive > 0 {
					s.revive(names[i])
					alive--
				} else {
					s.kill(region.Cause(random.IntN(int(region.ConnectionLost)+1)), names[i])
				}
			}
			tried := s.call()
			if unique := slices.Compact(slices.Sorted(slices.Values(tried))); len(unique) != len(tried) {
				t.Fatalf("tried %v", tried)
			}
			_, lastDown := s.down[tried[len(tried)-1]]
			if len(s.down) < 5 && lastDown || len(s.down) == 5 && len(tried) != 5 {
				t.Fatalf("tried %v while %v are down", tried, s.down)
			}
			time.Sleep(time.Duration(random.IntN(3000)) * ms)
		}
	})
}

// For the race detector, and for the lock that is let go of to tell the news.
func TestConcurrentUse(t *testing.T) {
	tracker := region.NewTracker(region.Config{
		OnChange: func(region.Change) {},
		OnOrder:  func(region.OrderChange) {},
	})
	net := new(network)
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 11))
			for range 300 {
				g := tracker.Group(endpoints("a", "b", "c", fmt.Sprint(random.IntN(3))))
				for range 5 {
					w := g.Walk(net)
					for {
						_, ok := w.Next(region.Cause(random.IntN(3)))
						if !ok {
							break
						}
						switch random.IntN(4) {
						case 0:
							w.Answered()
						case 1:
							w.Abandoned(true)
						default:
							w.Failed(region.Cause(random.IntN(8)))
						}
					}
				}
				g.Snapshot()
				tracker.Snapshot()
				g.Release()
			}
		})
	}
	group.Wait()
	tracker.Close()
	if left := tracker.Snapshot(); len(left) != 0 {
		t.Errorf("%d hosts are kept that no group has", len(left))
	}
}

package region_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-convoai/convoai/region"
)

// newGroup returns the group of endpoints in a tracker of its own.
func newGroup(endpoints []region.Endpoint) *region.Group {
	return region.NewTracker(region.Config{}).Group(endpoints)
}

// walk names the hosts that a walk visits when each attempt ends as causes says
// (its last one for all that follow).
func walk(endpoints []region.Endpoint, causes ...region.Cause) []string {
	w := newGroup(endpoints).Walk(nil)
	var hosts []string
	cause := region.Unreachable
	for i := 0; ; i++ {
		if i > 0 && i <= len(causes) {
			cause = causes[i-1]
		}
		e, ok := w.Next(cause)
		if !ok {
			return hosts
		}
		hosts = append(hosts, e.Host)
	}
}

func TestWalkFollowsTheCauseOfEachFailure(t *testing.T) {
	const unreachable, unresolved = region.Unreachable, region.NameNotResolved
	for _, test := range []struct {
		name   string
		area   region.Area
		causes []region.Cause
		want   string // first letters of the regions (w e g) with a (agora.io) or s (sd-rtn.com)
	}{
		{"every name is unknown", region.US, []region.Cause{unresolved}, "wa ws ea es ga"},
		{"nothing is reachable", region.US, []region.Cause{unreachable}, "wa ea ga ws es"},
		{"the first name is unknown, then nothing is reachable", region.US, []region.Cause{unresolved, unreachable}, "wa ws ea ga es"},
		{"the first region is unreachable, then names are unknown", region.US, []region.Cause{unreachable, unresolved}, "wa ea es ga ws"},
		{"unknown, unreachable, unknown", region.US, []region.Cause{unresolved, unreachable, unresolved}, "wa ws ea es ga"},
		{"mainland China, names unknown", region.CN, []region.Cause{unresolved}, "es ea ns na gs"},
		{"mainland China, unreachable", region.CN, []region.Cause{unreachable}, "es ns gs ea na"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, host := range walk(test.area.Endpoints(), test.causes...) {
				name, suffix, _ := strings.Cut(host, ".")
				letter := "g"
				if parts := strings.Split(name, "-"); len(parts) > 2 {
					letter = parts[2][:1]
				}
				got = append(got, letter+suffix[:1])
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("visited %s, want %s", strings.Join(got, " "), test.want)
			}
		})
	}
}

// However attempts end, a walk names every endpoint once and then none.
func TestWalkVisitsEveryEndpointOnce(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		var endpoints []region.Endpoint
		for i := range random.IntN(region.MaxEndpoints + 4) {
			endpoints = append(endpoints, region.Endpoint{Host: fmt.Sprint(i), Region: fmt.Sprint(random.IntN(4))})
		}
		w := newGroup(endpoints).Walk(nil)
		seen := map[string]bool{}
		for {
			more := w.More()
			e, ok := w.Next(region.Cause(random.IntN(3)))
			if ok != more {
				t.Fatalf("More says %t, Next %t", more, ok)
			}
			if !ok {
				break
			}
			if seen[e.Host] {
				t.Fatalf("%s was named twice", e.Host)
			}
			seen[e.Host] = true
		}
		if want := min(len(endpoints), region.MaxEndpoints); len(seen) != want {
			t.Fatalf("%d of %d endpoints were visited", len(seen), want)
		}
	}
}

// Walks are copied with the calls that hold them.
func TestWalksOfOneAreaDoNotShareTheirState(t *testing.T) {
	endpoints := region.EU.Endpoints()
	first := newGroup(endpoints).Walk(nil)
	first.Next(region.Unreachable)
	second := first
	a, _ := first.Next(region.Unreachable)
	b, _ := second.Next(region.Unreachable)
	if !reflect.DeepEqual(a, b) {
		t.Errorf("a copy went on to %s, the walk itself to %s", b.Host, a.Host)
	}
}

func TestZeroWalkLeadsNowhere(t *testing.T) {
	var w region.Walk
	if e, ok := w.Next(region.Unreachable); ok || w.More() {
		t.Errorf("named %s", e)
	}
	w.Answered()
	w.Failed(region.Unreachable)
	w.Abandoned(true)
}

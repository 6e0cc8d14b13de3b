package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// A region that is cut off, packets and name alike, costs the calls under way the
// time to notice and the later ones nothing. No join is carried out twice, and the
// region is used again when it is back.
func TestDockerRegionThatIsCutOff(t *testing.T) {
	regions := []string{"region-a", "region-b"}
	l := newLab(t, regions...)
	for _, network := range append([]string{"app"}, regions...) {
		l.network(network)
	}
	for _, region := range regions {
		l.create(region, []string{region}, "/dockerpeer", "upstream", "--name", region, "--certificate", "/tls/certificate.pem", "--key", "/tls/key.pem")
		l.start(region)
	}
	sidecars := []string{"plain", "secure"} // HTTP/1.1, and 2 with TLS
	for sidecar, upstreams := range map[string][]string{
		"plain":  {"--upstream", "http://region-a:8080", "--upstream", "http://region-b:8080"},
		"secure": {"--upstream", "https://region-a:8443", "--upstream", "https://region-b:8443", "--upstream-ca", "/tls/ca.pem"},
	} {
		l.create(sidecar, []string{"app", "region-a", "region-b"}, append([]string{"/caddy", "convoai", "run",
			"--listen", ":8080", "--allow-host", sidecar, "--allow-from", "0.0.0.0/0", "--upstream-private"}, upstreams...)...)
		l.start(sidecar)
	}
	for _, sidecar := range sidecars {
		waitFor(t, sidecar+" to listen", func() bool { return strings.Contains(l.logs(sidecar), "convoai: listening on") })
	}
	c := l.crowd("app", sidecars...)
	kinds := []kind{{"plain", "join"}, {"plain", "list"}, {"secure", "join"}, {"secure", "list"}}

	for _, cut := range []struct {
		name     string
		detached func(region string) []string
	}{
		{"the upstream is detached", func(region string) []string { return []string{region} }},
		{"the sidecars are detached", func(string) []string { return sidecars }},
	} {
		start := time.Now()
		waitFor(t, "calls", func() bool { return len(kindsAnswered(c.since(start), 10)) == len(kinds) })
		region := lastAnswer(c.since(start), "plain")
		other := regions[1-slices.Index(regions, region)]
		t.Logf("%s from %s", cut.name, region)

		began := time.Now()
		for _, container := range cut.detached(region) {
			l.detach(container, region)
		}
		done := time.Now()
		waitFor(t, "calls well after the cut", func() bool {
			return len(kindsAnswered(c.since(done.Add(silence+dialling)), 20)) == len(kinds)
		})
		ending := time.Now()
		for _, container := range cut.detached(region) {
			l.attach(container, region, container)
		}
		judge(t, c.since(began), began, done, ending, other)

		var back time.Time
		waitFor(t, region+" to be used again by all", func() bool {
			back = time.Now()
			for _, sidecar := range sidecars {
				if lastAnswer(c.since(ending), sidecar) != region && !strings.Contains(l.logs(sidecar), "connections to another region are faster") {
					return false
				}
			}
			return true
		})
		t.Logf("%s is used again %s after it was cut off, %s after its return", region, back.Sub(done).Round(time.Millisecond), back.Sub(ending).Round(time.Millisecond))
		if back.Sub(began) < shortestRest {
			t.Errorf("%s was used again after %s", region, back.Sub(began))
		}
		for _, o := range c.since(ending) {
			if o.Status != http.StatusOK {
				t.Errorf("after the return of %s: %s", region, o)
			}
		}
	}

	c.stop()
	arrived, lost := l.arrivals(regions...), 0
	for name, times := range arrived {
		if times > 1 {
			t.Errorf("join %s came %d times", name, times)
		}
	}
	joins := 0
	for _, o := range c.since(time.Time{}) {
		if o.Operation != "join" {
			continue
		}
		joins++
		switch {
		case o.Status == http.StatusOK && arrived[o.Name] != 1:
			t.Errorf("join %s was answered, and came %d times", o.Name, arrived[o.Name])
		case o.Status != http.StatusOK:
			lost++
		}
	}
	t.Logf("%d joins, %d of them lost", joins, lost)
}

// kind is calls of one kind through one sidecar.
type kind struct{ sidecar, operation string }

// kindsAnswered are the kinds of which so many calls were answered.
func kindsAnswered(outcomes []outcome, times int) []kind {
	counts := make(map[kind]int)
	var kinds []kind
	for _, o := range outcomes {
		k := kind{o.Sidecar, o.Operation}
		if o.Status == http.StatusOK {
			if counts[k]++; counts[k] == times {
				kinds = append(kinds, k)
			}
		}
	}
	return kinds
}

// lastAnswer is who has answered the last call through a sidecar.
func lastAnswer(outcomes []outcome, sidecar string) string {
	for _, o := range slices.Backward(outcomes) {
		if o.Sidecar == sidecar && o.Status == http.StatusOK {
			return o.Upstream
		}
	}
	return ""
}

func (o outcome) String() string {
	return fmt.Sprintf("%s through %s at %s: %d %s by %q after %s", o.Operation, o.Sidecar, o.Began.Format("05.000"), o.Status, o.Reason, o.Upstream, o.Took)
}

// judge looks at the calls that began after a cut had begun, which took from began
// to done, and before it ended.
func judge(t *testing.T, outcomes []outcome, began, done, ended time.Time, other string) {
	t.Helper()
	var first, later []time.Duration
	lost := 0
	for _, o := range outcomes {
		if o.Began.After(ended) {
			continue
		}
		noticing := o.Began.Before(done.Add(silence + dialling))
		switch {
		case o.Status == http.StatusOK && (o.Upstream == other || o.Began.Before(done)):
		case o.Operation == "join" && noticing && slices.Contains([]string{"UpstreamConnectionLost", "UpstreamTimeout"}, o.Reason):
			lost++
		default:
			t.Errorf("%s after the cut: %s", o.Began.Sub(done).Round(time.Millisecond), o)
		}
		if noticing {
			first = append(first, o.Took)
		} else {
			later = append(later, o.Took)
		}
	}
	slices.Sort(first)
	slices.Sort(later)
	if len(first) == 0 || len(later) == 0 {
		t.Fatal("no calls")
	}
	t.Logf("the cut took %s to make; %d calls until it must have been noticed: longest %s, %d joins lost; %d calls later: median %s, longest %s",
		done.Sub(began).Round(time.Millisecond), len(first), first[len(first)-1].Round(time.Millisecond), lost,
		len(later), later[len(later)/2].Round(time.Microsecond), later[len(later)-1].Round(time.Millisecond))
	if longest := first[len(first)-1]; longest > silence+dialling+prompt {
		t.Errorf("a call took %s", longest)
	}
	// Nearly all: the machine may be busy.
	if most := later[len(later)*9/10]; most > dialling/2 {
		t.Errorf("one call in ten takes %s and more long after the cut", most)
	}
}

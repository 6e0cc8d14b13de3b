package integration

import (
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// deploy/compose.yaml comes up from nothing by one command, and does what it is
// there to show.
func TestDockerCompose(t *testing.T) {
	l := newPeers(t, "unused")
	c := l.compose([]string{"EXAMPLE_PAUSE=100ms"}, "up", "--detach")
	t.Run("the application starts, queries and stops agents", c.serves)
	t.Run("the application has no secret", c.hidesTheSecret)
	t.Run("the application has no other way out", c.isTheOnlyWay)
	t.Run("a region that is cut off costs no answer", c.survivesARegion)
	t.Run("a sidecar that is killed is back at once", c.comesBack)
	t.Run("limits hold under load", c.keepsToItsLimits)
	t.Run("an application that calls the vendor is served too", c.servesUnchanged)
}

// on is c with the test that is running.
func (c *composition) on(t *testing.T) *composition {
	l := *c.lab
	l.t = t
	d := *c
	d.lab = &l
	return &d
}

func (c *composition) serves(t *testing.T) {
	c = c.on(t)
	c.rounds("app")
}

// rounds waits for a whole round of an application, and looks at all there are.
func (c *composition) rounds(service string) {
	c.t.Helper()
	waitFor(c.t, "a whole round of "+service, func() bool {
		calls := c.appCalls(service, time.Time{})
		for i := range len(calls) - 2 {
			steps := []string{calls[i].Step, calls[i+1].Step, calls[i+2].Step}
			if slices.Equal(steps, []string{"start", "query", "stop"}) && calls[i+2].Status == http.StatusOK {
				return true
			}
		}
		return false
	})
	for _, call := range c.appCalls(service, time.Time{}) {
		if call.Status != http.StatusOK || call.Step != "stop" && call.AgentID == "" {
			c.t.Errorf("%s", call)
		}
	}
}

func (c *composition) hidesTheSecret(t *testing.T) {
	c = c.on(t)
	text, err := os.ReadFile("../deploy/secrets/agora_app_certificate")
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.TrimSpace(string(text))
	for _, service := range []string{"app", "convoai"} {
		out, err := c.run("inspect", c.container(service))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out, secret) {
			t.Errorf("docker inspect of %s shows the certificate", service)
		}
	}
	if out := c.search("app", secret); strings.Contains(out, "found in") || !strings.Contains(out, "looked at") {
		t.Errorf("in the application's container: %s", out)
	}
	// That it can be found at all, and where it has to be.
	if out := c.search("convoai", secret); count(out, "found in") != 1 || !strings.Contains(out, "found in /run/secrets/agora_app_certificate\n") {
		t.Errorf("in the sidecar's container: %s", out)
	}
}

// search looks for a text in all that a service's container has, as the same user.
func (c *composition) search(service, text string) string {
	c.t.Helper()
	return c.peerReading(text, []string{"--network", "none", "--pid", "container:" + c.container(service)}, "search")
}

func (c *composition) isTheOnlyWay(t *testing.T) {
	c = c.on(t)
	addresses := []string{"us-west-1.vendor.test:443", "us-east-1.vendor.test:443"}
	for _, network := range []string{"vendor-1", "vendor-2"} {
		addresses = append(addresses, c.addressIn(network, "vendor")+":443", c.addressIn(network, "convoai")+":8080")
	}
	// In the network of the application, and as the same user.
	dial := func(addresses ...string) string {
		return c.peer([]string{"--network", "container:" + c.container("app")}, append([]string{"dial"}, addresses...)...)
	}
	out := dial(addresses...)
	t.Logf("%s", out)
	if strings.Contains(out, ": connected") || strings.Count(out, "\n") != len(addresses) {
		t.Errorf("the application can get past the sidecar: %s", out)
	}
	if out := dial("convoai:8080"); !strings.Contains(out, ": connected") {
		t.Errorf("the application does not get to the sidecar: %s", out)
	}
}

// survivesARegion takes the networks of the regions from the sidecar, one after the
// other, so that one of them is the one in use.
func (c *composition) survivesARegion(t *testing.T) {
	c = c.on(t)
	lost := 0
	for _, network := range []string{"vendor-1", "vendor-2"} {
		began := time.Now()
		c.docker("network", "disconnect", c.networkOf(network), c.container("convoai"))
		done := time.Now()
		waitFor(t, "rounds after the cut", func() bool { return len(c.appCalls("app", done.Add(silence+dialling))) >= 30 })
		calls := c.appCalls("app", began)
		c.docker("network", "connect", c.networkOf(network), c.container("convoai"))
		longest := int64(0)
		for _, call := range calls {
			longest = max(longest, call.Milliseconds)
			switch {
			case call.Status == http.StatusOK && call.Tries == 1:
			case call.Step == "start" && call.Tries == 1 && slices.Contains([]string{"UpstreamConnectionLost", "UpstreamTimeout"}, call.Reason):
				lost++
			default:
				t.Errorf("without %s: %s", network, call)
			}
		}
		t.Logf("without %s: %d calls, the longest %d ms, %d joins lost so far", network, len(calls), longest, lost)
	}
	if !strings.Contains(c.logsOf("convoai"), "upstream has failed") {
		t.Error("the sidecar has not noticed that a region was gone")
	}
	// No join came twice: what the vendor has carried out was answered, or is one of
	// those that were lost. The application ends first, so that all is told.
	c.docker("stop", "--time", "30", c.container("app"))
	answered := 0
	for _, call := range c.appCalls("app", time.Time{}) {
		if call.Step == "start" && call.Status == http.StatusOK {
			answered++
		}
	}
	if joins := count(c.logsOf("vendor"), " join: 200"); joins < answered || joins > answered+lost {
		t.Errorf("%d joins were carried out, %d answered and %d lost", joins, answered, lost)
	}
}

// comesBack kills the sidecar. How long Docker takes to start a container again is
// not the sidecar's; what comes after that is.
func (c *composition) comesBack(t *testing.T) {
	c = c.on(t)
	sidecar := c.container("convoai")
	load := c.startLoad("kill", "--rate", "50", "--for", "15s", "http://convoai:8080/v2/projects/_")
	waitFor(t, "calls under way", func() bool { return len(c.loads(load)) > 100 })
	killed := time.Now()
	c.kill("convoai")
	var started time.Time
	waitFor(t, "the sidecar's restart", func() (again bool) {
		var err error
		if started, err = time.Parse(time.RFC3339Nano, c.inspect(sidecar, "{{.State.StartedAt}}")); err != nil {
			t.Fatal(err)
		}
		return started.After(killed)
	})
	longest, again := time.Duration(0), 0
	for _, call := range c.endOfLoad(load) {
		if call.Tries > 1 {
			again++
		}
		longest = max(longest, call.Without)
		// A join that was under way may have been carried out: it is not made again.
		if call.Status != http.StatusOK && !(call.Operation == "start" && call.Status == 0) {
			t.Errorf("%+v", call)
		}
	}
	if again == 0 {
		t.Error("no call has noticed that the sidecar was killed")
	}
	restart := started.Sub(killed)
	t.Logf("%d calls were made again; the longest was without an answer for %s, and Docker took %s of that to start the sidecar",
		again, longest.Round(time.Millisecond), restart.Round(time.Millisecond))
	if longest > restart+2*time.Second {
		t.Errorf("a call was without an answer for %s", longest)
	}
}

func (c *composition) keepsToItsLimits(t *testing.T) {
	c = c.on(t)
	sidecar := c.container("convoai")
	if got, want := c.inspect(sidecar, "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}}"), "67108864 67108864 500000000"; got != want {
		t.Errorf("the limits are %s, not %s", got, want)
	}
	const rate, seconds = 200, 15
	before := c.inspect(sidecar, "{{.RestartCount}} {{.State.StartedAt}}")
	load := c.startLoad("load", "--rate", strconv.Itoa(rate), "--for", strconv.Itoa(seconds)+"s", "http://convoai:8080/v2/projects/_")
	calls := c.endOfLoad(load)
	if len(calls) < rate*seconds*9/10 {
		t.Errorf("only %d calls were made in %d s", len(calls), seconds)
	}
	for _, call := range calls {
		if call.Status != http.StatusOK || call.Tries != 1 {
			t.Errorf("%+v", call)
		}
	}
	if after := c.inspect(sidecar, "{{.RestartCount}} {{.State.StartedAt}}"); after != before || c.inspect(sidecar, "{{.State.OOMKilled}}") != "false" {
		t.Errorf("the sidecar did not survive it: %s, then %s", before, after)
	}
	t.Logf("%d calls in %d s; the sidecar has %.1f MiB in memory", len(calls), seconds, float64(residentKiB(t, c.hostProc(sidecar)))/1024)
}

// servesUnchanged puts the application beside the others that calls the vendor by
// its name, over HTTPS.
func (c *composition) servesUnchanged(t *testing.T) {
	c = c.on(t)
	if out, err := c.script("unchanged", "up", "--detach"); err != nil {
		t.Fatalf("compose.sh unchanged up: %v\n%s", err, excerpt(out))
	}
	c.rounds("unchanged")
	// The CA's certificate is the application's, its key is not.
	if out := c.search("unchanged", "BEGIN CERTIFICATE"); !strings.Contains(out, "found in /trust/ca.pem\n") {
		t.Errorf("no CA is in the application's container: %s", out)
	}
	const key = "PRIVATE KEY"
	if out := c.search("unchanged", key); strings.Contains(out, "found in /trust") {
		t.Errorf("the application can read a key: %s", out)
	}
	if out := c.search("convoai", key); !strings.Contains(out, "found in /data/") {
		t.Errorf("the sidecar's key is not where it was looked for: %s", out)
	}
}

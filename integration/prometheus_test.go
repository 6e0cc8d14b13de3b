package integration

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/simulator"
)

// A Prometheus as it ships, with the rules and the dashboard of deploy/, beside a
// sidecar with traffic in which everything happens that is counted: each metric
// has the value that the traffic implies, each query of the dashboard has data, and
// those alerts are up that should be.
func TestPrometheusSeesWhatTheTrafficImplies(t *testing.T) {
	t.Parallel()
	needPrometheus(t)
	c := newScene(t)
	p := scrape(t, "127.0.0.1:"+c.s.other)
	waitFor(t, "the first scrape", func() bool {
		seen, err := p.metrics()
		return err == nil && len(seen) > 0
	})
	began := time.Now()

	c.failover()
	over := func() bool { return time.Since(began) > prometheusTime() || t.Failed() }
	var workers sync.WaitGroup
	for worker := range 3 {
		workers.Go(func() { c.steady(worker, over) })
	}
	defer workers.Wait()
	incidents := []func(){
		c.unavailable, c.renewedToken, c.wrongCertificate, c.staticCredentials, c.expiredToken,
		c.brokenConnections, c.slowVendor, c.refusals, c.nobodyThere, c.loop, c.secretFiles, c.tokenServer,
		c.unavailable, // once more, which has the time to connect measured for the second time
	}
	for i, incident := range incidents {
		// Spread over the time, so that most of it is seen to grow.
		next := began.Add(prometheusTime() * time.Duration(i) / time.Duration(len(incidents)))
		<-time.After(time.Until(next))
		incident()
	}
	workers.Wait()
	c.ask("main", http.StatusOK, "GET", listA, "") // of the vendor's clock
	c.want.answered("list", http.StatusOK)
	c.want.attempt(c.hosts["main"], "answered")
	c.want.token(stop(appA))

	c.checkMetrics(p)
	checkScrapes(t, p, time.Since(began))
	checkDashboard(t, p, began)
	checkRules(t, p)
}

// failover is the first call: the first upstream is down, and rests from then on.
func (c *scene) failover() {
	c.ask("main", http.StatusOK, "GET", listA, "")
	c.want.answered("list", http.StatusOK)
	c.want.token(stop(appA))
	c.want.attempt(c.hosts["down"], "not_sent")
	c.want.add(1, "failovers_total", "from", c.hosts["down"], "to", c.hosts["main"])
	c.want.attempt(c.hosts["main"], "answered")
}

// list is a call of a site that succeeds.
func (c *scene) list(site, path string, headers ...string) {
	c.t.Helper()
	c.ask(site, http.StatusOK, "GET", path, "", headers...)
	c.want.answered("list", http.StatusOK)
	c.want.attempt(c.hosts[site], "answered")
}

// unavailable is a vendor that answers a GET with 503, which moves on.
func (c *scene) unavailable() {
	for range 2 {
		c.faults("spare", simulator.Fault{Operation: "list", Status: http.StatusServiceUnavailable, Times: 1})
		c.ask("spare", http.StatusOK, "GET", listA, "")
		c.want.answered("list", http.StatusOK)
		c.want.token(stop(appA))
		c.want.attempt(c.hosts["spare"], "unavailable")
		c.want.add(1, "failovers_total", "from", c.hosts["spare"], "to", c.hosts["second"])
		c.want.attempt(c.hosts["second"], "answered")
		c.list("spare", listA)
		c.want.token(stop(appA))
	}
}

// renewedToken is a token that is refused once, and replaced.
func (c *scene) renewedToken() {
	path := pathOf(appB, "/agents")
	c.faults("renewed", simulator.Fault{Status: http.StatusUnauthorized, Times: 1})
	c.list("renewed", path)
	c.want.token(stop(appB))
	c.want.attempt(c.hosts["renewed"], "answered") // the 401
	c.want.minted()
	c.want.add(1, "reauthorizations_total", "outcome", "accepted")
	c.list("renewed", path)
	c.want.token(stop(appB))
}

// wrongCertificate is an app whose tokens are all refused.
func (c *scene) wrongCertificate() {
	c.ask("wrong", http.StatusUnauthorized, "POST", pathOf(appC, "/join"), joinBody("room", "1"))
	c.want.answered("join", http.StatusUnauthorized)
	c.want.token(appC + " room 1")
	c.want.minted()
	c.want.add(2, "upstream_attempts_total", "host", c.hosts["wrong"], "outcome", "answered")
	c.want.add(1, "reauthorizations_total", "outcome", "refused")
	c.want.add(1, "vendor_unauthorized_total", "auth_mode", "app-credentials")
}

// staticCredentials are those that nothing can be put in the place of.
func (c *scene) staticCredentials() {
	c.list("token", listA)
	c.faults("token", simulator.Fault{Status: http.StatusUnauthorized, Times: 2})
	for _, refused := range []struct {
		site, mode string
		times      int
	}{{"token", "token", 2}, {"basic", "basic", 3}} { // the vendor knows another secret
		for range refused.times {
			c.ask(refused.site, http.StatusUnauthorized, "GET", listA, "")
			c.want.answered("list", http.StatusUnauthorized)
			c.want.attempt(c.hosts[refused.site], "answered")
			c.want.add(1, "vendor_unauthorized_total", "auth_mode", refused.mode)
		}
	}
}

func (c *scene) expiredToken() {
	c.ask("expired", http.StatusServiceUnavailable, "GET", listA, "")
	c.want.refused("list", http.StatusServiceUnavailable, "CredentialUnavailable")
}

// brokenConnections are joins whose connection breaks after they were sent: at
// first, and when they are sent again because a token was refused. A call that
// succeeds ends the host's rest.
func (c *scene) brokenConnections() {
	broken := simulator.Fault{Operation: "join", Action: simulator.ResetAfterCall, Times: 1}
	refused := simulator.Fault{Operation: "join", Status: http.StatusUnauthorized, Times: 1}
	for i, faults := range [][]simulator.Fault{{broken}, {refused, broken}} {
		channel := "broken-" + itoa(i)
		c.faults("lost", faults...)
		c.ask("lost", http.StatusBadGateway, "POST", joinA, joinBody(channel, "1"))
		c.want.refused("join", http.StatusBadGateway, "UpstreamConnectionLost")
		c.want.token(appA + " " + channel + " 1")
		c.want.attempt(c.hosts["lost"], "lost")
		if len(faults) > 1 {
			c.want.attempt(c.hosts["lost"], "answered") // the 401
			c.want.minted()
			c.want.add(1, "reauthorizations_total", "outcome", "failed")
		}
		c.list("lost", listA)
		c.want.token(stop(appA))
	}
}

// slowVendor does not answer in time, or not before the caller has gone.
func (c *scene) slowVendor() {
	agent := prefix + projectA + "/agents/agent-1/speak"
	c.faults("slow", simulator.Fault{Operation: "speak", Action: simulator.Stall, Times: 1})
	c.ask("slow", http.StatusGatewayTimeout, "POST", agent, `{"text":"hello"}`)
	c.want.refused("speak", http.StatusGatewayTimeout, "UpstreamTimeout")
	c.want.token(stop(appA))
	c.want.attempt(c.hosts["slow"], "timeout")

	c.vendors["slow"].ResetCalls()
	c.faults("slow", simulator.Fault{Operation: "list", Action: simulator.Stall, Times: 1})
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.s.url+listA, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Host = "slow.test"
	gone := make(chan error, 1)
	go func() {
		res, err := c.s.client.Do(r)
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
		gone <- err
	}()
	waitFor(c.t, "the call to come to the vendor", func() bool { return len(c.vendors["slow"].Calls()) > 0 })
	cancel()
	if err := <-gone; err == nil {
		c.t.Error("a call was answered that its caller had left")
	}
	c.want.answered("list", 499)
	c.want.token(stop(appA))
	c.want.attempt(c.hosts["slow"], "abandoned")
	c.list("slow", listA)
	c.want.token(stop(appA))
}

// refusals are what callers do wrong.
func (c *scene) refusals() {
	large := strings.Replace(joinBody("room", "1"), "given", strings.Repeat("x", 65<<10), 1)
	for i, test := range []struct {
		site, operation, reason string
		status                  int
		method, path, body      string
		header                  string
	}{
		{"main", "none", "NotConvoAI", 404, "GET", "/elsewhere", "", "X-A: b"},
		{"main", "none", "MethodNotAllowed", 405, "DELETE", joinA, "", "X-A: b"},
		{"main", "none", "HostNotAllowed", 403, "GET", listA, "", "Host: evil.example"},
		{"main", "none", "CrossSiteRequest", 403, "GET", listA, "", "Origin: http://evil.example"},
		{"main", "list", "ProjectNotConfigured", 403, "GET", pathOf(appB, "/agents"), "", "X-A: b"},
		{"main", "join", "BodyTooLarge", 413, "POST", joinA, large, "X-A: b"},
		{"main", "join", "InvalidRequestBody", 400, "POST", joinA, "{", "X-A: b"},
		{"narrow", "none", "PeerNotAllowed", 403, "GET", listA, "", "X-A: b"},
		{"guarded", "list", "CallerNotAuthorized", 401, "GET", listA, "", "X-A: b"},
	} {
		for range i + 1 { // each another number of times
			c.ask(test.site, test.status, test.method, test.path, test.body, test.header)
			c.want.refused(test.operation, test.status, test.reason)
		}
	}
}

func (c *scene) nobodyThere() {
	for range 3 { // it rests after the first, and is tried for want of another
		c.ask("dead", http.StatusBadGateway, "POST", joinA, joinBody("dead", "1"))
		c.want.refused("join", http.StatusBadGateway, "UpstreamUnreachable")
		c.want.token(appA + " dead 1")
		c.want.attempt(c.hosts["dead"], "not_sent")
	}
}

// loop is a call that is led back: it counts as it goes out and as it comes in.
func (c *scene) loop() {
	c.ask("loop", http.StatusLoopDetected, "GET", listA, "")
	c.want.refused("list", http.StatusLoopDetected, "LoopDetected")
	c.want.refused("none", http.StatusLoopDetected, "LoopDetected")
	c.want.token(stop(appA))
	c.want.attempt(c.hosts["loop"], "answered")
}

// secretFiles change, at last to something that cannot be used.
func (c *scene) secretFiles() {
	file := filepath.Join(c.s.dir, "caller")
	c.list("guarded", listA, "X-Convoai-Caller-Token: first")
	c.want.token(stop(appA))
	writeFile(c.t, file, "second one")
	c.s.logged("a secret's file has changed: using the new value")
	c.want.add(1, "secret_reloads_total", "outcome", "ok")
	c.list("guarded", listA, "X-Convoai-Caller-Token: second one")
	c.want.token(stop(appA))
	writeFile(c.t, file, "\x00")
	c.s.logged("a secret's file has changed but cannot be used")
	c.want.add(1, "secret_reloads_total", "outcome", "error")
}

func (c *scene) tokenServer() {
	for _, test := range []struct {
		body, reason string
		status       int
	}{
		{`{"kind":"rtc","channel":"room-7","uid":42}`, "", 200},
		{`{"kind":"rtc","channel":"room-8","account":"a"}`, "", 200},
		{`{"kind":"rtc","channel":"elsewhere","uid":42}`, "NotAllowed", 403},
		{`{"kind":`, "InvalidRequest", 400},
	} {
		c.ask("tokens", test.status, "POST", "/token", test.body)
		if test.reason != "" {
			c.want.refused("token", test.status, test.reason)
			continue
		}
		c.want.answered("token", test.status)
		c.want.add(1, "mints_total", "kind", "rtc", "outcome", "ok")
	}
}

// checkMetrics waits until Prometheus has scraped the end of the traffic, and
// fails for each metric that is not what the traffic implies.
func (c *scene) checkMetrics(p *prometheus) {
	c.t.Helper()
	var seen map[string]float64
	var differ []string
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		var err error
		if seen, err = p.metrics(); err != nil {
			c.t.Fatal(err)
		}
		if differ = c.differences(seen); len(differ) == 0 || time.Now().After(deadline) {
			break
		}
	}
	for _, text := range differ {
		c.t.Error(text)
	}
	c.t.Logf("%d metrics are what the traffic implies", len(seen)-len(differ))
}

func (c *scene) differences(seen map[string]float64) []string {
	list := c.want.differences(seen)
	for key, bounds := range c.gauges() {
		if value, ok := seen[key]; !ok || value < bounds[0] || value > bounds[1] {
			list = append(list, key+" is "+format(value)+", want "+format(bounds[0])+" to "+format(bounds[1]))
		}
	}
	return list
}

// checkScrapes checks that Prometheus has scraped all the time, without a fault.
func checkScrapes(t *testing.T, p *prometheus, lasted time.Duration) {
	t.Helper()
	for expr, least := range map[string]float64{
		`count_over_time(up{job="convoai"}[10m])`:                                       lasted.Seconds() / 4, // of a busy machine
		`min_over_time(up{job="convoai"}[10m])`:                                         1,
		`max(changes(caddy_convoai_requests_total{operation="list",code="200"}[10m]))`:  3,
		`sum(increase(caddy_convoai_requests_total{operation="join",code="200"}[10m]))`: 5,
	} {
		list, err := p.query(expr)
		if err != nil || len(list) != 1 || len(list[0].numbers()) != 1 || list[0].numbers()[0] < least {
			t.Errorf("%s is %v, %v; want %g at least", expr, list, err, least)
		}
	}
}

// checkDashboard checks that each query of the dashboard has data. A rate has none
// until its counter was scraped twice.
func checkDashboard(t *testing.T, p *prometheus, began time.Time) {
	t.Helper()
	for _, panel := range panels(t) {
		for _, target := range panel.Targets {
			if strings.Contains(target.Expr, "upstream_connect_seconds") && prometheusTime() < time.Minute {
				continue // it takes two measurements, half a minute apart
			}
			expr := substitute(t, target.Expr)
			for deadline := time.Now().Add(prompt); !p.hasData(panel.Title, expr, target.Instant, began); time.Sleep(200 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Errorf("%s: no data for %s", panel.Title, expr)
					break
				}
			}
		}
	}
}

// hasData reports whether a query has a value that can be drawn.
func (p *prometheus) hasData(title, expr string, instant bool, since time.Time) bool {
	p.t.Helper()
	list, err := p.query(expr)
	if !instant {
		list, err = p.queryRange(expr, since)
	}
	if err != nil {
		p.t.Fatalf("%s: %v", title, err)
	}
	return slices.ContainsFunc(list, func(s series) bool { return len(s.numbers()) > 0 })
}

// checkRules checks that all rules work, and that those alerts are up that the
// traffic has given reason for. They fire when it has lasted.
func checkRules(t *testing.T, p *prometheus) {
	t.Helper()
	want := map[string]bool{
		"ConvoaiUnauthorized": true, "ConvoaiAuthTokenExpiresSoon": true, "ConvoaiAuthTokenExpires": true,
		"ConvoaiSecretUnusable": true, "ConvoaiClockSkew": true, "ConvoaiRegionDown": true,
		"ConvoaiAbsent": false, "ConvoaiCredentialRefused": false, "ConvoaiAllRegionsDown": false, "ConvoaiTokenNotRefreshed": false,
		"ConvoaiMintErrors": false, "ConvoaiClockSkewHigh": false, "ConvoaiTokensReplaced": false, "ConvoaiStartsUnusual": false,
		"ConvoaiVendorUnavailable": false, "ConvoaiRateLimited": false,
	}
	var rules map[string]rule
	for deadline := time.Now().Add(prompt); ; time.Sleep(200 * time.Millisecond) {
		var err error
		if rules, err = p.rules(); err != nil {
			t.Fatal(err)
		}
		evaluated := true
		for name, up := range want {
			r := rules[name]
			evaluated = evaluated && !r.LastEvaluation.IsZero() && (!up || r.State != "inactive")
		}
		if evaluated || time.Now().After(deadline) {
			break
		}
	}
	if all := strings.Count(readShipped(t, rulesFile), "- alert:") + strings.Count(readShipped(t, rulesFile), "- record:"); len(rules) != all {
		t.Errorf("%d rules are loaded, want %d", len(rules), all)
	}
	for name, r := range rules {
		if r.Health != "ok" || r.LastError != "" {
			t.Errorf("rule %s is %s: %s", name, r.Health, r.LastError)
		}
		if up, ok := want[name]; ok && up != (r.State != "inactive") {
			t.Errorf("alert %s is %s", name, r.State)
		}
	}
}

package caddymodule

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-convoai/convoai/region"
)

// reachable is a network in which hosts can be reached, unless they are down.
type reachable struct{ down atomic.Bool }

func (r *reachable) Probe(context.Context, region.Endpoint) (time.Duration, region.Cause, bool) {
	return time.Millisecond, region.Refused, !r.down.Load()
}

// healthApp is a convoai app with a site for each of gates.
func healthApp(t *testing.T, shared *state, clock *testClock, gates ...*Gate) *App {
	t.Helper()
	a := &App{state: shared, now: clock.now, gates: gates}
	a.sites = sync.OnceValue(a.listSites)
	for _, g := range gates {
		a.projects = append(a.projects, g.apps()...)
	}
	for _, p := range a.projects {
		shared.add(p)
	}
	return a
}

// healthGate is a gate of an area whose hosts are reached through network.
func healthGate(shared *state, area region.Area, network region.Prober, projects ...*project) *Gate {
	g := &Gate{
		area: string(area), endpoints: shared.regions.Group(area.Endpoints()), prober: network,
		projects: make(map[string]*project), defaultProject: projects[0],
	}
	for _, p := range projects {
		g.projects[p.appID] = p
	}
	return g
}

// appIDOf returns the i-th of 100 App IDs.
func appIDOf(i int) string {
	return strings.Repeat("0", 28) + string([]byte{'a', 'b', '0' + byte(i/10), '0' + byte(i%10)})
}

func preBuiltProject(t *testing.T, shared *state, clock *testClock, appID string, issuedAt time.Time) *project {
	t.Helper()
	p, err := sharingProject(t, shared, clock, Credentials{AppID: appID, AuthToken: signed(t, appID, issuedAt)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestReadyWithOneAppThatHasACredential(t *testing.T) {
	clock := newTestClock()
	shared := testState(t, clock)
	var projects []*project
	for i := range 20 {
		issued := clock.now().Add(-2 * time.Hour) // expired
		if i == 13 {
			issued = clock.now().Add(-30 * time.Minute)
		}
		projects = append(projects, preBuiltProject(t, shared, clock, appIDOf(i), issued))
	}
	a := healthApp(t, shared, clock, healthGate(shared, region.US, new(reachable), projects...))
	if got := a.readiness(t.Context()); !got.Ready() || len(got.Reasons) != 0 {
		t.Errorf("with one good app of 20: %+v", got)
	}
	clock.advance(time.Hour)
	want := unready(Reason{
		Reason: ReasonNoCredential, Site: 1, AppIDsEndIn: []string{"ab00", "ab01", "ab02", "ab03", "ab04"},
		Detail: "the configured auth_token has expired",
	})
	if got := a.readiness(t.Context()); !reflect.DeepEqual(got, want) {
		t.Errorf("without any: %+v, want %+v", got, want)
	}
}

func TestReadinessByMode(t *testing.T) {
	clock := newTestClock()
	shared := testState(t, clock)
	for name, c := range map[string]Credentials{
		"app-credentials": withCertificate(),
		"basic":           {AppID: testAppID, CustomerID: "id", CustomerSecret: "secret"},
		"token":           {AppID: testAppID, AuthToken: signed(t, testAppID, clock.now())},
	} {
		p, err := sharingProject(t, shared, clock, c)
		if err != nil {
			t.Fatal(err)
		}
		a := healthApp(t, shared, clock, healthGate(shared, region.US, new(reachable), p))
		if got := a.readiness(t.Context()); !got.Ready() {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A certificate that cannot sign cannot come through configuration; should it come
// about all the same, it is noticed.
func TestCertificateThatCannotSignIsNotReady(t *testing.T) {
	p, clock := mustProject(t, withCertificate())
	p.signing().inUse().certificate = "not hexadecimal"
	a := healthApp(t, p.state, clock, healthGate(p.state, region.US, new(reachable), p))
	got := a.readiness(t.Context())
	if got.Ready() || got.Reasons[0].Reason != ReasonNoCredential || strings.Contains(got.Reasons[0].Detail, "not hexadecimal") {
		t.Errorf("%+v", got)
	}
}

func TestTokenServerAloneIsReadyWhenItsCertificateCanSign(t *testing.T) {
	p, clock := mustProject(t, withCertificate())
	p.handsOut = true
	a := &App{state: p.state, now: clock.now, projects: []*project{p}}
	a.sites = sync.OnceValue(a.listSites)
	if got := a.readiness(t.Context()); !got.Ready() {
		t.Errorf("%+v", got)
	}
	p.signing().inUse().certificate = "not hexadecimal"
	if got := a.readiness(t.Context()); got.Ready() || got.Reasons[0].Site != 1 {
		t.Errorf("with a certificate that cannot sign: %+v", got)
	}
}

func TestWithoutASiteNothingIsReady(t *testing.T) {
	clock := newTestClock()
	a := healthApp(t, testState(t, clock), clock)
	if got, want := a.readiness(t.Context()), unready(Reason{Reason: ReasonNothingConfigured}); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

// Each site has callers of its own.
func TestEachSiteMustBeReady(t *testing.T) {
	p, clock := mustProject(t, withCertificate())
	down := new(reachable)
	down.down.Store(true)
	us, eu := healthGate(p.state, region.US, new(reachable), p), healthGate(p.state, region.EU, down, p)
	// They share the global name; a probe of one is worth as much to the other.
	a := healthApp(t, p.state, clock, us, eu)
	got := a.readiness(t.Context())
	var hosts []string
	for _, e := range region.EU.Endpoints() {
		hosts = append(hosts, e.Host)
	}
	if want := unready(Reason{Reason: ReasonNoHost, Site: 1, Hosts: hosts}); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	text, err := json.Marshal(got)
	if err != nil || !strings.HasPrefix(string(text), `{"status":"unready","reasons":[{"reason":"no_host_reachable","site":1,"hosts":["api-eu-west-1.agora.io",`) {
		t.Errorf("%s (%v)", text, err)
	}
}

func TestSitesHaveTheSameNumbersInAnyOrder(t *testing.T) {
	p, clock := mustProject(t, withCertificate())
	other, err := sharingProject(t, p.state, clock, Credentials{AppID: otherAppID, AppCertificate: testCertificate})
	if err != nil {
		t.Fatal(err)
	}
	server, err := sharingProject(t, p.state, clock, withCertificate())
	if err != nil {
		t.Fatal(err)
	}
	server.handsOut = true
	gates := []*Gate{
		healthGate(p.state, region.AP, nil, p), healthGate(p.state, region.EU, nil, p), healthGate(p.state, region.EU, nil, other, p),
	}
	a := healthApp(t, p.state, clock, gates...)
	a.projects = append(a.projects, server)
	var want []string
	for _, s := range a.sites() {
		want = append(want, s.key())
	}
	slices.Reverse(gates)
	a = healthApp(t, p.state, clock, gates...)
	a.projects = append([]*project{server}, a.projects...)
	for i, s := range a.sites() {
		if s.number != i+1 || s.key() != want[i] {
			t.Errorf("site %d is %q, want %q", s.number, s.key(), want[i])
		}
	}
	if last := a.sites()[3]; last.hosts != nil {
		t.Error("the token server is not the last")
	}
}

// The default app is asked about first: a site of many apps is ready by one.
func TestDefaultAppOfASiteComesFirst(t *testing.T) {
	clock := newTestClock()
	shared := testState(t, clock)
	var projects []*project
	for _, i := range []int{7, 3, 9, 1} {
		projects = append(projects, preBuiltProject(t, shared, clock, appIDOf(i), clock.now()))
	}
	var got []string
	for _, p := range healthGate(shared, region.US, nil, projects...).apps() {
		got = append(got, p.ends())
	}
	if want := []string{"ab07", "ab01", "ab03", "ab09"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// serveHealth has h answer a request as a server that may be about to stop does.
func serveHealth(t *testing.T, h *Health, method, target string) (w *httptest.ResponseRecorder, passedOn bool) {
	t.Helper()
	w = httptest.NewRecorder()
	r := httptest.NewRequest(method, target, nil)
	repl := caddy.NewReplacer()
	r = caddyhttp.PrepareRequest(r, repl, w, new(caddyhttp.Server))
	err := h.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		passedOn = true
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	return w, passedOn
}

func TestHealthAnswers(t *testing.T) {
	p, clock := mustProject(t, withCertificate())
	network := new(reachable)
	g := healthGate(p.state, region.US, network, p)
	h := &Health{app: healthApp(t, p.state, clock, g)}
	for _, test := range []struct {
		method, target string
		status         int
		body           string
	}{
		{"GET", "/livez", 200, `{"status":"live"}`},
		{"HEAD", "/livez", 200, `{"status":"live"}`},
		{"GET", "/livez?verbose", 200, `{"status":"live"}`},
		{"GET", "/readyz", 200, `{"status":"ready"}`},
		{"HEAD", "/readyz", 200, `{"status":"ready"}`},
		{"POST", "/readyz", 405, `{"detail":"this path takes GET and HEAD"}`},
		{"OPTIONS", "/livez", 405, `{"detail":"this path takes GET and HEAD"}`},
		{"TRACE", "/livez", 405, `{"detail":"this path takes GET and HEAD"}`},
	} {
		w, passedOn := serveHealth(t, h, test.method, test.target)
		if w.Code != test.status || w.Body.String() != test.body+"\n" || passedOn {
			t.Errorf("%s %s: %d %q, passed on: %t", test.method, test.target, w.Code, w.Body, passedOn)
		}
		for name, value := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} {
			if got := w.Header().Get(name); got != value {
				t.Errorf("%s %s: %s is %q", test.method, test.target, name, got)
			}
		}
		if allow := w.Header().Get("Allow"); (allow == "GET, HEAD") != (test.status == 405) {
			t.Errorf("%s %s: Allow is %q", test.method, test.target, allow)
		}
	}
	for _, target := range []string{"/", "/livez/", "/readyz/x", "/LIVEZ", "//livez", "/healthz", "/v2/projects/x/livez", "/x/readyz"} {
		if w, passedOn := serveHealth(t, h, "GET", target); !passedOn || w.Body.Len() > 0 {
			t.Errorf("%s is not passed on", target)
		}
	}
}

// The paths are none that the gate would take for calls.
func TestHealthPathsAreNoPathsOfTheAPI(t *testing.T) {
	for _, path := range []string{livePath, readyPath} {
		r := httptest.NewRequest("GET", path, nil)
		if refusal := new(Gate).checkPath(&arrival{r: r}); refusal != errNotConvoAI {
			t.Errorf("%s is one", path)
		}
	}
}

// A gate learns from the reverse proxy behind it how its hosts are reached, with
// several sites and with one proxy behind several gates.
func TestEachGateHasTheProberOfTheProxyBehindIt(t *testing.T) {
	config := `{
		admin off
		persist_config off
		storage file_system ` + t.TempDir() + `
		convoai {
			app_id ` + testAppID + `
			app_certificate ` + testCertificate + `
		}
		order convoai first
	}
	http://:81 {
		bind ` + testNetwork + `/one
		convoai {
			area us
			dial_timeout 1s
		}
	}
	http://:82 {
		bind ` + testNetwork + `/two
		convoai {
			area eu
			dial_timeout 2s
		}
		handle /other/* {
			convoai {
				area ap
				dial_timeout 3s
			}
		}
	}
	http://:83 {
		bind ` + testNetwork + `/proxied
		convoai {
			area cn
			dial_timeout 4s
			transport http {
				network_proxy url http://127.0.0.1:1
			}
		}
		convoai_health
	}`
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(config), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(adapted, true); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = caddy.Stop() }()
	sites := runningApp().sites()
	if len(sites) != 4 {
		t.Fatalf("%d sites", len(sites))
	}
	want := map[string]time.Duration{"us": time.Second, "eu": 2 * time.Second, "ap": 3 * time.Second}
	for _, s := range sites {
		if s.area == "cn" {
			if s.prober != nil {
				t.Error("hosts behind a forward proxy are probed")
			}
			continue
		}
		if p, ok := s.prober.(prober); !ok || time.Duration(p.http.DialTimeout) != want[s.area] {
			t.Errorf("area %s: %+v", s.area, s.prober)
		}
	}
}

func TestAFurtherProxyDoesNotTakeOverEarlierGates(t *testing.T) {
	a := &App{gates: []*Gate{{}, {}}}
	first, second := new(reachable), new(reachable)
	a.pair(first)
	a.gates = append(a.gates, &Gate{})
	a.pair(second)
	a.pair(nil)
	for i, want := range []region.Prober{first, first, second} {
		if a.gates[i].prober != want {
			t.Errorf("gate %d has another's prober", i)
		}
	}
}

// Of two sites with the same host one has a forward proxy on the way there. What
// happens to the calls or probes of one says nothing to the other.
func TestWhatIsKnownThroughAForwardProxyIsKeptApart(t *testing.T) {
	dead := closedPort(t)
	load(t, "", `convoai {
		app_id `+testAppID+`
		app_certificate `+testCertificate+`
		area us
		upstream `+dead+`
	}
	handle /other/* {
		convoai {
			app_id `+testAppID+`
			app_certificate `+testCertificate+`
			area eu
			upstream `+dead+`
			transport http {
				network_proxy url http://127.0.0.1:1
			}
		}
	}`)
	t.Cleanup(func() { _ = caddy.Stop() })
	app := runningApp()
	check := func(when string) {
		t.Helper()
		for _, s := range app.status(t.Context()).Sites {
			if proxied := s.Area == "eu"; s.Ready != proxied {
				t.Errorf("%s: area %s: ready is %t", when, s.Area, s.Ready)
			}
		}
	}
	check("at first") // the host is probed from here, and is not there
	check("after the probe")
	for _, s := range app.sites() {
		if s.area == "eu" {
			walk := s.hosts.Walk(nil)
			walk.Next(region.Unreachable)
			walk.Answered()
		}
	}
	check("after a call through the proxy")
}

// An answer comes within the second that whoever asks waits.
func TestReadinessIsAnsweredInTime(t *testing.T) {
	p, clock := mustProject(t, withCertificate())
	a := healthApp(t, p.state, clock,
		healthGate(p.state, region.US, silentNetwork{}, p), healthGate(p.state, region.EU, silentNetwork{}, p), healthGate(p.state, region.AP, silentNetwork{}, p))
	began := time.Now()
	got := a.readiness(t.Context())
	if took := time.Since(began); took < readyWait || took > 10*readyWait {
		t.Errorf("it took %s with three sites, want %s", took, readyWait)
	}
	if got.Ready() || len(got.Reasons) != 3 || !got.starting() {
		t.Errorf("%+v", got)
	}
}

type silentNetwork struct{}

func (silentNetwork) Probe(ctx context.Context, _ region.Endpoint) (time.Duration, region.Cause, bool) {
	<-ctx.Done()
	return 0, region.ConnectTimeout, false
}

package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-convoai/convoai/region"
)

// statusOf is a's status as its JSON has it.
func statusOf(t *testing.T, a *App) (Status, string) {
	t.Helper()
	text, err := json.MarshalIndent(a.status(t.Context()), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	var s Status
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s, string(text)
}

func TestStatusSaysWhereSecretsComeFromAndNoSecret(t *testing.T) {
	const canary = "c0ffee00c0ffee00c0ffee00c0ffee01"
	dir := t.TempDir()
	certificate, caller := filepath.Join(dir, "certificate"), filepath.Join(dir, "caller")
	writeTestFile(t, certificate, canary+"\n")
	writeTestFile(t, caller, "canary-caller")
	t.Setenv("CANARY_SECONDARY", "c0ffee00c0ffee00c0ffee00c0ffee02")
	p, clock := mustProject(t, Credentials{
		AppID: testAppID, AppCertificate: "{file." + certificate + "}", AppCertificateSecondary: "{env.CANARY_SECONDARY}",
		CallerToken: "canary-{file." + caller + "}-literal",
	})
	other, err := sharingProject(t, p.state, clock, Credentials{AppID: otherAppID, CustomerID: "canary-id", CustomerSecret: "canary-secret"})
	if err != nil {
		t.Fatal(err)
	}
	a := healthApp(t, p.state, clock, healthGate(p.state, region.US, new(reachable), p, other))
	token := p.join(t, "canary-room")

	clock.advance(3 * time.Second)
	writeTestFile(t, certificate, "canary: not a certificate")
	p.follow()
	failed := clock.now()
	clock.advance(3 * time.Second)
	s, text := statusOf(t, a)

	if len(s.Apps) != 2 || s.Apps[0].AppIDEndsIn != testAppID[28:] || s.Apps[0].Mode != modeApp || s.Apps[1].Mode != modeBasic {
		t.Fatalf("apps are %+v", s.Apps)
	}
	want := []SecretStatus{
		{
			Name: "app_certificate", Source: "{file." + certificate + "}", FollowsFile: true, ReloadFailing: true, ReloadFailedAt: momentOf(failed),
			ReloadError: "app_certificate must be 32 hexadecimal digits (it comes from {file." + certificate + "})",
		},
		{Name: "app_certificate_secondary", Source: "{env.CANARY_SECONDARY}"},
		{Name: "caller_token", Source: "{file." + caller + "}", FollowsFile: true},
	}
	if got := s.Apps[0].Secrets; !reflect.DeepEqual(got, want) {
		t.Errorf("secrets are %+v, want %+v", got, want)
	}
	if got := s.Apps[1].Secrets; len(got) != 1 || got[0].Source != "literal" {
		t.Errorf("secrets of the other app are %+v", got)
	}
	for _, secret := range []string{canary, "c0ffee", "canary-", "not a certificate", token.secret, testAppID, otherAppID, testAppID[:28], "room"} {
		if strings.Contains(text, secret) {
			t.Errorf("the status holds %q:\n%s", secret, text)
		}
	}

	// What was wrong with a file is history once another is taken over.
	writeTestFile(t, certificate, testCertificate)
	clock.advance(3 * time.Second)
	p.follow()
	s, _ = statusOf(t, a)
	if got := s.Apps[0].Secrets[0]; got.ReloadFailing || got.ReloadedAt == nil || !got.ReloadedAt.Equal(moment(clock.now())) || !got.ReloadFailedAt.Equal(moment(failed)) {
		t.Errorf("after it was mended: %+v", got)
	}
}

func TestStatusOfTokens(t *testing.T) {
	p, clock := mustProject(t, withCertificate())
	a := healthApp(t, p.state, clock, healthGate(p.state, region.US, new(reachable), p))
	if s, _ := statusOf(t, a); !reflect.DeepEqual(s.Apps[0].Tokens, &TokenStatus{}) {
		t.Errorf("before the first call: %+v", s.Apps[0].Tokens)
	}
	begin := clock.now()
	p.join(t, "one")
	clock.advance(time.Hour)
	p.join(t, "two")
	got, _ := statusOf(t, a)
	tokens := got.Apps[0].Tokens
	if tokens.Count != 2 || tokens.Failing != 0 || !tokens.IssuedFirstAt.Equal(moment(begin)) || !tokens.IssuedLastAt.Equal(moment(begin.Add(time.Hour))) {
		t.Errorf("%+v", tokens)
	}
	if ends := tokens.ExpiresFirstAt.Sub(begin); ends < 24*time.Hour-2*time.Second || ends > 24*time.Hour {
		t.Errorf("the first token ends after %s", ends)
	}
	if refresh := tokens.NextRefreshAt.Sub(begin); refresh < 22*time.Hour || refresh > 24*time.Hour {
		t.Errorf("the first token is refreshed after %s", refresh)
	}
}

func TestStatusOfCertificates(t *testing.T) {
	p, clock := mustProject(t, withSecondary())
	a := healthApp(t, p.state, clock, healthGate(p.state, region.US, new(reachable), p))
	want := func(when string, want CertificateStatus) {
		t.Helper()
		got, _ := statusOf(t, a)
		if !reflect.DeepEqual(got.Apps[0].Certificate, &want) {
			t.Errorf("%s: %+v, want %+v", when, got.Apps[0].Certificate, want)
		}
		if !got.Readiness.Ready() {
			t.Errorf("%s: %+v", when, got.Readiness)
		}
	}
	want("at first", CertificateStatus{InUse: "app_certificate", Secondary: true})
	// The vendor refuses both.
	rest := clock.now().Add(time.Second)
	p.signing().standing.refused(0, clock.now())
	want("refused", CertificateStatus{InUse: "app_certificate", Secondary: true, Refused: true, RestsUntil: momentOf(rest)})
	clock.advance(time.Minute)
	want("after the rest", CertificateStatus{InUse: "app_certificate", Secondary: true, Refused: true})
	p.signing().standing.accepted()
	p.keepUsing(p.signing(), p.signing().signers[secondary])
	want("with the other accepted", CertificateStatus{InUse: "app_certificate_secondary", Secondary: true})
}

func TestStatusOfAPreBuiltToken(t *testing.T) {
	clock := newTestClock()
	shared := testState(t, clock)
	p := preBuiltProject(t, shared, clock, testAppID, clock.now())
	a := healthApp(t, shared, clock, healthGate(shared, region.US, new(reachable), p))
	s, _ := statusOf(t, a)
	if app := s.Apps[0]; !app.Ready || app.Problem != "" || app.Tokens != nil || app.Certificate != nil || app.AuthTokenExpiresAt.Sub(clock.now()).Round(time.Minute) != time.Hour {
		t.Errorf("%+v", app)
	}
	clock.advance(2 * time.Hour)
	s, _ = statusOf(t, a)
	if app := s.Apps[0]; app.Ready || app.Problem != "the configured auth_token has expired" || s.Readiness.Ready() || s.Sites[0].Ready {
		t.Errorf("expired: %+v", app)
	}
}

func TestStatusOfHosts(t *testing.T) {
	p, clock := mustProject(t, withCertificate())
	network := new(reachable)
	g := healthGate(p.state, region.CN, network, p)
	a := healthApp(t, p.state, clock, g)
	yes, no := true, false
	s, _ := statusOf(t, a)
	var hosts []string
	for i, h := range s.Regions {
		hosts = append(hosts, h.Region+" "+h.Host+" "+h.State)
		reachable := (*bool)(nil)
		if i == 0 {
			reachable = &yes
		}
		if !reflect.DeepEqual(h.Reachable, reachable) || (h.ReachedAt != nil) != (i == 0) || h.Cause != "" || h.Site != 1 {
			t.Errorf("%+v", h)
		}
	}
	want := []string{
		"cn-east-1 api-cn-east-1.sd-rtn.com available", "cn-east-1 api-cn-east-1.agora.io available",
		"cn-north-1 api-cn-north-1.sd-rtn.com available", "cn-north-1 api-cn-north-1.agora.io available",
		"global api.sd-rtn.com available",
	}
	if !reflect.DeepEqual(hosts, want) {
		t.Errorf("hosts are %q", hosts)
	}

	network.down.Store(true)
	walk := g.endpoints.Walk(nil)
	for cause := region.Refused; ; {
		if _, ok := walk.Next(cause); !ok {
			break
		}
		walk.Failed(cause)
	}
	s, _ = statusOf(t, a)
	first := s.Regions[0]
	if first.State != "resting" || first.Cause != "connection refused" || first.Failures != 1 || first.RestsUntil == nil {
		t.Errorf("after a failure: %+v", first)
	}
	if last := s.Regions[4]; !reflect.DeepEqual(last.Reachable, &no) || last.ReachedAt != nil {
		t.Errorf("after a probe that failed: %+v", last)
	}
}

func TestStatusOfCountersAndClock(t *testing.T) {
	p, clock := mustProject(t, withCertificate())
	a := healthApp(t, p.state, clock, healthGate(p.state, region.US, new(reachable), p))
	s, text := statusOf(t, a)
	if s.Clock.SkewSeconds != nil || s.Counters.Requests.Total != 0 || !strings.Contains(text, `"by": {}`) {
		t.Errorf("at first: %s", text)
	}
	m := p.state.metrics
	m.requested("join", 200)
	m.requested("leave", 200)
	m.requested("join", 401)
	m.rejected.WithLabelValues("NotConvoAI").Inc()
	m.failovers.WithLabelValues("a", "b").Inc()
	m.failovers.WithLabelValues("b", "c").Inc()
	p.state.clock.observe(sighting{date: clock.now().Add(-time.Minute), sent: clock.now(), came: clock.now()}, p.logger)
	s, _ = statusOf(t, a)
	if want := (CountsBy{Total: 3, By: map[string]float64{"200": 2, "401": 1}}); !reflect.DeepEqual(s.Counters.Requests, want) {
		t.Errorf("requests are %+v", s.Counters.Requests)
	}
	if want := (CountsBy{Total: 1, By: map[string]float64{"NotConvoAI": 1}}); !reflect.DeepEqual(s.Counters.Refused, want) {
		t.Errorf("refused are %+v", s.Counters.Refused)
	}
	if s.Counters.Failovers != 2 || s.Clock.SkewSeconds == nil || *s.Clock.SkewSeconds < 58 || *s.Clock.SkewSeconds > 61 {
		t.Errorf("%+v %+v", s.Counters, s.Clock)
	}
}

// The names are what others build on: in snake_case, of a fixed set.
func TestStatusFieldsAreDocumented(t *testing.T) {
	snake := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	var names []string
	var collect func(reflect.Type)
	collect = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Slice, reflect.Pointer:
			collect(typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				field := typ.Field(i)
				name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
				if field.Type == reflect.TypeFor[time.Time]() {
					names = append(names, name)
					continue
				}
				names = append(names, name)
				collect(field.Type)
			}
		}
	}
	collect(reflect.TypeFor[Status]())
	slices.Sort(names)
	doc := readDoc(t, "../docs/health.md")
	for _, name := range slices.Compact(names) {
		if name == "" {
			continue // the fields of time.Time
		}
		if !snake.MatchString(name) {
			t.Errorf("%q is not in snake_case", name)
		}
		if !strings.Contains(doc, "`"+name+"`") {
			t.Errorf("docs/health.md does not name %s", name)
		}
	}
}

func TestAdminAPI(t *testing.T) {
	get := func(method, path string) *httptest.ResponseRecorder {
		t.Helper()
		w := httptest.NewRecorder()
		for _, route := range (adminAPI{}).Routes() {
			if route.Pattern != path {
				continue
			}
			err := route.Handler.ServeHTTP(w, httptest.NewRequest(method, path, nil))
			if failed, ok := err.(caddy.APIError); ok {
				w.Code = failed.HTTPStatus
			} else if err != nil {
				t.Fatal(err)
			}
		}
		return w
	}
	if w := get("GET", "/convoai/status"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("without a configuration: %d %s", w.Code, w.Body)
	}
	if w := get("GET", "/convoai/readyz"); w.Code != http.StatusServiceUnavailable || w.Body.String() != `{"status":"unready","reasons":[{"reason":"nothing_configured"}]}`+"\n" {
		t.Errorf("without a configuration: %d %s", w.Code, w.Body)
	}
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(fmt.Sprintf(`{
		admin off
		persist_config off
		storage file_system %s
	}
	http://:81 {
		bind %s/admin
		convoai {
			app_id %s
			app_certificate %s
			upstream https://127.0.0.1:1
		}
	}`, t.TempDir(), testNetwork, testAppID, testCertificate)), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(adapted, true); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = caddy.Stop() }()
	for _, path := range []string{"/convoai/status", "/convoai/readyz", "/convoai/livez"} {
		for _, method := range []string{"POST", "HEAD", "DELETE"} {
			if w := get(method, path); w.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
		}
	}
	w := get("GET", "/convoai/status")
	var s Status
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("%v %q", err, w.Header())
	}
	if s.Readiness.Ready() || len(s.Regions) != 1 || s.Regions[0].Host != "127.0.0.1:1" || s.ProcessID == 0 || s.UptimeSeconds <= 0 || s.StartedAt.After(s.Time) {
		t.Errorf("%s", w.Body)
	}
	if w := get("GET", "/convoai/livez"); w.Code != http.StatusOK || w.Body.String() != `{"status":"live"}`+"\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

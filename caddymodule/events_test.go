package caddymodule

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/caddy-convoai/convoai/api"
)

func init() {
	caddy.RegisterModule(eventSink{})
}

// eventSink is a handler of events that keeps them.
type eventSink struct{}

// sunk is what the handlers have been given.
var sunk struct {
	mu     sync.Mutex // guards what follows
	events []caddy.Event
	handle func(context.Context, caddy.Event) // called first; or nil
}

func (eventSink) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.convoaitest", New: func() caddy.Module { return new(eventSink) }}
}

func (*eventSink) UnmarshalCaddyfile(*caddyfile.Dispenser) error { return nil }

func (*eventSink) Handle(ctx context.Context, e caddy.Event) error {
	sunk.mu.Lock()
	first := sunk.handle
	sunk.mu.Unlock()
	if first != nil {
		first(ctx, e)
	}
	sunk.mu.Lock()
	defer sunk.mu.Unlock()
	sunk.events = append(sunk.events, e)
	return nil
}

const sinkEvents = `
	events {
		on convoai.failover convoaitest
		on convoai.credential_rejected convoaitest
		on convoai.mint_failed convoaitest
	}`

// sinking has the handlers do something first, and forgets what they were given.
func sinking(t *testing.T, handle func(context.Context, caddy.Event)) {
	t.Helper()
	sunk.mu.Lock()
	defer sunk.mu.Unlock()
	sunk.events, sunk.handle = nil, handle
	t.Cleanup(func() {
		sunk.mu.Lock()
		defer sunk.mu.Unlock()
		sunk.events, sunk.handle = nil, nil
	})
}

// sunkEvents waits for n events, and returns all.
func sunkEvents(t *testing.T, n int) []caddy.Event {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		sunk.mu.Lock()
		events := sunk.events
		sunk.mu.Unlock()
		if len(events) >= n {
			return events
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d events, want %d", len(events), n)
		}
	}
}

// ask sends a request to a server in this process.
func ask(server *caddyhttp.Server, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host, r.RemoteAddr = "localhost", "127.0.0.1:1"
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	return w
}

// siteFor is a site with a certificate of its own: what is known of one outlives a
// configuration.
func siteFor(t *testing.T, subdirectives ...string) string {
	t.Helper()
	t.Setenv("CERTIFICATE", randomCertificate())
	return "convoai {\napp_id " + testAppID + "\n" + strings.Join(subdirectives, "\n") + "\n}"
}

func TestEventsSayWhatHappenedToCalls(t *testing.T) {
	const minted = "app_certificate {env.CERTIFICATE}"
	ends := testAppID[len(testAppID)-4:]
	for _, test := range []struct {
		name         string
		credential   string
		dead         bool // an upstream in front refuses connections
		answers      []string
		method, path string
		body         string
		event        string
		want         map[string]any // DEAD and UP stand for hosts
	}{
		{
			"failover", minted, true, nil, "POST", "/v2/projects/_/join", joinText, "convoai.failover",
			map[string]any{"from": "DEAD", "to": "UP", "operation": "join", "cause": "connection refused", "attempt": 2},
		},
		{
			"sent again", minted, false, []string{"401"}, "POST", leavePath, "", "convoai.credential_rejected",
			map[string]any{"auth_mode": "app-credentials", "app_id_ends_in": ends, "host": "UP", "operation": "leave", "resent": true, "outcome": "accepted"},
		},
		{
			"refused twice", minted, false, []string{"401", "401"}, "GET", listPath, "", "convoai.credential_rejected",
			map[string]any{"auth_mode": "app-credentials", "app_id_ends_in": ends, "host": "UP", "operation": "list", "resent": true, "outcome": "refused"},
		},
		{
			"lost the second time", minted, false, []string{"401", "drop"}, "GET", listPath, "", "convoai.credential_rejected",
			map[string]any{"auth_mode": "app-credentials", "app_id_ends_in": ends, "host": "UP", "operation": "list", "resent": true, "outcome": "failed"},
		},
		{
			"a password", "customer_id id\ncustomer_secret {env.CERTIFICATE}", false, []string{"401"}, "GET", listPath, "", "convoai.credential_rejected",
			map[string]any{"auth_mode": "basic", "app_id_ends_in": ends, "host": "UP", "operation": "list", "resent": false, "outcome": "kept"},
		},
		{
			"no token can be made", minted, false, nil, "POST", "/v2/projects/_/join", joinText, "convoai.mint_failed",
			map[string]any{"app_id_ends_in": ends, "kind": "header", "error": "app certificate must be 32 hexadecimal digits"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			sinking(t, nil)
			up, hosts := newScript(t, test.answers...), ""
			names := strings.NewReplacer("UP", strings.TrimPrefix(up.URL, "http://"))
			if test.dead {
				hosts = closedPort(t) + " "
				names = strings.NewReplacer("UP", strings.TrimPrefix(up.URL, "http://"), "DEAD", strings.TrimSpace(strings.TrimPrefix(hosts, "http://")))
			}
			server := serverOf(t, sinkEvents, siteFor(t, test.credential, "upstream "+hosts+up.URL))
			if test.event == eventMintFailed {
				gatesOf(server.Routes)[0].defaultProject.signing().inUse().certificate = "007e" // whatever the reason would be
			}
			ask(server, test.method, test.path, test.body)
			sunkEvents(t, 1)
			if err := caddy.Stop(); err != nil { // and no event comes any more
				t.Fatal(err)
			}
			events := sunkEvents(t, 1)
			if len(events) != 1 || events[0].Name() != test.event {
				t.Fatalf("%d events, the first %s", len(events), events[0].Name())
			}
			if origin := events[0].Origin().CaddyModule().ID; origin != "convoai" {
				t.Errorf("it comes from %s", origin)
			}
			want := maps.Clone(test.want)
			for key, value := range want {
				if text, ok := value.(string); ok {
					want[key] = names.Replace(text)
				}
			}
			if !maps.Equal(events[0].Data, want) {
				t.Errorf("data %v, want %v", events[0].Data, want)
			}
			for _, secret := range []string{testAppID, os.Getenv("CERTIFICATE"), "room-4711", "007e"} {
				if strings.Contains(fmt.Sprint(events[0].Data), secret) {
					t.Error("the event shows what it must not")
				}
			}
		})
	}
}

// emitterOf is the emitter of the configuration that runs.
func emitterOf(t *testing.T) *emitter {
	t.Helper()
	app, err := AppOf(caddy.ActiveContext())
	if err != nil {
		t.Fatal(err)
	}
	return app.events
}

// A handler that does not come back holds up no call, and not more than a number of
// events wait for it.
func TestSlowEventHandlerHoldsNothingUp(t *testing.T) {
	release := make(chan struct{})
	sinking(t, func(context.Context, caddy.Event) { <-release })
	up := newScript(t)
	server := serverOf(t, sinkEvents, siteFor(t, "app_certificate {env.CERTIFICATE}", "upstream "+closedPort(t)+" "+up.URL))
	if w := ask(server, "GET", listPath, ""); w.Code != http.StatusOK {
		t.Fatalf("answered %d", w.Code)
	}
	e := emitterOf(t)
	waiting := func() int {
		e.mu.Lock()
		defer e.mu.Unlock()
		return len(e.queue)
	}
	for waiting() > 0 { // the first is with its handler
		time.Sleep(time.Millisecond)
	}
	const more = 20
	dropped := func() float64 {
		var m dto.Metric
		if err := e.dropped.WithLabelValues(eventFailover).Write(&m); err != nil {
			t.Fatal(err)
		}
		return m.GetCounter().GetValue()
	}
	before := dropped()
	for i := range maxEvents + more {
		e.emit(eventFailover, "a", fmt.Sprint(i), map[string]any{"i": i})
	}
	if got := dropped() - before; got != more || waiting() != maxEvents {
		t.Errorf("%v events were dropped and %d wait, want %d and %d", got, waiting(), more, maxEvents)
	}
	close(release)
	for i, event := range sunkEvents(t, 1+maxEvents)[1:] {
		if event.Data["i"] != i {
			t.Fatalf("event %d is %v", i, event.Data["i"])
		}
	}
}

// An outage has every call fail over. Not each is an event, and none is forgotten.
func TestEventsAreFewInAStorm(t *testing.T) {
	sinking(t, nil)
	serverOf(t, sinkEvents, siteFor(t, "app_certificate {env.CERTIFICATE}"))
	e, clock := emitterOf(t), newTestClock()
	e.now = clock.now
	storm := func(n int, to string) {
		for range n {
			e.emit(eventFailover, "a", to, map[string]any{"to": to})
		}
	}
	storm(100, "b")
	storm(1, "c") // another matter
	if got := sunkEvents(t, eventBurst+1); len(got) != eventBurst+1 {
		t.Fatalf("%d events, want %d", len(got), eventBurst+1)
	}
	clock.advance(eventInterval)
	storm(5, "b")
	storm(1, "c")
	got := sunkEvents(t, eventBurst+3)[eventBurst+1:]
	if len(got) != 2 || got[0].Data[suppressedKey] != 100-eventBurst || got[1].Data[suppressedKey] != nil {
		t.Errorf("%d events, the first for %v before it", len(got), got[0].Data[suppressedKey])
	}
	clock.advance(time.Hour)
	storm(100, "b")
	if got = sunkEvents(t, 2*eventBurst+3)[eventBurst+3:]; len(got) != eventBurst || got[0].Data[suppressedKey] != 4 {
		t.Errorf("%d events, the first for %v before it", len(got), got[0].Data[suppressedKey])
	}
	clock.advance(-48 * time.Hour) // the clock is put right
	storm(1, "b")
	clock.advance(eventInterval)
	storm(1, "b")
	if got = sunkEvents(t, 2*eventBurst+4)[2*eventBurst+3:]; len(got) != 1 || got[0].Data[suppressedKey] != 100-eventBurst+1 {
		t.Errorf("%d events after the clock was put back", len(got))
	}
}

// emitting counts the goroutines that emit events.
func emitting() int {
	var stacks strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&stacks, 2)
	return strings.Count(stacks.String(), "(*emitter).run(")
}

// A configuration that ends takes its events along, whatever their handlers do.
func TestEventsEndWithTheirConfiguration(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(sync.OnceFunc(func() { close(release) }))
	var told bool
	for _, test := range []struct {
		name   string
		handle func(context.Context, caddy.Event)
		left   int // goroutines
	}{
		{"that are handled", nil, 0},
		{"whose handler looks at its context", func(ctx context.Context, _ caddy.Event) {
			<-ctx.Done()
			told = true
		}, 0},
		{"whose handler panics", func(context.Context, caddy.Event) { panic("handler") }, 0},
		{"whose handler hangs", func(context.Context, caddy.Event) { <-release }, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			sinking(t, test.handle)
			serverOf(t, sinkEvents, siteFor(t, "app_certificate {env.CERTIFICATE}"))
			old := emitterOf(t)
			for i := range 3 {
				old.emit(eventFailover, "a", fmt.Sprint(i), map[string]any{})
			}
			load(t, sinkEvents, siteFor(t, "app_certificate {env.CERTIFICATE}", "max_body 2KiB"))
			if emitterOf(t) == old {
				t.Fatal("the configuration is the old one")
			}
			if n := emitting(); n != test.left {
				t.Errorf("%d goroutines emit events, want %d", n, test.left)
			}
			old.emit(eventFailover, "a", "b", map[string]any{}) // a token of the old configuration's
			if n := emitting(); n != test.left {
				t.Errorf("it emits again")
			}
		})
	}
	if !told {
		t.Error("the context of a handler does not end")
	}
}

// Without a handler an event is not even made.
func TestEventsThatNobodyWantsCostNothing(t *testing.T) {
	serverOf(t, "", siteFor(t, "app_certificate {env.CERTIFICATE}"))
	e := emitterOf(t)
	if !e.ready.Load() {
		t.Error("the emitter does not know that the configuration has started")
	}
	if n := testing.AllocsPerRun(100, func() {
		if e.wanted(eventFailover) {
			t.Error("an event is wanted")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if (*emitter)(nil).wanted(eventFailover) {
		t.Error("no emitter wants an event")
	}
}

// The log says once that the vendor refuses a credential, once that it accepts it
// again, and nothing for each call.
func TestLogSaysWhenACredentialIsRefused(t *testing.T) {
	p, clock := mustProject(t, Credentials{AppID: testAppID, CustomerID: "id", CustomerSecret: "secret"})
	logger, logs := observed()
	p.logger = logger
	call := &Call{project: p}
	answer := func(status, n int) {
		for range n {
			call.judged(status)
		}
	}
	count := func(text string) int { return logs.FilterMessageSnippet(text).Len() }
	answer(200, 3)
	answer(503, 1)
	if logs.Len() != 0 {
		t.Fatalf("%d lines while nothing changes", logs.Len())
	}
	answer(401, 10)
	if count("refuses") != 1 {
		t.Errorf("%d lines say that it is refused", count("refuses"))
	}
	answer(429, 1) // of a gateway that has not looked
	clock.advance(2 * time.Second)
	answer(503, 1)
	if count("accepts the app's credential again") != 0 {
		t.Error("an overloaded gateway accepts it")
	}
	answer(404, 10)
	if count("accepts the app's credential again") != 1 {
		t.Errorf("%d lines say that it is accepted", count("accepts the app's credential again"))
	}
	for range 200 { // upstreams that disagree, for 200 s
		answer(401, 1)
		answer(200, 1)
		clock.advance(time.Second)
	}
	if n := logs.Len(); n > 16 {
		t.Errorf("%d lines about upstreams that disagree", n)
	}
	for _, line := range logs.All() {
		if fields := line.ContextMap(); fields["app_id_ends_in"] != p.ends() || fields["auth_mode"] != modeBasic {
			t.Errorf("fields %v", fields)
		}
	}
}

// The log says once that tokens cannot be made, which while there are others is no
// call's error, and once that they can.
func TestLogSaysWhenTokensCannotBeMade(t *testing.T) {
	p, clock := mustProject(t, withCertificate())
	logger, logs := observed()
	p.logger = logger
	good := p.signing().inUse().certificate
	for i, certificate := range []string{good, "bad", "bad", good, good} {
		p.signing().inUse().certificate = certificate
		_, err := p.signing().inUse().mint(tokenKey{channel: "room", account: "1", lifetime: 60}, 0)
		if (err != nil) != (certificate == "bad") {
			t.Fatalf("mint %d: %v", i, err)
		}
		clock.advance(2 * time.Second)
	}
	for text, want := range map[string]int{"no token can be made": 1, "tokens can be made again": 1, "": 2} {
		if n := logs.FilterMessageSnippet(text).Len(); n != want {
			t.Errorf("%d lines with %q, want %d", n, text, want)
		}
	}
}

// The log says once that a pre-built token has expired, and that a file of a secret
// is what it was.
func TestLogSaysWhatBecomesOfSecrets(t *testing.T) {
	clock := newTestClock()
	file := filepath.Join(t.TempDir(), "token")
	text := signed(t, testAppID, clock.now())
	writeTestFile(t, file, text)
	p, err := sharingProject(t, testState(t, clock), clock, Credentials{AppID: testAppID, AuthToken: "{file." + file + "}"})
	if err != nil {
		t.Fatal(err)
	}
	logger, logs := observed()
	p.logger, p.authToken.logger = logger, logger
	use := func() {
		clock.advance(2 * time.Second)
		_, _ = p.authorize(t.Context(), api.List, api.Session{})
	}
	use()
	writeTestFile(t, file, "not a token")
	use()
	use()
	writeTestFile(t, file, text)
	use()
	use()
	if n := logs.FilterMessageSnippet("cannot be used").Len(); n != 1 {
		t.Errorf("%d lines say that the file cannot be used", n)
	}
	if n := logs.FilterMessageSnippet("can be used again").Len(); n != 1 {
		t.Errorf("%d lines say that the file can be used again", n)
	}
	clock.advance(2 * time.Hour)
	use()
	use()
	if n := logs.FilterMessageSnippet("has expired").Len(); n != 1 {
		t.Errorf("%d lines say that the token has expired", n)
	}
}

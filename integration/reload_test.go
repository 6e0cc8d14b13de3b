package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// post loads the Caddyfile anew as `caddy reload` does, without a process of its
// own.
func (s *sidecar) post(t *testing.T, caddyfile string) {
	t.Helper()
	s.write(caddyfile)
	words := strings.NewReplacer("<PORT>", s.port, "<PORT2>", s.other, "<DIR>", s.dir, "<CA>", authority)
	if status, said := s.adminCall("POST", "/load", words.Replace(caddyfile)); status != http.StatusOK {
		t.Fatalf("reload: %d %s", status, said)
	}
	s.reloaded()
}

// reloaded waits until all connections come to the configuration that was loaded last:
// Caddy says that it is there before the listeners of the one before are closed.
func (s *sidecar) reloaded() {
	s.t.Helper()
	s.client.CloseIdleConnections()
	waitFor(s.t, "the listeners of before to be closed", func() bool {
		return listenersOn(s.t, s.port) <= 1 && listenersOn(s.t, s.other) <= 1
	})
}

// insist is send on a new connection, and on another where that is lost: Caddy
// may accept one just as it closes the old server, with any handler.
func (s *sidecar) insist(method, path, body string) answer {
	s.t.Helper()
	s.client.Transport.(*http.Transport).DisableKeepAlives = true
	s.client.CloseIdleConnections()
	for deadline := time.Now().Add(patience); ; {
		a, err := s.try(method, path, body)
		if err == nil {
			return a
		}
		if time.Now().After(deadline) {
			s.t.Fatal(err)
		}
	}
}

// goroutines returns how many goroutines run, and in how many our code does.
func (s *sidecar) goroutines(t *testing.T) (all, ours int, text string) {
	t.Helper()
	text = s.admin("/debug/pprof/goroutine?debug=1").content
	if _, err := fmt.Sscanf(text, "goroutine profile: total %d", &all); err != nil {
		t.Fatal(err)
	}
	for _, stack := range strings.Split(text, "\n\n") {
		if strings.Contains(stack, "caddy-convoai") {
			n := 0
			_, _ = fmt.Sscanf(stack, "%d @", &n)
			ours += n
		}
	}
	return all, ours, text
}

// A reload costs nothing: no call is refused, no token is made anew, and nothing
// of the old configuration goes on. Connections that are lost, as Caddy accepts them
// just when it closes the old server, are lost before a call has been read.
func TestFiftyReloadsUnderLoad(t *testing.T) {
	up := newUpstream(t, nil)
	config := strings.Replace(site("app_id "+appA, "app_certificate {file.<DIR>/certificate}", "app_certificate_secondary {file.<DIR>/other}", "max_body 100KiB", to(up)),
		"admin off", "admin unix/<DIR>/admin.sock", 1)
	s := boot{caddyfile: config, files: map[string]string{"certificate": certificateA, "other": certificateB}}.start(t)
	// On a kept connection a POST can meet its closing, which no server can help.
	s.client.Transport.(*http.Transport).DisableKeepAlives = true
	const callers = 4
	for i := range callers {
		s.send("POST", joinA, joinBody(fmt.Sprintf("room-%d", i), "1"))
	}
	s.post(t, strings.Replace(config, "100KiB", "101KiB", 1))
	s.insist("POST", joinA, joinBody("room-0", "1"))
	before, oursBefore, _ := s.goroutines(t)
	calls := s.load(callers)
	for i := range 50 {
		done := calls.calls.Load()
		s.post(t, strings.Replace(config, "100KiB", itoa(200+i)+"KiB", 1))
		waitFor(t, "calls between the reloads", func() bool { return calls.calls.Load() > done })
	}
	lost := 0
	for _, failure := range calls.end() {
		if strings.Contains(failure, "EOF") || strings.Contains(failure, "connection reset") {
			lost++
			continue
		}
		t.Errorf("a call failed: %s", failure)
	}
	if answered := 1 + callers + int(calls.calls.Load()) - lost; len(up.received()) != answered {
		t.Errorf("%d calls came to the upstream, and %d were answered", len(up.received()), answered)
	}
	tokens := map[string]bool{}
	for _, r := range up.received() {
		tokens[r.token(t)] = true
	}
	if len(tokens) != callers {
		t.Errorf("%d tokens for %d channels", len(tokens), callers)
	}
	up.CloseClientConnections()
	var after, ours int
	var text string
	defer func() {
		if t.Failed() {
			t.Logf("%d goroutines, %d of them ours; %d and %d before\n%s", after, ours, before, oursBefore, text)
		}
	}()
	waitFor(t, "the goroutines of the old configurations to end", func() bool {
		after, ours, text = s.goroutines(t)
		return after <= before+5 && ours <= oursBefore
	})
}

// A reload that changes the certificate of one app drops that app's tokens, and
// keeps the other's.
func TestReloadWithAnotherCertificate(t *testing.T) {
	up := newUpstream(t, nil)
	config := strings.Replace(site(
		"app "+appA+" {\n app_certificate {env.A_CERT}\n}",
		"app "+appB+" {\n app_certificate {env.B_CERT}\n}",
		to(up)), "admin off", "admin unix/<DIR>/admin.sock", 1)
	const certificateC = "00112233445566778899aabbccddeeff"
	s := start(t, config, append(envA, "B_CERT="+certificateB, "C_CERT="+certificateC)...)
	next := func(appID string) string {
		t.Helper()
		up.reset()
		if a := s.insist("GET", pathOf(appID, "/agents"), ""); a.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		return up.only(t).token(t)
	}
	a, b := next(appA), next(appB)
	s.post(t, strings.Replace(config, "{env.A_CERT}", "{env.C_CERT}", 1))
	if fresh := next(appA); signedBy(fresh, certificateC) != 0 {
		t.Error("the new certificate is not used")
	}
	if next(appB) != b {
		t.Error("the other app lost its token")
	}
	s.post(t, config)
	if back := next(appA); back == a || signedBy(back, certificateA) != 0 {
		t.Error("the token of before was kept, although no configuration asked for it")
	}
	if next(appB) != b {
		t.Error("the other app lost its token on the way back")
	}
}

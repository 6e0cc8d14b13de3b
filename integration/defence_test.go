package integration

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/token"
)

// Error routes that fail themselves leave the JSON, and put no caller token in
// the server's log.
func TestErrorRoutesThatFailLeaveTheJSON(t *testing.T) {
	up := newPlainUpstream(t, nil)
	for _, routes := range []string{"reverse_proxy 127.0.0.1:1", "error 500", "error \"no\" 418", "route {\n header X-Partly yes\n reverse_proxy 127.0.0.1:1\n}"} {
		config := strings.Replace(global, "{", "{\n\tdebug", 1) + "http://:<PORT> {\nbind 127.0.0.1\nconvoai {\n" + credentialsA + "\ncaller_token {env.CALLER}\n" +
			toPlain(up.URL) + "\n}\nhandle_errors {\n" + routes + "\n}\n}\n"
		s := start(t, config, append(envA, "CALLER="+canaryCaller)...)
		right := "X-Convoai-Caller-Token: " + canaryCaller
		wantError(t, s.send("POST", "/nope", "x", right), http.StatusNotFound, "NotConvoAI")
		wantError(t, s.send("POST", joinA, "{", right), http.StatusBadRequest, "InvalidRequestBody")
		wantError(t, s.send("PUT", joinA, "{}", right), http.StatusMethodNotAllowed, "MethodNotAllowed")
		wantError(t, s.send("GET", pathOf(appB, "/agents"), "", right), http.StatusForbidden, "ProjectNotConfigured")
		wantError(t, s.send("GET", listA, "", "X-Convoai-Caller-Token: canary-of-the-client"), http.StatusUnauthorized, "CallerNotAuthorized")
		if a := s.send("POST", joinA, joinBody("room", "1"), right); a.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", routes, a.StatusCode, a.body)
		}
		s.stop()
		if !contains(s.stderr, "the error routes have failed") {
			t.Errorf("%s: no log of the failure: the test proves nothing", routes)
		}
		wantNowhere(t, []sink{{"the log with " + routes, s.stderr.String()}, {"standard output", s.stdout.String()}},
			map[string]string{"caller token": canaryCaller, "wrong caller token": canaryClients})
	}
}

// A short-lived token is renewed for an attempt that comes after it.
func TestLateAttemptsGetATokenThatIsStillValid(t *testing.T) {
	var mu sync.Mutex
	var left time.Duration
	second := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		got, err := token.Parse(strings.TrimPrefix(r.Header.Get("Authorization"), "agora token="))
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			left = time.Until(got.ExpiresAt())
		}
		_, _ = io.WriteString(w, okBody)
	})
	s := start(t, site(credentialsA, "expires_in 4s", "tls_timeout 4100ms", "upstream "+stalled(t)+" "+second.URL,
		"transport http {\n tls_trust_pool file <CA>\n}"), envA...)
	if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	mu.Lock()
	defer mu.Unlock()
	if left <= 0 || left > 4*time.Second {
		t.Errorf("the second upstream got a token with %s left, want up to 4s", left)
	}
}

// before starts a second binary that listens where s sends its calls: s must
// have been given an upstream on <PORT2>.
func (s *sidecar) before(subdirectives ...string) *sidecar {
	s.t.Helper()
	return boot{caddyfile: global + siteAt(s.other, subdirectives...), env: envA, listens: s.other}.start(s.t)
}

func TestSidecarsThatPointAtEachOtherSendABoundedNumberOfTimes(t *testing.T) {
	// Each logs what comes, which is all that can be counted from outside.
	log := "log_append instance {http.request.header.X-Convoai-Instance}"
	site := func(port string, upstream string) string {
		return global + "http://:" + port + " {\nbind 127.0.0.1\nlog {\noutput stderr\nformat json\n}\n" + log + "\nconvoai {\n" + credentialsA + "\nresponse_timeout 5s\n" + toPlain(upstream) + "\n}\n}\n"
	}
	one := start(t, site("<PORT>", "http://127.0.0.1:<PORT2>"), envA...)
	two := boot{caddyfile: site(one.other, one.url), env: envA, listens: one.other}.start(t)
	for _, call := range []struct{ method, path, body string }{{"POST", joinA, joinBody("room", "1")}, {"GET", listA, ""}} {
		a := one.send(call.method, call.path, call.body)
		if a.StatusCode != http.StatusLoopDetected || !strings.Contains(a.body, "LoopDetected") {
			t.Errorf("%s: %d %s, want 508", call.method, a.StatusCode, a.body)
		}
	}
	one.stop()
	two.stop()
	requests := strings.Count(one.stderr.String(), "handled request") + strings.Count(two.stderr.String(), "handled request")
	if requests < 2*3 || requests > 2*4 {
		t.Errorf("%d requests were handled for two calls, want 3 each", requests)
	}
}

func TestSidecarsInAChainWork(t *testing.T) {
	up := newPlainUpstream(t, nil)
	one := start(t, site(credentialsA, toPlain("http://127.0.0.1:<PORT2>")), envA...)
	two := one.before(credentialsA, toPlain(up.URL))
	for _, s := range []struct {
		*sidecar
		passed int
	}{{one, 2}, {two, 1}} {
		up.reset()
		if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK || a.body != okBody {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		got := up.only(t)
		checkToken(t, got.token(t), appA, certificateA, "room", "1")
		if passed := strings.Split(got.header.Get("X-Convoai-Instance"), ", "); len(passed) != s.passed {
			t.Errorf("came through %d sidecars, want %d", len(passed), s.passed)
		}
	}
}

func TestWhatACallerSaysOfInstances(t *testing.T) {
	up := newPlainUpstream(t, nil)
	s := start(t, site(credentialsA, toPlain(up.URL)), envA...)
	const a, b, c, d = "0123456789abcdef", "1123456789abcdef", "2123456789abcdef", "3123456789abcdef"
	own := regexp.MustCompile("^[0-9a-f]{16}$")
	for _, test := range []struct {
		given  []string
		passed string // in front of our own
		loop   bool
	}{
		{nil, "", false},
		{[]string{a}, a + ", ", false},
		{[]string{a + "," + b, c}, a + ", " + b + ", " + c + ", ", false},
		{[]string{a + ", " + b + ", " + c + ", " + d}, "", true},
		{[]string{a, b, c, d}, "", true},
		{[]string{"evil"}, "", false},
		{[]string{"<script>, " + strings.Repeat("f", 100) + ", " + strings.ToUpper(a), a + "0"}, "", false},
		{[]string{strings.Repeat("x,", 1000)}, "", false},
	} {
		up.reset()
		var headers []string
		for _, value := range test.given {
			headers = append(headers, "X-Convoai-Instance: "+value)
		}
		a := s.send("GET", listA, "", headers...)
		if test.loop {
			wantError(t, a, http.StatusLoopDetected, "LoopDetected")
			if len(up.received()) != 0 {
				t.Error("sent all the same")
			}
			continue
		}
		if a.StatusCode != http.StatusOK {
			t.Errorf("%v: %d %s", test.given, a.StatusCode, a.body)
			continue
		}
		got := up.only(t).header.Values("X-Convoai-Instance")
		if len(got) != 1 || !strings.HasPrefix(got[0], test.passed) || !own.MatchString(strings.TrimPrefix(got[0], test.passed)) {
			t.Errorf("%v: sent on as %q", test.given, got)
		}
	}
}

// With a certificate that is wrong every channel is refused. That is no reason
// to send everything twice.
func TestLastingRefusalOverManyChannelsIsSentOnceEach(t *testing.T) {
	up := newUpstream(t, picky(func(string) bool { return true }))
	s := start(t, site(credentialsA, to(up)), envA...)
	const channels = 100
	for i := range channels {
		a := s.send("POST", joinA, joinBody(fmt.Sprintf("room-%d", i), "1"))
		if a.StatusCode != http.StatusUnauthorized || a.body != vendorUnauthorized {
			t.Fatalf("%d %s, want the vendor's 401", a.StatusCode, a.body)
		}
	}
	all := up.received()
	tokens := map[string]bool{}
	for _, r := range all {
		tokens[r.token(t)] = true
	}
	if len(all) < channels || len(all) > channels+10 {
		t.Errorf("sent %d times, want %d and a few", len(all), channels)
	}
	if len(tokens) < channels || len(tokens) > channels+10 {
		t.Errorf("%d tokens, want %d and a few", len(tokens), channels)
	}
}

func TestUnixSocketsAreServedWhereTheyAreFiles(t *testing.T) {
	up := newPlainUpstream(t, nil)
	abstract := fmt.Sprintf("convoai-test-%s", freePort(t))
	config := site(credentialsA, toPlain(up.URL)) +
		"http://:81 {\nbind unix/<DIR>/convoai.sock\nconvoai {\n" + credentialsA + "\n" + toPlain(up.URL) + "\n}\n}\n" +
		"http://:82 {\nbind unix/@" + abstract + "\nconvoai {\n" + credentialsA + "\n" + toPlain(up.URL) + "\n}\n}\n"
	s := start(t, config, envA...)
	over := func(socket string) answer {
		t.Helper()
		previous := s.client.Transport
		defer func() { s.client.Transport = previous }()
		s.client.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}
		return s.send("POST", "http://localhost"+joinA, joinBody("room", "1"))
	}
	wantError(t, over("@"+abstract), http.StatusForbidden, "PeerNotAllowed")
	up.untouched(t)
	if a := over(filepath.Join(s.dir, "convoai.sock")); a.StatusCode != http.StatusOK || a.body != okBody {
		t.Errorf("over a file: %d %s", a.StatusCode, a.body)
	}
	up.only(t)
}

// Which apps are configured is not told to those who may use none.
func TestUnknownAppIsToldToThoseWhoMayCallAlone(t *testing.T) {
	up := newPlainUpstream(t, nil)
	unknown := pathOf("22222222222222222222222222222222", "/agents")
	for _, test := range []struct {
		name, settings string
		given          map[string]int
	}{
		{"a caller token for all", credentialsA + "\ncaller_token {env.ONE}",
			map[string]int{"": 401, "wrong": 401, "one": 403}},
		{"a caller token each", "app {env.A_ID} {\n app_certificate {env.A_CERT}\n caller_token {env.ONE}\n}\napp " + appB + " {\n app_certificate {env.A_CERT}\n caller_token {env.TWO}\n}",
			map[string]int{"": 401, "wrong": 401, "one": 403, "two": 403}},
		{"one app without a caller token", "app {env.A_ID} {\n app_certificate {env.A_CERT}\n caller_token {env.ONE}\n}\napp " + appB + " {\n app_certificate {env.A_CERT}\n}",
			map[string]int{"": 403, "wrong": 403, "one": 403}},
		{"no caller token", credentialsA, map[string]int{"": 403, "any": 403}},
	} {
		s := start(t, site(test.settings, toPlain(up.URL)), append(envA, "ONE=one", "TWO=two")...)
		for given, status := range test.given {
			var headers []string
			if given != "" {
				headers = append(headers, "X-Convoai-Caller-Token: "+given)
			}
			reason := map[int]string{401: "CallerNotAuthorized", 403: "ProjectNotConfigured"}[status]
			t.Run(test.name+", "+given, func(t *testing.T) { wantError(t, s.send("GET", unknown, "", headers...), status, reason) })
		}
		s.stop()
	}
	up.untouched(t)
}

func TestVendorsCredentialHeadersOfACallerAreNotSentOn(t *testing.T) {
	w := newWire(t, nil)
	s := start(t, site("app_id {env.A_ID}", "customer_id me", "customer_secret a{b}c", toPlain(w.url)), envA...)
	s.send("POST", joinA, joinBody("room", "1"), "Agora-Token: canary", "Agora-Uid: canary", "X-Agora-Token: canary", "X-Agora-Uid: canary",
		"Agora-Feature: live-models", "Agora-Features: all")
	if got := w.received(); len(got) != 1 || strings.Contains(got[0], "canary") ||
		!strings.Contains(got[0], "\r\nAgora-Feature: live-models\r\n") || !strings.Contains(got[0], "\r\nAgora-Features: all\r\n") {
		t.Errorf("sent %q", got)
	} else if !strings.Contains(got[0], "\r\nAuthorization: "+basic("me", "a{b}c")+"\r\n") {
		// Braces that hold no placeholder of ours are part of the secret.
		t.Error("a literal secret with braces was not used as it is")
	}
	if !contains(s.stderr, "written literally") {
		t.Error("no warning of a literal secret with braces")
	}
}

package integration

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// operations are all operations with a path that is theirs, and whether they may
// be sent again once they may have been received.
var operations = []struct {
	name, method, path, body string
	repeatable               bool
}{
	{"join", "POST", joinA, joinBody("room", "1"), false},
	{"call", "POST", callA, joinBody("room", "1"), false},
	{"speak", "POST", speakA, `{"text":"hello"}`, false},
	{"think", "POST", thinkA, `{"text":"hello"}`, false},
	{"phone number add", "POST", "/v2/phone-numbers", `{}`, false},
	{"list", "GET", listA, "", true},
	{"query", "GET", listA + "/agent-1", "", true},
	{"history", "GET", listA + "/agent-1/history", "", true},
	{"turns", "GET", listA + "/agent-1/turns", "", true},
	{"leave", "POST", leaveA, "", true},
	{"update", "POST", updateA, `{"properties":{}}`, true},
	{"interrupt", "POST", interruptA, `{}`, true},
	{"call list", "GET", callA, "", true},
	{"call query", "GET", prefix + projectA + "/calls/agent-1", "", true},
	{"hangup", "POST", prefix + projectA + "/calls/agent-1/hangup", `{}`, true},
	{"phone number list", "GET", "/v2/phone-numbers", "", true},
	{"phone number query", "GET", "/v2/phone-numbers/+49123", "", true},
	{"phone number update", "PATCH", "/v2/phone-numbers/+49123", `{}`, true},
	{"phone number delete", "DELETE", "/v2/phone-numbers/+49123", "", true},
}

// broken are upstreams that take a whole request and then let it down, and what
// the caller is told when nothing follows. The time-out, which holds for the
// second upstream as well, is one that none but the silent one reaches.
var broken = []struct {
	name    string
	start   func(t *testing.T, handler http.HandlerFunc) *upstream
	handler http.HandlerFunc
	timeout string
	status  int
	reason  string
}{
	{"reset", newPlainUpstream, resetConnection, "30s", http.StatusBadGateway, "UpstreamConnectionLost"},
	{"closed", newPlainUpstream, closeConnection, "30s", http.StatusBadGateway, "UpstreamConnectionLost"},
	{"stream reset of HTTP 2", newUpstream, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "30s", http.StatusBadGateway, "UpstreamConnectionLost"},
	{"no answer", newUpstream, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "1s", http.StatusGatewayTimeout, "UpstreamTimeout"},
	{"no HTTP", newPlainUpstream, answerGarbage, "30s", http.StatusBadGateway, "UpstreamConnectionLost"},
}

func resetConnection(w http.ResponseWriter, _ *http.Request) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		reset(conn)
	}
}

func closeConnection(w http.ResponseWriter, _ *http.Request) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

func answerGarbage(w http.ResponseWriter, _ *http.Request) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_, _ = io.WriteString(conn, "220 mail.example ESMTP\r\n")
		_ = conn.Close()
	}
}

func TestOnlyRepeatableOperationsAreSentAgain(t *testing.T) {
	for _, b := range broken {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			second := newUpstream(t, nil)
			var firsts []*upstream // each rests when it has let a call down
			s := start(t, siteOfEach(len(operations), func(i int) []string {
				firsts = append(firsts, b.start(t, b.handler))
				return []string{credentialsA, "response_timeout " + b.timeout, "upstream " + firsts[i].URL + " " + second.URL, "transport http {\n tls_trust_pool file <CA>\n}"}
			}), envA...)
			for i, op := range operations {
				first := firsts[i]
				second.reset()
				a := s.send(op.method, op.path, op.body, siteHost(i))
				// net/http may itself repeat a GET on a connection that was
				// used before.
				if n := len(first.received()); n == 0 || n > 1 && op.method != "GET" {
					t.Errorf("%s: the first upstream got it %d times", op.name, n)
				}
				if !op.repeatable {
					wantError(t, a, b.status, b.reason)
					if len(second.received()) != 0 {
						t.Errorf("%s was sent again", op.name)
					}
					continue
				}
				if a.StatusCode != http.StatusOK {
					t.Errorf("%s: %d %s", op.name, a.StatusCode, a.body)
					continue
				}
				if got := second.only(t); got.method != op.method || got.body != op.body || !strings.HasSuffix(got.uri, op.path) {
					t.Errorf("%s was sent again as %s %s %s", op.name, got.method, got.uri, got.body)
				}
			}
		})
	}
}

// A connection that was used before and breaks under the next call is no excuse.
func TestJoinOnAKeptConnectionIsNotSentAgain(t *testing.T) {
	n := 0
	first := newPlainUpstream(t, nil)
	second := newUpstream(t, nil)
	first.handler = func(w http.ResponseWriter, r *http.Request) {
		if n++; n > 1 {
			resetConnection(w, r)
		}
	}
	s := start(t, site(credentialsA, "upstream "+first.URL+" "+second.URL), envA...)
	if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	wantError(t, s.send("POST", joinA, joinBody("room", "1"), "Idempotency-Key: 1", "X-Idempotency-Key: 1"), http.StatusBadGateway, "UpstreamConnectionLost")
	if first, second := len(first.received()), len(second.received()); first != 2 || second != 0 {
		t.Errorf("two joins were sent %d and %d times", first, second)
	}
}

// net/http itself sends a POST again that carries an idempotency key. A caller's
// key must not get it to, however often a connection breaks.
func TestIdempotencyKeyCausesNoResend(t *testing.T) {
	var mu sync.Mutex
	served := map[string]int{} // calls by connection
	up := newPlainUpstream(t, nil)
	up.handler = func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		served[r.RemoteAddr]++
		again := served[r.RemoteAddr] > 1
		if again {
			delete(served, r.RemoteAddr) // the port may be used again
		}
		mu.Unlock()
		if again {
			resetConnection(w, r)
			return
		}
		_, _ = io.WriteString(w, okBody)
	}
	s := start(t, site(credentialsA, "upstream "+up.URL), envA...)
	for i := range 100 {
		up.reset()
		if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK {
			t.Fatalf("try %d: %d %s", i, a.StatusCode, a.body)
		}
		wantError(t, s.send("POST", joinA, joinBody("room", "1"), "Idempotency-Key: 1", "X-Idempotency-Key: 1"), http.StatusBadGateway, "UpstreamConnectionLost")
		if n := len(up.received()); n != 2 {
			t.Fatalf("try %d: two joins were sent %d times", i, n)
		}
	}
}

// stalled accepts connections and says nothing, so that a TLS handshake never
// ends.
func stalled(t *testing.T) string {
	t.Helper()
	l := listen(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var conns []net.Conn
		for {
			conn, err := l.Accept()
			if err != nil {
				break
			}
			conns = append(conns, conn)
		}
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return "https://" + l.Addr().String()
}

// What was not sent yet goes to the next upstream, whatever it is.
func TestAnyOperationFailsOverWhileNothingWasSent(t *testing.T) {
	names := newResolver(t, nil)
	for _, test := range []struct {
		name string
		url  func(t *testing.T, i int) string // of the upstream of one operation
	}{
		{"refused", func(t *testing.T, _ int) string { return "https://127.0.0.1:" + freePort(t) }},
		{"unresolved", func(_ *testing.T, i int) string { return "https://none-" + itoa(i) + ".upstream.test" }},
		{"handshake without an answer", func(t *testing.T, _ int) string { return stalled(t) }},
		{"no TLS", func(t *testing.T, _ int) string {
			plain := newPlainUpstream(t, nil)
			t.Cleanup(func() {
				if len(plain.received()) != 0 {
					t.Error("an upstream without TLS got a request that was for HTTPS")
				}
			})
			return "https://127.0.0.1:" + plain.port
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			// Without TLS, for which the time-out would be too short at times.
			second := newPlainUpstream(t, nil)
			s := start(t, siteOfEach(len(operations), func(i int) []string {
				return []string{credentialsA, "tls_timeout 100ms", "upstream " + test.url(t, i) + " " + second.URL,
					"transport http {\n resolvers " + names.address + "\n}"}
			}), envA...)
			for i, op := range operations {
				second.reset()
				if a := s.send(op.method, op.path, op.body, siteHost(i)); a.StatusCode != http.StatusOK {
					t.Errorf("%s: %d %s", op.name, a.StatusCode, a.body)
					continue
				}
				if got := second.only(t); got.body != op.body {
					t.Errorf("%s arrived with the body %s", op.name, got.body)
				}
			}
		})
	}
}

func TestNoAttemptStartsAfterTheFailoverBudget(t *testing.T) {
	second := newUpstream(t, nil)
	s := start(t, site(credentialsA, "tls_timeout 400ms", "failover_budget 100ms", "upstream "+stalled(t)+" "+second.URL,
		"transport http {\n tls_trust_pool file <CA>\n}"), envA...)
	began := time.Now()
	wantError(t, s.send("GET", listA, ""), http.StatusBadGateway, "UpstreamUnreachable")
	if took := time.Since(began); took < 400*time.Millisecond {
		t.Errorf("gave up after %s, within the first attempt", took)
	}
	second.untouched(t)
}

// A GET that one region cannot serve is tried elsewhere; any other answer of the
// vendor is the caller's, with its body.
func TestGatewayErrorsMoveAGETOnAndNothingElse(t *testing.T) {
	for _, status := range []int{502, 503, 504, 500, 429, 404} {
		first := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"reason":"ServiceUnavailable","detail":"of the first"}`)
		})
		second := newUpstream(t, nil)
		s := start(t, site(credentialsA, to(first, second)), envA...)
		want := http.StatusOK
		if status < 502 {
			want = status
		}
		if a := s.send("GET", listA, ""); a.StatusCode != want {
			t.Errorf("%d to a GET: %d %s", status, a.StatusCode, a.body)
		}
		for _, path := range []string{leaveA, speakA} {
			if a := s.send("POST", path, "{}"); a.StatusCode != status || !strings.Contains(a.body, "of the first") {
				t.Errorf("%d to a POST: %d %s", status, a.StatusCode, a.body)
			}
		}
		s.stop()
	}
}

// The last upstream's answer is passed on, not hidden behind an error of ours.
func TestGatewayErrorOfTheLastUpstreamIsPassedOn(t *testing.T) {
	unavailable := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"reason":"ServiceUnavailable","detail":"everywhere"}`)
	}
	first, second := newUpstream(t, unavailable), newUpstream(t, unavailable)
	s := start(t, site(credentialsA, to(first, second)), envA...)
	if a := s.send("GET", listA, ""); a.StatusCode != http.StatusServiceUnavailable || !strings.Contains(a.body, "everywhere") || a.Header.Get("X-Convoai-Error") != "" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	first.only(t)
	second.only(t)
}

// An answer that cannot be held in memory moves a GET on as any other, and is
// passed on whole where no other upstream answers.
func TestLargeGatewayErrorMovesAGETOn(t *testing.T) {
	large := strings.Repeat("unavailable ", 20_000)
	first := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, large)
	})
	second := newUpstream(t, nil)
	s := start(t, siteOfEach(2, func(i int) []string {
		if i == 0 {
			return []string{credentialsA, to(first, second)}
		}
		return []string{credentialsA, strings.Replace(to(first), "\n", " https://127.0.0.1:"+freePort(t)+"\n", 1)}
	}), envA...)
	if a := s.send("GET", listA, "", siteHost(0)); a.StatusCode != http.StatusOK {
		t.Errorf("%d, want the second upstream's answer", a.StatusCode)
	}
	if a := s.send("GET", listA, "", siteHost(1)); a.StatusCode != http.StatusServiceUnavailable || a.body != large {
		t.Errorf("%d with %d bytes, want 503 with %d", a.StatusCode, len(a.body), len(large))
	}
}

// The answer of an upstream whose body takes the time that was left is passed on.
func TestGatewayErrorThatTakesTheBudgetIsPassedOn(t *testing.T) {
	const budget = 500 * time.Millisecond
	first := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = http.NewResponseController(w).Flush()
		time.Sleep(2 * budget)
		_, _ = io.WriteString(w, `{"reason":"ServiceUnavailable","detail":"of the first"}`)
	})
	second := newUpstream(t, nil)
	s := start(t, site(credentialsA, "failover_budget "+budget.String(), to(first, second)), envA...)
	if a := s.send("GET", listA, ""); a.StatusCode != http.StatusServiceUnavailable || !strings.Contains(a.body, "of the first") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	second.unasked(t)
}

// The log says of every upstream why it did not answer, of every call, also while
// all of them rest and nothing changes. The caller is told of none.
func TestLogSaysWhyEachUpstreamFailed(t *testing.T) {
	lost := newUpstream(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	refused, silent := "https://127.0.0.1:"+freePort(t), stalled(t)
	s := start(t, site(credentialsA, "tls_timeout 400ms", "upstream "+refused+" "+silent+" https://127.0.0.1:"+lost.port,
		"transport http {\n tls_trust_pool file <CA>\n}"), envA...)
	for n := range 2 {
		a := s.send("GET", listA, "")
		wantError(t, a, http.StatusBadGateway, "UpstreamConnectionLost")
		if strings.Contains(a.body, "127.0.0.1") {
			t.Errorf("the caller is told of upstreams: %s", a.body)
		}
		var line string
		waitFor(t, "the log to speak of call "+itoa(n+1), func() bool {
			count := 0
			for l := range strings.Lines(s.stderr.String()) {
				if strings.Contains(l, "call not carried out") {
					line, count = l, count+1
				}
			}
			return count == n+1 && strings.HasSuffix(line, "\n")
		})
		for upstream, cause := range map[string]string{refused: "connection refused", silent: "connect timeout", "https://127.0.0.1:" + lost.port: "connection lost"} {
			if want := strings.TrimPrefix(upstream, "https://") + ": " + cause; !strings.Contains(line, want) {
				t.Errorf("call %d: %s does not say %q", n+1, line, want)
			}
		}
	}
}

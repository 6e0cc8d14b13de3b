package integration

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	hostFailed    = "upstream has failed"
	hostReachable = "upstream can be reached"

	// shortestRest is how long a host that has failed once rests at least.
	shortestRest = 9 * time.Second
)

// signing is an upstream that says who it is.
func signing(t *testing.T, name string) *upstream {
	return newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Upstream", name)
		_, _ = io.WriteString(w, okBody)
	})
}

// want makes a call and compares who answered.
func (s *sidecar) want(when, upstream string, headers ...string) {
	s.t.Helper()
	a := s.send("POST", joinA, joinBody("room", "1"), headers...)
	if a.StatusCode != http.StatusOK || answeredBy(a) != upstream {
		s.t.Fatalf("%s: %d %s by %q, want %q", when, a.StatusCode, a.body, answeredBy(a), upstream)
	}
}

// A host that refuses connections costs the first call next to nothing and the
// others nothing, until its rest is over and it has been reached by a probe.
func TestHostThatRefusesIsLeftAloneUntilItCanBeReached(t *testing.T) {
	t.Parallel()
	first, second := signing(t, "first"), signing(t, "second")
	g := newGate(t, first.Listener.Addr().String())
	g.close()
	s := start(t, site(credentialsA, "dial_timeout 30s", "upstream "+g.url()+" "+second.URL, "transport http {\n tls_trust_pool file <CA>\n}"), envA...)
	began := time.Now()
	s.want("the first call", "second")
	took := time.Since(began)
	t.Logf("the first call took %s", took)
	if took > prompt {
		t.Errorf("the first call took %s, as if it had waited for dial_timeout", took)
	}
	g.open()
	for {
		a, n := s.send("POST", joinA, joinBody("room", "1")), g.connections()
		if time.Since(began) > shortestRest { // the rest may have ended before the call
			break
		}
		if a.StatusCode != http.StatusOK || answeredBy(a) != "second" || n != 0 {
			t.Fatalf("during the rest: %d %s by %q, and %d connections", a.StatusCode, a.body, answeredBy(a), n)
		}
		time.Sleep(20 * time.Millisecond)
	}
	waitFor(t, "the host to be used again", func() bool {
		a := s.send("GET", listA, "")
		if a.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		return answeredBy(a) == "first"
	})
	if took := time.Since(began); took < shortestRest {
		t.Errorf("the host was used again after %s", took)
	}
	s.logged(hostReachable)
	if failed := logLines(s.stderr, hostFailed); len(failed) != 1 || !strings.Contains(failed[0], `"cause":"connection refused"`) || !strings.Contains(failed[0], "convoai.region") {
		t.Errorf("the failure was logged as %q", failed)
	}
	if reachable := logLines(s.stderr, hostReachable); len(reachable) != 1 {
		t.Errorf("the recovery was logged as %q", reachable)
	}
}

// A host that does not answer at all costs one call dial_timeout.
func TestBlackHoleCostsOneCallTheDialTimeout(t *testing.T) {
	t.Parallel()
	const timeout = 5 * time.Second // so long that nothing else takes as much
	second := signing(t, "second")
	s := start(t, site(credentialsA, "dial_timeout "+timeout.String(), "upstream https://127.0.0.1:"+blackHole(t)+" "+second.URL,
		"transport http {\n tls_trust_pool file <CA>\n}"), envA...)
	began := time.Now()
	s.want("the first call", "second")
	took := time.Since(began)
	t.Logf("the first call took %s", took)
	if took < timeout || took > timeout+prompt {
		t.Errorf("the first call took %s with a dial_timeout of %s", took, timeout)
	}
	for began := time.Now(); time.Since(began) < 4*time.Second; {
		call := time.Now()
		s.want("later", "second")
		if took := time.Since(call); took >= timeout {
			t.Errorf("a later call took %s", took)
		}
	}
	if failed := logLines(s.stderr, hostFailed); len(failed) != 1 || !strings.Contains(failed[0], `"cause":"connect timeout"`) {
		t.Errorf("the failure was logged as %q", failed)
	}
}

// When all have failed, the first one that is back is found, wherever it stands.
func TestFirstHostThatIsBackIsUsed(t *testing.T) {
	t.Parallel()
	var gates []*gate
	for _, name := range []string{"0", "1", "2", "3"} {
		gates = append(gates, newGate(t, signing(t, name).Listener.Addr().String()))
	}
	s := start(t, site(credentialsA, throughGates(gates...)), envA...)
	s.want("at first", "0")
	for round, back := range []int{2, 3, 0} {
		for _, g := range gates {
			g.close()
		}
		for range 5 {
			// Not always UpstreamUnreachable: the first calls can meet kept connections
			// that break under them.
			for _, a := range []answer{s.send("GET", listA, ""), s.send("POST", joinA, joinBody("room", "1"))} {
				if a.StatusCode != http.StatusBadGateway {
					t.Fatalf("%d %s while all hosts are down", a.StatusCode, a.body)
				}
			}
		}
		gates[back].open()
		began := time.Now()
		waitFor(t, "a host that is back to be used", func() bool {
			a := s.send("POST", joinA, joinBody("room", "1"))
			return a.StatusCode == http.StatusOK && answeredBy(a) == itoa(back)
		})
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("round %d: in use after %s", round, took)
		}
		s.want("then", itoa(back))
	}
}

// A host whose certificate is another's gets neither a request nor a body.
func TestHostWithAnothersCertificateGetsNothing(t *testing.T) {
	t.Parallel()
	first, second := signing(t, "first"), signing(t, "second")
	names := newResolver(t, map[string]string{"api-other.upstream.test": "127.0.0.1"})
	s := start(t, site(credentialsA, "upstream_private on", "upstream https://api-other.upstream.test:"+first.port+" "+second.URL,
		"transport http {\n tls_trust_pool file <CA>\n resolvers "+names.address+"\n}"), envA...)
	for range 3 {
		s.want("a call", "second")
	}
	first.unasked(t)
	if failed := logLines(s.stderr, hostFailed); len(failed) != 1 || !strings.Contains(failed[0], `"cause":"TLS failed"`) {
		t.Errorf("the failure was logged as %q", failed)
	}
	if n := len(second.received()); n != 3 {
		t.Errorf("%d calls came to the second upstream, want 3", n)
	}
}

// What the vendor says of a call says nothing against the host.
func TestAnswersOfTheVendorMoveNoCalls(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 401, 403, 404, 409, 422, 429, 500, 501} {
		t.Run(itoa(status), func(t *testing.T) {
			first := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
			second := newUpstream(t, nil)
			// Basic, for which a 401 is final.
			s := start(t, site("app_id "+appA, "customer_id id", "customer_secret {env.SECRET}", to(first, second)), "SECRET=s")
			for range 20 {
				for _, call := range []string{"GET " + listA, "POST " + joinA} {
					method, path, _ := strings.Cut(call, " ")
					body := ""
					if method == "POST" {
						body = joinBody("room", "1")
					}
					if a := s.send(method, path, body); a.StatusCode != status {
						t.Fatalf("%s: %d %s", call, a.StatusCode, a.body)
					}
				}
			}
			if n := len(first.received()); n != 40 {
				t.Errorf("40 calls went out %d times", n)
			}
			second.unasked(t)
			if lines := logLines(s.stderr, "convoai.region"); len(lines) != 0 {
				t.Errorf("logged %q", lines)
			}
		})
	}
}

// Three answers in a row that a host cannot serve, or three that do not come,
// let it rest, whatever the operation. Until then only GETs move on, and only
// for the former.
func TestThreeCallsThatAHostCannotServeLetItRest(t *testing.T) {
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		status  int
		cause   string
	}{
		{"503", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, 503, "unavailable"},
		{"no answer", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 504, "no answer in time"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var fine atomic.Bool
			first, second := newUpstream(t, nil), signing(t, "second")
			first.handler = func(w http.ResponseWriter, r *http.Request) {
				if !fine.Load() {
					test.handler(w, r)
				}
			}
			s := start(t, site(credentialsA, "response_timeout 2s", to(first, second)), envA...)
			fails := func() {
				t.Helper()
				if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != test.status {
					t.Fatalf("%d %s, want %d", a.StatusCode, a.body, test.status)
				}
			}
			fails()
			fails()
			fine.Store(true)
			s.want("an answer in between", "")
			fine.Store(false)
			fails()
			fails()
			if lines := logLines(s.stderr, hostFailed); len(lines) != 0 {
				t.Fatalf("two in a row count: %q", lines)
			}
			fails()
			for range 5 {
				s.want("after three in a row", "second")
			}
			if lines := logLines(s.stderr, hostFailed); len(lines) != 1 || !strings.Contains(lines[0], test.cause) {
				t.Errorf("logged %q", lines)
			}
		})
	}
}

// Callers who leave say nothing about the host.
func TestCallersWhoLeaveMoveNoCalls(t *testing.T) {
	t.Parallel()
	first, second := newUpstream(t, nil), newUpstream(t, nil)
	var slow atomic.Bool
	slow.Store(true)
	arrived := make(chan struct{}, 16)
	first.handler = func(_ http.ResponseWriter, r *http.Request) {
		if slow.Load() {
			arrived <- struct{}{}
			<-r.Context().Done()
		}
	}
	s := start(t, site(credentialsA, to(first, second)), envA...)
	for range 5 {
		ctx, leave := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "GET", s.url+listA, nil)
		if err != nil {
			t.Fatal(err)
		}
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			if res, err := s.client.Do(r); err == nil {
				_ = res.Body.Close()
			}
		}()
		select {
		case <-arrived:
		case <-time.After(patience):
			t.Fatal("the call does not arrive")
		}
		leave()
		<-gone
	}
	slow.Store(false)
	s.want("after callers have left", "")
	second.unasked(t)
	if lines := logLines(s.stderr, "convoai.region"); len(lines) != 0 {
		t.Errorf("logged %q", lines)
	}
}

// What one site has learned, the others know, and the next configuration.
func TestSitesAndConfigurationsShareWhatIsKnownOfHosts(t *testing.T) {
	t.Parallel()
	first, second := signing(t, "first"), signing(t, "second")
	g := newGate(t, first.Listener.Addr().String())
	g.close()
	config := siteOfEach(2, func(int) []string {
		return []string{credentialsA, "max_body 1MiB", "upstream " + g.url() + " " + second.URL, "transport http {\n tls_trust_pool file <CA>\n}"}
	})
	config = strings.Replace(config, "admin off", "admin unix/<DIR>/admin.sock", 1)
	s := start(t, config, envA...)
	began := time.Now()
	s.want("the first call", "second", siteHost(0))
	g.open()
	s.want("on another site", "second", siteHost(1))
	for i := range 3 {
		s.write(strings.ReplaceAll(config, "1MiB", itoa(i+2)+"MiB"))
		s.reload(envA)
		for site := range 2 {
			if time.Since(began) > shortestRest-time.Second {
				t.Skip("this machine is too slow: the rest is over")
			}
			s.want("after a reload", "second", siteHost(site))
		}
	}
	if n := g.connections(); n != 0 {
		t.Errorf("%d connections during the rest", n)
	}
	if failed := logLines(s.stderr, hostFailed); len(failed) != 1 {
		t.Errorf("the failure was logged as %q", failed)
	}
}

// A probe is a connection and no more: not a byte of a request, and no credential.
func TestProbesSendNoRequest(t *testing.T) {
	t.Parallel()
	l := listen(t)
	first := newPlainUpstream(t, nil)
	s := start(t, site(credentialsA, toPlain(first.URL, "http://"+l.Addr().String())), envA...)
	if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	conn, err := l.Accept()
	if err != nil {
		t.Fatal("no probe came:", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if sent, err := io.ReadAll(conn); err != nil || len(sent) != 0 {
		t.Errorf("the probe sent %d bytes (%v)", len(sent), err)
	}

	// With TLS it completes the handshake, and sends no request either.
	second := newUpstream(t, nil)
	other := newUpstream(t, nil)
	s = start(t, site(credentialsA, to(other, second)), envA...)
	if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	waitFor(t, "a probe", func() bool {
		second.mu.Lock()
		defer second.mu.Unlock()
		return second.dials > 0
	})
	second.unasked(t)
}

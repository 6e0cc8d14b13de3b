package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

const firstName, secondName = "api-one.upstream.test", "api-two.upstream.test"

// named are the subdirectives for upstreams that names has the addresses of.
func named(names *resolver, upstreams string, options ...string) string {
	return upstreams + "\ntransport http {\n tls_trust_pool file <CA>\n resolvers " + names.address + "\n " + strings.Join(options, "\n ") + "\n}"
}

// within fails the test if since is longer ago than d, which is to lie well
// below what a wait for the resolver would take.
func within(t *testing.T, since time.Time, d time.Duration) {
	t.Helper()
	if took := time.Since(since); took > d {
		t.Errorf("it took %s, want less than %s", took, d)
	}
}

// A host that was reached before is reached again, whatever the resolver does,
// and with the same check of its certificate.
func TestHostThatWasReachedIsReachedWithoutTheResolver(t *testing.T) {
	up := newUpstream(t, nil)
	names := newResolver(t, map[string]string{firstName: "127.0.0.1"})
	s := start(t, site(credentialsA, "upstream_private on", "dial_timeout 30s",
		named(names, "upstream https://"+firstName+":"+up.port, "keepalive off")), envA...)
	for _, answer := range []string{"127.0.0.1", noAnswer, noService, "127.0.0.1"} {
		t.Run(answer, func(t *testing.T) {
			names.say(firstName, answer)
			for range 3 {
				up.reset()
				began := time.Now()
				if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK {
					t.Fatalf("%d %s", a.StatusCode, a.body)
				}
				within(t, began, prompt)
				if got := up.only(t); got.sni != firstName || got.host != firstName {
					t.Errorf("Host %s and SNI %s were sent", got.host, got.sni)
				}
				up.mu.Lock()
				if up.dials == 0 {
					t.Error("no new connection: the test proves nothing")
				}
				up.mu.Unlock()
			}
		})
	}
	s.logged("the resolver does not answer")
}

// A connection that is kept needs no resolver.
func TestKeptConnectionNeedsNoResolver(t *testing.T) {
	up := newUpstream(t, nil)
	names := newResolver(t, map[string]string{firstName: "127.0.0.1"})
	s := start(t, site(credentialsA, "upstream_private on", named(names, "upstream https://"+firstName+":"+up.port)), envA...)
	for range 3 {
		if a := s.send("GET", listA, ""); a.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		names.say(firstName, noAnswer)
	}
	if contains(s.stderr, "the resolver does not answer") {
		t.Error("another connection was made")
	}
}

// A host that was never reached costs dial_timeout, and the budget ends the call.
func TestHostThatWasNeverReachedNeedsTheResolver(t *testing.T) {
	names := newResolver(t, map[string]string{})
	for _, host := range []string{"api-us-west-1.agora.io", "api-us-west-1.sd-rtn.com", "api-us-east-1.agora.io", "api-us-east-1.sd-rtn.com", "api.agora.io"} {
		names.say(host, noAnswer)
	}
	s := start(t, site(credentialsA, "dial_timeout 1s", "failover_budget 1500ms", named(names, "")), envA...)
	began := time.Now()
	wantError(t, s.send("POST", joinA, joinBody("room", "1")), http.StatusBadGateway, "UpstreamUnreachable")
	within(t, began, prompt)
	if took := time.Since(began); took < time.Second {
		t.Errorf("gave up after %s, within the first dial_timeout", took)
	}
	// The second attempt is for the other name of the region, which other servers
	// may answer for.
	s.logged(`"upstream":"api-us-west-1.`)
}

// What the resolver has no address for goes to the next upstream without a wait.
func TestNameThatDoesNotResolveCostsNoTime(t *testing.T) {
	for _, test := range []struct{ name, answer string }{{"NXDOMAIN", ""}, {noService, noService}, {"no address", " "}} {
		t.Run(test.name, func(t *testing.T) {
			up := newUpstream(t, nil)
			names := newResolver(t, map[string]string{secondName: "127.0.0.1"})
			if test.answer != "" {
				names.say(firstName, test.answer)
			}
			s := start(t, site(credentialsA, "upstream_private on", "dial_timeout 30s",
				named(names, "upstream https://"+firstName+":"+up.port+" https://"+secondName+":"+up.port)), envA...)
			began := time.Now()
			if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			within(t, began, prompt)
			if got := up.only(t).sni; got != secondName {
				t.Errorf("sent to %s", got)
			}
		})
	}
}

// An address that refuses does not stand in the way of one that does not.
func TestAddressesAreTriedUntilOneAnswers(t *testing.T) {
	up := newUpstream(t, nil)
	names := newResolver(t, map[string]string{firstName: "::1 127.0.0.2 127.0.0.3 127.0.0.1"})
	s := start(t, site(credentialsA, "upstream_private on", "dial_timeout 30s",
		named(names, "upstream https://"+firstName+":"+up.port)), envA...)
	began := time.Now()
	if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	within(t, began, prompt)
}

// A name that changes to an address inside gets no connection, even if its host
// was reached before.
func TestNameThatTurnsInwardIsNotConnectedTo(t *testing.T) {
	up := newUpstream(t, nil)
	names := newResolver(t, map[string]string{})
	s := start(t, site(credentialsA, "dial_timeout 30s", named(names, "upstream https://"+firstName+":"+up.port)), envA...)
	for _, address := range []string{
		"127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "169.254.169.254", "10.0.0.1", "0.0.0.0", "127.0.0.1 10.0.0.1 ::1",
	} {
		names.say(firstName, address)
		began := time.Now()
		wantError(t, s.send("POST", joinA, joinBody("room", "1")), http.StatusBadGateway, "UpstreamUnreachable")
		within(t, began, prompt)
	}
	up.untouched(t)
	s.logged(`"addresses of an upstream are not dialled"`)
	s.logged("169.254.169.254, which is no public address")
}

// Without TLS it is public addresses that get nothing: those among others are
// passed over, and where there are no others the call ends. The address that was
// good before is no way around.
func TestPublicAddressGetsNothingWithoutTLS(t *testing.T) {
	up := newPlainUpstream(t, nil)
	names := newResolver(t, map[string]string{firstName: "192.0.43.8 127.0.0.1"})
	// With a local address of loopback nothing leaves this host even if the check
	// were broken.
	s := start(t, site(credentialsA, "upstream_private on", "dial_timeout 30s",
		named(names, "upstream http://"+firstName+":"+up.port, "keepalive off", "local_address 127.0.0.1")), envA...)
	began := time.Now()
	if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	within(t, began, prompt)
	s.logged("192.0.43.8, a public address")
	up.reset()
	names.say(firstName, "192.0.43.8 2001:500:88:200::8")
	wantError(t, s.send("POST", joinA, joinBody("room", "1")), http.StatusBadGateway, "UpstreamUnreachable")
	up.untouched(t)
}

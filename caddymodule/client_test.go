package caddymodule

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/caddy-convoai/convoai/region"
)

// reaching is a Client with names from s.
func reaching(t *testing.T, s *nameServer, timeout time.Duration) *Client {
	t.Helper()
	ctx, err := caddy.ProvisionContext(&caddy.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(ctx, &reverseproxy.HTTPTransport{
		Resolver:    &reverseproxy.UpstreamResolver{Addresses: []string{s.address}},
		DialTimeout: caddy.Duration(timeout),
		TLS:         &reverseproxy.TLSConfig{HandshakeTimeout: caddy.Duration(timeout)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestClientTellsTheStepsOfAConnection(t *testing.T) {
	c := reaching(t, newNameServer(t, "127.0.0.1", "::1"), 10*time.Second)
	port := tlsServer(t, c.transport)
	r := c.Try(t.Context(), endpointOf(t, "https://example.com:"+port, true))
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	if len(r.Addresses) != 2 || r.Address.String() != "127.0.0.1" {
		t.Errorf("addresses %v, connected to %v", r.Addresses, r.Address)
	}
	if r.TLS == nil || r.TLS.ServerName != "example.com" || len(r.TLS.PeerCertificates) == 0 {
		t.Errorf("the state of TLS is %+v", r.TLS)
	}
	if r.Lookup <= 0 || r.Connect <= 0 || r.Handshake <= 0 {
		t.Errorf("lookup %s, connect %s, handshake %s", r.Lookup, r.Connect, r.Handshake)
	}

	plain := accept(t, "127.0.0.1:0")
	r = c.Try(t.Context(), endpointOf(t, "http://127.0.0.1:"+plain.port, false))
	if r.Err != nil || r.TLS != nil || len(r.Addresses) != 1 || r.Address.String() != "127.0.0.1" {
		t.Errorf("without TLS: %+v", r)
	}
}

func TestClientTellsHowFarItCame(t *testing.T) {
	const timeout = 500 * time.Millisecond
	names := newNameServer(t)
	c := reaching(t, names, timeout)
	good, mute := tlsServer(t, c.transport), accept(t, "127.0.0.1:0")
	// A port that a connection has is nobody else's, and takes none.
	client, err := net.Dial("tcp", "127.0.0.1:"+good)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, refusing, _ := net.SplitHostPort(client.LocalAddr().String())
	have := func(address string) func(*testing.T) {
		return func(*testing.T) { names.have(address) }
	}
	for _, test := range []struct {
		name    string
		answer  func(*testing.T)
		port    string
		private bool
		cause   region.Cause
		stage   string
		address string
		check   func(error) bool
	}{
		{"no such name", func(*testing.T) { names.fail(dnsmessage.RCodeNameError) }, good, true, region.NameNotResolved, "lookup", "", isNotFound},
		{"silent resolver", func(*testing.T) { names.fallSilent() }, good, true, region.NameNotResolved, "lookup", "", func(err error) bool {
			dns, ok := errors.AsType[*net.DNSError](err)
			return ok && !dns.IsNotFound
		}},
		{"private address", have("127.0.0.1"), good, false, region.Unreachable, "lookup", "127.0.0.1", func(err error) bool {
			return strings.Contains(err.Error(), "no public address")
		}},
		{"refused", have("127.0.0.1"), refusing, true, region.Refused, "connect", "127.0.0.1", nil},
		{"dropped", func(t *testing.T) {
			blackHole(t, "127.0.0.2", good)
			names.have("127.0.0.2")
		}, good, true, region.ConnectTimeout, "connect", "127.0.0.2", nil},
		{"mute", have("127.0.0.1"), mute.port, true, region.ConnectTimeout, "handshake", "127.0.0.1", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.answer(t)
			r := c.Try(t.Context(), endpointOf(t, "https://example.com:"+test.port, test.private))
			if r.Err == nil || r.Cause != test.cause || test.check != nil && !test.check(r.Err) {
				t.Errorf("%v (%v), want %v", r.Cause, r.Err, test.cause)
			}
			addresses := ""
			for _, addr := range r.Addresses {
				addresses += addr.String()
			}
			if addresses != test.address {
				t.Errorf("addresses %q, want %q", addresses, test.address)
			}
			stage := "lookup"
			switch {
			case r.Handshake > 0:
				stage = "handshake"
			case r.Connect > 0:
				stage = "connect"
			}
			if stage != test.stage || r.Address.IsValid() != (stage == "handshake") || r.TLS != nil {
				t.Errorf("it came to the %s, connected to %v", stage, r.Address)
			}
		})
	}
}

func TestClientShowsTheCertificateThatIsNotTrusted(t *testing.T) {
	names := newNameServer(t, "127.0.0.1")
	c := reaching(t, names, 10*time.Second)
	port := tlsServer(t, c.transport)
	r := c.Try(t.Context(), endpointOf(t, "https://other.test:"+port, true))
	wrong, ok := errors.AsType[*tls.CertificateVerificationError](r.Err)
	if !ok || r.Cause != region.TLSFailed || len(wrong.UnverifiedCertificates) == 0 {
		t.Fatalf("%v (%v)", r.Err, r.Cause)
	}
	if _, ok := errors.AsType[x509.HostnameError](r.Err); !ok {
		t.Errorf("%v is no error of the name", r.Err)
	}
}

func TestClientSendsToTheEndpointAndFollowsNoRedirect(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusFound)
		_, _ = io.WriteString(w, r.Host+" "+r.URL.String())
	}))
	t.Cleanup(server.Close)
	c := reaching(t, newNameServer(t), 10*time.Second)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://evil.test/path?x=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.RoundTrip(r, endpointOf(t, server.URL, false))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusFound || string(body) != "127.0.0.1 /path?x=1" {
		t.Errorf("%d %q", res.StatusCode, body)
	}
	if r.URL.Host != "evil.test" {
		t.Error("the caller's request was changed")
	}
}

func TestClientDialsNoAddressThatCallsWouldNot(t *testing.T) {
	c := reaching(t, newNameServer(t, "127.0.0.1"), 10*time.Second)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://example.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	l := accept(t, "127.0.0.1:0")
	if res, err := c.RoundTrip(r, endpointOf(t, "https://example.com:"+l.port, false)); err == nil {
		_ = res.Body.Close()
		t.Error("a loopback address was dialled for a public host")
	} else if !strings.Contains(err.Error(), "no public address") {
		t.Error(err)
	}
}

func TestClientNeedsAWayWithoutAForwardProxy(t *testing.T) {
	ctx, err := caddy.ProvisionContext(&caddy.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewClient(ctx, &reverseproxy.HTTPTransport{NetworkProxyRaw: json.RawMessage(`{"from":"url","url":"http://127.0.0.1:1"}`)}); err == nil {
		t.Error("it goes through a forward proxy")
	}
	if _, err := NewClient(ctx, &reverseproxy.HTTPTransport{TLS: &reverseproxy.TLSConfig{InsecureSkipVerify: true}}); err == nil {
		t.Error("it verifies no certificate")
	}
}

func TestClientEndsWithItsContext(t *testing.T) {
	names := newNameServer(t)
	names.fallSilent()
	c := reaching(t, names, time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := c.Try(ctx, endpointOf(t, "https://example.com:1", true)); r.Err == nil {
		t.Error("it has a connection")
	}
}

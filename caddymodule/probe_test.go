package caddymodule

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-convoai/convoai/region"
)

// tlsServer is a TLS server for example.com, and its port.
func tlsServer(t *testing.T, carrier *Transport) (port string) {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a probe sent %s %s", r.Method, r.URL)
	}))
	t.Cleanup(server.Close)
	carrier.http.Transport.TLSClientConfig.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	_, port, _ = net.SplitHostPort(server.Listener.Addr().String())
	return port
}

func endpointOf(t *testing.T, url string, allowPrivate bool) region.Endpoint {
	t.Helper()
	e, err := region.ParseUpstream(url, allowPrivate)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestProbeSaysWhyAHostCannotBeReached(t *testing.T) {
	names := newNameServer(t, "127.0.0.1")
	carrier := dialling(t, names, `,"dial_timeout":"1s","tls":{"handshake_timeout":"1s"}`)
	good := tlsServer(t, carrier)
	mute := accept(t, "127.0.0.1:0")
	closing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer closing.Close()
	go func() {
		for {
			conn, err := closing.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	_, closingPort, _ := net.SplitHostPort(closing.Addr().String())
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	_, plainPort, _ := net.SplitHostPort(plain.Listener.Addr().String())
	// A port that a connection has is nobody else's, and takes none.
	client, err := net.Dial("tcp", plain.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, unusedPort, _ := net.SplitHostPort(client.LocalAddr().String())

	for _, test := range []struct {
		name         string
		url          string
		allowPrivate bool
		cause        region.Cause
		ok           bool
	}{
		{"TLS", "https://example.com:" + good, true, 0, true},
		{"no TLS", "http://127.0.0.1:" + mute.port, true, 0, true},
		{"another's certificate", "https://example.net:" + good, true, region.TLSFailed, false},
		{"no TLS where there should be", "https://example.com:" + plainPort, true, region.TLSFailed, false},
		{"nobody listens", "https://127.0.0.1:" + unusedPort, true, region.Refused, false},
		{"closed at once", "https://example.com:" + closingPort, true, region.Refused, false},
		{"nothing comes back", "https://example.com:" + mute.port, true, region.ConnectTimeout, false},
		{"an address that is not allowed", "https://example.com:" + good, false, region.Unreachable, false},
	} {
		took, cause, ok := carrier.prober().Probe(t.Context(), endpointOf(t, test.url, test.allowPrivate))
		if ok != test.ok || cause != test.cause || ok != (took > 0) {
			t.Errorf("%s: reached %t after %s, cause %s, want %t, cause %s", test.name, ok, took, cause, test.ok, test.cause)
		}
	}
	names.fail(dnsmessage.RCodeNameError)
	if _, cause, ok := carrier.prober().Probe(t.Context(), endpointOf(t, "https://example.org", true)); ok || cause != region.NameNotResolved {
		t.Errorf("unknown name: reached %t, cause %s", ok, cause)
	}
}

func TestProbeIsNotHeldUpAfterItsContext(t *testing.T) {
	carrier := provisioned(t)
	mute := accept(t, "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan bool)
	go func() {
		_, _, ok := carrier.prober().Probe(ctx, endpointOf(t, "https://127.0.0.1:"+mute.port, false))
		ended <- ok
	}()
	<-mute.conns
	cancel()
	select {
	case ok := <-ended:
		if ok {
			t.Error("a handshake with nobody has succeeded")
		}
	case <-time.After(2500 * time.Millisecond): // before tls_timeout
		t.Error("the probe goes on")
		<-ended
	}
}

// How long the resolver takes says nothing about the host.
func TestLatencyIsThatOfTheConnection(t *testing.T) {
	names := newNameServer(t, "127.0.0.1")
	carrier := dialling(t, names, `,"dial_timeout":"20s"`)
	port := tlsServer(t, carrier)
	const held = 2 * time.Second
	names.mu.Lock()
	time.AfterFunc(held, names.mu.Unlock)
	began := time.Now()
	took, _, ok := carrier.prober().Probe(t.Context(), endpointOf(t, "https://example.com:"+port, true))
	if total := time.Since(began); !ok || total < held {
		t.Fatalf("reached %t after %s: the test proves nothing", ok, total)
	}
	if took > held-500*time.Millisecond {
		t.Errorf("measured %s", took)
	}

	// The handshake is part of it.
	slow, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	go func() {
		conn, err := slow.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		time.Sleep(300 * time.Millisecond)
		upstream, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			return
		}
		defer upstream.Close()
		go func() { _, _ = io.Copy(upstream, conn) }()
		_, _ = io.Copy(conn, upstream)
	}()
	_, slowPort, _ := net.SplitHostPort(slow.Addr().String())
	if took, _, ok = carrier.prober().Probe(t.Context(), endpointOf(t, "https://example.com:"+slowPort, true)); !ok || took < 300*time.Millisecond {
		t.Errorf("reached %t, measured %s for a handshake of more than 300ms", ok, took)
	}
}

// The wait for a resolver that is passed by is no part of it either.
func TestLatencyIsThatOfTheConnectionToAKnownAddress(t *testing.T) {
	names := newNameServer(t, "127.0.0.1")
	carrier := dialling(t, names, `,"dial_timeout":"20s"`)
	upstream := endpointOf(t, "https://example.com:"+tlsServer(t, carrier), true)
	if _, _, ok := carrier.prober().Probe(t.Context(), upstream); !ok {
		t.Fatal("not reached")
	}
	names.fallSilent()
	began := time.Now()
	took, _, ok := carrier.prober().Probe(t.Context(), upstream)
	total := time.Since(began)
	if !ok || total < resolvePatience {
		t.Fatalf("reached %t after %s: the test proves nothing", ok, total)
	}
	if total-took < resolvePatience {
		t.Errorf("measured %s of %s, which began with %s of waiting for the resolver", took, total, resolvePatience)
	}
}

// What a forward proxy says of itself is not to be held against a host.
func TestThroughAForwardProxyNothingIsProbed(t *testing.T) {
	ctx, err := caddy.ProvisionContext(&caddy.Config{})
	if err != nil {
		t.Fatal(err)
	}
	carrier := &Transport{TransportRaw: []byte(`{"protocol":"http","network_proxy":{"from":"url","url":"http://127.0.0.1:1"}}`)}
	if err := carrier.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	if carrier.prober() != nil {
		t.Error("hosts are probed past the proxy")
	}
}

// To say that there is no proxy is to say what is so anyway: addresses are checked,
// and hosts are probed.
func TestWithoutAForwardProxyConnectionsAreGuarded(t *testing.T) {
	for _, raw := range []string{`{"protocol":"http"}`, `{"protocol":"http","network_proxy":{"from":"none"}}`} {
		ctx, err := caddy.ProvisionContext(&caddy.Config{})
		if err != nil {
			t.Fatal(err)
		}
		carrier := &Transport{TransportRaw: []byte(raw)}
		if err := carrier.Provision(ctx); err != nil {
			t.Fatal(err)
		}
		if carrier.prober() == nil {
			t.Fatalf("%s: hosts are not probed", raw)
		}
		url := endpointOf(t, "http://127.0.0.1:"+tlsServer(t, carrier), true)
		url.AllowPrivate = false
		if _, cause, ok := carrier.prober().Probe(t.Context(), url); ok || cause != region.Unreachable {
			t.Errorf("%s: a loopback address is connected to without upstream_private: %t, %s", raw, ok, cause)
		}
	}
}

func TestTLSErrorsAreToldFromOthers(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		_ = tls.Server(server, &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return nil, errNoTCP
		}}).Handshake()
		_ = server.Close()
	}()
	err := tls.Client(client, &tls.Config{InsecureSkipVerify: true}).Handshake()
	if cause := causeOf(err); cause != region.TLSFailed {
		t.Errorf("%v has the cause %s", err, cause)
	}
}

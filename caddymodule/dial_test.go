package caddymodule

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/caddy-convoai/convoai/region"
)

// nameServer is a DNS server on loopback that has the same addresses for every
// name.
type nameServer struct {
	address string
	asked   atomic.Int32

	mu        sync.Mutex // guards what follows
	addresses []netip.Addr
	silent    bool
	rcode     dnsmessage.RCode
}

func newNameServer(t *testing.T, addresses ...string) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{address: conn.LocalAddr().String()}
	s.have(addresses...)
	done := make(chan struct{})
	go func() {
		defer close(done)
		packet := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			if reply := s.reply(packet[:n]); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return s
}

func (s *nameServer) have(addresses ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addresses, s.silent, s.rcode = nil, false, dnsmessage.RCodeSuccess
	for _, address := range addresses {
		s.addresses = append(s.addresses, netip.MustParseAddr(address))
	}
}

func (s *nameServer) fail(rcode dnsmessage.RCode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent, s.rcode = false, rcode
}

// fallSilent leaves all queries from now on without an answer.
func (s *nameServer) fallSilent() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = true
}

func (s *nameServer) reply(query []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked.Add(1)
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 || s.silent {
		return nil
	}
	q := m.Questions[0]
	m = dnsmessage.Message{
		Header:    dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true, RCode: s.rcode},
		Questions: m.Questions,
	}
	for _, addr := range s.addresses {
		header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
		switch {
		case s.rcode != dnsmessage.RCodeSuccess:
		case q.Type == dnsmessage.TypeA && addr.Is4():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: addr.As4()}})
		case q.Type == dnsmessage.TypeAAAA && !addr.Is4():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
		}
	}
	reply, err := m.Pack()
	if err != nil {
		return nil
	}
	return reply
}

// dialling is a transport as the JSON of its http transport makes it, with names
// from s. The rest of options begins with a comma.
func dialling(t *testing.T, s *nameServer, options string) *Transport {
	t.Helper()
	ctx, err := caddy.ProvisionContext(&caddy.Config{})
	if err != nil {
		t.Fatal(err)
	}
	carrier := &Transport{TransportRaw: json.RawMessage(`{"protocol":"http","resolver":{"addresses":["` + s.address + `"]}` + options + `}`)}
	if err := carrier.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(carrier.http.Transport.CloseIdleConnections)
	return carrier
}

// dial makes a TCP connection as for an attempt at url.
func (t *Transport) dialFor(ctx context.Context, url string) (net.Conn, error) {
	e, err := region.ParseUpstream(url, true)
	if err != nil {
		return nil, err
	}
	return t.http.Transport.DialContext(to(ctx, e), "tcp", e.Address())
}

// accepting is a listener that takes every connection and hands it over.
type accepting struct {
	port  string
	conns chan net.Conn
}

func accept(t *testing.T, address string) *accepting {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	a := &accepting{conns: make(chan net.Conn, 1000)}
	_, a.port, _ = net.SplitHostPort(l.Addr().String())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				close(a.conns)
				return
			}
			a.conns <- conn
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		for conn := range a.conns {
			_ = conn.Close()
		}
	})
	return a
}

// A dead address does not take the time that the others need.
func TestHostWithADeadAddressIsReached(t *testing.T) {
	live := accept(t, "127.0.0.1:0")
	deadline := 2 * time.Second // dial_timeout, which a dead address could take
	for _, test := range []struct {
		name      string
		dead      []string // take no connection, and say nothing
		addresses []string
	}{
		{"one", nil, []string{"127.0.0.1"}},
		{"the first of two of IPv4 is dead", []string{"127.0.0.2"}, []string{"127.0.0.2", "127.0.0.1"}},
		{"two of three are dead", []string{"127.0.0.2", "127.0.0.3"}, []string{"127.0.0.2", "127.0.0.3", "127.0.0.1"}},
		{"IPv6 is dead", []string{"::1"}, []string{"::1", "127.0.0.1"}},
		{"IPv6 refuses", nil, []string{"::1", "127.0.0.1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, dead := range test.dead {
				blackHole(t, dead, live.port)
			}
			carrier := dialling(t, newNameServer(t, test.addresses...), "")
			began := time.Now()
			conn, err := carrier.dialFor(t.Context(), "https://one.test:"+live.port)
			took := time.Since(began)
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.Close()
			if took > deadline*9/10 {
				t.Errorf("it took %s", took)
			}
			if remoteAddr(conn).String() != "127.0.0.1" {
				t.Errorf("connected to %s", conn.RemoteAddr())
			}
			t.Log("connected after", took)
		})
	}
}

// A name that has changed to an address inside is not even connected to.
func TestNameThatTurnsInwardIsNotDialled(t *testing.T) {
	four := accept(t, "127.0.0.1:0")
	listeners := map[string]*accepting{"127.0.0.1": four}
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil {
		_ = l.Close()
		listeners["::1"] = accept(t, "[::1]:"+four.port)
	}
	names := newNameServer(t)
	carrier := dialling(t, names, "")
	e := region.Endpoint{Scheme: "https", Host: "api.agora.io", Port: four.port, Region: "global"}
	for _, address := range []string{
		"127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254",
		"10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "0.0.0.0", "::", "fe80::1",
	} {
		names.have(address)
		for name, dial := range map[string]func(context.Context, string, string) (net.Conn, error){
			"TCP": carrier.http.Transport.DialContext, "TLS": carrier.http.Transport.DialTLSContext,
		} {
			_, err := dial(to(t.Context(), e), "tcp", e.Address())
			if err == nil || !strings.Contains(err.Error(), "api.agora.io resolved to ") || causeOf(err) != region.Unreachable {
				t.Errorf("%s to %s: %v (cause %d)", name, address, err, causeOf(err))
			}
		}
	}
	// The connections that came would be accepted before this one.
	for address, l := range listeners {
		conn, err := net.Dial("tcp", net.JoinHostPort(address, l.port))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		first := <-l.conns
		defer first.Close()
		if first.RemoteAddr().String() != conn.LocalAddr().String() {
			t.Errorf("a connection came to %s", address)
		}
	}
}

// Why a connection was not had can be told from the error.
func TestErrorOfADialIsNotHidden(t *testing.T) {
	// Port 1 is nobody's; one that is free now may be somebody's in a moment.
	if _, err := dialling(t, newNameServer(t), "").dialFor(t.Context(), "https://127.0.0.1:1"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v, want a refused connection", err)
	}
}

// A lookup that has stalled holds up its own call, and not those that come when
// the resolver answers again.
func TestLookupThatStallsDoesNotHoldUpLaterOnes(t *testing.T) {
	live := accept(t, "127.0.0.1:0")
	names := newNameServer(t)
	names.fallSilent()
	carrier := dialling(t, names, `,"dial_timeout":"20s"`)
	ctx, cancel := context.WithCancel(t.Context())
	var stalled sync.WaitGroup
	defer stalled.Wait()
	defer cancel()
	for range 3 {
		stalled.Go(func() {
			if conn, err := carrier.dialFor(ctx, "https://one.test:"+live.port); err == nil {
				_ = conn.Close()
			}
		})
	}
	// Both families, and then one by one.
	for deadline := time.Now().Add(20 * time.Second); names.asked.Load() < 4; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the resolver was not asked again")
		}
	}
	names.have("127.0.0.1")
	began := time.Now()
	conn, err := carrier.dialFor(t.Context(), "https://one.test:"+live.port)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if took := time.Since(began); took > 3*time.Second { // net.Resolver asks again after 5s
		t.Errorf("it took %s", took)
	}
}

// A lookup that is over leaves no connection to the name server.
func TestConnectionToANameServerEndsWithTheLookup(t *testing.T) {
	names, err := newResolver(&reverseproxy.UpstreamResolver{Addresses: []string{newNameServer(t).address}}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	conn, err := names.open(ctx, "udp", "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	cancel()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a read ended with %v", err)
	}
}

// What the configuration says of connections goes for these too.
func TestOptionsOfTheHTTPTransportAreKept(t *testing.T) {
	live := accept(t, "127.0.0.1:0")
	names := newNameServer(t, "127.0.0.1")
	t.Run("local_address", func(t *testing.T) {
		conn, err := dialling(t, names, `,"local_address":"127.0.0.5"`).dialFor(t.Context(), "https://one.test:"+live.port)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if came := <-live.conns; !strings.HasPrefix(came.RemoteAddr().String(), "127.0.0.5:") {
			t.Errorf("came from %s", came.RemoteAddr())
		}
	})
	t.Run("read_timeout", func(t *testing.T) {
		conn, err := dialling(t, names, `,"read_timeout":"1ms"`).dialFor(t.Context(), "http://one.test:"+live.port)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = conn.Read(make([]byte, 1))
		if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
			t.Errorf("the read ended with %v", err)
		}
	})
	t.Run("dial_timeout and dial_fallback_delay", func(t *testing.T) {
		blackHole(t, "127.0.0.2", live.port)
		blackHole(t, "127.0.0.3", live.port)
		names := newNameServer(t, "127.0.0.2", "127.0.0.3")
		for _, delay := range []string{"1ms", "-1ms"} {
			began := time.Now()
			_, err := dialling(t, names, `,"dial_timeout":"300ms","dial_fallback_delay":"`+delay+`"`).dialFor(t.Context(), "https://one.test:"+live.port)
			if took := time.Since(began); err == nil || took < 250*time.Millisecond || took > 1500*time.Millisecond {
				t.Errorf("delay %s: %v after %s, want a failure after 300ms", delay, err, took)
			}
			if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
				t.Errorf("delay %s: %v does not say that it is a timeout", delay, err)
			}
		}
	})
	t.Run("versions 1.1", func(t *testing.T) {
		config := dialling(t, names, `,"versions":["1.1"]`).http.Transport.TLSClientConfig
		if config == nil || config.MinVersion != tls.VersionTLS12 {
			t.Error("no TLS 1.2 at least")
		}
	})
	t.Run("resolvers without an address", func(t *testing.T) {
		ctx, err := caddy.ProvisionContext(&caddy.Config{})
		if err != nil {
			t.Fatal(err)
		}
		carrier := &Transport{TransportRaw: json.RawMessage(`{"protocol":"http","resolver":{}}`)}
		if err := carrier.Provision(ctx); err == nil {
			t.Error("accepted")
		}
	})
}

// With names from a resolver that then falls silent, only hosts that were
// reached before are reached again, and only under their own name.
func TestKnownAddressIsDialledWhenTheResolverFails(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	port := server.Listener.Addr().(*net.TCPAddr).AddrPort().Port()
	names := newNameServer(t, "127.0.0.1")
	carrier := dialling(t, names, `,"dial_timeout":"1s"`)
	carrier.http.Transport.TLSClientConfig.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	dial := func(host string) (*tls.Conn, error) {
		e, err := region.ParseUpstream(fmt.Sprintf("https://%s:%d", host, port), true)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := carrier.http.Transport.DialTLSContext(to(t.Context(), e), "tcp", e.Address())
		if err != nil {
			return nil, err
		}
		return conn.(*tls.Conn), nil
	}
	// The certificate of httptest is good for example.com.
	conn, err := dial("example.com")
	if err != nil {
		t.Fatal(err)
	}
	state := conn.ConnectionState()
	if state.ServerName != "example.com" || state.NegotiatedProtocol != "h2" || state.Version < tls.VersionTLS12 || len(state.VerifiedChains) == 0 {
		t.Errorf("%s, %q, version %x, %d chains", state.ServerName, state.NegotiatedProtocol, state.Version, len(state.VerifiedChains))
	}
	_ = conn.Close()
	wrongName := func(when string) {
		t.Helper()
		if _, err := dial("example.net"); err == nil {
			t.Fatal(when + ": connected to a host of another name")
		} else if _, ok := errors.AsType[x509.HostnameError](err); !ok {
			t.Errorf("%s: %v", when, err)
		}
	}
	wrongName("while the resolver answers")

	for when, fail := range map[string]func(){
		"silent":   names.fallSilent,
		"SERVFAIL": func() { names.fail(dnsmessage.RCodeServerFailure) },
		"REFUSED":  func() { names.fail(dnsmessage.RCodeRefused) },
	} {
		fail()
		conn, err := dial("example.com")
		if err != nil {
			t.Errorf("%s: %v", when, err)
			continue
		}
		_ = conn.Close()
		// It was connected to, but not as that host.
		if _, err := dial("example.net"); err == nil || causeOf(err) != region.NameNotResolved {
			t.Errorf("%s: a host that was never reached: %v", when, err)
		}
	}
	names.fail(dnsmessage.RCodeNameError)
	if _, err := dial("example.com"); err == nil || causeOf(err) != region.NameNotResolved {
		t.Errorf("NXDOMAIN: %v", err)
	}
}

// What is known good outlives a configuration.
func TestKnownAddressOutlivesAReload(t *testing.T) {
	live := accept(t, "127.0.0.1:0")
	names := newNameServer(t, "127.0.0.1")
	first, second := dialling(t, names, ""), dialling(t, names, `,"dial_timeout":"10s"`)
	conn, err := first.dialFor(t.Context(), "http://one.test:"+live.port)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	names.fallSilent()
	if conn, err = second.dialFor(t.Context(), "http://one.test:"+live.port); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

// An address at which another host has moved in is forgotten.
func TestKnownAddressOfAnotherHostIsForgotten(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	names := newNameServer(t)
	names.fallSilent()
	carrier := dialling(t, names, `,"dial_timeout":"500ms"`)
	carrier.http.Transport.TLSClientConfig.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	e, err := region.ParseUpstream("https://example.net:"+strconv.Itoa(server.Listener.Addr().(*net.TCPAddr).Port), true)
	if err != nil {
		t.Fatal(err)
	}
	key := knownKey{resolver: names.address, scheme: "https", address: e.Address()}
	// Nor does it take the place of a good one.
	other := netip.MustParseAddr("127.0.0.9")
	carrier.known.put(key, other)
	names.have("127.0.0.1")
	if _, err = carrier.http.Transport.DialTLSContext(to(t.Context(), e), "tcp", e.Address()); err == nil {
		t.Fatal("connected to a host of another name")
	}
	if addr, _ := carrier.known.get(key); addr != other {
		t.Errorf("%s is known good, want %s", addr, other)
	}
	names.fallSilent()
	carrier.known.put(key, netip.MustParseAddr("127.0.0.1"))
	_, err = carrier.http.Transport.DialTLSContext(to(t.Context(), e), "tcp", e.Address())
	if _, ok := errors.AsType[x509.HostnameError](err); !ok {
		t.Fatalf("%v, want the wrong host name", err)
	}
	if _, ok := carrier.known.get(key); ok {
		t.Error("the address is still known good")
	}
}

func TestTLSHandshakeHasATimeout(t *testing.T) {
	live := accept(t, "127.0.0.1:0") // and nobody answers
	carrier := dialling(t, newNameServer(t, "127.0.0.1"), `,"tls":{"handshake_timeout":"50ms"}`)
	e, err := region.ParseUpstream("https://one.test:"+live.port, true)
	if err != nil {
		t.Fatal(err)
	}
	_, err = carrier.http.Transport.DialTLSContext(to(t.Context(), e), "tcp", e.Address())
	if !errors.Is(err, errTLSTimeout) || causeOf(err) == region.NameNotResolved {
		t.Errorf("%v, want a timeout", err)
	}
	if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
		t.Errorf("%v does not say that it is a timeout", err)
	}
	came := <-live.conns
	_ = came.SetReadDeadline(time.Now().Add(10 * time.Second))
	for err = nil; err == nil; _, err = came.Read(make([]byte, 1024)) {
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection was left open")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := carrier.http.Transport.DialTLSContext(to(ctx, e), "tcp", e.Address()); err == nil {
		t.Error("connected for a call that is over")
	}
}

// Nothing is left of races: no goroutine, no socket. Each has a host of its own,
// because what several have asked a net.Resolver for goes on without them, until
// the resolver's own timeout.
func TestRacesLeaveNothing(t *testing.T) {
	live := accept(t, "127.0.0.1:0")
	blackHole(t, "127.0.0.2", live.port)
	silent, answering := newNameServer(t), newNameServer(t, "127.0.0.2", "127.0.0.3", "127.0.0.1")
	silent.fallSilent()
	stalled, served := dialling(t, silent, `,"dial_timeout":"400ms"`), dialling(t, answering, `,"dial_fallback_delay":"5ms"`)
	for i := range 40 {
		address := fmt.Sprintf("warm-%d.test:%s", i, live.port)
		stalled.known.put(knownKey{resolver: silent.address, scheme: "https", address: address}, netip.MustParseAddr("127.0.0.1"))
	}
	race := func() {
		var racing sync.WaitGroup
		for i := range 40 {
			racing.Go(func() {
				carrier := []*Transport{stalled, served}[i%2]
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if i%5 == 0 {
					cancel()
				}
				url := "https://warm-%d.test:%s"
				if i%3 == 0 {
					url = "https://cold-%d.test:%s"
				}
				if conn, err := carrier.dialFor(ctx, fmt.Sprintf(url, i, live.port)); err == nil {
					_ = conn.Close()
				}
			})
		}
		racing.Wait()
		for len(live.conns) > 0 {
			_ = (<-live.conns).Close()
		}
	}
	race() // what is started once is started
	settled := func() (goroutines, sockets int) { return runtime.NumGoroutine(), openSockets(t) }
	var goroutines, sockets int
	for range 20 { // until both stand still
		g, s := settled()
		if g == goroutines && s == sockets {
			break
		}
		goroutines, sockets = g, s
		time.Sleep(50 * time.Millisecond)
	}
	for range 5 {
		race()
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		for len(live.conns) > 0 {
			_ = (<-live.conns).Close()
		}
		g, s := settled()
		if g <= goroutines && s <= sockets {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines and %d sockets, before: %d and %d", g, s, goroutines, sockets)
		}
	}
}

// openSockets counts the sockets of this process, where the system shows them.
func openSockets(t *testing.T) int {
	t.Helper()
	const dir = "/proc/self/fd/"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	n := 0
	for _, entry := range entries {
		if target, err := os.Readlink(dir + entry.Name()); err == nil && strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n
}

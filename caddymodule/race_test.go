package caddymodule

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-convoai/convoai/region"
)

// Addresses that nobody is asked to dial: the networks of these tests are made up.
const (
	publicA, publicB, publicC = "192.0.43.8", "192.0.43.9", "192.0.43.10"
	publicV6A, publicV6B      = "2001:500:88:200::8", "2001:500:88:200::9"
)

var errServFail = &net.DNSError{Err: "server misbehaving", Name: "api.agora.io", IsTemporary: true}
var errNXDomain = &net.DNSError{Err: "no such host", Name: "api.agora.io", IsNotFound: true}

// outcomeOf is how an address or a resolver of a made-up network behaves.
type outcomeOf struct {
	after time.Duration // or for ever
	err   error
	addrs string // of a resolver, with spaces between
	deaf  bool   // does not end with its context
}

// never is an outcome that does not come.
var never = outcomeOf{after: time.Hour}

func (o outcomeOf) wait(ctx context.Context) error {
	if o.deaf {
		time.Sleep(o.after)
		return o.err
	}
	select {
	case <-time.After(o.after):
		return o.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// madeUp is a network in which nothing is real but the time of a synctest
// bubble.
type madeUp struct {
	dialer
	began   time.Time
	hosts   map[string]outcomeOf // by IP address; others are refused
	answers map[string]outcomeOf // by "ip", "ip4" and "ip6"; others never come
	logs    *observer.ObservedLogs

	mu      sync.Mutex // guards what follows
	dialled []string   // address@time
	made    []*madeUpConn
}

type madeUpConn struct {
	net.Conn
	remote net.Addr
	closed bool
}

func (c *madeUpConn) RemoteAddr() net.Addr { return c.remote }
func (c *madeUpConn) Close() error         { c.closed = true; return nil }

func newMadeUp(hosts, answers map[string]outcomeOf) *madeUp {
	m := &madeUp{began: time.Now(), hosts: hosts, answers: answers}
	m.dialer = dialer{
		connect: m.connect, lookup: m.lookup,
		timeout: defaultDialTimeout, delay: defaultFallbackDelay,
		known: newKnownAddresses(),
	}
	m.logger, m.logs = observed()
	return m
}

func (m *madeUp) connect(ctx context.Context, _, address string) (net.Conn, error) {
	remote := netip.MustParseAddrPort(address)
	m.mu.Lock()
	m.dialled = append(m.dialled, remote.Addr().String()+"@"+time.Since(m.began).String())
	m.mu.Unlock()
	o, ok := m.hosts[remote.Addr().String()]
	if !ok {
		return nil, syscall.ECONNREFUSED
	}
	if err := o.wait(ctx); err != nil {
		return nil, err
	}
	conn := &madeUpConn{remote: net.TCPAddrFromAddrPort(remote)}
	m.mu.Lock()
	m.made = append(m.made, conn)
	m.mu.Unlock()
	return conn, nil
}

func (m *madeUp) lookup(ctx context.Context, network, host string) ([]netip.Addr, error) {
	o, ok := m.answers[network]
	if !ok {
		o = never
	}
	if err := o.wait(ctx); err != nil {
		if ctx.Err() != nil {
			err = &net.DNSError{Err: "i/o timeout", Name: host, IsTimeout: true}
		}
		return nil, err
	}
	var addrs []netip.Addr
	for _, addr := range strings.Fields(o.addrs) {
		addrs = append(addrs, netip.MustParseAddr(addr))
	}
	return addrs, nil
}

// agoraHost is an endpoint that only public addresses may be dialled for.
var agoraHost = region.Endpoint{Scheme: "https", Host: "api.agora.io", Port: "443", Region: "global"}

func to(ctx context.Context, e region.Endpoint) context.Context {
	return context.WithValue(ctx, endpointKey{}, &e)
}

func TestRace(t *testing.T) {
	ok := outcomeOf{}
	answer := func(addrs string) map[string]outcomeOf { return map[string]outcomeOf{"ip": {addrs: addrs}} }
	for _, test := range []struct {
		name       string
		answers    map[string]outcomeOf
		known      string
		hosts      map[string]outcomeOf
		delay      time.Duration
		timeout    time.Duration
		dialled    string // address@time, with spaces between
		to         string // the address that is connected to
		unresolved bool   // without one: for want of an address
		took       time.Duration
	}{
		{
			name: "one address", answers: answer(publicA), hosts: map[string]outcomeOf{publicA: ok},
			dialled: publicA + "@0s", to: publicA,
		},
		{
			name: "the first is dead", answers: answer(publicA + " " + publicB), hosts: map[string]outcomeOf{publicA: never, publicB: ok},
			dialled: publicA + "@0s " + publicB + "@300ms", to: publicB, took: 300 * time.Millisecond,
		},
		{
			name: "the first refuses", answers: answer(publicA + " " + publicB), hosts: map[string]outcomeOf{publicB: ok},
			dialled: publicA + "@0s " + publicB + "@0s", to: publicB,
		},
		{
			name: "the first refuses after a while", answers: answer(publicA + " " + publicB),
			hosts:   map[string]outcomeOf{publicA: {after: 100 * time.Millisecond, err: syscall.ECONNREFUSED}, publicB: ok},
			dialled: publicA + "@0s " + publicB + "@100ms", to: publicB, took: 100 * time.Millisecond,
		},
		{
			name: "the first is slow, and the second slower", answers: answer(publicA + " " + publicB),
			hosts:   map[string]outcomeOf{publicA: {after: 400 * time.Millisecond}, publicB: {after: 200 * time.Millisecond}},
			dialled: publicA + "@0s " + publicB + "@300ms", to: publicA, took: 400 * time.Millisecond,
		},
		{
			name: "no route for IPv6", answers: answer(publicV6A + " " + publicV6B + " " + publicA),
			hosts:   map[string]outcomeOf{publicV6A: {err: syscall.ENETUNREACH}, publicV6B: {err: syscall.ENETUNREACH}, publicA: ok},
			dialled: publicV6A + "@0s " + publicA + "@0s", to: publicA,
		},
		{
			name: "IPv6 is dead", answers: answer(publicV6A + " " + publicV6B + " " + publicA + " " + publicB),
			hosts:   map[string]outcomeOf{publicV6A: never, publicV6B: never, publicA: never, publicB: ok},
			dialled: publicV6A + "@0s " + publicA + "@300ms " + publicV6B + "@600ms " + publicB + "@900ms", to: publicB, took: 900 * time.Millisecond,
		},
		{
			name: "IPv4 in the form of IPv6", answers: answer("::ffff:" + publicA + " ::ffff:" + publicB + " " + publicV6A),
			hosts:   map[string]outcomeOf{publicV6A: ok},
			dialled: publicA + "@0s " + publicV6A + "@0s", to: publicV6A,
		},
		{
			name: "another delay", answers: answer(publicA + " " + publicB), hosts: map[string]outcomeOf{publicA: never, publicB: ok}, delay: 50 * time.Millisecond,
			dialled: publicA + "@0s " + publicB + "@50ms", to: publicB, took: 50 * time.Millisecond,
		},
		{
			name: "one after another", answers: answer(publicA + " " + publicB), hosts: map[string]outcomeOf{publicA: never, publicB: ok}, delay: -1,
			dialled: publicA + "@0s " + publicB + "@1s", to: publicB, took: time.Second,
		},
		{
			name: "all are dead", answers: answer(publicA + " " + publicB), hosts: map[string]outcomeOf{publicA: never, publicB: never},
			dialled: publicA + "@0s " + publicB + "@300ms", took: 2 * time.Second,
		},
		{
			name: "all refuse", answers: answer(publicA + " " + publicB),
			dialled: publicA + "@0s " + publicB + "@0s",
		},
		{
			name: "a private one among public ones", answers: answer("10.0.0.1 " + publicA + " ::1"), hosts: map[string]outcomeOf{publicA: ok, "10.0.0.1": ok, "::1": ok},
			dialled: publicA + "@0s", to: publicA,
		},
		{
			name: "private ones only", answers: answer("169.254.169.254 127.0.0.1 10.1.2.3 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1 fd00::1 0.0.0.0"),
			hosts: map[string]outcomeOf{"127.0.0.1": ok, "::1": ok, "::ffff:127.0.0.1": ok}, known: publicA,
		},
		{
			name:    "the resolver stalls, and an address is known good",
			known:   publicA,
			hosts:   map[string]outcomeOf{publicA: ok},
			dialled: publicA + "@300ms", to: publicA, took: 300 * time.Millisecond,
		},
		{
			name: "the resolver stalls, and no address is known",
			took: 2 * time.Second, unresolved: true,
		},
		{
			name: "the resolver stalls, and the known address is dead", known: publicA, hosts: map[string]outcomeOf{publicA: never},
			dialled: publicA + "@300ms", took: 2 * time.Second,
		},
		{
			name: "the resolver is slow, and the known address is dead", known: publicA,
			answers: map[string]outcomeOf{"ip": {after: 400 * time.Millisecond, addrs: publicA + " " + publicB}},
			hosts:   map[string]outcomeOf{publicA: never, publicB: ok},
			dialled: publicA + "@300ms " + publicB + "@600ms", to: publicB, took: 600 * time.Millisecond,
		},
		{
			name: "the resolver is slow, and the known address refuses", known: publicA,
			answers: map[string]outcomeOf{"ip": {after: 400 * time.Millisecond, addrs: publicB}},
			hosts:   map[string]outcomeOf{publicB: ok},
			dialled: publicA + "@300ms " + publicB + "@400ms", to: publicB, took: 400 * time.Millisecond,
		},
		{
			name: "the resolver is fast, and another address is known", known: publicA,
			answers: map[string]outcomeOf{"ip": {after: 200 * time.Millisecond, addrs: publicB}},
			hosts:   map[string]outcomeOf{publicA: ok, publicB: {after: time.Second}},
			dialled: publicB + "@200ms", to: publicB, took: 1200 * time.Millisecond,
		},
		{
			name: "half of dial_timeout is not waited for", known: publicA, hosts: map[string]outcomeOf{publicA: ok}, timeout: 400 * time.Millisecond,
			dialled: publicA + "@100ms", to: publicA, took: 100 * time.Millisecond,
		},
		{
			name: "SERVFAIL, and an address is known good", known: publicA, hosts: map[string]outcomeOf{publicA: ok},
			answers: map[string]outcomeOf{"ip": {after: 10 * time.Millisecond, err: errServFail}},
			dialled: publicA + "@10ms", to: publicA, took: 10 * time.Millisecond,
		},
		{
			name: "SERVFAIL, and no address is known", answers: map[string]outcomeOf{"ip": {after: 10 * time.Millisecond, err: errServFail}},
			took: 10 * time.Millisecond, unresolved: true,
		},
		{
			name: "NXDOMAIN", known: publicA, hosts: map[string]outcomeOf{publicA: ok},
			answers: map[string]outcomeOf{"ip": {after: 10 * time.Millisecond, err: errNXDomain}},
			took:    10 * time.Millisecond, unresolved: true,
		},
		{
			name: "NXDOMAIN after a lost packet", known: "127.0.0.1",
			answers: map[string]outcomeOf{"ip4": {err: errNXDomain}, "ip6": {after: 10 * time.Millisecond, err: errNXDomain}},
			took:    310 * time.Millisecond, unresolved: true,
		},
		{
			name:    "nobody answers for IPv6",
			answers: map[string]outcomeOf{"ip4": {addrs: publicA}},
			hosts:   map[string]outcomeOf{publicA: ok},
			dialled: publicA + "@300ms", to: publicA, took: 300 * time.Millisecond,
		},
		{
			name: "no IPv4 address, and the one of IPv6 comes later", answers: map[string]outcomeOf{"ip4": {err: errNXDomain}, "ip6": {after: 100 * time.Millisecond, addrs: publicV6A}},
			hosts:   map[string]outcomeOf{publicV6A: ok},
			dialled: publicV6A + "@400ms", to: publicV6A, took: 400 * time.Millisecond,
		},
		{
			name: "an address that is known, but not allowed any more", known: "10.0.0.1", hosts: map[string]outcomeOf{"10.0.0.1": ok},
			answers:    map[string]outcomeOf{"ip": {err: errServFail}},
			unresolved: true,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMadeUp(test.hosts, test.answers)
				if test.delay != 0 {
					m.delay = test.delay
				}
				if test.timeout != 0 {
					m.timeout = test.timeout
				}
				if test.known != "" {
					m.known.put(knownKey{scheme: "https", address: agoraHost.Address()}, netip.MustParseAddr(test.known))
				}
				conn, _, err := m.dial(to(t.Context(), agoraHost), agoraHost.Address())
				if took := time.Since(m.began); took != test.took {
					t.Errorf("it took %s, want %s", took, test.took)
				}
				if got := strings.Join(m.dialled, " "); got != test.dialled {
					t.Errorf("dialled %q, want %q", got, test.dialled)
				}
				switch {
				case test.to == "" && err == nil:
					t.Errorf("connected to %s", conn.RemoteAddr())
				case test.to == "":
					if cause := causeOf(err); (cause == region.NameNotResolved) != test.unresolved {
						t.Errorf("%v has the cause %d", err, cause)
					}
				case err != nil:
					t.Error(err)
				case remoteAddr(conn).String() != test.to:
					t.Errorf("connected to %s, want %s", conn.RemoteAddr(), test.to)
				}
			})
		})
	}
}

// What must not be dialled is named in one line of the log, and in the error
// when nothing else is there.
func TestRefusedAddressesAreNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMadeUp(map[string]outcomeOf{publicA: {}}, map[string]outcomeOf{"ip": {addrs: "10.0.0.1 169.254.169.254"}})
		_, _, err := m.dial(to(t.Context(), agoraHost), agoraHost.Address())
		if err == nil || !strings.Contains(err.Error(), "api.agora.io resolved to 10.0.0.1, which is no public address") {
			t.Errorf("the error %v does not say why", err)
		}
		m.answers["ip"] = outcomeOf{addrs: "10.0.0.2 " + publicA}
		if _, _, err := m.dial(to(t.Context(), agoraHost), agoraHost.Address()); err != nil {
			t.Error(err)
		}
		var lines []string
		for _, entry := range m.logs.All() {
			fields := entry.ContextMap()
			host, _ := fields["host"].(string)
			var addresses []string
			for _, address := range fields["addresses"].([]any) {
				addresses = append(addresses, address.(string))
			}
			lines = append(lines, host+": "+strings.Join(addresses, " "))
		}
		if want := []string{"api.agora.io: 10.0.0.1 169.254.169.254", "api.agora.io: 10.0.0.2"}; !slices.Equal(lines, want) {
			t.Errorf("logged %q, want %q", lines, want)
		}
	})
}

// The connections that come too late are closed, though their dialling did not
// end with the race.
func TestLateConnectionsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMadeUp(map[string]outcomeOf{
			publicA: {after: 500 * time.Millisecond, deaf: true},
			publicB: {after: 10 * time.Millisecond},
			publicC: {after: time.Hour},
		}, map[string]outcomeOf{"ip": {addrs: publicA + " " + publicB + " " + publicC}})
		conn, _, err := m.dial(to(t.Context(), agoraHost), agoraHost.Address())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(m.made) != 2 {
			t.Fatalf("%d connections were made: the test proves nothing", len(m.made))
		}
		for _, made := range m.made {
			if winner := made == conn; made.closed == winner {
				t.Errorf("%s: closed %t", made.remote, made.closed)
			}
		}
	})
}

func TestRaceEndsWithItsContext(t *testing.T) {
	for _, answers := range []map[string]outcomeOf{nil, {"ip": {addrs: publicA}}} {
		synctest.Test(t, func(t *testing.T) {
			m := newMadeUp(map[string]outcomeOf{publicA: never}, answers)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(100*time.Millisecond, cancel)
			if _, _, err := m.dial(to(ctx, agoraHost), agoraHost.Address()); err == nil {
				t.Error("connected")
			}
			if took := time.Since(m.began); took != 100*time.Millisecond {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// An address says nothing about another port, scheme or resolver of its host.
func TestKnownAddressIsThatOfOneEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMadeUp(map[string]outcomeOf{"10.0.0.1": {}}, nil)
		m.resolver = "127.0.0.1:53"
		e, err := region.ParseUpstream("https://one.test:8443", true)
		if err != nil {
			t.Fatal(err)
		}
		m.known.put(knownKey{resolver: m.resolver, scheme: "https", address: e.Address()}, netip.MustParseAddr("10.0.0.1"))
		for name, change := range map[string]func(e *region.Endpoint, m *madeUp){
			"host":     func(e *region.Endpoint, _ *madeUp) { e.Host = "two.test" },
			"port":     func(e *region.Endpoint, _ *madeUp) { e.Port = "443" },
			"scheme":   func(e *region.Endpoint, _ *madeUp) { e.Scheme = "http" },
			"resolver": func(_ *region.Endpoint, m *madeUp) { m.resolver = "" },
		} {
			other, network := e, &madeUp{dialer: m.dialer}
			change(&other, network)
			if conn, _, err := network.dial(to(t.Context(), other), other.Address()); err == nil {
				t.Errorf("another %s: connected to %s", name, conn.RemoteAddr())
			}
		}
		if _, _, err := m.dial(to(t.Context(), e), e.Address()); err != nil {
			t.Error("and the endpoint itself:", err)
		}
	})
}

func TestAtMostSoManyAddressesAreDialled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var addrs []string
		addr := netip.MustParseAddr(publicA)
		for range 3 * maxAddresses {
			addrs = append(addrs, addr.String())
			addr = addr.Next()
		}
		m := newMadeUp(nil, map[string]outcomeOf{"ip": {addrs: strings.Join(addrs, " ")}})
		if _, _, err := m.dial(to(t.Context(), agoraHost), agoraHost.Address()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Error(err)
		}
		if len(m.dialled) != maxAddresses {
			t.Errorf("dialled %d of %d addresses, want %d", len(m.dialled), len(addrs), maxAddresses)
		}
	})
}

func TestInterleave(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "",
		"::1 ::2":                         "::1 ::2",
		"::1 ::2 1.0.0.1":                 "::1 1.0.0.1 ::2",
		"1.0.0.1 ::1 ::2 ::3":             "1.0.0.1 ::1 ::2 ::3",
		"1.0.0.1 1.0.0.2 1.0.0.3 ::1 ::2": "1.0.0.1 ::1 1.0.0.2 ::2 1.0.0.3",
	} {
		var addrs []netip.Addr
		for _, addr := range strings.Fields(in) {
			addrs = append(addrs, netip.MustParseAddr(addr))
		}
		var got []string
		for _, addr := range interleave(addrs) {
			got = append(got, addr.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

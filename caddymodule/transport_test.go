package caddymodule

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/region"
)

// provisioned is a transport as a configuration without options has it.
func provisioned(t *testing.T) *Transport {
	t.Helper()
	ctx, err := caddy.ProvisionContext(&caddy.Config{})
	if err != nil {
		t.Fatal(err)
	}
	carrier := new(Transport)
	if err := carrier.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(carrier.http.Transport.CloseIdleConnections)
	return carrier
}

// carriedBy is a transport whose connections come from dial.
func carriedBy(t *testing.T, dial func(ctx context.Context, network, address string) (net.Conn, error)) *Transport {
	t.Helper()
	carrier := &Transport{
		http: &reverseproxy.HTTPTransport{Transport: &http.Transport{
			TLSClientConfig: new(tls.Config), DialContext: dial, MaxIdleConnsPerHost: 8,
		}},
		responseTimeout: 10 * time.Second,
		known:           newKnownAddresses(),
	}
	carrier.logger, _ = observed()
	if err := carrier.guardDial(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(carrier.http.Transport.CloseIdleConnections)
	return carrier
}

// endpoints are upstreams in a tracker of their own.
func endpoints(t *testing.T, urls ...string) *region.Group {
	t.Helper()
	var list []region.Endpoint
	for _, url := range urls {
		e, err := region.ParseUpstream(url, false)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return groupOf(t, list)
}

func groupOf(t *testing.T, endpoints []region.Endpoint) *region.Group {
	tracker := region.NewTracker(region.Config{})
	t.Cleanup(tracker.Close)
	return tracker.Group(endpoints)
}

// carry passes a request through g, and has carrier make the first attempt. What
// follows may look at the call.
func carry(t *testing.T, g *Gate, carrier *Transport, method, path, body string, then func(*Call, *http.Response, error)) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host, r.RemoteAddr = "localhost", "127.0.0.1:1"
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), new(caddyhttp.Server))
	attempted := false
	err := g.ServeHTTP(httptest.NewRecorder(), r, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
		attempted = true
		call := callOf(r.Context())
		if _, ok := call.next(); !ok {
			t.Fatal("no upstream to begin with")
		}
		res, err := carrier.RoundTrip(r)
		then(call, res, err)
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
		return nil
	}))
	if err != nil || !attempted {
		t.Fatalf("the call was refused: %v", err)
	}
}

// freezer is a listener whose connections can be made to stop: what they are
// sent is read by nobody, and nothing comes from them.
type freezer struct {
	net.Listener
	frozen   atomic.Bool
	accepted atomic.Int32
	closed   atomic.Int32
}

func (f *freezer) Accept() (net.Conn, error) {
	conn, err := f.Listener.Accept()
	if err != nil {
		return nil, err
	}
	f.accepted.Add(1)
	return &freezing{Conn: conn, of: f}, nil
}

type freezing struct {
	net.Conn
	of *freezer
}

// Read drops what comes to a frozen connection, and reports its end.
func (c *freezing) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil && c.of.frozen.Load() {
			c.of.closed.Add(1)
		}
		if err != nil || !c.of.frozen.Load() {
			return n, err
		}
	}
}

func (c *freezing) Write(p []byte) (int, error) {
	if c.of.frozen.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// A peer that has gone without a word (a machine that is off, a firewall that
// forgot) is noticed by the pings of HTTP/2, and not by the calls.
func TestConnectionWhosePeerIsGoneIsGivenUp(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	listener := &freezer{Listener: server.Listener}
	server.Listener = listener
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	defer server.CloseClientConnections()

	carrier := provisioned(t)
	carrier.http.Transport.TLSClientConfig.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	pings := carrier.http.Transport.HTTP2
	if pings == nil || pings.SendPingTimeout != 10*time.Second || pings.PingTimeout != 5*time.Second {
		t.Fatal("no pings after 10s, or no patience of 5s with them")
	}
	// The same, faster, but not so fast that a busy machine answers too late.
	pings.SendPingTimeout, pings.PingTimeout = time.Second, time.Second
	carrier.responseTimeout = 10 * time.Second

	p, clock := mustProject(t, withCertificate())
	g := testGate(t, clock, p)
	g.endpoints = endpoints(t, server.URL)
	answered := func(_ *Call, res *http.Response, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if res.ProtoMajor != 2 {
			t.Fatalf("over %s: the test proves nothing", res.Proto)
		}
	}
	carry(t, g, carrier, "POST", joinPath, bareJoin, answered)
	listener.frozen.Store(true)
	for deadline := time.Now().Add(time.Minute); listener.closed.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the dead connection was kept for a minute")
		}
	}
	listener.frozen.Store(false)
	carry(t, g, carrier, "POST", joinPath, bareJoin, answered)
	if n := listener.accepted.Load(); n != 2 {
		t.Errorf("%d connections, want another for the second call", n)
	}
}

// pooled is a connection that answers one request and then takes no other,
// although nobody has said so: as a peer that closed just now.
type pooled struct {
	net.Conn
	used atomic.Bool
}

func (c *pooled) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (c *pooled) Write(p []byte) (int, error) {
	if c.used.Load() {
		return 0, syscall.EPIPE
	}
	return c.Conn.Write(p)
}

// What a closed connection of the pool did not take, and no other connection
// could be had for, was not sent.
func TestCallThatFindsAClosedConnectionAndNoOtherWasNotSent(t *testing.T) {
	var dials atomic.Int32
	var first *pooled
	var serving sync.WaitGroup
	defer serving.Wait()
	carrier := carriedBy(t, func(context.Context, string, string) (net.Conn, error) {
		if dials.Add(1) > 1 {
			return nil, syscall.ECONNREFUSED
		}
		ours, theirs := net.Pipe()
		first = &pooled{Conn: ours}
		serving.Go(func() {
			defer theirs.Close()
			r, err := http.ReadRequest(bufio.NewReader(theirs))
			if err == nil {
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(theirs, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
			}
			_, _ = theirs.Read(make([]byte, 1)) // until the other end closes
		})
		return first, nil
	})
	p, clock := mustProject(t, withCertificate())
	g := testGate(t, clock, p)
	g.endpoints = endpoints(t, "http://127.0.0.1:1", "http://127.0.0.1:2")
	carry(t, g, carrier, "POST", joinPath, bareJoin, func(_ *Call, _ *http.Response, err error) {
		if err != nil {
			t.Fatal(err)
		}
	})
	first.used.Store(true)
	carry(t, g, carrier, "POST", joinPath, bareJoin, func(call *Call, _ *http.Response, err error) {
		if dials.Load() != 2 {
			t.Fatalf("%d dials: the connection of the pool was not used, or not left", dials.Load())
		}
		if _, ok := errors.AsType[reverseproxy.DialError](err); !ok {
			t.Errorf("%v is no dial error, so the reverse proxy does not go on with a join", err)
		}
		if call.outcome != notSent || call.maybeReceived {
			t.Error("taken for sent")
		}
		if next, ok := call.next(); !ok || next.Port != "2" {
			t.Error("the next upstream does not get the join")
		}
		if own, ok := errors.AsType[*callError](ofUpstream(call, err)); !ok || own.wire.Reason != errUpstreamUnreachable.wire.Reason {
			t.Errorf("the caller is told %v", own)
		}
	})
}

// breaking is a connection of many, the first Writes of which fail once broken is
// set.
type breaking struct {
	net.Conn
	broken   *atomic.Bool
	failures *atomic.Int32
}

func (c *breaking) Write(p []byte) (int, error) {
	if c.broken.Load() && c.failures.Add(1) <= maxConnections {
		return 0, syscall.EPIPE
	}
	return c.Conn.Write(p)
}

// net/http repeats a call by itself on connections of the pool that turn out to
// be closed. When it has done so often enough, the call goes to no other one:
// neither is it received there while it is taken for not sent.
func TestCallThatFindsClosedConnectionsAloneWasNotSent(t *testing.T) {
	p, clock := mustProject(t, withCertificate())
	for range 10 { // which of two things net/http does would be left to chance
		const pool = maxConnections + 1
		var received atomic.Int32
		together := make(chan struct{})
		upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			switch n := received.Add(1); {
			case n == pool:
				close(together)
			case n < pool:
				<-together
			}
		}))
		broken, failures := new(atomic.Bool), new(atomic.Int32)
		carrier := carriedBy(t, func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &breaking{conn, broken, failures}, nil
		})
		g := testGate(t, clock, p)
		g.endpoints = endpoints(t, upstream.URL, "http://127.0.0.1:2")
		var calls sync.WaitGroup
		for range pool {
			calls.Go(func() {
				carry(t, g, carrier, "POST", joinPath, bareJoin, func(_ *Call, _ *http.Response, err error) {
					if err != nil {
						t.Error(err)
					}
				})
			})
		}
		calls.Wait()
		broken.Store(true)
		carry(t, g, carrier, "POST", joinPath, bareJoin, func(call *Call, _ *http.Response, err error) {
			switch n := failures.Load(); {
			case n < maxConnections:
				t.Fatalf("%d connections took nothing, want %d: the test proves nothing", n, maxConnections)
			case n > maxConnections:
				t.Errorf("the call went to another connection")
			}
			if err == nil || call.outcome != notSent || call.maybeReceived {
				t.Errorf("%v: taken for sent", err)
			}
			if next, ok := call.next(); !ok || next.Port != "2" {
				t.Error("the next upstream does not get the join")
			}
		})
		carrier.http.Transport.CloseIdleConnections()
		upstream.Close()
		if n := received.Load() - pool; n != 0 {
			t.Fatalf("the upstream has received %d joins that were not sent", n)
		}
	}
}

// Having no stream of an HTTP/2 connection for a while, because other calls have
// them, is no failure.
func TestContentionIsNoFailure(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	a := &attempt{Context: ctx, cancel: cancel, timeout: time.Minute, timing: new(timing)}
	for range 100 {
		a.getConn("")
	}
	if err := context.Cause(ctx); err != nil {
		t.Fatalf("%v, within the time for it", err)
	}
	a.since = a.since.Add(-contention)
	a.gotConn(httptrace.GotConnInfo{})
	a.getConn("")
	if err := context.Cause(ctx); err != nil {
		t.Fatalf("%v, after a connection", err)
	}
	a.since = a.since.Add(-contention)
	a.getConn("")
	if context.Cause(ctx) != errNoConnection {
		t.Error("it has no end")
	}
	a.timer.Stop()
}

// net/http may still be dialling for a call that has moved on, to an upstream
// with other rules.
func TestDialIsJudgedByTheEndpointThatIsDialled(t *testing.T) {
	peer := netip.MustParseAddrPort("127.0.0.1:80")
	carrier := carriedBy(t, func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		_ = theirs.Close()
		return &addressed{ours, net.TCPAddrFromAddrPort(peer)}, nil
	})
	public, private := endpoints(t, "https://api.agora.io").Endpoints()[0], endpoints(t, "http://127.0.0.1").Endpoints()[0]
	for _, test := range []struct {
		name             string
		dialled, movedOn region.Endpoint
		address          string
		allowed          bool
	}{
		{"a private one, then a public one", private, public, "127.0.0.1:80", true},
		{"a public one, then a private one", public, private, "127.0.0.1:80", false},
		{"a private one, then the same", private, private, "127.0.0.1:80", true},
		{"one without TLS that turns out to be public, then a public one", private, public, "192.0.43.8:80", false},
	} {
		peer = netip.MustParseAddrPort(test.address)
		call := &Call{operation: &api.Operation{Repeatable: true}, endpoint: test.dialled}
		vars := context.WithValue(t.Context(), caddyhttp.VarsCtxKey, map[string]any{callVar: call})
		attempt := carrier.begin(vars, call)
		call.endpoint = test.movedOn
		conn, err := carrier.http.Transport.DialContext(attempt, "tcp", test.address)
		if (err == nil) != test.allowed {
			t.Errorf("%s: %v, want allowed %t", test.name, err, test.allowed)
		}
		if err == nil {
			_ = conn.Close()
		}
		attempt.cancel(nil)
	}
	if _, err := carrier.http.Transport.DialContext(t.Context(), "tcp", "127.0.0.1:80"); err == nil {
		t.Error("dialled for no call at all")
	}
}

type addressed struct {
	net.Conn
	remote net.Addr
}

func (c *addressed) RemoteAddr() net.Addr { return c.remote }

// The token that the gate saw valid may have expired when an attempt starts.
func TestNothingIsSentWithATokenThatExpiredMeanwhile(t *testing.T) {
	dials := 0
	carrier := carriedBy(t, func(context.Context, string, string) (net.Conn, error) {
		dials++
		return nil, syscall.ECONNREFUSED
	})
	clock := newTestClock()
	for _, test := range []struct {
		name    string
		c       Credentials
		renewed bool
	}{
		{"pre-built", Credentials{AppID: testAppID, AuthToken: signed(t, testAppID, clock.now())}, false},
		{"minted", withCertificate(), true},
	} {
		dials = 0
		p, clock := mustProject(t, test.c)
		g := testGate(t, clock, p)
		g.endpoints = endpoints(t, "http://127.0.0.1:1", "http://127.0.0.1:2")
		g.budget = 100 * time.Hour
		carry(t, g, carrier, "POST", joinPath, bareJoin, func(call *Call, _ *http.Response, err error) {
			if dials != 1 || err == nil {
				t.Fatalf("%s: %d dials, %v", test.name, dials, err)
			}
			old := call.credential.secret
			clock.advance(25 * time.Hour)
			r := httptest.NewRequest("POST", joinPath, nil)
			r = r.WithContext(context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{callVar: call}))
			call.next()
			_, err = carrier.RoundTrip(r)
			if test.renewed {
				if dials != 2 || call.credential.secret == old || !clock.now().Before(call.credential.expiresAt) {
					t.Errorf("%s: %d dials, and not with a token that is valid", test.name, dials)
				}
				return
			}
			own, ok := errors.AsType[*callError](ofUpstream(call, err))
			if !ok || own.wire.Status != http.StatusServiceUnavailable || own.wire.Reason != "CredentialUnavailable" {
				t.Errorf("%s: the caller is told %v", test.name, err)
			}
			if _, more := call.next(); more || dials != 1 {
				t.Errorf("%s: it went on, %d dials", test.name, dials)
			}
		})
	}
}

// An upstream may repeat in a line that net/http cannot read what it was sent;
// net/http shows the line.
func TestErrorsDoNotRepeatACredential(t *testing.T) {
	carrier := carriedBy(t, func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			reader, first := bufio.NewReader(theirs), ""
			for {
				r, err := http.ReadRequest(reader)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				if sent := r.Header.Get("Authorization"); first == "" {
					first = sent
					_, _ = io.WriteString(theirs, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
				} else {
					_, _ = io.WriteString(theirs, "HTTP/1.1 200 OK\r\nX-Fine: yes\r\nEcho "+first+" and "+sent+"\r\n\r\n")
				}
			}
		}()
		return &addressed{ours, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}}, nil
	})
	p, clock := mustProject(t, withCertificate())
	g := testGate(t, clock, p)
	g.endpoints = endpoints(t, "http://127.0.0.1:1")
	carry(t, g, carrier, "POST", joinPath, bareJoin, func(call *Call, _ *http.Response, err error) {
		if err == nil || call.refused == "" || call.refused == call.credential.secret {
			t.Fatalf("no error after a 401: %v", err != nil)
		}
		for name, secret := range map[string]string{"refused": call.refused, "present": call.credential.secret} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error repeats the %s token", name)
			}
		}
		if !strings.Contains(err.Error(), "[redacted]") {
			t.Error("the error does not show the line: the test proves nothing")
		}
	})
}

// What a caller says of the length of a body costs no memory before it comes.
func TestMemoryIsTakenForWhatComesAlone(t *testing.T) {
	p, clock := mustProject(t, withCertificate())
	g := testGate(t, clock, p)
	g.MaxBody = maxMaxBody
	r := httptest.NewRequest("POST", joinPath, io.MultiReader(strings.NewReader("{"), failing{}))
	r.ContentLength = 60_000_000
	result := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, refusal := g.readBody(httptest.NewRecorder(), r, 1024); refusal == nil {
				b.Fatal("half a body was read as a whole one")
			}
		}
	})
	if taken := result.AllocedBytesPerOp(); taken == 0 || taken > 1<<20 {
		t.Errorf("%d bytes were taken for a body that did not come", taken)
	}
	// And what does come is read, however large.
	whole := bytes.Repeat([]byte("x"), 3*trustedLength)
	r = httptest.NewRequest("POST", joinPath, bytes.NewReader(whole))
	if got, refusal := g.readBody(httptest.NewRecorder(), r, 0); refusal != nil || !bytes.Equal(got, whole) {
		t.Errorf("a large body was read as %d bytes, %v", len(got), refusal)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// The timeouts of a connection are the transport's. On the gate they would do
// nothing, which is worse than an error.
func TestTimeoutsOnTheGateAreRefused(t *testing.T) {
	for name, s := range map[string]Settings{
		"dial_timeout":     {DialTimeout: 1},
		"tls_timeout":      {TLSTimeout: 1},
		"response_timeout": {ResponseTimeout: 1},
	} {
		ctx, err := caddy.ProvisionContext(&caddy.Config{})
		if err != nil {
			t.Fatal(err)
		}
		s.Credentials = withCertificate()
		g := &Gate{Settings: s}
		if err := g.Provision(ctx); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s on the gate: %v", name, err)
		}
	}
	ctx, err := caddy.ProvisionContext(&caddy.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := (&Gate{Settings: Settings{Credentials: withCertificate(), FailoverBudget: 1}}).Provision(ctx); err != nil {
		t.Error(err)
	}
}

func TestMaxBodyIsBounded(t *testing.T) {
	for _, test := range []struct {
		size int64
		ok   bool
	}{{1, true}, {64 << 20, true}, {64<<20 + 1, false}, {1 << 40, false}, {-1, false}} {
		if err := (Settings{MaxBody: test.size}).validate(); (err == nil) != test.ok {
			t.Errorf("max_body %d: %v", test.size, err)
		}
	}
}

// A connection that follows another to the same host resumes its TLS session.
func TestTLSSessionsAreResumed(t *testing.T) {
	var resumed []bool
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resumed = append(resumed, r.TLS.DidResume)
		w.Header().Set("Connection", "close")
	}))
	t.Cleanup(server.Close)
	carrier := provisioned(t)
	carrier.http.Transport.TLSClientConfig.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	p, clock := mustProject(t, withCertificate())
	g := testGate(t, clock, p)
	g.endpoints = endpoints(t, server.URL)
	for range 2 {
		carry(t, g, carrier, http.MethodGet, "/v2/projects/_/agents", "", func(_ *Call, _ *http.Response, err error) {
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	if !slices.Equal(resumed, []bool{false, true}) {
		t.Errorf("resumed: %t", resumed)
	}
}

// A join with a prompt of 12 KiB leaves in one piece.
func TestLongJoinIsWrittenAtOnce(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	t.Cleanup(server.Close)
	carrier := provisioned(t)
	var writes atomic.Int32
	dial := carrier.http.Transport.DialContext
	carrier.http.Transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return &counting{conn, &writes}, err
	}
	p, clock := mustProject(t, withCertificate())
	g := testGate(t, clock, p)
	g.endpoints = endpoints(t, server.URL)
	body := `{"name":"a","properties":{"channel":"one","token":"given","agent_rtc_uid":"1","llm":"` + strings.Repeat("x", 12<<10) + `"}}`
	carry(t, g, carrier, http.MethodPost, joinPath, body, func(_ *Call, _ *http.Response, err error) {
		if err != nil {
			t.Fatal(err)
		}
	})
	if n := writes.Load(); n != 1 {
		t.Errorf("%d writes", n)
	}
}

type counting struct {
	net.Conn
	writes *atomic.Int32
}

func (c *counting) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

package simulator_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/simulator"
)

func (b *bench) setFaults(faults ...simulator.Fault) {
	b.t.Helper()
	if err := b.SetFaults(faults...); err != nil {
		b.t.Fatal(err)
	}
}

func TestStatusFaultAnswersTheNextCallsOfItsOperation(t *testing.T) {
	b := newBench(t, simulator.Options{})
	b.setFaults(simulator.Fault{Operation: "join", Times: 2, Status: 503, Header: http.Header{"Retry-After": {"7"}}})
	for range 2 {
		b.call("GET", "/v2/projects/{appid}/agents", "").want(200, "")
		got := b.call("POST", "/v2/projects/{appid}/join", joinBody("a", "room-1")).want(503, api.ReasonServiceUnavailable)
		if got.header.Get("Retry-After") != "7" {
			t.Error("no Retry-After")
		}
	}
	b.join("a", "room-1") // not started by the calls before
	calls := b.Calls()
	if len(calls) != 5 || !calls[1].Fault || calls[1].Status != 503 || calls[1].Verdict != simulator.Accepted || calls[0].Fault || calls[4].Fault {
		t.Errorf("calls %v", calls)
	}
	if string(calls[1].Body) != joinBody("a", "room-1") {
		t.Error("the body of a call with a fault was not read")
	}
}

func TestStatusFaultWithoutTimesLastsUntilItIsTakenAway(t *testing.T) {
	b := newBench(t, simulator.Options{Faults: []simulator.Fault{{Status: 401}}})
	for range 3 {
		got := b.call("GET", "/v2/projects/{appid}/agents", "").want(401, "")
		if got.text != `{"message":"Invalid authentication credentials"}` {
			t.Errorf("body %s", got.text)
		}
	}
	b.send("GET", "/no/route", "").want(401, "")
	b.setFaults()
	b.call("GET", "/v2/projects/{appid}/agents", "").want(200, "")
}

func TestFirstFaultThatIsNotUsedUpCounts(t *testing.T) {
	b := newBench(t, simulator.Options{})
	b.setFaults(
		simulator.Fault{Operation: "leave", Status: 500},
		simulator.Fault{Times: 1, Status: 429},
		simulator.Fault{Times: 1, Status: 302, Header: http.Header{"Location": {"http://127.0.0.1:1/"}}},
		simulator.Fault{Operation: "list", Times: 1, Status: 204},
	)
	b.server.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, want := range []int{429, 302, 204, 200} {
		if got := b.call("GET", "/v2/projects/{appid}/agents", ""); got.status != want {
			t.Errorf("status %d, want %d", got.status, want)
		}
	}
}

func TestFaultOfOneHost(t *testing.T) {
	b := newBench(t, simulator.Options{Faults: []simulator.Fault{{Host: "west.test", Status: 502}}})
	for host, want := range map[string]int{"west.test": 502, "west.test:443": 502, "east.test": 200, "": 200} {
		r, err := http.NewRequest("GET", b.server.URL+api.PrefixGlobal+"/v2/phone-numbers", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		r.Header.Set("Authorization", b.authorization)
		response, err := b.server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%q: status %d, want %d", host, response.StatusCode, want)
		}
	}
}

// each runs a test over plain HTTP/1.1, HTTP/1.1 with TLS, and HTTP/2.
func each(t *testing.T, test func(t *testing.T, b *bench, client *http.Client, url string)) {
	for _, transport := range []string{"plain", "TLS", "HTTP2"} {
		t.Run(transport, func(t *testing.T) {
			b := newBench(t, simulator.Options{})
			client, server := serve(t, b, transport != "plain", transport == "HTTP2")
			test(t, b, client, server.URL())
		})
	}
}

func serve(t *testing.T, b *bench, secure, http2 bool) (*http.Client, *simulator.Server) {
	t.Helper()
	transport := &http.Transport{ForceAttemptHTTP2: http2}
	var certificate *tls.Certificate
	if secure {
		made, ca, err := simulator.Certificate("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		certificate = &made
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(ca) {
			t.Fatal("the CA is not PEM")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	server, err := b.Listen("127.0.0.1:0", certificate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close(); transport.CloseIdleConnections() })
	return &http.Client{Transport: transport}, server
}

func post(ctx context.Context, b *bench, client *http.Client, url, body string) (*http.Response, error) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(ctx, "POST", url+api.PrefixGlobal+"/v2/projects/"+one.AppID+"/join", strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Authorization", b.authorization)
	return client.Do(r)
}

func TestResetsBreakTheConnectionAtTheirPoint(t *testing.T) {
	tests := []struct {
		action     simulator.Action
		body, done bool // was the body read, was the call carried out
	}{
		{simulator.ResetBeforeBody, false, false},
		{simulator.ResetAfterBody, true, false},
		{simulator.ResetAfterCall, true, true},
	}
	each(t, func(t *testing.T, b *bench, client *http.Client, url string) {
		for i, test := range tests {
			b.ResetCalls()
			b.setFaults(simulator.Fault{Operation: "join", Times: 1, Action: test.action})
			body := joinBody(string(rune('a'+i)), "room-1")
			response, err := post(t.Context(), b, client, url, body)
			if err == nil {
				t.Fatalf("action %d: answered %s", test.action, response.Status)
			}
			calls := b.Calls()
			if len(calls) != 1 {
				t.Fatalf("action %d: %d calls", test.action, len(calls))
			}
			if calls[0].Status != 0 || !calls[0].Fault {
				t.Errorf("action %d: %v", test.action, calls[0])
			}
			if read := string(calls[0].Body) == body; read != test.body {
				t.Errorf("action %d: body read is %t", test.action, read)
			}
			again, err := post(t.Context(), b, client, url, body)
			if err != nil {
				t.Fatal(err)
			}
			again.Body.Close()
			if conflict := again.StatusCode == http.StatusConflict; conflict != test.done {
				t.Errorf("action %d: the same join again: %s", test.action, again.Status)
			}
		}
	})
}

func TestResetIsATCPReset(t *testing.T) {
	b := newBench(t, simulator.Options{Faults: []simulator.Fault{{Action: simulator.ResetAfterBody}}})
	_, server := serve(t, b, false, false)
	conn, err := net.Dial("tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reading ended with %v", err)
	}
}

func TestStalledCallEndsWithItsClient(t *testing.T) {
	each(t, func(t *testing.T, b *bench, client *http.Client, url string) {
		b.setFaults(simulator.Fault{Operation: "join", Action: simulator.Stall})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		failed := make(chan error, 1)
		go func() {
			response, err := post(ctx, b, client, url, joinBody("a", "room-1"))
			if err == nil {
				response.Body.Close()
			}
			failed <- err
		}()
		waitFor(t, "the call", func() bool { calls := b.Calls(); return len(calls) == 1 && len(calls[0].Body) > 0 })
		select {
		case err := <-failed:
			t.Fatalf("answered, or failed with %v", err)
		default:
		}
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestStalledBodyStopsHalfWay(t *testing.T) {
	each(t, func(t *testing.T, b *bench, client *http.Client, url string) {
		b.setFaults(simulator.Fault{Operation: "join", Action: simulator.StallBody})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		response, err := post(ctx, b, client, url, joinBody("a", "room-1"))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		half := int(response.ContentLength / 2)
		if response.StatusCode != 200 || half == 0 {
			t.Fatalf("answer %s of %d bytes", response.Status, response.ContentLength)
		}
		got := make([]byte, half)
		if _, err := io.ReadFull(response.Body, got); err != nil {
			t.Fatalf("reading half of the body: %v", err)
		}
		cancel()
		if rest, err := io.ReadAll(response.Body); err == nil || len(rest) > 0 {
			t.Errorf("%d more bytes, %v", len(rest), err)
		}
	})
}

func TestDelayHoldsUpTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := simulator.New(simulator.Options{Faults: []simulator.Fault{{Times: 1, Delay: 3 * time.Second}}})
		if err != nil {
			t.Fatal(err)
		}
		listener := &pipeListener{connections: make(chan net.Conn), closed: make(chan struct{})}
		server := s.Serve(listener, nil)
		client := &http.Client{Transport: &http.Transport{DialContext: listener.dial}}
		for _, want := range []time.Duration{3 * time.Second, 0} {
			before := time.Now()
			response, err := client.Get("http://simulator.test/")
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if took := time.Since(before); took != want || response.StatusCode != 404 {
				t.Errorf("%s after %s, want 404 after %s", response.Status, took, want)
			}
		}
		client.CloseIdleConnections()
		if err := server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A pipeListener accepts connections within the process.
type pipeListener struct {
	connections chan net.Conn
	closed      chan struct{}
}

func (l *pipeListener) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	l.connections <- server
	return client, nil
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.connections:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// waitFor waits for another process or goroutine that offers nothing to wait on.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestParseFault(t *testing.T) {
	tests := []struct {
		spec string
		want simulator.Fault
	}{
		{"status=401", simulator.Fault{Status: 401}},
		{"join:status=503,times=3,retry-after=2", simulator.Fault{Operation: "join", Status: 503, Times: 3, Header: http.Header{"Retry-After": {"2"}}}},
		{"leave:delay=1m30s", simulator.Fault{Operation: "leave", Delay: 90 * time.Second}},
		{"phone_number_add:reset-after-call,times=1", simulator.Fault{Operation: "phone_number_add", Action: simulator.ResetAfterCall, Times: 1}},
		{"reset-before-body", simulator.Fault{Action: simulator.ResetBeforeBody}},
		{"reset-after-body,delay=1ms", simulator.Fault{Action: simulator.ResetAfterBody, Delay: time.Millisecond}},
		{"stall,host=::1", simulator.Fault{Action: simulator.Stall, Host: "::1"}},
		{"query:stall-body", simulator.Fault{Operation: "query", Action: simulator.StallBody}},
	}
	for _, test := range tests {
		got, err := simulator.ParseFault(test.spec)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, %v; want %+v", test.spec, got, err, test.want)
		}
	}
	for _, spec := range []string{
		"", "join", "join:", "dance:status=500", "status=", "status=0", "status=199", "status=600", "status=x", "times=3", "status=500,times=0",
		"delay=3", "delay=-1s", "stall,status=500", "stall,stall-body", "status=500,", "status=500,x=1", "retry-after=x,status=429",
	} {
		if got, err := simulator.ParseFault(spec); err == nil {
			t.Errorf("%q is %+v", spec, got)
		}
	}
}

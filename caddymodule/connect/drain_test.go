package connect

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

func TestWhatIsUnderWayIsWaitedFor(t *testing.T) {
	closed := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	if !closed(newUnderWay().stop()) {
		t.Error("nothing is waited for")
	}
	u := newUnderWay()
	for range 2 {
		if !u.begin() {
			t.Fatal("nothing may begin")
		}
	}
	u.end()
	none := u.stop()
	if closed(none) {
		t.Error("not waited for")
	}
	if u.begin() {
		t.Error("something may begin afterwards")
	}
	u.end()
	if !closed(none) {
		t.Error("waited for for ever")
	}
}

// The handler of a CONNECT that was read before may run when its configuration has been
// replaced already, and inside is served no longer.
func TestConnectThatIsLateIsServed(t *testing.T) {
	for _, protocol := range []string{"http/1.1", "h2"} {
		h, address := stopping(t)
		transport, connections := through(t, h, address, protocol)
		for range 2 {
			res, err := transport.RoundTrip(httptest.NewRequest("GET", "https://api.agora.io/", nil))
			if err != nil {
				t.Fatal(protocol, err)
			}
			if body, err := io.ReadAll(res.Body); err != nil || string(body) != "served" {
				t.Errorf("%s: %s %q, %v", protocol, res.Status, body, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		Wait(ctx) // the process ends
		if ctx.Err() != nil {
			t.Errorf("%s: the end of the connections is waited for for ever", protocol)
		}
		cancel()
		if h.shaking.begin() {
			t.Errorf("%s: a connection may begin at the end", protocol)
		}
		if *connections != 2 {
			t.Errorf("%s: 2 requests on %d connections", protocol, *connections)
		}
	}
}

// stopping is a handler that has begun to stop, and the address of a server that has it
// intercept every request.
func stopping(t *testing.T) (*Handler, string) {
	t.Helper()
	ca, err := newCA(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	h := &Handler{ca: ca, logger: zap.NewNop()}
	h.setUp()
	h.late.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.intercept(w, r.WithContext(context.WithValue(r.Context(), caddyhttp.ServerCtxKey, new(caddyhttp.Server))), "api.agora.io", "")
	}))
	t.Cleanup(server.Close)
	h.drain()
	<-h.inside.closed
	return h, server.Listener.Addr().String()
}

// through is a client of what is behind the CONNECT to address, and how many
// connections it has made.
func through(t *testing.T, h *Handler, address, protocol string) (transport *http.Transport, connections *int) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(h.ca.certificate)
	connections = new(int)
	transport = &http.Transport{ForceAttemptHTTP2: protocol == "h2", DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		*connections++
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		if _, err := io.WriteString(conn, "CONNECT api.agora.io:443 HTTP/1.1\r\nHost: api.agora.io\r\n\r\n"); err != nil {
			return nil, err
		}
		if _, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: "CONNECT"}); err != nil {
			return nil, err
		}
		secure := tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: "api.agora.io", NextProtos: []string{protocol}})
		return secure, secure.HandshakeContext(ctx)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return transport, connections
}

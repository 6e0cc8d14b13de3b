package connect

import (
	"context"
	"crypto/tls"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/caddymodule"
)

// interception is what is known of a connection that was made to one of the vendor's
// hosts, and ends here.
type interception struct {
	host        string
	callerToken string            // of the CONNECT
	server      *caddyhttp.Server // that the CONNECT came to
}

type interceptionKey struct{}

// interceptionOf returns that of a request's context, nil where the request did not
// come on such a connection.
func interceptionOf(ctx context.Context) *interception {
	i, _ := ctx.Value(interceptionKey{}).(*interception)
	return i
}

// insideServer serves the requests on intercepted connections, HTTP/1.1 and 2. It is
// their [net.Listener], too.
type insideServer struct {
	refuse func(w http.ResponseWriter, r *http.Request, e api.Error, cause error)
	logger *zap.Logger

	conns  chan net.Conn
	closed chan struct{}

	requests          *underWay
	starting, closing sync.Once
	http              http.Server
}

func (h *Handler) newInsideServer() *insideServer {
	s := &insideServer{refuse: h.refuse, logger: h.logger, requests: newUnderWay(), conns: make(chan net.Conn), closed: make(chan struct{})}
	s.http.Handler = s
	s.http.ErrorLog = log.New(debugLog{h.logger}, "", 0)
	s.http.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		// net/http knows TLS by the type of the connection alone.
		return context.WithValue(ctx, interceptionKey{}, conn.(*tls.Conn).NetConn().(*clientConn).interception)
	}
	return s
}

// serve has the requests on conn served. It is false where s serves no longer, and
// conn is then the caller's to close.
func (s *insideServer) serve(conn *tls.Conn, front *caddyhttp.Server) bool {
	s.starting.Do(func() {
		s.http.ReadTimeout, s.http.WriteTimeout = time.Duration(front.ReadTimeout), time.Duration(front.WriteTimeout)
		s.http.ReadHeaderTimeout, s.http.IdleTimeout = time.Duration(front.ReadHeaderTimeout), time.Duration(front.IdleTimeout)
		s.http.MaxHeaderBytes = front.MaxHeaderBytes
		go func() { _ = s.http.Serve(s) }() // until Close
	})
	select {
	case s.conns <- conn:
		return true
	case <-s.closed:
		return false
	}
}

// end has the connections of s end as those of the server do, and waits for them.
func (s *insideServer) end() {
	_ = s.http.Shutdown(context.Background()) // requests have time-outs of their own
	_ = s.Close()
	<-s.requests.stop() // with HTTP/2, some go on without their connection
}

// Accept implements [net.Listener].
func (s *insideServer) Accept() (net.Conn, error) {
	select {
	case conn := <-s.conns:
		return conn, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener]: s serves no further connections.
func (s *insideServer) Close() error {
	s.closing.Do(func() { close(s.closed) })
	return nil
}

// Addr implements [net.Listener].
func (s *insideServer) Addr() net.Addr { return insideAddr{} }

type insideAddr struct{}

func (insideAddr) Network() string { return "convoai" }
func (insideAddr) String() string  { return "inside" }

// ServeHTTP gives a request that is for the host of its connection to the server in
// front, all of whose routes it then runs through. This is seen to here and not in
// the routes, which may have a matcher that leaves the request out.
func (s *insideServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.requests.begin() {
		s.turnAway(w, r, errStopping)
		return
	}
	defer s.requests.end()
	i := interceptionOf(r.Context())
	switch {
	case r.Method == http.MethodConnect:
		s.turnAway(w, r, errConnectInside)
	case r.TLS == nil || lower(r.TLS.ServerName) != i.host || !isAuthorityOf(r.Host, i.host):
		s.turnAway(w, r, errMisdirected)
	default:
		i.server.ServeHTTP(w, r.WithContext(caddymodule.Inside(r.Context(), i.host, i.callerToken)))
	}
}

// turnAway refuses r, and closes the connection: who sends such a request means
// something else by the connection than we do.
func (s *insideServer) turnAway(w http.ResponseWriter, r *http.Request, e api.Error) {
	w.Header().Set("Connection", "close")
	s.refuse(w, r, e, nil)
}

// debugLog is where net/http says what went wrong with a client.
type debugLog struct{ logger *zap.Logger }

// Write implements [io.Writer].
func (l debugLog) Write(p []byte) (int, error) {
	l.logger.Debug("serving an intercepted connection", zap.ByteString("message", p))
	return len(p), nil
}

package connect

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// handshakeTimeout bounds the TLS handshake with a client.
const handshakeTimeout = 10 * time.Second

// established is the answer to a CONNECT that is carried out.
const established = "HTTP/1.1 200 Connection Established\r\n\r\n"

// intercept ends the connection of a CONNECT to host here, and has the requests on
// it served. It returns when the connection is closed.
func (h *Handler) intercept(w http.ResponseWriter, r *http.Request, host, callerToken string) {
	certificate, err := h.ca.forHost(host)
	if err != nil {
		h.refuse(w, r, errCertificate, err)
		return
	}
	if !h.shaking.begin() {
		h.refuse(w, r, errStopping, nil)
		return
	}
	conn, served := h.secure(w, r, host, callerToken, certificate)
	h.shaking.end()
	if conn == nil {
		return
	}
	defer conn.Close()
	if served {
		<-conn.closed
	}
}

// secure makes TLS on the connection of a CONNECT that is taken over, and has the
// requests on it served. It returns nil where it could not be taken over.
func (h *Handler) secure(w http.ResponseWriter, r *http.Request, host, callerToken string, certificate *tls.Certificate) (conn *clientConn, served bool) {
	conn, err := takeOver(w, r)
	if err != nil {
		h.refuse(w, r, errVersion, err)
		return nil, false
	}
	server := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	conn.interception = &interception{host, callerToken, server}
	secure := tls.Server(conn, tlsConfig(host, certificate))
	if err := h.shake(conn, secure); err != nil {
		h.logHandshake(r, host, err)
		return conn, false
	}
	return conn, h.inside.serve(secure, server) || h.late.serve(secure, server)
}

// shake answers the CONNECT and makes the TLS handshake.
func (h *Handler) shake(conn net.Conn, secure *tls.Conn) error {
	ctx, cancel := context.WithTimeout(h.shakingContext, handshakeTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // also while the answer is written
	defer stop()
	if _, err := io.WriteString(conn, established); err != nil {
		return err
	}
	return secure.HandshakeContext(ctx)
}

// tlsConfig is for one connection to host. A client that wants another name, or
// none, gets no certificate, which is the alert unrecognized_name. There is no
// resumption, which would go past that.
func tlsConfig(host string, certificate *tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS12,
		NextProtos:             []string{"h2", "http/1.1"},
		SessionTicketsDisabled: true,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if lower(hello.ServerName) != host {
				return nil, nil
			}
			return certificate, nil
		},
	}
}

// logHandshake says why a client was not served: as a warning where it looks as if
// it does not trust the CA, which its own message may not say.
func (h *Handler) logHandshake(r *http.Request, host string, err error) {
	fields := []zap.Field{zap.String("remote", r.RemoteAddr), zap.String("host", host), zap.Error(err)}
	remote, ok := errors.AsType[*net.OpError](err)
	if ok && remote.Op == "remote error" && strings.Contains(err.Error(), "certificate") && h.notices.pass() {
		h.logger.Warn("a client does not trust the CA for intercepted calls: caddy convoai trust says how it would", fields...)
		return
	}
	h.logger.Debug("no TLS with a client", fields...)
}

// clientConn is the connection of a CONNECT that was taken over from net/http.
type clientConn struct {
	net.Conn
	early  []byte        // what the client sent before it had its answer
	closed chan struct{} // closed by Close
	once   sync.Once

	interception *interception // nil for a tunnel
}

type connKey struct{}

// withConn puts the connection itself into the context of its requests. What Caddy
// hands out when a connection is taken over may be wrapped, and then cannot end in
// one direction alone, and counts for the access log until the handler has returned.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// takeOver takes the connection of r over.
func takeOver(w http.ResponseWriter, r *http.Request) (*clientConn, error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	if itself, ok := r.Context().Value(connKey{}).(net.Conn); ok {
		conn = itself
	}
	early, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	_ = conn.SetDeadline(time.Time{})
	return &clientConn{Conn: conn, early: bytes.Clone(early), closed: make(chan struct{})}, nil
}

// Read implements [net.Conn].
func (c *clientConn) Read(p []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(p, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// Close implements [net.Conn].
func (c *clientConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { close(c.closed) })
	return err
}

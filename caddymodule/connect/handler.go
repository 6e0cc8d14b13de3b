package connect

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-convoai/convoai/caddymodule"
	"github.com/caddy-convoai/convoai/region"
)

func init() {
	caddy.RegisterModule(new(Handler))
}

// Handler makes a site a forward proxy for ConvoAI calls: CONNECT to one of the
// vendor's hosts ends here, with a certificate of the sidecar's own CA, and the
// requests on that connection run through the site's routes like any others. It
// stands before the convoai handler, whose rules of who may call are its own:
// allow_from for CONNECT, and all of them for what is inside.
//
// CONNECT to any other host is refused, unless Tunnel names it, and so are other
// ports than 443 and IP addresses. The name of the CONNECT, the server name of TLS
// and the Host of every request must be the same.
//
// A client's proxy password (Proxy-Authorization, Basic; the user name is of no
// account) counts as its caller token, for requests without one of their own.
//
// Where the site itself has TLS, and clients come to it by a name of the vendor's
// that was redirected, server name and Host must be the same, and OtherPaths holds
// for them too.
type Handler struct {
	// Tunnel are further hosts that may be connected to, by exact names, on port
	// 443. The sidecar passes bytes, and sees none of what is in them. Where every
	// app asks for a caller token, the proxy password must be one. Default: none.
	Tunnel []string `json:"tunnel,omitempty"`

	// TunnelPrivate allows addresses of the hosts in Tunnel that are loopback,
	// private or link-local. Default: off.
	TunnelPrivate bool `json:"tunnel_private,omitempty"`

	// OtherPaths says what becomes of requests to an intercepted host that are no
	// ConvoAI calls, such as those of other Agora APIs: "refuse" leaves them to the
	// convoai handler, which answers 404; "forward" passes them on with the
	// client's own headers and nothing of the sidecar's, to the first configured
	// upstream, or without any to the host that the client wanted. Default: refuse.
	OtherPaths string `json:"other_paths,omitempty"`

	// ProxyAuth says who has to show a proxy password: "optional", nobody but
	// those who want a tunnel or have no other caller token; "required", everyone,
	// or the answer is 407. Default: optional.
	ProxyAuth string `json:"proxy_auth,omitempty"`

	// CA says where the CA is kept: "storage", Caddy's, or "memory", that of this
	// process. Default: storage.
	CA string `json:"ca,omitempty"`

	ca      *CA
	front   *caddymodule.Front
	tunnels map[string]bool
	slots   chan struct{} // one for each tunnel there is
	others  chan struct{} // one for each request to another API there is
	inside  *insideServer
	late    *insideServer // for connections that come when the server stops: one request each
	logger  *zap.Logger
	notices *throttle

	draining       chan struct{} // closed when the server stops
	drainOnce      sync.Once
	hurried        chan struct{} // closed by hurry, once no further connections come
	hurry          func()
	drained        chan struct{} // closed when all connections have ended
	shaking        *underWay
	shakingContext context.Context
	cancelShaking  context.CancelFunc
}

// The values of settings that are words.
const (
	refuseOthers  = "refuse"
	forwardOthers = "forward"

	authOptional = "optional"
	authRequired = "required"

	inStorage = "storage"
	inMemory  = "memory"
)

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.convoai_connect",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision gets the CA, which is made where there is none yet.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.logger = ctx.Logger()
	h.notices = newThrottle(time.Now)
	if err := h.readSettings(); err != nil {
		return err
	}
	app, err := caddymodule.AppOf(ctx)
	if err != nil {
		return err
	}
	h.front = app.Front(ctx)
	if h.CA == inMemory {
		h.ca, err = MemoryCA()
	} else {
		h.ca, err = keptCA(ctx, ctx.Storage(), time.Now, h.logger)
	}
	if err != nil {
		return err
	}
	h.setUp()
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		server.RegisterConnContext(withConn)
		server.RegisterOnShutdown(h.drain)
		server.RegisterOnStop(h.stop)
	}
	return nil
}

// setUp has h ready for connections, and for their end.
func (h *Handler) setUp() {
	h.slots, h.others = make(chan struct{}, maxTunnels), make(chan struct{}, maxForwarded)
	h.draining, h.drained, h.hurried = make(chan struct{}), make(chan struct{}), make(chan struct{})
	h.hurry = sync.OnceFunc(func() { close(h.hurried) })
	h.shaking = newUnderWay()
	h.shakingContext, h.cancelShaking = context.WithCancel(context.Background())
	h.inside, h.late = h.newInsideServer(), h.newInsideServer()
	h.late.http.SetKeepAlivesEnabled(false)
}

func (h *Handler) readSettings() error {
	for _, word := range []struct {
		name    string
		value   *string
		allowed [2]string // the first is the default
	}{
		{"other_paths", &h.OtherPaths, [2]string{refuseOthers, forwardOthers}},
		{"proxy_auth", &h.ProxyAuth, [2]string{authOptional, authRequired}},
		{"ca", &h.CA, [2]string{inStorage, inMemory}},
	} {
		if *word.value == "" {
			*word.value = word.allowed[0]
		}
		if *word.value != word.allowed[0] && *word.value != word.allowed[1] {
			return fmt.Errorf("%s must be %s or %s", word.name, word.allowed[0], word.allowed[1])
		}
	}
	h.tunnels = make(map[string]bool, len(h.Tunnel))
	for _, name := range h.Tunnel {
		host, err := ParseTunnel(name)
		if err != nil {
			return err
		}
		h.tunnels[host] = true
	}
	return nil
}

// ParseTunnel returns the host that a tunnel may go to, in lower case.
func ParseTunnel(name string) (string, error) {
	host, err := parseName(name)
	switch {
	case err != nil:
		return "", errors.New("tunnel takes host names of two labels at least, without port, address or pattern")
	case region.VendorHost(host):
		return "", fmt.Errorf("tunnel: %s is a ConvoAI host, whose connections are intercepted", host)
	}
	return host, nil
}

// Cleanup ends what is still there where the server has never run.
func (h *Handler) Cleanup() error {
	if h.inside != nil {
		h.drain()
	}
	return nil
}

// ServeHTTP implements [caddyhttp.MiddlewareHandler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if i := interceptionOf(r.Context()); i != nil {
		return h.serveInside(w, r, i.host, next)
	}
	if r.Method == http.MethodConnect {
		h.serveConnect(w, r)
		return nil
	}
	password, given := proxyPassword(r)
	if h.ProxyAuth == authRequired && !(given && h.front.KnowsCaller(password)) {
		h.refuse(w, r, errProxyAuth, nil)
		return nil
	}
	if given {
		r = r.WithContext(caddymodule.WithCallerToken(r.Context(), password))
	}
	if host, ok := redirected(r.TLS); ok {
		if !isAuthorityOf(r.Host, host) {
			h.refuse(w, r, errMisdirected, nil)
			return nil
		}
		return h.serveInside(w, r, host, next)
	}
	return next.ServeHTTP(w, r)
}

// redirected returns the vendor's host that a client wanted who came to this site
// itself, and with TLS.
func redirected(state *tls.ConnectionState) (host string, ok bool) {
	if state == nil {
		return "", false
	}
	host = lower(state.ServerName)
	return host, region.VendorHost(host)
}

// serveInside answers a request that was meant for host, one of the vendor's.
func (h *Handler) serveInside(w http.ResponseWriter, r *http.Request, host string, next caddyhttp.Handler) error {
	if h.OtherPaths == forwardOthers && isOther(r) {
		h.forward(w, r, host)
		return nil
	}
	return next.ServeHTTP(w, r)
}

// serveConnect answers a CONNECT.
func (h *Handler) serveConnect(w http.ResponseWriter, r *http.Request) {
	password, given := proxyPassword(r)
	known := given && h.front.KnowsCaller(password)
	switch {
	case h.front.Err() != nil:
		h.refuse(w, r, errNoGate, h.front.Err())
		return
	case !h.front.AdmitsPeer(r):
		h.refuse(w, r, errPeerNotAllowed, nil)
		return
	case outgoing.has(r.RemoteAddr):
		h.refuse(w, r, errLoop, nil)
		return
	case r.ProtoMajor != 1:
		h.refuse(w, r, errVersion, nil)
		return
	case h.ProxyAuth == authRequired && !known:
		h.refuse(w, r, errProxyAuth, nil)
		return
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		h.refuse(w, r, errBody, nil)
		return
	}
	host, err := parseAuthority(r.RequestURI)
	switch {
	case err != nil:
		h.refuse(w, r, errHost(err.Error()), nil)
	case region.VendorHost(host):
		h.intercept(w, r, host, password)
	case !h.tunnels[host]:
		h.refuse(w, r, errHost("CONNECT is for ConvoAI hosts; tunnel would have to name this one"), nil)
	case !known && !h.front.KnowsCaller(""):
		h.refuse(w, r, errProxyAuth, nil)
	default:
		h.tunnel(w, r, host)
	}
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddyfile.Unmarshaler       = (*Handler)(nil)
)

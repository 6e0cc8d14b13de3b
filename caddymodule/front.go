package caddymodule

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/region"
)

// Front is what a handler that stands in front of a gate has of it: whom it admits,
// and how its calls reach hosts. It knows no credentials of the vendor's. It is safe
// for concurrent use.
type Front struct {
	server *caddyhttp.Server
	gate   *Gate // nil until it is provisioned
}

// Front returns that of the gate which is provisioned next for the server of ctx:
// modules are provisioned in the order in which they stand.
func (a *App) Front(ctx caddy.Context) *Front {
	f := &Front{server: siteServer(ctx)}
	a.fronts = append(a.fronts, f)
	return f
}

// siteServer returns the server whose handlers are provisioned in ctx.
func siteServer(ctx caddy.Context) *caddyhttp.Server {
	server, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	return server
}

// standBehind gives g to those that stand in front of it.
func (a *App) standBehind(ctx caddy.Context, g *Gate) {
	for _, f := range a.fronts {
		if f.gate == nil && f.server == siteServer(ctx) {
			f.gate = g
		}
	}
}

// carryBy gives a's gates that have none the transport of the reverse proxy behind
// them. That one may have routes for responses, which get the requests that the
// last gate has passed on.
func (a *App) carryBy(t *Transport, routes bool) {
	for _, g := range a.gates {
		if g.transport == nil {
			g.transport, g.proxyOnly = t, true
		}
	}
	if n := len(a.gates); n > 0 && routes {
		a.gates[n-1].proxyOnly = false
	}
}

// errNoGate is why a Front without a gate does nothing.
var errNoGate = errors.New("no convoai directive follows in this site")

// Err says why f can be of no use, nil: it can.
func (f *Front) Err() error {
	if f.gate == nil {
		return errNoGate
	}
	return nil
}

// AdmitsPeer reports whether the gate serves the other end of r's connection.
func (f *Front) AdmitsPeer(r *http.Request) bool {
	return f.gate != nil && f.gate.access.peerAllowed(r)
}

// KnowsCaller reports whether a caller with this caller token may use any of the
// gate's apps. Where one of them asks for none, every caller may.
func (f *Front) KnowsCaller(callerToken string) bool {
	return f.gate != nil && f.gate.callerKnown(callerToken)
}

// asksCaller are the gate's checks of who is calling.
var asksCaller = []func(*Gate, *arrival) *callError{
	(*Gate).checkPeer, (*Gate).checkHost, (*Gate).checkFetchSite, (*Gate).checkOrigin, (*Gate).checkLoop,
}

// Admit makes the gate's checks of who is calling, caller token included, for a
// request that is not for the gate. Where one of them fails, admitted is false.
func (f *Front) Admit(r *http.Request) (refusal api.Error, admitted bool) {
	if f.gate == nil {
		return errCredentialUnavailable.wire, false
	}
	for _, check := range asksCaller {
		if e := check(f.gate, &arrival{r: r}); e != nil {
			return e.wire, false
		}
	}
	if !f.gate.callerKnown(callerTokenOf(r)) {
		return errCallerNotAuthorized.wire, false
	}
	return api.Error{}, true
}

// Refuse answers r with e as the gate would, and counts it. cause is for the log.
func (f *Front) Refuse(w http.ResponseWriter, r *http.Request, e api.Error, cause error) {
	if f.gate == nil {
		_ = AnswerError(w, r, e)
		return
	}
	_ = f.gate.refuse(w, r, new(Call), (&callError{wire: e}).because(cause))
}

// RoundTrip sends r, which is no call, where a call would go that has no choice: to
// the first of the configured upstreams, or without any to host, one of the
// vendor's. Resolver, address check and trust are those of calls; the headers are
// r's own. Redirects are not followed. The context of r bounds it, and nothing else
// once it is connected.
func (f *Front) RoundTrip(r *http.Request, host string) (*http.Response, error) {
	t, err := f.transport()
	if err != nil {
		return nil, err
	}
	e := hostEndpoint(host)
	if f.gate.configured {
		e = f.gate.endpoints.Endpoints()[0]
	}
	return (&Client{transport: t}).RoundTrip(r, e)
}

// Dial makes a TCP connection to port 443 of host, as one for a call is made. private
// allows addresses that are not public.
func (f *Front) Dial(ctx context.Context, host string, private bool) (net.Conn, error) {
	t, err := f.transport()
	if err != nil {
		return nil, err
	}
	if t.proxied {
		return nil, errors.New("tunnels are not possible where calls go through a forward proxy")
	}
	e := hostEndpoint(host)
	e.AllowPrivate = private
	return t.http.Transport.DialContext(context.WithValue(ctx, endpointKey{}, &e), "tcp", e.Address())
}

func hostEndpoint(host string) region.Endpoint {
	return region.Endpoint{Scheme: "https", Host: host, Port: "443", Region: host}
}

func (f *Front) transport() (*Transport, error) {
	switch {
	case f.gate == nil:
		return nil, errNoGate
	case f.gate.transport == nil:
		return nil, errors.New("no reverse proxy with transport convoai follows in this site")
	}
	return f.gate.transport, nil
}

// leadsBack reports whether err, that of a call's attempts, is that the vendor's
// hosts have the address here to which the client came by the name of one of them:
// whoever has redirected the name for the client has done so for this sidecar too.
func leadsBack(r *http.Request, err error) bool {
	refused, ok := errors.AsType[region.PrivateError](err)
	local, isTCP := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && isTCP && r.TLS != nil && region.VendorHost(hostOf(r.TLS.ServerName)) && !cameInside(r, hostOf(r.Host)) &&
		refused.Addr == local.AddrPort().Addr().Unmap()
}

// passage is how a request has come to the gate, where that was not on a connection
// to this server: inside of one that the client believes to be the vendor's.
type passage struct {
	host        string
	callerToken string
}

type passageKey struct{}

// Inside returns a context for requests that came on a connection which was made to
// host, one of the vendor's, and ended here. It has been seen to that this is their
// Host. callerToken is what came with the connection; a request may have another.
func Inside(ctx context.Context, host, callerToken string) context.Context {
	return context.WithValue(ctx, passageKey{}, &passage{host, callerToken})
}

// WithCallerToken returns a context for a request whose caller token is not in
// X-Convoai-Caller-Token.
func WithCallerToken(ctx context.Context, callerToken string) context.Context {
	return context.WithValue(ctx, passageKey{}, &passage{callerToken: callerToken})
}

// callerTokenOf returns the caller token of r: that of the header, if there is one
// at all, or what has come another way.
func callerTokenOf(r *http.Request) string {
	if values, ok := r.Header[callerTokenHeader]; ok {
		return onlyValue(values)
	}
	if p, ok := r.Context().Value(passageKey{}).(*passage); ok {
		return p.callerToken
	}
	return ""
}

// cameInside reports whether r came on a connection that was made to host.
func cameInside(r *http.Request, host string) bool {
	p, ok := r.Context().Value(passageKey{}).(*passage)
	return ok && p.host != "" && p.host == host
}

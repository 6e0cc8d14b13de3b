package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"

	"github.com/caddy-convoai/convoai/region"
)

func init() {
	caddy.RegisterModule(Transport{})
}

// Transport carries one attempt of a ConvoAI call. It takes nothing from the
// caller's request but the headers that the gate's policy passes on; method,
// URL, Host, body and Authorization come from the Call. A 401 to a minted token
// has that token replaced and the attempt sent once more.
//
// Without the convoai handler in front it answers 503 CredentialUnavailable and
// dials nothing.
//
// An upstream's addresses are checked before they are dialled: no loopback,
// private, link-local or reserved ones without upstream_private, and no public
// ones without TLS. They are tried in the Happy Eyeballs way, 300ms apart. When
// the resolver fails, or does not answer for 300ms (or a quarter of the dial
// timeout), the address of a connection of the last hour is dialled (without
// TLS: of the last minute). Certificates are verified by the upstream's name.
type Transport struct {
	// TransportRaw is the inner transport, which must be "http". Beside what
	// the http transport does by default, it uses no proxy from the
	// environment (network_proxy none), does not ask for compression, and
	// closes idle connections after 15s, before the vendor does, and any
	// connection on which the other end has confirmed nothing for 5s (not with
	// a probe_interval of its own), keeps up to 256 idle ones per host, and
	// collects 16KiB before it writes. The timeouts that it leaves open are
	// those of the convoai app.
	TransportRaw json.RawMessage `json:"transport,omitempty" caddy:"namespace=http.reverse_proxy.transport inline_key=protocol"`

	http            *reverseproxy.HTTPTransport
	proxied         bool          // a forward proxy was configured
	probed          bool          // no keepalive_interval was configured
	responseTimeout time.Duration // from the connection to the response header
	known           *knownAddresses
	logger          *zap.Logger
}

// An HTTP/2 connection on which nothing has come in for pingAfter is asked
// whether it still works, and closed if nothing comes back within pingTimeout.
const (
	pingAfter   = 10 * time.Second
	pingTimeout = 5 * time.Second
)

// idleConnTimeout keeps idle connections shorter than the vendor does, so that
// a call seldom meets one that is just being closed.
const idleConnTimeout = 15 * time.Second

// writeBufferSize lets a join with a long prompt go out in one write, and as one
// record of TLS, which holds 16 KiB.
const writeBufferSize = 16 << 10

// sessions is how many upstreams TLS sessions are kept of, to be resumed by later
// connections: more than an area has names.
const sessions = 64

// CaddyModule returns the Caddy module information.
func (Transport) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.transport.convoai",
		New: func() caddy.Module { return new(Transport) },
	}
}

// Provision sets up the inner transport.
func (t *Transport) Provision(ctx caddy.Context) error {
	t.logger = ctx.Logger()
	app, err := AppOf(ctx)
	if err != nil {
		return err
	}
	inner := new(reverseproxy.HTTPTransport)
	if len(t.TransportRaw) > 0 {
		var protocol struct {
			Protocol string `json:"protocol"`
		}
		if err := json.Unmarshal(t.TransportRaw, &protocol); err != nil || protocol.Protocol != "http" {
			return errors.New("the transport inside transport convoai must be http")
		}
		if err := decodeModule(t.TransportRaw, inner); err != nil {
			return err
		}
	}
	if err := checkTransport(inner); err != nil {
		return err
	}
	t.proxied = inner.ForwardProxyURL != "" || namesProxy(inner.NetworkProxyRaw)
	t.probed = inner.KeepAlive == nil || inner.KeepAlive.ProbeInterval == 0
	setTransportDefaults(inner, app.Settings.withDefaults())
	// net/http's own timeout of this name begins only when the request has been
	// written, which a peer that does not read can prevent for ever.
	t.responseTimeout, inner.ResponseHeaderTimeout = time.Duration(inner.ResponseHeaderTimeout), 0

	// The inner transport is loaded as a module of its own, so that Caddy
	// provisions it and cleans it up.
	t.TransportRaw = caddyconfig.JSONModuleObject(inner, "protocol", "http", nil)
	mod, err := ctx.LoadModule(t, "TransportRaw")
	if err != nil {
		return fmt.Errorf("loading the http transport: %w", err)
	}
	t.http = mod.(*reverseproxy.HTTPTransport)
	t.known = app.state.known
	if err := t.guardDial(); err != nil {
		return err
	}
	// A connection that has died without a word is given up, instead of being
	// used for every call until TCP notices.
	t.http.Transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout}
	return nil
}

// decodeModule decodes the configuration of a module, without its inline key.
func decodeModule(raw json.RawMessage, module any) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return err
	}
	delete(fields, "protocol")
	raw, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	return caddy.StrictUnmarshalJSON(raw, module)
}

// namesProxy reports whether a network_proxy is one. None would be the default, and
// must be guarded as that is.
func namesProxy(raw json.RawMessage) bool {
	var proxy struct {
		From string `json:"from"`
	}
	return len(raw) > 0 && (json.Unmarshal(raw, &proxy) != nil || proxy.From != "none")
}

// checkTransport refuses what would take a connection past the address check or
// the TLS check.
func checkTransport(h *reverseproxy.HTTPTransport) error {
	for _, version := range h.Versions {
		if version == "3" || version == "h2c" {
			return fmt.Errorf("HTTP version %s is not supported to ConvoAI upstreams: use 1.1 and 2", version)
		}
	}
	switch {
	case h.ProxyProtocol != "":
		return errors.New("proxy_protocol is not supported to ConvoAI upstreams")
	case h.TLS != nil && h.TLS.ServerName != "":
		return errors.New("tls_server_name is not supported to ConvoAI upstreams: the name is the upstream's")
	case h.TLS != nil && len(h.TLS.ExceptPorts) > 0:
		return errors.New("tls_except_ports is not supported to ConvoAI upstreams: use an http:// upstream")
	case h.TLS != nil && h.TLS.InsecureSkipVerify:
		return errors.New("tls_insecure_skip_verify is not supported to ConvoAI upstreams: trust the upstream's CA with tls_trust_pool")
	}
	return nil
}

func setTransportDefaults(h *reverseproxy.HTTPTransport, s Settings) {
	setDefault(&h.DialTimeout, s.DialTimeout)
	setDefault(&h.ResponseHeaderTimeout, s.ResponseTimeout)
	if h.TLS == nil {
		h.TLS = new(reverseproxy.TLSConfig)
	}
	setDefault(&h.TLS.HandshakeTimeout, s.TLSTimeout)
	if h.KeepAlive == nil {
		h.KeepAlive = new(reverseproxy.KeepAlive)
	}
	setDefault(&h.KeepAlive.IdleConnTimeout, caddy.Duration(idleConnTimeout))
	setDefault(&h.KeepAlive.MaxIdleConnsPerHost, 256)
	setDefault(&h.WriteBufferSize, writeBufferSize)
	if h.Compression == nil {
		off := false
		h.Compression = &off
	}
	if h.ForwardProxyURL == "" && len(h.NetworkProxyRaw) == 0 {
		h.NetworkProxyRaw = json.RawMessage(`{"from":"none"}`)
	}
}

var errNoCall = errors.New("no ConvoAI call: the convoai handler must stand in front of this transport")

// RoundTrip implements http.RoundTripper for one attempt of a call.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	call := callOf(r.Context())
	if r.Body != nil {
		defer r.Body.Close() // the caller's; what is sent is the Call's
	}
	if call == nil {
		t.logger.Error("refusing a request", zap.Error(errNoCall))
		return errCredentialUnavailable.response(r), nil
	}
	caddyhttp.SetVar(r.Context(), retryVar, nil)

	res, seen, err := t.send(r, call)
	if err == nil && res.StatusCode == http.StatusUnauthorized {
		res, err = t.reauthorize(r, call, res, seen)
	}
	if err == nil {
		call.judged(res.StatusCode)
	}
	if gone := r.Context().Err(); gone != nil && (err != nil || !call.operation.Repeatable) {
		if !call.operation.Repeatable {
			t.finish(call, res, err)
		}
		return nil, gone
	}
	if err != nil {
		if call.unavailable == nil || call.hasMore() {
			return nil, stillWanted(call, err)
		}
		// Nobody has done better than the host that said it was unavailable,
		// and what it said is worth more than that others were out of reach.
		res = call.unavailable
	}
	if movesOn(res.StatusCode) && call.operation.Method == http.MethodGet && call.hasMore() {
		status := res.StatusCode
		call.keep(res)
		// To hold it may have taken the time that was left.
		if call.unavailable == nil || call.hasMore() {
			call.outcome, call.cause = sent, region.Unavailable
			caddyhttp.SetVar(r.Context(), retryVar, "true")
			return nil, fmt.Errorf("%s answered %d", call.endpoint.Host, status)
		}
		res = call.unavailable
	}
	if call.unavailable != nil && call.unavailable != res {
		discard(call.unavailable)
	}
	call.outcome, call.status = answered, res.StatusCode
	if cameBack(res) {
		discard(res)
		return nil, errLoopDetected
	}
	return t.passOn(call, clean(res, call)), nil
}

// stillWanted returns the error of a call whose caller is there. net/http may give
// a call the cancellation of the one that had its connection before, which the
// reverse proxy would take for this caller's departure.
func stillWanted(call *Call, err error) error {
	if !errors.Is(err, context.Canceled) {
		return err
	}
	plain := errors.New("ended by another call's end: " + err.Error())
	if own, ok := errors.AsType[*callError](err); ok {
		return own.because(plain)
	}
	if call.outcome == notSent {
		return asDialError(plain)
	}
	return plain
}

// send is try, and takes note of the answer's Date.
func (t *Transport) send(r *http.Request, call *Call) (*http.Response, sighting, error) {
	sent := call.now()
	res, err := t.try(r, call)
	if err != nil {
		return nil, sighting{}, err
	}
	clock := &call.project.state.clock
	seen := clock.sighting(res.Header, sent, call.now())
	clock.observe(seen, t.logger)
	return res, seen, nil
}

// reauthorize answers a 401: a minted token is replaced, and the call is sent
// once more to the same endpoint. Where that cannot be, the 401 stays.
func (t *Transport) reauthorize(r *http.Request, call *Call, refused *http.Response, seen sighting) (*http.Response, error) {
	outcome := notResent
	defer func() { call.rejected(outcome) }()
	if r.Context().Err() != nil {
		return refused, nil
	}
	span := call.reauthorizing(r.Context())
	fresh, ok := call.project.replaceRejected(r.Context(), call.credential, seen)
	reauthorized(span, fresh, ok)
	if !ok {
		return refused, nil
	}
	outcome = "failed"
	defer func() { call.metrics().reauthorizations.WithLabelValues(outcome).Inc() }()
	previous := call.credential
	call.credential, call.refused = fresh, previous.secret
	if err := call.refill(); err != nil {
		t.logger.Error("completing a body again", zap.Error(err))
		call.credential = previous
		return refused, nil
	}
	res, _, err := t.send(r, call)
	switch {
	case err == nil:
		if outcome = "accepted"; res.StatusCode == http.StatusUnauthorized {
			outcome = "refused"
		}
		call.project.resent(fresh, res.StatusCode)
		discard(refused)
		return res, nil
	case call.outcome == notSent:
		// The first answer still holds: the call was refused.
		call.credential = previous
		caddyhttp.SetVar(r.Context(), retryVar, nil)
		return refused, nil
	}
	// It no longer does: the second sending may have been carried out.
	discard(refused)
	return nil, err
}

// UnmarshalCaddyfile sets up t. Syntax:
//
//	transport convoai
//
// Options of the inner transport belong to the convoai directive:
// transport http { … } there.
func (t *Transport) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.ArgErr()
	}
	if d.NextBlock(0) {
		return d.Errf("transport convoai takes no options: write transport http { … } in the convoai directive")
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Transport)(nil)
	_ caddyfile.Unmarshaler = (*Transport)(nil)
	_ http.RoundTripper     = (*Transport)(nil)
)

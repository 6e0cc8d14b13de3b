package caddymodule

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-convoai/convoai/region"
)

// Client reaches upstreams as the attempts of calls do, for those who want to know
// how that goes: with the same resolver, address check, order of addresses, trust
// and time-outs. It knows no calls and no credentials. It is safe for concurrent
// use.
type Client struct {
	transport *Transport
}

// NewClient returns a Client with the given http transport, which belongs to it
// from then on; nil is the default one. What it leaves open is that of the convoai
// app of ctx, with whose configuration it ends.
func NewClient(ctx caddy.Context, inner *reverseproxy.HTTPTransport) (*Client, error) {
	if inner == nil {
		inner = new(reverseproxy.HTTPTransport)
	}
	const id = "http.reverse_proxy.transport.convoai"
	module, err := ctx.LoadModuleByID(id, caddyconfig.JSON(&Transport{
		TransportRaw: caddyconfig.JSONModuleObject(inner, "protocol", "http", nil),
	}, nil))
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", id, err)
	}
	c := &Client{transport: module.(*Transport)}
	if c.transport.proxied {
		return nil, errors.New("through a forward proxy nothing can be said of how upstreams are reached")
	}
	return c, nil
}

// A Trial is how a connection to an upstream was made, or how far that came.
type Trial struct {
	// Addresses are those that the host's name has, at most 32, including those
	// that must not be dialled; or the one that is its name.
	Addresses []netip.Addr

	// Address is the one that was connected to, the zero Addr for none.
	Address netip.Addr

	// How long the steps took, or where one has failed, how long it took until
	// then: having a first address, the TCP connection, the TLS handshake. The
	// sidecar prefers regions by the latter two.
	Lookup, Connect, Handshake time.Duration

	// TLS is the state of the connection; nil without TLS, and where the
	// handshake has failed.
	TLS *tls.ConnectionState

	// Err is why there is no connection, nil where there is one. Cause is what
	// that means to the sidecar.
	Err   error
	Cause region.Cause
}

// Try makes a connection to e, with TLS where calls would use it, and closes it.
// Nothing is sent on it but the handshake. It takes dial_timeout and tls_timeout at
// most.
func (c *Client) Try(ctx context.Context, e region.Endpoint) Trial {
	p := &progress{port: e.Port, begin: time.Now()}
	ctx = context.WithValue(ctx, endpointKey{}, &e)
	ctx = context.WithValue(ctx, foundKey{}, p.foundAddress)
	ctx = context.WithValue(ctx, seenKey{}, p.sawAddresses)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{ConnectDone: p.connectDone})
	conn, err := prober{c.transport}.connect(ctx, e)
	r := p.end()
	if err != nil {
		r.Err, r.Cause = err, causeOf(err)
		return r
	}
	if secure, ok := conn.(*tls.Conn); ok {
		state := secure.ConnectionState()
		r.TLS = &state
	}
	_ = conn.Close()
	return r
}

// seenKey is that of a func([]netip.Addr) in the context of a dial, which calls it
// with all addresses of the host before it returns.
type seenKey struct{}

// progress takes note of the steps of one dial. Dials of other addresses may end
// when it is over.
type progress struct {
	port  string // of the endpoint
	begin time.Time

	mu        sync.Mutex // guards what follows
	over      bool
	found     time.Time // when the first address was there
	connected time.Time // when the first TCP connection was
	trial     Trial
}

func (p *progress) foundAddress() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found = time.Now()
}

func (p *progress) sawAddresses(list []netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trial.Addresses = list
}

// connectDone is called for connections to name servers, too.
func (p *progress) connectDone(network, address string, err error) {
	host, port, _ := net.SplitHostPort(address)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil || p.over || p.found.IsZero() || !p.connected.IsZero() || network != "tcp" || port != p.port {
		return
	}
	p.connected = time.Now()
	p.trial.Address, _ = netip.ParseAddr(host)
	p.trial.Address = p.trial.Address.Unmap()
}

// end returns what is known when the dial has ended.
func (p *progress) end() Trial {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	now := time.Now()
	switch {
	case p.found.IsZero():
		p.trial.Lookup = now.Sub(p.begin)
	case p.connected.IsZero():
		p.trial.Lookup, p.trial.Connect = p.found.Sub(p.begin), now.Sub(p.found)
	default:
		p.trial.Lookup, p.trial.Connect, p.trial.Handshake = p.found.Sub(p.begin), p.connected.Sub(p.found), now.Sub(p.connected)
	}
	return p.trial
}

// RoundTrip sends r to e and returns the answer, whatever its status: redirects are
// not followed. Scheme and host of r's URL, and its Host, are replaced by those of
// e. The context of r bounds it, and nothing else once it is connected.
func (c *Client) RoundTrip(r *http.Request, e region.Endpoint) (*http.Response, error) {
	r = r.Clone(context.WithValue(r.Context(), endpointKey{}, &e))
	r.URL.Scheme, r.URL.Host, r.Host = e.Scheme, e.Address(), e.HostHeader()
	return c.transport.http.Transport.RoundTrip(r)
}

// Close closes the connections that are idle.
func (c *Client) Close() { c.transport.http.Transport.CloseIdleConnections() }

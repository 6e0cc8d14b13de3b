package caddymodule

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"net/netip"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"

	"github.com/caddy-convoai/convoai/region"
)

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// dialer makes the connections of a transport. It finds the addresses of a host
// and has connect dial them one by one, so that none is dialled unchecked.
type dialer struct {
	connect  dialFunc // to an IP address and port
	lookup   lookupFunc
	resolver string        // whom lookup asks
	timeout  time.Duration // from the name to the TCP connection
	delay    time.Duration // after which the next address is tried beside the last; negative: after it
	probed   bool          // keep-alive probes are ours to set, not those of the configuration
	known    *knownAddresses
	logger   *zap.Logger

	tlsTimeout time.Duration
	tlsConfig  func() *tls.Config
}

// guardDial has every address checked before it is dialled, and hosts dialled in
// the way of [dialer].
func (t *Transport) guardDial() error {
	inner := t.http.Transport
	if inner.TLSClientConfig == nil {
		inner.TLSClientConfig = new(tls.Config)
	}
	inner.TLSClientConfig.MinVersion = max(inner.TLSClientConfig.MinVersion, tls.VersionTLS12)
	inner.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(sessions)
	if t.proxied {
		return nil // connections go to the proxy, which was configured
	}
	timeout := cmp.Or(time.Duration(t.http.DialTimeout), defaultDialTimeout)
	names, err := newResolver(t.http.Resolver, timeout)
	if err != nil {
		return err
	}
	d := &dialer{
		connect:    connecting(inner.DialContext),
		lookup:     names.lookup,
		resolver:   names.name,
		timeout:    timeout,
		delay:      cmp.Or(time.Duration(t.http.FallbackDelay), defaultFallbackDelay),
		probed:     t.probed,
		known:      t.known,
		logger:     t.logger,
		tlsTimeout: cmp.Or(inner.TLSHandshakeTimeout, defaultTLSTimeout),
		tlsConfig:  func() *tls.Config { return inner.TLSClientConfig },
	}
	inner.DialContext, inner.DialTLSContext = d.dialContext, d.dialTLSContext
	return nil
}

// connecting makes of dial, Caddy's, one that dials address. It hides the values
// of the context from dial, which would find there the upstream that the reverse
// proxy has chosen, and dial that by name; and vars that another attempt may be
// writing to. And it returns the error that dial hides in a
// [reverseproxy.DialError].
func connecting(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		var failed error
		trace := &httptrace.ClientTrace{ConnectDone: func(_, _ string, err error) { failed = err }}
		hidden := httptrace.WithClientTrace(valueless{ctx}, trace)
		if outer := httptrace.ContextClientTrace(ctx); outer != nil {
			hidden = httptrace.WithClientTrace(hidden, &httptrace.ClientTrace{ConnectStart: outer.ConnectStart, ConnectDone: outer.ConnectDone})
		}
		conn, err := dial(hidden, network, address)
		if err != nil {
			return nil, cmp.Or(failed, err)
		}
		return conn, nil
	}
}

type valueless struct{ context.Context }

func (valueless) Value(any) any { return nil }

// dialContext makes a TCP connection for the attempt of ctx.
func (d *dialer) dialContext(ctx context.Context, _, address string) (net.Conn, error) {
	conn, key, err := d.dial(ctx, address)
	if err != nil {
		return nil, err
	}
	if key.scheme == "http" {
		conn = d.known.keep(conn, key)
	}
	return conn, nil
}

// errTLSTimeout is a [net.Error].
var errTLSTimeout = tlsTimeoutError{}

type tlsTimeoutError struct{}

func (tlsTimeoutError) Error() string   { return "timeout awaiting the TLS handshake" }
func (tlsTimeoutError) Timeout() bool   { return true }
func (tlsTimeoutError) Temporary() bool { return true }

// dialTLSContext makes a TLS connection for the attempt of ctx. The certificate
// must be good for the host of address, however its IP address was found.
func (d *dialer) dialTLSContext(ctx context.Context, _, address string) (net.Conn, error) {
	conn, key, err := d.dial(ctx, address)
	if err != nil {
		return nil, err
	}
	addr := remoteAddr(conn)
	kept := d.known.track(conn, key)
	config := d.tlsConfig().Clone()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(address)
	}
	secure := tls.Client(kept, config)
	shaking, cancel := context.WithTimeoutCause(ctx, d.tlsTimeout, errTLSTimeout)
	defer cancel()
	if err := secure.HandshakeContext(shaking); err != nil {
		_ = conn.Close()
		if ctx.Err() == nil {
			d.known.forget(key, addr)
		}
		return nil, dialError{err: cmp.Or(context.Cause(shaking), err)}
	}
	kept.good()
	return secure, nil
}

// dial makes a TCP connection to address, a host and port, for the endpoint of
// ctx.
func (d *dialer) dial(ctx context.Context, address string) (net.Conn, knownKey, error) {
	// net/http may dial on behalf of a call that has meanwhile moved on.
	endpoint, ok := ctx.Value(endpointKey{}).(*region.Endpoint)
	if !ok {
		return nil, knownKey{}, errNoCall
	}
	key := knownKey{resolver: d.resolver, scheme: endpoint.Scheme, address: address}
	conn, err := d.race(ctx, *endpoint, key)
	if err != nil {
		return nil, key, err
	}
	// The address was checked before. This holds even if connect is not what it
	// should be.
	addr := remoteAddr(conn)
	err = endpoint.CheckAddress(addr)
	if !addr.IsValid() {
		err = errNoTCP
	}
	if err != nil {
		_ = conn.Close()
		return nil, key, dialError{err: err}
	}
	if d.probed {
		boundSilence(conn)
	}
	return conn, key, nil
}

var errNoTCP = errors.New("the upstream is no TCP address")

// remoteAddr returns the IP address of the other end of a TCP connection, and
// the zero Addr for any other.
func remoteAddr(conn net.Conn) netip.Addr {
	remote, _ := conn.RemoteAddr().(*net.TCPAddr)
	return remote.AddrPort().Addr().Unmap()
}

// dialError is the error of a dial, with what [reverseproxy.DialError] hides.
type dialError struct {
	err        error
	unresolved bool // the resolver had no address
}

func (e dialError) Error() string { return e.err.Error() }
func (e dialError) Unwrap() error { return e.err }

// connectError is why no connection was had: refused, not resolved, timed out,
// refused by the address check, or a failed TLS handshake. To the reverse proxy
// it is a DialError, after which it may always try another upstream.
type connectError struct {
	asDialError reverseproxy.DialError
	err         error
}

func (e connectError) Error() string   { return e.err.Error() }
func (e connectError) Unwrap() []error { return []error{e.asDialError, e.err} }

package caddymodule

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"net/netip"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-convoai/convoai/region"
)

// guardDial has every new connection's address checked before anything is
// written to it.
func (t *Transport) guardDial() {
	t.http.Transport.TLSClientConfig.MinVersion = max(t.http.Transport.TLSClientConfig.MinVersion, tls.VersionTLS12)
	if t.proxied {
		return // connections go to the proxy, which was configured
	}
	dial := t.http.Transport.DialContext
	t.http.Transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		// net/http may dial on behalf of a call that has meanwhile moved on.
		endpoint, ok := ctx.Value(endpointKey{}).(*region.Endpoint)
		if !ok {
			return nil, errNoCall
		}
		var unresolved bool
		conn, err := dial(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			DNSDone: func(info httptrace.DNSDoneInfo) { unresolved = info.Err != nil },
		}), network, address)
		if err != nil {
			return nil, dialError{err: err, unresolved: unresolved}
		}
		remote, ok := conn.RemoteAddr().(*net.TCPAddr)
		if !ok {
			_ = conn.Close()
			return nil, errors.New("the upstream is no TCP address")
		}
		ip, _ := netip.AddrFromSlice(remote.IP)
		if err := endpoint.CheckAddress(ip); err != nil {
			_ = conn.Close()
			return nil, err
		}
		return conn, nil
	}
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

// causeOf says why a connection could not be had.
func causeOf(err error) region.Cause {
	if dial, ok := errors.AsType[dialError](err); ok && dial.unresolved {
		return region.NameNotResolved
	}
	return region.Unreachable
}

package caddymodule

import (
	"context"
	"net"
	"time"

	"github.com/caddy-convoai/convoai/region"
)

// prober makes probes as the connections of a transport are made: same resolver,
// address check, trust and time-outs. It sends nothing but a TLS handshake.
type prober struct {
	*Transport
}

// prober returns what makes t's probes. Through a forward proxy there are none:
// they would say nothing about the host.
func (t *Transport) prober() region.Prober {
	if t.proxied {
		return nil
	}
	return prober{t}
}

// foundKey is that of a func() in the context of a dial, which calls it before it
// dials the first address.
type foundKey struct{}

// Probe implements region.Prober.
func (p prober) Probe(ctx context.Context, e region.Endpoint) (took time.Duration, cause region.Cause, ok bool) {
	ctx = context.WithValue(ctx, endpointKey{}, &e)
	begin := time.Now()
	var found time.Duration // how long it took to have an address
	ctx = context.WithValue(ctx, foundKey{}, func() { found = time.Since(begin) })
	conn, err := p.connect(ctx, e)
	took = time.Since(begin) - found
	if err != nil {
		return 0, causeOf(err), false
	}
	_ = conn.Close()
	return took, 0, true
}

// connect makes a connection to e, with TLS where calls would use it.
func (p prober) connect(ctx context.Context, e region.Endpoint) (net.Conn, error) {
	if e.Scheme == "https" {
		return p.http.Transport.DialTLSContext(ctx, "tcp", e.Address())
	}
	return p.http.Transport.DialContext(ctx, "tcp", e.Address())
}

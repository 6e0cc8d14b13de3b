package caddymodule

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// resolvePatience is how long the resolver may take before a connection goes
// ahead without it, at most a quarter of dial_timeout.
const resolvePatience = 300 * time.Millisecond

// answer is what a lookup has ended with.
type answer struct {
	families families
	addrs    []netip.Addr
	err      error
}

// families is a set of address families.
type families uint8

const (
	ipv4 families = 1 << iota
	ipv6
)

var familiesOf = map[string]families{"ip": ipv4 | ipv6, "ip4": ipv4, "ip6": ipv6}

// ask looks the host up: its IPv4 addresses ("ip4"), its IPv6 addresses ("ip6")
// or both in their order of preference ("ip").
func (r *race) ask(network string) {
	r.asking++
	answers := r.answers
	go func() {
		addrs, err := r.lookup(r.ctx, network, r.host)
		if err == nil && len(addrs) == 0 {
			err = &net.DNSError{Err: "no addresses", Name: r.host, IsNotFound: true}
		}
		select {
		case answers <- answer{familiesOf[network], addrs, err}:
		case <-r.over:
		}
	}()
}

// answered takes what a lookup has ended with. Where the resolver has failed,
// other than by saying that there is no such name, the known-good address goes
// ahead at once.
func (r *race) answered(a answer) {
	r.asking--
	if a.err != nil && r.unresolved == nil {
		r.unresolved = a.err
	}
	switch {
	case a.err == nil:
		r.add(a.addrs...)
	case !isNotFound(a.err):
		r.addKnown()
		return
	}
	if r.families |= a.families; r.families == ipv4|ipv6 {
		r.asking, r.answers = 0, nil // the others can add nothing
	}
}

// stalled is called when the resolver has not answered for resolvePatience. The
// known-good address goes ahead, and the families are asked for one by one: it
// may be the query for one of them that was lost, or that nobody answers.
func (r *race) stalled() {
	if r.asking == 0 {
		return
	}
	r.addKnown()
	r.ask("ip4")
	r.ask("ip6")
}

func isNotFound(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}

// resolver looks names up. It is safe for concurrent use.
//
// A net.Resolver has whoever asks for what is being asked for already wait for
// that answer, which is good until the answer does not come. So the queries for a
// single family, which follow then, go to a new one, which serves all calls from
// there on.
type resolver struct {
	name     string // of those that are asked; empty for the system's
	preferGo bool
	dial     dialFunc // to a name server

	mu      sync.Mutex // guards what follows
	current *net.Resolver
	since   time.Time
}

type lookupFunc = func(ctx context.Context, network, host string) ([]netip.Addr, error)

// newResolver returns a resolver that asks those of an http transport, or without
// any the system's.
func newResolver(configured *reverseproxy.UpstreamResolver, timeout time.Duration) (*resolver, error) {
	dialer := &net.Dialer{Timeout: timeout}
	if configured == nil {
		return &resolver{dial: dialer.DialContext}, nil
	}
	var servers []caddy.NetworkAddress
	for _, address := range configured.Addresses {
		server, err := caddy.ParseNetworkAddressWithDefaults(address, "udp", 53)
		if err != nil {
			return nil, err
		}
		servers = append(servers, server)
	}
	if len(servers) == 0 {
		return nil, errors.New("resolvers needs at least one address")
	}
	return &resolver{
		name: strings.Join(configured.Addresses, " "), preferGo: true,
		dial: func(ctx context.Context, _, _ string) (net.Conn, error) { // as the http transport does it
			server := servers[rand.IntN(len(servers))]
			return dialer.DialContext(ctx, server.Network, server.JoinHostPort(0))
		},
	}, nil
}

// lookup returns the addresses of host; network is that of [race.ask].
func (r *resolver) lookup(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return r.get(network != "ip").LookupNetIP(ctx, network, host)
}

// get returns the net.Resolver of the moment, or where anew is set another one
// than resolvePatience ago.
func (r *resolver) get(anew bool) *net.Resolver {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current == nil || anew && time.Since(r.since) >= resolvePatience {
		r.current, r.since = &net.Resolver{PreferGo: r.preferGo, Dial: r.open}, time.Now()
	}
	return r.current
}

// open connects to a name server. The connection ends with ctx: by itself
// net.Resolver would wait 5s for the answer to a lookup that is over.
func (r *resolver) open(ctx context.Context, network, server string) (net.Conn, error) {
	conn, err := r.dial(ctx, network, server)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	return conn, nil
}

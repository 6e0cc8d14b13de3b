package caddymodule

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-convoai/convoai/region"
)

// defaultFallbackDelay is how long an address may take before the next one is
// tried beside it, where dial_fallback_delay says nothing.
const defaultFallbackDelay = 300 * time.Millisecond

// maxAddresses is how many addresses of a host are looked at.
const maxAddresses = 32

// race is the making of one TCP connection in the Happy Eyeballs way (RFC 8305):
// the addresses of a host are dialled with a delay in between, families
// alternating, the next one at once when one fails, and the first connection is
// taken. net.Dialer, which resolves and dials in one, tries the addresses of a
// family one after another, and in a timeout of 2s a dead one takes all of it.
//
// Its fields belong to the goroutine that runs it.
type race struct {
	*dialer
	ctx        context.Context
	endpoint   region.Endpoint
	key        knownKey
	host, port string

	answers  chan answer
	asking   int      // lookups that have not answered
	families families // that lookups have answered for

	results    chan result
	connecting int
	started    bool // an address has been dialled

	over chan struct{} // closed at the end

	seen       []netip.Addr // all addresses so far
	queue      []netip.Addr // those to dial yet
	unresolved error        // of the first lookup that failed
	refused    error        // of the first address that must not be dialled
	failed     error        // of the first connection that failed
}

type result struct {
	conn net.Conn
	err  error
}

// race connects to an address of key's host.
func (d *dialer) race(ctx context.Context, endpoint region.Endpoint, key knownKey) (net.Conn, error) {
	host, port, err := net.SplitHostPort(key.address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	r := &race{
		dialer: d, ctx: ctx, endpoint: endpoint, key: key, host: host, port: port,
		answers: make(chan answer), results: make(chan result), over: make(chan struct{}),
	}
	defer close(r.over)
	if addr, err := netip.ParseAddr(host); err == nil {
		r.add(addr)
	} else {
		r.ask("ip")
	}
	conn, err := r.run()
	if saw, ok := ctx.Value(seenKey{}).(func([]netip.Addr)); ok {
		saw(r.seen)
	}
	return conn, err
}

func (r *race) run() (net.Conn, error) {
	var stalled, next <-chan time.Time
	if r.asking > 0 {
		stalled = time.After(min(resolvePatience, r.timeout/4))
	}
	ready := true // the last address has had its delay, or failed
	for {
		if len(r.queue) > 0 && (ready || r.connecting == 0) {
			r.start()
			ready, next = false, nil
			if r.delay >= 0 {
				next = time.After(r.delay)
			}
		}
		if r.asking == 0 && r.connecting == 0 {
			return nil, r.failure()
		}
		select {
		case a := <-r.answers:
			r.answered(a)
		case <-stalled:
			stalled = nil
			r.stalled()
		case <-next:
			ready = true
		case result := <-r.results:
			r.connecting--
			if result.err == nil {
				return result.conn, nil
			}
			if r.failed == nil {
				r.failed = result.err
			}
			ready = true
		}
	}
}

// start dials the first address of the queue.
func (r *race) start() {
	if !r.started {
		r.started = true
		if found, ok := r.ctx.Value(foundKey{}).(func()); ok {
			found()
		}
	}
	addr := r.queue[0]
	r.queue = r.queue[1:]
	r.connecting++
	ctx, cancel := r.ctx, context.CancelFunc(func() {})
	if deadline, ok := ctx.Deadline(); ok && r.delay < 0 {
		// One after another: each may take its share of the time that is left.
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(len(r.queue)+1))
	}
	go func() {
		defer cancel()
		conn, err := r.connect(ctx, "tcp", net.JoinHostPort(addr.String(), r.port))
		select {
		case r.results <- result{conn, err}:
		case <-r.over:
			if err == nil {
				_ = conn.Close()
			}
		}
	}()
}

// add puts those of addrs into the queue that are new and may be dialled.
func (r *race) add(addrs ...netip.Addr) {
	var refused []netip.Addr
	for _, addr := range addrs {
		addr = addr.Unmap()
		if len(r.seen) == maxAddresses || slices.Contains(r.seen, addr) {
			continue
		}
		r.seen = append(r.seen, addr)
		if err := r.endpoint.CheckAddress(addr); err != nil {
			refused = append(refused, addr)
			if r.refused == nil {
				r.refused = err
			}
			continue
		}
		r.queue = append(r.queue, addr)
	}
	r.queue = interleave(r.queue)
	if len(refused) > 0 {
		r.logger.Warn("addresses of an upstream are not dialled", zap.String("host", r.host), zap.Stringers("addresses", refused), zap.Error(r.refused))
	}
}

// addKnown puts the known-good address of the host into the queue, where the
// resolver has given none.
func (r *race) addKnown() {
	if len(r.seen) > 0 || r.ctx.Err() != nil {
		return
	}
	if addr, ok := r.known.get(r.key); ok && r.endpoint.CheckAddress(addr) == nil {
		r.logger.Warn("the resolver does not answer: dialling the address of an earlier connection", zap.String("host", r.host), zap.Stringer("address", addr))
		r.add(addr)
	}
}

// failure is the error of a race that nobody has won.
func (r *race) failure() error {
	switch {
	case r.failed != nil:
		return dialError{err: r.failed}
	case r.refused != nil:
		return dialError{err: r.refused}
	}
	return dialError{err: &net.OpError{Op: "dial", Net: "tcp", Err: r.unresolved}, unresolved: true}
}

// interleave returns addrs with the families alternating, beginning with that of
// the first, each in its order.
func interleave(addrs []netip.Addr) []netip.Addr {
	if len(addrs) < 3 {
		return addrs
	}
	var first, second []netip.Addr
	for _, addr := range addrs {
		if addr.Is4() == addrs[0].Is4() {
			first = append(first, addr)
		} else {
			second = append(second, addr)
		}
	}
	mixed := make([]netip.Addr, 0, len(addrs))
	for i := range max(len(first), len(second)) {
		mixed = append(mixed, first[min(i, len(first)):min(i+1, len(first))]...)
		mixed = append(mixed, second[min(i, len(second)):min(i+1, len(second))]...)
	}
	return mixed
}

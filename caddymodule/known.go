package caddymodule

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// How long an address is known good after a connection to it was made, and again
// after that has ended. Without TLS nothing but the address says who is there.
const (
	knownTLS   = time.Hour
	knownPlain = time.Minute
)

// maxKnown is how many known-good addresses are held.
const maxKnown = 256

// knownAddresses are the addresses that the last good connections went to, one
// for each endpoint: with https those that completed a TLS handshake, with http
// all. It is safe for concurrent use.
type knownAddresses struct {
	mu      sync.Mutex // guards entries
	entries map[knownKey]knownAddress
}

// knownKey keeps apart what different resolvers may have said.
type knownKey struct {
	resolver string
	scheme   string
	address  string // host and port
}

func (k knownKey) lifetime() time.Duration {
	if k.scheme == "https" {
		return knownTLS
	}
	return knownPlain
}

type knownAddress struct {
	addr  netip.Addr
	until time.Time
}

func newKnownAddresses() *knownAddresses {
	return &knownAddresses{entries: make(map[knownKey]knownAddress)}
}

// get returns the known-good address of key.
func (k *knownAddresses) get(key knownKey) (netip.Addr, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	known, ok := k.entries[key]
	return known.addr, ok && time.Now().Before(known.until)
}

// put replaces the known-good address of key.
func (k *knownAddresses) put(key knownKey, addr netip.Addr) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.entries[key]; !ok && len(k.entries) >= maxKnown {
		k.evict()
	}
	k.entries[key] = knownAddress{addr, time.Now().Add(key.lifetime())}
}

// evict removes the entry that ends first. k.mu is held.
func (k *knownAddresses) evict() {
	var oldest knownKey
	var until time.Time
	for key, known := range k.entries {
		if until.IsZero() || known.until.Before(until) {
			oldest, until = key, known.until
		}
	}
	delete(k.entries, oldest)
}

// extend begins the lifetime of key's address anew, if it is still addr.
func (k *knownAddresses) extend(key knownKey, addr netip.Addr) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.entries[key].addr == addr {
		k.entries[key] = knownAddress{addr, time.Now().Add(key.lifetime())}
	}
}

// forget removes key's address if it is addr.
func (k *knownAddresses) forget(key knownKey, addr netip.Addr) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.entries[key].addr == addr {
		delete(k.entries, key)
	}
}

// track wraps a connection of key, whose address becomes known good when good is
// called.
func (k *knownAddresses) track(conn net.Conn, key knownKey) *knownConn {
	return &knownConn{Conn: conn, known: k, key: key}
}

// keep is track for a connection that is good already.
func (k *knownAddresses) keep(conn net.Conn, key knownKey) net.Conn {
	c := k.track(conn, key)
	c.good()
	return c
}

// knownConn is a connection to an address that may be known good, and whose end
// begins that time anew.
type knownConn struct {
	net.Conn
	known *knownAddresses
	key   knownKey
	addr  netip.Addr // once it is good
}

// good is called before the connection is handed over.
func (c *knownConn) good() {
	c.addr = remoteAddr(c.Conn)
	c.known.put(c.key, c.addr)
}

// Close implements net.Conn.
func (c *knownConn) Close() error {
	if c.addr.IsValid() {
		c.known.extend(c.key, c.addr)
	}
	return c.Conn.Close()
}

package caddymodule

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestKnownAddressesEnd(t *testing.T) {
	for scheme, lifetime := range map[string]time.Duration{"https": time.Hour, "http": time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			known := newKnownAddresses()
			key := knownKey{scheme: scheme, address: "one.test:1"}
			remote := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}
			conn := known.keep(&madeUpConn{remote: remote}, key)
			good := func() bool {
				addr, ok := known.get(key)
				if ok && addr != netip.MustParseAddr("10.0.0.1") {
					t.Errorf("%s is known good", addr)
				}
				return ok
			}
			time.Sleep(lifetime - time.Nanosecond)
			if !good() {
				t.Errorf("%s: not known after less than %s", scheme, lifetime)
			}
			time.Sleep(time.Nanosecond)
			if good() {
				t.Errorf("%s: known after %s", scheme, lifetime)
			}
			// It was good for as long as the connection was.
			_ = conn.Close()
			if !good() {
				t.Errorf("%s: not known when the connection has just ended", scheme)
			}
			time.Sleep(lifetime)
			if good() {
				t.Errorf("%s: known %s after the end of the connection", scheme, lifetime)
			}
		})
	}
}

// The end of a connection says nothing about the address that has replaced it,
// or that has been found to be no good.
func TestEndOfAConnectionDoesNotBringItsAddressBack(t *testing.T) {
	known := newKnownAddresses()
	key := knownKey{scheme: "https", address: "one.test:1"}
	first, second := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	conn := known.keep(&madeUpConn{remote: net.TCPAddrFromAddrPort(netip.AddrPortFrom(first, 1))}, key)
	known.put(key, second)
	_ = conn.Close()
	if addr, _ := known.get(key); addr != second {
		t.Errorf("%s is known good, want %s", addr, second)
	}
	known.forget(key, first)
	if _, ok := known.get(key); !ok {
		t.Error("forgot an address because of another")
	}
	known.put(key, first)
	known.forget(key, first)
	_ = conn.Close()
	if _, ok := known.get(key); ok {
		t.Error("the connection brought back what was forgotten")
	}
}

// A connection whose handshake failed proves nothing.
func TestConnectionThatWasNotGoodLeavesNothing(t *testing.T) {
	known := newKnownAddresses()
	key := knownKey{scheme: "https", address: "one.test:1"}
	_ = known.track(&madeUpConn{remote: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}}, key).Close()
	if addr, ok := known.get(key); ok {
		t.Errorf("%s is known good", addr)
	}
}

func TestKnownAddressesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known := newKnownAddresses()
		key := func(i int) knownKey { return knownKey{scheme: "https", address: fmt.Sprintf("host-%d:443", i)} }
		addr := netip.MustParseAddr(publicA)
		for i := range 3 * maxKnown {
			known.put(key(i), addr)
			time.Sleep(time.Millisecond)
		}
		if n := len(known.entries); n != maxKnown {
			t.Errorf("%d entries, want %d", n, maxKnown)
		}
		for i := 2 * maxKnown; i < 3*maxKnown; i++ {
			if _, ok := known.get(key(i)); !ok {
				t.Fatalf("number %d, among the %d youngest, is gone", i, maxKnown)
			}
		}
	})
}

package caddymodule

import (
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"testing"
)

// blackHole makes a port that takes no connection and does not refuse any: the
// queue of its listener is full.
func blackHole(t *testing.T, address, port string) {
	t.Helper()
	addr := netip.MustParseAddr(address)
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	family, socket := syscall.AF_INET6, syscall.Sockaddr(&syscall.SockaddrInet6{Port: n, Addr: addr.As16()})
	if addr.Is4() {
		family, socket = syscall.AF_INET, &syscall.SockaddrInet4{Port: n, Addr: addr.As4()}
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Skip("no socket of this family:", err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, socket); err != nil {
		t.Skipf("%s cannot be listened on: %v", address, err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", net.JoinHostPort(address, port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
}

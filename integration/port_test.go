package integration

import (
	"context"
	"errors"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// freePort returns a TCP port of 127.0.0.1 that is the test's until it ends:
// nobody who was not given the number gets it. While nobody listens there,
// connections to it are refused.
func freePort(t testing.TB) string {
	t.Helper()
	port, release, err := reservePort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return strconv.Itoa(port)
}

// listen listens on a port of freePort, which remains the test's once the
// listener is closed.
func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:"+freePort(t))
	if err != nil {
		t.Fatal(err)
	}
	// It also keeps l: a listener that nobody refers to is closed by the collector.
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// listenAgain listens on a port of freePort where somebody has just stopped to. The
// kernel ends a listener of Multipath TCP, as Go's are, a moment after it was closed.
func listenAgain(config net.ListenConfig, address string) (net.Listener, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		l, err := config.Listen(context.Background(), "tcp", address)
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
			return l, err
		}
	}
}

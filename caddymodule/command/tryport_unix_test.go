//go:build unix

package command

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// listenShared listens as Caddy does, which shares the port with others that want
// to.
func listenShared(t *testing.T, network, address string) net.Listener {
	t.Helper()
	config := net.ListenConfig{Control: func(_, _ string, conn syscall.RawConn) error {
		return conn.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	}}
	ln, err := config.Listen(context.Background(), network, address)
	if err != nil {
		t.Skipf("%s %s: %v", network, address, err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func TestPortIsTakenByWhateverOverlaps(t *testing.T) {
	for _, test := range []struct {
		network, listening, host string
		taken                    bool
	}{
		{"tcp", "127.0.0.1:0", "127.0.0.1", true},
		{"tcp", "127.0.0.1:0", "localhost", true},
		{"tcp", "127.0.0.1:0", "", true},
		{"tcp", "127.0.0.1:0", "0.0.0.0", true},
		{"tcp", "[::1]:0", "::1", true},
		{"tcp", "[::1]:0", "", true},
		{"tcp", ":0", "127.0.0.1", true},
		{"tcp", ":0", "", true},
		{"tcp4", ":0", "", true},
	} {
		t.Run(test.listening+" and "+test.host, func(t *testing.T) {
			ln := listenShared(t, test.network, test.listening)
			_, port, err := net.SplitHostPort(ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			address := net.JoinHostPort(test.host, port)
			if err := tryPort("tcp", address); !errors.Is(err, unix.EADDRINUSE) {
				t.Errorf("%s: %v", address, err)
			}
		})
	}
}

// A caller that has been waiting for the sidecar to be back must not find a
// listener that only tries the port: its call would be thrown out.
func TestPortIsTriedWithoutListening(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
				_ = tryPort("tcp", address)
			}
		}
	}()
	for range 500 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			continue
		}
		// A connection may meet itself, where the port is one that the system gives.
		if self := conn.LocalAddr().String() == address; !self {
			t.Error("somebody was let in")
		}
		conn.Close()
	}
	close(done)
	<-ended
}

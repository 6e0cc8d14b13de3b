//go:build !linux

package integration

import (
	"net"
	"testing"
)

// reservePort returns a TCP port of 127.0.0.1 that nobody listens on. Elsewhere
// than on Linux nothing keeps others from taking it.
func reservePort() (port int, release func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, nil, err
	}
	return l.Addr().(*net.TCPAddr).Port, func() {}, l.Close()
}

// listenersOn is not known elsewhere than on Linux, where Caddy has one listener
// for all configurations.
func listenersOn(*testing.T, string) int { return 0 }

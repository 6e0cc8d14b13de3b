//go:build !linux

package caddymodule

import (
	"net"
	"time"
)

// boundUnconfirmed does nothing: how to bound this is known for Linux alone.
func boundUnconfirmed(*net.TCPConn, time.Duration) {}

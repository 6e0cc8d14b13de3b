//go:build !linux

package caddymodule

import (
	"syscall"
	"time"
)

// boundUnconfirmed does nothing: how to bound this is known for Linux alone.
func boundUnconfirmed(syscall.Conn, time.Duration) {}

package caddymodule

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// boundUnconfirmed has conn closed when something that was sent on it stays
// unconfirmed for so long.
func boundUnconfirmed(conn syscall.Conn, d time.Duration) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
}

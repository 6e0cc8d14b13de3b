package caddymodule

import (
	"net"
	"syscall"
	"time"
)

// silence is how long the other end of a connection may leave everything
// unconfirmed, be it what was sent or TCP's keep-alive probes. Then the
// connection is closed: the way there has been cut, and nobody has said so. The
// system would go on for a quarter of an hour, and a call that meets such a
// connection in the pool, until response_timeout. It is shorter than
// failover_budget, so that a call that may be repeated still can be.
//
// The probes begin after keepAliveIdle without a packet from the other end, and
// all that are sent until silence is over have to be lost. An end that answers
// them may take as long as it likes. What was sent is watched on Linux alone; an
// end that has no room for more for as long as silence counts as gone, too.
const (
	silence           = pingTimeout
	keepAliveIdle     = 2 * time.Second
	keepAliveInterval = time.Second
)

// socket is a *net.TCPConn, or one that Caddy has wrapped for its read_timeout.
type socket interface {
	syscall.Conn
	SetKeepAliveConfig(net.KeepAliveConfig) error
}

// boundSilence has conn closed after silence.
func boundSilence(conn net.Conn) {
	tcp, ok := conn.(socket)
	if !ok {
		return
	}
	// A system that refuses any of this leaves response_timeout.
	_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable:   true,
		Idle:     keepAliveIdle,
		Interval: keepAliveInterval,
		Count:    int((silence - keepAliveIdle) / keepAliveInterval),
	})
	boundUnconfirmed(tcp, silence)
}

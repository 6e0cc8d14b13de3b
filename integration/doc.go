// Package integration holds tests that boot the real binary, cmd/caddy, and
// drive it over real sockets, against upstreams of their own. Nothing leaves the
// loopback interface.
package integration

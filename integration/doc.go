// Package integration holds tests that boot the real binary, cmd/caddy, and
// drive it over real sockets, against upstreams of their own. Nothing leaves the
// loopback interface but in the Docker tests, where containers talk to each other
// on internal networks. Those run with CONVOAI_DOCKER=1 in the environment.
package integration

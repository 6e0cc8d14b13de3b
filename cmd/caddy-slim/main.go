// Command caddy-slim is Caddy with the standard modules that a ConvoAI sidecar
// or token server has a use for, and the ConvoAI modules.
//
// It is what the container image holds by default. Configurations mean the same
// to it as to cmd/caddy, which has all standard modules; one that needs another
// module is refused at the start. docs/container.md lists what is left out.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	// Configuration: the Caddyfile.
	_ "github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	// Serving: handlers and matchers, sign-in of callers, headers, paths, limits.
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/requestbody"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy/forwardauth"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/timeouts"

	// TLS, also for callers with certificates, and what it keeps.
	_ "github.com/caddyserver/caddy/v2/modules/caddytls"
	_ "github.com/caddyserver/caddy/v2/modules/caddytls/standardstek"
	_ "github.com/caddyserver/caddy/v2/modules/filestorage"

	// Being watched: logs, metrics, traces, events.
	_ "github.com/caddyserver/caddy/v2/modules/caddyevents"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/logging"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/tracing"
	_ "github.com/caddyserver/caddy/v2/modules/logging"
	_ "github.com/caddyserver/caddy/v2/modules/metrics"

	_ "github.com/caddy-convoai/convoai"
)

func main() {
	caddycmd.Main()
}

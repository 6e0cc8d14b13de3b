package command

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/caddy-convoai/convoai/caddymodule"
	"github.com/caddy-convoai/convoai/caddymodule/connect"
)

// A sidecar is what its Caddy configuration is made of when there is no
// configuration file.
type sidecar struct {
	server
	// settings hold secrets as placeholders only: the configuration can be read
	// through the admin API.
	settings caddymodule.Settings
	// upstreamCA is the absolute path of a PEM file with the CAs to trust
	// instead of the system's. May be empty.
	upstreamCA string
	// connect is the forward proxy in front of the gate; nil: there is none.
	connect *connect.Handler
}

// config returns the Caddy configuration of s.
func (s *sidecar) config() *caddy.Config {
	return s.configOf(caddyhttp.RouteList{{HandlersRaw: s.handlers()}})
}

func (s *sidecar) handlers() []json.RawMessage {
	var list []json.RawMessage
	if s.connect != nil {
		list = append(list, caddyconfig.JSONModuleObject(s.connect, "handler", "convoai_connect", nil))
	}
	gate := &caddymodule.Gate{
		Settings:          s.settings,
		AccessLogFiltered: s.accessLog, // see logging
	}
	if s.accessLog {
		gate.LogFields = &s.accessLog
	}
	return append(list, caddymodule.Handlers(gate, s.transport())...)
}

// transport returns the http transport to the upstreams.
func (s *sidecar) transport() *reverseproxy.HTTPTransport {
	transport := new(reverseproxy.HTTPTransport)
	if s.upstreamCA != "" {
		transport.TLS = &reverseproxy.TLSConfig{
			CARaw: caddyconfig.JSONModuleObject(caddytls.FileCAPool{TrustedCACertPEMFiles: []string{s.upstreamCA}}, "provider", "file", nil),
		}
	}
	return transport
}

package caddymodule

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-convoai/convoai/region"
)

// Handlers returns what the convoai directive expands to, for code that builds a
// configuration without a Caddyfile: the gate, and the reverse proxy behind it.
// inner is the http transport, nil for the default one; the timeouts move from
// the gate's settings into it.
func Handlers(gate *Gate, inner *reverseproxy.HTTPTransport) []json.RawMessage {
	if inner == nil {
		inner = new(reverseproxy.HTTPTransport)
	}
	proxy := new(reverseproxy.Handler)
	equip(proxy, inner, &gate.Settings)
	return handlers(gate, proxy)
}

func handlers(gate *Gate, proxy *reverseproxy.Handler) []json.RawMessage {
	return []json.RawMessage{
		caddyconfig.JSONModuleObject(gate, "handler", "convoai", nil),
		caddyconfig.JSONModuleObject(proxy, "handler", "reverse_proxy", nil),
	}
}

// equip gives proxy our transport, around inner, and our upstream source. The
// timeouts move from s to inner.
func equip(proxy *reverseproxy.Handler, inner *reverseproxy.HTTPTransport, s *Settings) {
	if s.DialTimeout > 0 {
		inner.DialTimeout = s.DialTimeout
	}
	if s.ResponseTimeout > 0 {
		inner.ResponseHeaderTimeout = s.ResponseTimeout
	}
	if s.TLSTimeout > 0 {
		if inner.TLS == nil {
			inner.TLS = new(reverseproxy.TLSConfig)
		}
		inner.TLS.HandshakeTimeout = s.TLSTimeout
	}
	// From here on these belong to the transport.
	s.DialTimeout, s.ResponseTimeout, s.TLSTimeout = 0, 0, 0

	proxy.TransportRaw = caddyconfig.JSONModuleObject(&Transport{
		TransportRaw: caddyconfig.JSONModuleObject(inner, "protocol", "http", nil),
	}, "protocol", "convoai", nil)
	proxy.DynamicUpstreamsRaw = caddyconfig.JSONModuleObject(new(Upstreams), "source", "convoai", nil)
	proxy.LoadBalancing = &reverseproxy.LoadBalancing{
		Retries: region.MaxEndpoints - 1,
		RetryMatchRaw: caddyhttp.RawMatcherSets{{
			"vars": caddyconfig.JSON(caddyhttp.VarsMatcher{retryVar: []string{"true"}}, nil),
		}},
	}
}

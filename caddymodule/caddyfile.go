package caddymodule

import (
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("convoai", parseGlobalOption)
	httpcaddyfile.RegisterDirective("convoai", parseDirective)
	httpcaddyfile.RegisterDirectiveOrder("convoai", httpcaddyfile.Before, "reverse_proxy")
}

// parseGlobalOption parses the global option convoai: the defaults of every
// directive. It takes the subdirectives of the directive, without those of
// reverse_proxy.
func parseGlobalOption(d *caddyfile.Dispenser, existing any) (any, error) {
	if existing != nil {
		d.Next()
		return nil, d.Err("convoai is already configured")
	}
	app := new(App)
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "convoai", Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile sets up the defaults. Syntax:
//
//	convoai {
//	    <subdirectives of the convoai directive>
//	}
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	for d.Next() {
		if d.NextArg() {
			return argumentError(d)
		}
		p := settingsParser{settings: &a.Settings}
		for d.NextBlock(0) {
			own := d.NewFromNextSegment()
			known, err := p.parse(own)
			if err != nil {
				return err
			}
			if !known {
				return unrecognized(own, "")
			}
		}
		if err := p.finish(); err != nil {
			return err
		}
	}
	return nil
}

// parseDirective parses the convoai directive:
//
//	convoai [<matcher>] {
//	    <options of the gate>
//	    <options of reverse_proxy>
//	}
//
// It is equivalent to the convoai handler, followed by
//
//	reverse_proxy {
//	    dynamic convoai
//	    transport convoai
//	    lb_retries 15
//	    lb_retry_match vars convoai.retry true
//	}
func parseDirective(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	if !h.Next() {
		return nil, h.ArgErr()
	}
	matchers, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, err
	}
	h.Next() // extracting the matcher has put the dispenser back
	d := h.NewFromNextSegment()
	d.Next()

	gate := new(Gate)
	proxy, err := parseBlock(d, h, &gate.Settings)
	if err != nil {
		return nil, err
	}
	route := caddyhttp.Route{HandlersRaw: handlers(gate, proxy)}
	if matchers != nil {
		route.MatcherSetsRaw = []caddy.ModuleMap{matchers}
	}
	return []httpcaddyfile.ConfigValue{{Class: "route", Value: route}}, nil
}

// parseBlock parses the directive's block in one pass: our subdirectives into
// settings, the rest into a reverse proxy.
func parseBlock(d *caddyfile.Dispenser, h httpcaddyfile.Helper, settings *Settings) (*reverseproxy.Handler, error) {
	head := d.Token()
	if d.NextArg() {
		return nil, atStart(d, "convoai takes no arguments but a matcher: name upstreams with the upstream subdirective")
	}
	p := settingsParser{settings: settings}
	inner := new(reverseproxy.HTTPTransport)
	seenTransport := false
	var rest []caddyfile.Token
	for d.NextBlock(0) {
		name := d.Val()
		segment := d.NextSegment()
		own := caddyfile.NewDispenser(segment)
		if known, err := p.parse(own); err != nil {
			return nil, err
		} else if known {
			continue
		}
		switch {
		case name == "transport":
			if seenTransport {
				return nil, d.Errf("transport is already configured")
			}
			seenTransport = true
			if err := parseInnerTransport(caddyfile.NewDispenser(segment), inner); err != nil {
				return nil, err
			}
		case refusedSubdirectives[name] != "":
			return nil, segmentErrf(segment, "%s cannot be used in convoai: %s", name, refusedSubdirectives[name])
		case name == "header_up" && len(segment) > 1 && ownHeader(segment[1].Text):
			return nil, segmentErrf(segment, "header_up cannot be used for this header: convoai decides about it")
		case !passedSubdirectives[name] && !strings.HasPrefix(name, "@"):
			return nil, unrecognized(caddyfile.NewDispenser(segment), "")
		default:
			rest = append(rest, segment...)
		}
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	return newProxy(head, rest, h, inner, settings)
}

// newProxy returns the reverse proxy behind the gate. rest is what the user
// wrote for it.
func newProxy(head caddyfile.Token, rest []caddyfile.Token, h httpcaddyfile.Helper, inner *reverseproxy.HTTPTransport, s *Settings) (*reverseproxy.Handler, error) {
	proxy := new(reverseproxy.Handler)
	open, end := head, head
	open.Text, end.Text = "{", "}"
	tokens := append([]caddyfile.Token{head, open}, rest...)
	if len(rest) > 0 {
		end.Line = rest[len(rest)-1].Line + 1
		end.File = rest[len(rest)-1].File
	}
	d := caddyfile.NewDispenser(append(tokens, end))
	if len(rest) == 0 {
		d = caddyfile.NewDispenser([]caddyfile.Token{head})
	}
	if err := proxy.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	if err := proxy.FinalizeUnmarshalCaddyfile(h); err != nil {
		return nil, err
	}

	equip(proxy, inner, s)
	return proxy, nil
}

// parseInnerTransport parses transport http { … }.
func parseInnerTransport(d *caddyfile.Dispenser, inner *reverseproxy.HTTPTransport) error {
	d.Next() // transport
	if !d.NextArg() || d.Val() != "http" {
		return d.Errf("the transport of convoai must be http")
	}
	if err := inner.UnmarshalCaddyfile(d.NewFromNextSegment()); err != nil {
		return err
	}
	if err := checkTransport(inner); err != nil {
		d.Reset()
		d.Next()
		return d.WrapErr(err)
	}
	return nil
}

// passedSubdirectives are the subdirectives of reverse_proxy that are passed on,
// beside transport and named response matchers.
var passedSubdirectives = map[string]bool{
	"flush_interval":     true,
	"handle_response":    true,
	"header_down":        true,
	"header_up":          true,
	"proxy_status_name":  true,
	"replace_status":     true,
	"response_buffers":   true,
	"stream_buffer_size": true,
	"stream_close_delay": true,
	"stream_timeout":     true,
}

// refusedSubdirectives are the subdirectives of reverse_proxy that convoai
// decides itself, and why.
var refusedSubdirectives = map[string]string{
	"to":              "use upstream",
	"dynamic":         "it chooses the upstreams",
	"rewrite":         "it writes the path",
	"method":          "the operation decides the method",
	"trusted_proxies": "no forwarding header is sent",
	"request_buffers": "the body is buffered up to max_body",
	"verbose_logs":    "they may repeat what must not be logged",

	"lb_policy":       "it chooses the upstreams",
	"lb_retries":      "it decides what may be repeated; see failover_budget",
	"lb_try_duration": "it decides what may be repeated; see failover_budget",
	"lb_try_interval": "it decides what may be repeated; see failover_budget",
	"lb_retry_match":  "it decides what may be repeated",

	"health_uri":              "no request is made that nobody asked for",
	"health_path":             "no request is made that nobody asked for",
	"health_upstream":         "no request is made that nobody asked for",
	"health_port":             "no request is made that nobody asked for",
	"health_interval":         "no request is made that nobody asked for",
	"health_passes":           "no request is made that nobody asked for",
	"health_fails":            "no request is made that nobody asked for",
	"health_timeout":          "no request is made that nobody asked for",
	"health_status":           "no request is made that nobody asked for",
	"health_body":             "no request is made that nobody asked for",
	"health_method":           "no request is made that nobody asked for",
	"health_request_body":     "no request is made that nobody asked for",
	"health_follow_redirects": "no request is made that nobody asked for",
	"health_headers":          "no request is made that nobody asked for",

	"fail_duration":           "it keeps account of failures itself",
	"max_fails":               "it keeps account of failures itself",
	"unhealthy_status":        "it keeps account of failures itself",
	"unhealthy_latency":       "it keeps account of failures itself",
	"unhealthy_request_count": "it keeps account of failures itself",
}

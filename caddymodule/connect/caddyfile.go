package connect

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("convoai_connect", parseDirective)
	// Ahead of convoai, which answers every request, and behind abort, error and
	// respond, by which a site keeps callers out.
	httpcaddyfile.RegisterDirectiveOrder("convoai_connect", httpcaddyfile.Before, "metrics")
}

func parseDirective(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	handler := new(Handler)
	return handler, handler.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile sets up the handler. Syntax:
//
//	convoai_connect [<matcher>] {
//	    tunnel         <host>...
//	    tunnel_private on|off
//	    other_paths    refuse|forward
//	    proxy_auth     optional|required
//	    ca             storage|memory
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.Err("convoai_connect takes no arguments but a matcher: name hosts with the tunnel subdirective")
	}
	seen := map[string]bool{}
	for d.NextBlock(0) {
		name := d.Val()
		if seen[name] && name != "tunnel" {
			return d.Errf("%s is already set", name)
		}
		seen[name] = true
		if err := h.parse(d, name); err != nil {
			return err
		}
		if d.NextBlock(1) {
			return d.Errf("%s takes no block", name)
		}
	}
	return nil
}

// parse reads one subdirective.
func (h *Handler) parse(d *caddyfile.Dispenser, name string) (err error) {
	switch name {
	case "tunnel":
		hosts := d.RemainingArgs()
		if len(hosts) == 0 {
			return d.ArgErr()
		}
		for _, host := range hosts {
			if _, err := ParseTunnel(host); err != nil {
				return d.WrapErr(err)
			}
		}
		h.Tunnel = append(h.Tunnel, hosts...)
		return nil
	case "tunnel_private":
		word, err := oneOf(d, "off", "on")
		h.TunnelPrivate = word == "on"
		return err
	case "other_paths":
		h.OtherPaths, err = oneOf(d, refuseOthers, forwardOthers)
	case "proxy_auth":
		h.ProxyAuth, err = oneOf(d, authOptional, authRequired)
	case "ca":
		h.CA, err = oneOf(d, inStorage, inMemory)
	default:
		return d.Errf("unrecognized subdirective %s", name)
	}
	return err
}

// oneOf reads the one argument of a subdirective, which must be one of two words.
func oneOf(d *caddyfile.Dispenser, first, second string) (string, error) {
	name := d.Val()
	if !d.NextArg() {
		return "", d.ArgErr()
	}
	word := d.Val()
	if word != first && word != second {
		return "", d.Errf("%s must be %s or %s", name, first, second)
	}
	if d.NextArg() {
		return "", d.ArgErr()
	}
	return word, nil
}

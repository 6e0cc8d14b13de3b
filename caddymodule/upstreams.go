package caddymodule

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-convoai/convoai/region"
)

func init() {
	caddy.RegisterModule(Upstreams{})
}

// Upstreams names the upstream of a ConvoAI call's next attempt. It returns one
// at a time, because the reverse proxy asks before every attempt and the answer
// depends on how the last one ended.
//
// It needs the convoai handler in front and the convoai transport beside it.
// Without either, nothing is dialled.
type Upstreams struct {
	// paired says that the reverse proxy's transport is ours. Another would
	// send the caller's own request to the vendor.
	paired bool
	prober region.Prober // the transport's
}

// CaddyModule returns the Caddy module information.
func (Upstreams) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.reverse_proxy.upstreams.convoai",
		New: func() caddy.Module { return new(Upstreams) },
	}
}

// Provision looks at the reverse proxy that u belongs to.
func (u *Upstreams) Provision(ctx caddy.Context) error {
	var transport *Transport
	routes := false
	for _, module := range ctx.Modules() {
		if proxy, ok := module.(*reverseproxy.Handler); ok {
			if t, ok := proxy.Transport.(*Transport); ok {
				transport, routes = t, len(proxy.HandleResponse) > 0
			}
		}
	}
	if transport == nil {
		ctx.Logger().Warn("dynamic convoai needs transport convoai beside it: nothing will be dialled")
		return nil
	}
	u.paired, u.prober = true, transport.prober()
	app, err := AppOf(ctx)
	if err != nil {
		return err
	}
	app.pair(u.prober)
	app.carryBy(transport, routes)
	return nil
}

// UnmarshalCaddyfile sets up u. Syntax:
//
//	dynamic convoai
func (u *Upstreams) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	for d.Next() {
		if d.NextArg() {
			return d.ArgErr()
		}
		if d.NextBlock(0) {
			return d.Errf("dynamic convoai takes no options: they belong to the convoai directive")
		}
	}
	return nil
}

// GetUpstreams returns the upstream of the next attempt, or none when the call
// is done.
func (u *Upstreams) GetUpstreams(r *http.Request) ([]*reverseproxy.Upstream, error) {
	if !u.paired {
		return nil, nil
	}
	call := callOf(r.Context())
	if call == nil {
		// The transport answers in its place, and dials nothing.
		return []*reverseproxy.Upstream{{Dial: nowhere}}, nil
	}
	call.prober = u.prober
	e, ok := call.next()
	if !ok {
		return nil, nil
	}
	return call.upstream(e), nil
}

// nowhere is an upstream address for requests that our transport answers itself.
const nowhere = "convoai.invalid:443"

// Interface guards
var (
	_ caddy.Provisioner           = (*Upstreams)(nil)
	_ caddyfile.Unmarshaler       = (*Upstreams)(nil)
	_ reverseproxy.UpstreamSource = (*Upstreams)(nil)
)

package connect

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-convoai/convoai/region"
)

func init() {
	caddy.RegisterModule(Certificates{})
}

// Certificates gives certificates of the sidecar's own CA to the sites of Caddy that
// stand in for the vendor's hosts: for clients that reach the sidecar because these
// names were redirected to it, in /etc/hosts or otherwise. For other names there are
// none. The CA is the one in Caddy's storage that convoai_connect has.
type Certificates struct {
	ca *CA
}

// CaddyModule returns the Caddy module information.
func (Certificates) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "tls.get_certificate.convoai",
		New: func() caddy.Module { return new(Certificates) },
	}
}

// Provision gets the CA, which is made where there is none yet.
func (c *Certificates) Provision(ctx caddy.Context) (err error) {
	c.ca, err = keptCA(ctx, ctx.Storage(), time.Now, ctx.Logger())
	return err
}

// GetCertificate returns the certificate for the host that a client wants, nil for
// one that is none of the vendor's.
func (c *Certificates) GetCertificate(_ context.Context, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	host := lower(hello.ServerName)
	if !region.VendorHost(host) {
		return nil, nil
	}
	return c.ca.forHost(host)
}

// UnmarshalCaddyfile sets up c. Syntax:
//
//	get_certificate convoai
func (c *Certificates) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.ArgErr()
	}
	if d.NextBlock(0) {
		return d.Err("get_certificate convoai takes no options")
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Certificates)(nil)
	_ caddyfile.Unmarshaler = (*Certificates)(nil)
)

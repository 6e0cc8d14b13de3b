package caddymodule

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-convoai/convoai/region"
)

// accessPolicy decides who may call at all, before anything of the call is
// looked at. Whoever passes it can spend the account.
type accessPolicy struct {
	peers []netip.Prefix
	hosts map[string]bool // nil: the defaults

	servers sync.Map // *caddyhttp.Server → map[string]bool, the names of its host matchers
}

var loopback = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("::1/128"),
}

// newAccessPolicy reads allow_from and allow_host.
func newAccessPolicy(from, hosts []string) (*accessPolicy, error) {
	p := &accessPolicy{peers: loopback}
	if len(from) > 0 {
		p.peers = nil
		for _, s := range from {
			prefix, err := parsePrefix(s)
			if err != nil {
				return nil, err
			}
			p.peers = append(p.peers, prefix)
		}
	}
	if len(hosts) > 0 {
		p.hosts = make(map[string]bool, len(hosts))
		for _, host := range hosts {
			_, port, _ := net.SplitHostPort(host)
			if host == "" || port != "" || strings.ContainsAny(host, "*/@ ") {
				return nil, errors.New("allow_host takes host names and addresses, without ports")
			}
			p.hosts[normalHost(host)] = true
		}
	}
	return p, nil
}

// parsePrefix reads an address or a CIDR range.
func parsePrefix(s string) (netip.Prefix, error) {
	// A zone would swallow the length: "%eth0/64".
	if addr, err := netip.ParseAddr(s); err == nil && !strings.Contains(s, "/") {
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, errors.New("allow_from takes IP addresses and CIDR ranges")
	}
	return prefix.Masked(), nil
}

// peerAllowed looks at the other end of the connection, not at what a header
// says of it.
func (p *accessPolicy) peerAllowed(r *http.Request) bool {
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr); ok {
		// A socket of the abstract namespace has no file, and so no permissions.
		return !strings.HasPrefix(local.Name, "@")
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	addr := peer.Addr().Unmap().WithZone("")
	for _, prefix := range p.peers {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// hostAllowed defends against web pages that have a name of theirs resolve to
// this sidecar (DNS rebinding).
func (p *accessPolicy) hostAllowed(r *http.Request) bool {
	host := hostOf(r.Host)
	if cameInside(r, host) {
		return true // nobody can have a name of his resolve to it
	}
	if p.hosts != nil {
		return p.hosts[host]
	}
	if host == "localhost" || region.VendorHost(host) {
		return true
	}
	if addr, ok := addressOf(host); ok && addr.Unmap().IsLoopback() {
		return true
	}
	return p.serverNames(r)[host]
}

// serverNames returns the names of the host matchers of the server that r came
// in through.
func (p *accessPolicy) serverNames(r *http.Request) map[string]bool {
	server, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return nil
	}
	if names, ok := p.servers.Load(server); ok {
		return names.(map[string]bool)
	}
	names := make(map[string]bool)
	for _, route := range server.Routes {
		for _, set := range route.MatcherSets {
			for _, matcher := range set {
				hosts, ok := matcher.(*caddyhttp.MatchHost)
				if !ok {
					continue
				}
				for _, host := range *hosts {
					if !strings.ContainsAny(host, "*{") {
						names[normalHost(host)] = true
					}
				}
			}
		}
	}
	p.servers.Store(server, names)
	return names
}

// ownSite reports whether a request comes from no browser, from one of this
// origin's pages, or from the user.
func ownSite(h http.Header) bool {
	for _, site := range h["Sec-Fetch-Site"] {
		if site != "" && site != "same-origin" && site != "none" {
			return false
		}
	}
	return true
}

// ownOrigin reports whether a request names no origin, or this one alone. Another
// port of the same host is another origin.
func ownOrigin(r *http.Request) bool {
	for _, origin := range r.Header["Origin"] {
		if origin == "" {
			continue
		}
		scheme, host, _ := strings.Cut(origin, "://")
		if scheme != "http" && scheme != "https" || !strings.EqualFold(host, r.Host) {
			return false
		}
	}
	return true
}

// hostOf returns the host of a Host header without its port, in the form of
// normalHost; "" for what is no host and port.
func hostOf(header string) string {
	host, port := header, ""
	if strings.HasPrefix(header, "[") {
		inside, rest, closed := strings.Cut(header[1:], "]")
		addr, err := netip.ParseAddr(inside)
		if !closed || err != nil || !addr.Is6() || addr.Zone() != "" {
			return ""
		}
		if rest != "" && rest[0] != ':' {
			return ""
		}
		host, port = inside, strings.TrimPrefix(rest, ":")
	} else {
		host, port, _ = strings.Cut(header, ":")
	}
	for i := range len(port) {
		if port[i] < '0' || port[i] > '9' {
			return ""
		}
	}
	return normalHost(host)
}

// normalHost returns a name in lower case, and an address as it is written best.
func normalHost(host string) string {
	if addr, ok := addressOf(host); ok {
		return addr.String()
	}
	return strings.ToLower(host)
}

// addressOf returns the address that host is, if it is one. What can be none is not
// parsed, as every request's host comes by here and an error costs more than a look.
func addressOf(host string) (netip.Addr, bool) {
	if strings.IndexByte(host, ':') < 0 && (host == "" || host[len(host)-1] < '0' || host[len(host)-1] > '9') {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(host)
	return addr, err == nil
}

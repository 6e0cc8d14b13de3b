package region

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Endpoint is one host that a call can go to.
type Endpoint struct {
	Scheme string // "https", or "http" for a configured loopback or private upstream
	Host   string // name or IP address in lower case, without port or brackets
	Port   string // decimal, never empty
	Region string // hosts of one region share it; "global" for the vendor's global names

	// AllowPrivate permits addresses that are loopback, private or link-local.
	// It is false for the vendor's hosts: such an answer of a resolver is a
	// mistake or an attack.
	AllowPrivate bool

	// Proxied says that connections are made by a forward proxy. What becomes of
	// them, and of those that are made from here, says nothing of the others.
	Proxied bool

	address string // of an endpoint of a Group, that every call asks for
}

// Address returns what to dial: host and port.
func (e Endpoint) Address() string {
	if e.address != "" {
		return e.address
	}
	return net.JoinHostPort(e.Host, e.Port)
}

// URLHost returns the host part of a URL of e, without the scheme's own port.
func (e Endpoint) URLHost() string {
	if e.Scheme == "https" && e.Port == "443" || e.Scheme == "http" && e.Port == "80" {
		return e.HostHeader()
	}
	return e.Address()
}

// HostHeader returns the value of the Host header: the host alone, as the
// vendor's gateway expects it, whichever port is dialled.
func (e Endpoint) HostHeader() string {
	if strings.IndexByte(e.Host, ':') >= 0 {
		return "[" + e.Host + "]"
	}
	return e.Host
}

// String returns e as a URL without a path.
func (e Endpoint) String() string { return e.Scheme + "://" + e.URLHost() }

// ParseUpstream reads a configured upstream: https://host[:port], or http:// in
// front of a loopback or private address, or of a name where allowPrivate is set
// (such a name may then resolve to loopback and private addresses only). An
// upstream that is itself a loopback or private address needs no allowPrivate.
// Each upstream is a region of its own.
func ParseUpstream(s string, allowPrivate bool) (Endpoint, error) {
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" {
		// The error of url.Parse repeats its input, which may hold user info.
		return Endpoint{}, errors.New("upstream must be a URL such as https://host or https://host:port")
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return Endpoint{}, errors.New("upstream must begin with https:// (or http:// for a loopback or private address)")
	case u.User != nil:
		return Endpoint{}, errors.New("upstream must not contain user information")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(s, "#"):
		return Endpoint{}, errors.New("upstream must not have a path, query or fragment: the area's path prefix is used")
	}
	e := Endpoint{Scheme: u.Scheme, Host: strings.ToLower(u.Hostname()), Port: u.Port(), AllowPrivate: allowPrivate}
	if err := checkHost(e.Host); err != nil {
		return Endpoint{}, err
	}
	if e.Port == "" {
		if strings.HasSuffix(u.Host, ":") {
			return Endpoint{}, errors.New("upstream has a colon but no port")
		}
		e.Port = map[string]string{"https": "443", "http": "80"}[e.Scheme]
	} else if n, err := strconv.ParseUint(e.Port, 10, 16); err != nil || n == 0 {
		return Endpoint{}, errors.New("upstream's port must be 1 to 65535")
	}
	if isPrivateName(e.Host) {
		e.AllowPrivate = true
	}
	if e.Scheme == "http" {
		if addr, err := netip.ParseAddr(e.Host); err == nil && !Private(addr) {
			return Endpoint{}, fmt.Errorf("http:// is accepted for loopback and private addresses only: use https://%s", e.URLHost())
		}
		if !e.AllowPrivate {
			return Endpoint{}, fmt.Errorf("http:// is accepted for loopback and private addresses only: use https://%s, or allow private upstreams (upstream_private on)", e.URLHost())
		}
	}
	e.Region = e.URLHost()
	return e, nil
}

// isPrivateName reports whether host is an address that [Private] holds, or a
// name that means the loopback interface (RFC 6761).
func isPrivateName(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && Private(addr)
}

// CheckAddress reports whether a connection of e may go to addr. The addresses
// that a resolver gives are checked at dial time, because they can change after
// any earlier check.
func (e Endpoint) CheckAddress(addr netip.Addr) error {
	private := Private(addr)
	switch {
	case private && !e.AllowPrivate:
		return PrivateError{e.Host, addr}
	case !private && e.Scheme == "http":
		return fmt.Errorf("%s resolved to %s, a public address, to which nothing is sent without TLS", e.Host, addr)
	}
	return nil
}

// PrivateError says that a host has an address that is not public.
type PrivateError struct {
	Host string
	Addr netip.Addr
}

// Error implements error.
func (e PrivateError) Error() string {
	return fmt.Sprintf("%s resolved to %s, which is no public address (upstream_private on would allow it)", e.Host, e.Addr)
}

// Private reports whether addr is no address of the public Internet: loopback,
// private, link-local, unspecified, multicast, shared (RFC 6598), reserved for
// documentation, benchmarks, segment routing or the future, or tunnelled (6to4,
// Teredo). An address of the well-known NAT64 prefix counts as the IPv4 address
// in it, and so does one that is IPv4-compatible.
func Private(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if nat64.Contains(addr) || compatible.Contains(addr) {
		// A resolver of an IPv6-only network gives IPv4 hosts addresses of NAT64.
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	if !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return true
	}
	for _, prefix := range nonPublic {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	compatible = netip.MustParsePrefix("::/96")        // RFC 4291, 2.5.5.1: automatic tunnels may still lead on
)

// nonPublic are the blocks that IsGlobalUnicast and IsPrivate let through.
// Source: the IANA special-purpose address registries.
var nonPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("100:0:0:1::/64"),
	netip.MustParsePrefix("2001::/32"),
	netip.MustParsePrefix("2001:2::/48"),
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("3fff::/20"),
	netip.MustParsePrefix("5f00::/16"),
	netip.MustParsePrefix("fec0::/10"),
}

// checkHost accepts IP addresses and DNS names (letters, digits, hyphens and
// underscores in labels of at most 63 bytes), so that nothing which ends up in a
// URL, a Host header or a log can be anything else.
func checkHost(host string) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" {
			return errors.New("upstream must not be an address with a zone")
		}
		return nil
	}
	if host == "" || len(host) > 253 {
		return errors.New("upstream must have a host of 1 to 253 bytes")
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return errors.New("upstream's host must be a DNS name or an IP address")
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return errors.New("upstream's host must be a DNS name or an IP address")
			}
		}
	}
	return nil
}

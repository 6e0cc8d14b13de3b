package command

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"syscall"

	"github.com/caddy-convoai/convoai/region"
)

// explanation is why a host cannot be reached, and what to do about it.
type explanation struct {
	of     fault
	what   string
	remedy []string
}

// explain says why there was no connection.
func explain(t *trial) explanation {
	refused := t.refusedAddresses()
	switch {
	case t.Cause == region.NameNotResolved:
		return t.explainName()
	case len(refused) > 0 && len(refused) == len(t.Addresses):
		return t.explainRefused(refused)
	case !t.Trial.Address.IsValid():
		return t.explainTCP()
	}
	return t.explainTLS()
}

func (t *trial) explainName() explanation {
	e := explanation{of: faultNetwork, what: "its name cannot be resolved: " + resolverProblem(t.Err)}
	if !region.VendorHost(t.Host) {
		e.of = faultConfiguration
		e.remedy = []string{"check the name in --upstream or CONVOAI_UPSTREAM, and whether the name server of this host knows it"}
		return e
	}
	e.remedy = []string{"ask whoever runs the name server of this host: the name is a public one of the vendor's"}
	return e
}

func (t *trial) explainRefused(refused []netip.Addr) explanation {
	const most = 4
	var list []string
	for i, addr := range refused {
		if i == most {
			list = append(list, "…")
			break
		}
		list = append(list, addr.String())
	}
	e := explanation{of: faultNetwork, what: "its name leads to " + strings.Join(list, ", ") + ", to which the sidecar does not connect: "}
	switch {
	case t.Scheme == "http":
		e.of = faultConfiguration
		e.what += "a public address gets nothing without TLS"
		e.remedy = []string{"use https:// in --upstream"}
	case region.VendorHost(t.Host):
		e.what += "no public address"
		e.remedy = []string{
			"ask whoever runs the name server of this host why a public name leads inside: a filter, or an attack",
			fmt.Sprintf("if it is meant to be so (a private link, a gateway): --upstream %s --upstream-private", t.Endpoint),
		}
	default:
		e.of = faultConfiguration
		e.what += "no public address"
		e.remedy = []string{"if it is meant to be so: --upstream-private (CONVOAI_UPSTREAM_PRIVATE=true)"}
	}
	return e
}

func (t *trial) explainTCP() explanation {
	at := addressesAt(t)
	firewall := fmt.Sprintf("outgoing TCP to port %s has to be open from this host: ask whoever runs its firewall", t.Port)
	if t.AllowPrivate { // one of the user's own
		switch t.Cause {
		case region.Refused:
			return explanation{faultConfiguration, "nobody listens at " + at, []string{"start what should listen there, or correct --upstream (CONVOAI_UPSTREAM)"}}
		default:
			return explanation{faultNetwork, reasonOf(t) + " " + at, []string{"check that what should listen there runs, and can be reached from this host"}}
		}
	}
	switch {
	case t.Cause == region.Refused:
		return explanation{faultNetwork, "connections to " + at + " are refused", []string{
			"a firewall refuses them, or the host is down (the vendor's status page would say so)", firewall,
		}}
	case t.Cause == region.ConnectTimeout:
		return explanation{faultNetwork, "no answer from " + at + " within " + millis(t.Connect), []string{firewall}}
	}
	return explanation{faultNetwork, reasonOf(t) + " " + at, []string{"check the network and the routes of this host", firewall}}
}

// addressesAt are the addresses that were dialled, or the first of many.
func addressesAt(t *trial) string {
	var list []string
	for _, addr := range t.Addresses {
		if t.CheckAddress(addr) == nil {
			list = append(list, addr.String())
		}
	}
	const most = 2
	text := strings.Join(list[:min(len(list), most)], ", ")
	if len(list) > most {
		text += fmt.Sprintf(" and %d more", len(list)-most)
	}
	return text + " port " + t.Port
}

// reasonOf says in words why a TCP connection could not be made.
func reasonOf(t *trial) string {
	switch {
	case t.Cause == region.ConnectTimeout:
		return "no answer within " + millis(t.Connect) + " from"
	case errors.Is(t.Err, syscall.ENETUNREACH), errors.Is(t.Err, syscall.EHOSTUNREACH), errors.Is(t.Err, syscall.ENETDOWN):
		return "there is no way to"
	case errors.Is(t.Err, syscall.EPERM), errors.Is(t.Err, syscall.EACCES):
		return "this host itself forbids to connect to"
	}
	return foreign(t.Err.Error(), 120) + ", connecting to"
}

// explainTLS says why a handshake has failed.
func (t *trial) explainTLS() explanation {
	const intercepted = "a company's proxy that looks into TLS signs with a CA of its own: give its certificate with --upstream-ca (in PEM), or have the host exempted"
	if wrong, ok := errors.AsType[*tls.CertificateVerificationError](t.Err); ok {
		by := "its certificate is by " + issuer(wrong.UnverifiedCertificates)
		if name, ok := errors.AsType[x509.HostnameError](t.Err); ok {
			return explanation{faultNetwork, fmt.Sprintf("TLS: %s, and for %s", by, namesOf(name.Certificate)), []string{
				"something else answers in the host's place: a captive portal, a proxy, a wrong address in DNS or --upstream",
			}}
		}
		if invalid, ok := errors.AsType[x509.CertificateInvalidError](t.Err); ok && invalid.Reason == x509.Expired {
			return explanation{faultHost, fmt.Sprintf("TLS: %s, and good from %s to %s", by, clock(invalid.Cert.NotBefore), clock(invalid.Cert.NotAfter)), []string{
				"look at the clock of this host first; if it is right, the certificate is not: tell whoever runs the upstream",
			}}
		}
		if _, ok := errors.AsType[x509.SystemRootsError](t.Err); ok {
			return explanation{faultHost, "TLS: this host has no CA certificates", []string{"install them (on most systems the package ca-certificates), or give some with --upstream-ca"}}
		}
		if _, ok := errors.AsType[x509.UnknownAuthorityError](t.Err); ok {
			return t.explainAuthority(by, intercepted)
		}
		return explanation{faultNetwork, "TLS: " + by + ", and not good: " + foreign(wrong.Err.Error(), 120), []string{intercepted}}
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](t.Err); ok {
		return explanation{faultNetwork, fmt.Sprintf("TLS: what answers at port %s does not speak TLS", t.Port), []string{
			"check port and scheme of --upstream; at the vendor's hosts, something else answers in their place: a captive portal, a proxy",
		}}
	}
	blocked := "a firewall that looks at the host's name in TLS may be in between: ask to have " + t.Host + " let through"
	switch {
	case t.Cause == region.ConnectTimeout:
		return explanation{faultNetwork, "TLS: connected to " + t.Trial.Address.String() + ", and no handshake within " + millis(t.Handshake), []string{blocked}}
	case errors.Is(t.Err, io.EOF), errors.Is(t.Err, syscall.ECONNRESET):
		return explanation{faultNetwork, "TLS: connected to " + t.Trial.Address.String() + ", which closed the connection during the handshake", []string{blocked}}
	}
	return explanation{faultNetwork, "TLS: " + foreign(t.Err.Error(), 160), []string{blocked}}
}

// explainAuthority is about a certificate that nobody vouches for. Who has given
// CAs has given the wrong ones.
func (t *trial) explainAuthority(by, intercepted string) explanation {
	if t.ownCA {
		return explanation{faultConfiguration, "TLS: " + by + ", which is not among the CAs of --upstream-ca", []string{
			"put the CA of the upstream into that file; without --upstream-ca those of the system count",
		}}
	}
	if t.AllowPrivate {
		return explanation{faultConfiguration, "TLS: " + by + ", which this host does not trust", []string{"give the CA of the upstream with --upstream-ca (in PEM)"}}
	}
	return explanation{faultNetwork, "TLS: " + by + ", which this host does not trust", []string{
		intercepted, "if this host trusts no CA at all: install them (on most systems the package ca-certificates)",
	}}
}

// issuer names who has signed a certificate. It is what the other end says of
// itself.
func issuer(chain []*x509.Certificate) string {
	if len(chain) == 0 {
		return "nobody"
	}
	by := chain[0].Issuer
	name := by.CommonName
	if len(by.Organization) > 0 {
		name = by.Organization[0]
	}
	if name == "" {
		name = "somebody without a name"
	}
	return foreign(name, 60)
}

// namesOf are those that a certificate is good for.
func namesOf(c *x509.Certificate) string {
	const most = 3
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no name at all"
	}
	text := foreign(strings.Join(names[:min(len(names), most)], ", "), 160)
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return text
}

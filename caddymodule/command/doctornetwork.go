package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/caddy-convoai/convoai/caddymodule"
	"github.com/caddy-convoai/convoai/region"
)

const sectionNetwork = "Network"

// trial is what came of connecting to an endpoint.
type trial struct {
	region.Endpoint
	caddymodule.Trial
	ownCA bool // --upstream-ca was given
}

// up reports whether there was a connection.
func (t *trial) up() bool { return t.Err == nil }

// label names the host in a line.
func (t *trial) label() string {
	if t.Region == t.URLHost() {
		return t.Endpoint.String()
	}
	return t.URLHost()
}

// checkNetwork connects to all upstreams at the same time.
func (d *diagnosis) checkNetwork(ctx context.Context) {
	d.in(sectionNetwork)
	if d.endpoints == nil {
		d.warn(faultConfiguration, "not checked: where calls go is not known", "correct the settings first")
		return
	}
	d.trials = make([]trial, len(d.endpoints))
	var trying sync.WaitGroup
	for i, e := range d.endpoints {
		trying.Go(func() { d.trials[i] = trial{e, d.client.Try(ctx, e), d.sidecar.upstreamCA != ""} })
	}
	trying.Wait()

	up := 0
	for i := range d.trials {
		if d.trials[i].up() {
			up++
		}
	}
	if up == 0 && d.reportNames() {
		return
	}
	for i := range d.trials {
		d.reportTrial(&d.trials[i], up > 0)
	}
	if up == 0 && len(d.trials) > 1 {
		d.fail(d.sharedFault(), "no upstream can be reached: every call ends with 502 UpstreamUnreachable")
		d.hintAtProxy()
	}
}

// sharedFault is where to look when no host is up.
func (d *diagnosis) sharedFault() fault {
	for i := range d.trials {
		if explain(&d.trials[i]).of != faultConfiguration {
			return faultNetwork
		}
	}
	return faultConfiguration
}

// reportTrial reports one host. Where others are up, calls go there.
func (d *diagnosis) reportTrial(t *trial, othersUp bool) {
	if t.up() {
		d.reportUp(t)
		return
	}
	e := explain(t)
	what := t.label() + ": " + e.what
	if othersUp {
		d.warn(e.of, what, append(e.remedy, "calls go to the others meanwhile")...)
		return
	}
	d.fail(e.of, what, e.remedy...)
}

func (d *diagnosis) reportUp(t *trial) {
	steps := []string{"TCP " + millis(t.Connect)}
	if len(t.Addresses) > 0 && t.Host != t.Addresses[0].String() {
		steps = append([]string{"DNS " + millis(t.Lookup)}, steps...)
	}
	line := fmt.Sprintf("%s: connected in %s to %s", t.label(), millis(t.Connect+t.Handshake), t.Trial.Address)
	if t.TLS == nil {
		line += " (" + strings.Join(steps, ", ") + "), without TLS"
		if t.Trial.Address.IsLoopback() {
			d.ok("%s", line)
			return
		}
		d.warn(faultConfiguration, line, "whoever is on the way there can read the credentials: use https://")
		return
	}
	steps = append(steps, "TLS "+millis(t.Handshake))
	d.ok("%s (%s; certificate by %s)", line, strings.Join(steps, ", "), issuer(t.TLS.PeerCertificates))
}

// millis is a duration for people to compare.
func millis(d time.Duration) string {
	return fmt.Sprintf("%d ms", (d + time.Millisecond/2).Milliseconds())
}

// reportNames reports that no name at all has an address, if that is so: one
// finding in the place of one for each host.
func (d *diagnosis) reportNames() bool {
	unknown := 0
	var other error // of a resolver that does not say that there is no such name
	for i := range d.trials {
		t := &d.trials[i]
		if t.Cause != region.NameNotResolved {
			return false
		}
		dns, ok := errors.AsType[*net.DNSError](t.Err)
		switch {
		case ok && dns.IsNotFound:
			unknown++
		case other == nil:
			other = t.Err
		}
	}
	if len(d.trials) == 1 && unknown == 1 {
		return false // more likely a name that was written wrongly
	}
	asked := ""
	if servers := d.nameServers(); len(servers) > 0 {
		asked = " (" + verb(servers, " was asked", " were asked") + ")"
	}
	if other == nil {
		d.fail(faultNetwork, fmt.Sprintf("DNS: the name server knows none of the %d hosts%s", unknown, asked),
			"it answers, but not for public names: give this host a name server that does (in a container: its dns setting)",
			"if calls are to take another way out of here, name it with --upstream")
		return true
	}
	d.fail(faultNetwork, "DNS: no name can be resolved: "+resolverProblem(other)+asked,
		"check that this host has a network, and the name servers in its resolver configuration (on Linux /etc/resolv.conf; in a container its dns setting)",
		"a firewall has to let UDP and TCP to port 53 of these name servers through")
	d.hintAtProxy()
	return true
}

// nameServers are those that are asked, as far as that is known.
func (d *diagnosis) nameServers() []string {
	const most = 3 // as resolvers have it
	if len(d.resolvers) > 0 {
		return d.resolvers
	}
	text, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	var servers []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "nameserver" && len(servers) < most {
			servers = append(servers, foreign(fields[1], 60))
		}
	}
	return servers
}

// resolverProblem says why a resolver gave no address.
func resolverProblem(err error) string {
	dns, ok := errors.AsType[*net.DNSError](err)
	switch {
	case ok && dns.IsNotFound:
		return "there is no such name"
	case ok && dns.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		return "no name server answers"
	case strings.Contains(err.Error(), syscall.ENETUNREACH.Error()): // net.DNSError has the text alone
		return "there is no way to the name server (" + syscall.ENETUNREACH.Error() + ")"
	case ok && dns.Err != "":
		return foreign(dns.Err, 120)
	}
	return foreign(err.Error(), 120)
}

// hintAtProxy says of what may be the way out of here that the sidecar does not
// take it.
func (d *diagnosis) hintAtProxy() {
	if names := proxyVariables(); len(names) > 0 {
		d.warn(faultConfiguration, strings.Join(names, ", ")+" is set, and the sidecar does not use it",
			"if the proxy is the only way out: run it from a Caddyfile, with network_proxy in transport http { … } of the convoai directive")
	}
}

// refusedAddresses are those that the sidecar does not dial.
func (t *trial) refusedAddresses() []netip.Addr {
	var list []netip.Addr
	for _, addr := range t.Addresses {
		if t.CheckAddress(addr) != nil {
			list = append(list, addr)
		}
	}
	return list
}

package command

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/caddy-convoai/convoai/region"
)

// readers read what is no credential into a sidecar, each one setting: what is
// wrong with one need not hide what is wrong with another. Errors name the flag or
// variable.
func (f *runFlags) readers() []func(*sidecar) error {
	return []func(*sidecar) error{
		f.readArea, f.readUpstreams, f.readAllowHost, f.readAllowFrom, f.readUpstreamCA, f.readAccessLog, f.readListen, f.readHealthListen, f.readIntercept,
	}
}

func (f *runFlags) readArea(s *sidecar) error {
	area := flagOr("area", f.area, envArea)
	if s.settings.Area = strings.ToLower(area.value); s.settings.Area == "" {
		s.settings.Area = string(region.US)
	}
	if _, err := region.ParseArea(s.settings.Area); err != nil {
		return fmt.Errorf("%s: %w", area.from, err)
	}
	return nil
}

func (f *runFlags) readUpstreams(s *sidecar) error {
	private, err := flagOrBool(f.private, envUpstreamPrivate)
	if err != nil {
		return err
	}
	if private {
		s.settings.UpstreamPrivate = &private
	}
	upstreams := flagOrList("upstream", f.upstreams, envUpstream)
	for _, upstream := range upstreams.values {
		if _, err := region.ParseUpstream(upstream, private); err != nil {
			return fmt.Errorf("%s: %w", upstreams.from, err)
		}
	}
	if len(upstreams.values) > region.MaxEndpoints {
		return fmt.Errorf("%s: at most %d upstreams are possible", upstreams.from, region.MaxEndpoints)
	}
	s.settings.Upstreams = upstreams.values
	return nil
}

func (f *runFlags) readAllowHost(s *sidecar) (err error) {
	s.settings.AllowHost, err = allowedHosts(f.allowHost)
	return err
}

// allowedHosts returns the Hosts of a flag, or of its variable.
func allowedHosts(flag []string) ([]string, error) {
	hosts := flagOrList("allow-host", flag, envAllowHost)
	for _, host := range hosts.values {
		if _, port, _ := net.SplitHostPort(host); port != "" || strings.ContainsAny(host, "*/@{}") {
			return nil, fmt.Errorf("%s: %q is no host name or address without a port", hosts.from, host)
		}
	}
	return hosts.values, nil
}

func (f *runFlags) readAllowFrom(s *sidecar) error {
	peers := flagOrList("allow-from", f.allowFrom, envAllowFrom)
	for _, peer := range peers.values {
		if !isRange(peer) {
			return fmt.Errorf("%s: %q is no IP address or CIDR range", peers.from, peer)
		}
	}
	s.settings.AllowFrom = peers.values
	return nil
}

func (f *runFlags) readUpstreamCA(s *sidecar) (err error) {
	ca := flagOr("upstream-ca", f.upstreamCA, envUpstreamCA)
	if s.upstreamCA, err = caFile(ca.value); err != nil {
		return fmt.Errorf("%s: %w", ca.from, err)
	}
	return nil
}

func (f *runFlags) readAccessLog(s *sidecar) (err error) {
	s.accessLog, err = flagOrBool(f.accessLog, envAccessLog)
	return err
}

func (f *runFlags) readListen(s *sidecar) (err error) {
	s.listen, err = listenAddresses(flagOrList("listen", f.listen, envListen), defaultPort)
	return err
}

// readHealthListen comes after readListen: the two must not meet.
func (f *runFlags) readHealthListen(s *sidecar) error {
	given := flagOrList("health-listen", f.healthListen, envHealthListen)
	if len(given.values) == 0 {
		return nil
	}
	list, err := listenAddresses(given, 0)
	if err != nil {
		return err
	}
	for _, address := range list {
		if other := overlapping(address, s.listen); other != "" {
			return fmt.Errorf("%s: calls come in at %s, which is the same port: choose another one", given.from, other)
		}
	}
	s.healthListen = list
	return nil
}

// flagOrBool returns a switch that is on by its flag or by its variable.
func flagOrBool(flag bool, name string) (bool, error) {
	value := strings.TrimSpace(os.Getenv(name))
	if flag || value == "" {
		return flag, nil
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		return false, fmt.Errorf("%s must be true or false", name)
	}
	return on, nil
}

func isRange(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil && !strings.Contains(s, "/") { // "fe80::1%eth0/64" parses
		return true
	}
	_, err := netip.ParsePrefix(s)
	return err == nil
}

// caFile returns the absolute path of a PEM file with CAs, "" for "".
func caFile(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	pem, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return "", fmt.Errorf("%s: holds no certificate in PEM", name)
	}
	return configPath(name)
}

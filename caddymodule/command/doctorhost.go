package command

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"strings"
)

const sectionHost = "This host"

// checkHost checks what of this host has to do with callers: the addresses to
// listen on, and proxies between them and the sidecar.
func (d *diagnosis) checkHost(ctx context.Context) {
	d.in(sectionHost)
	d.running = findRunning(ctx)
	for _, address := range d.sidecar.listen {
		d.checkListen(ctx, address, "--listen (CONVOAI_LISTEN)")
	}
	for _, address := range d.sidecar.healthListen {
		d.checkListen(ctx, address, "--health-listen (CONVOAI_HEALTH_LISTEN)")
	}
	d.checkCallers()
	d.checkProxies()
}

// checkCallers checks that who is meant to call may.
func (d *diagnosis) checkCallers() {
	if d.failedIn(sectionSettings) {
		return
	}
	var open []string
	for _, address := range d.sidecar.listen {
		if !onlyLoopback(address) {
			open = append(open, address)
		}
	}
	if len(open) == 0 {
		return
	}
	s := d.sidecar.settings
	from := strings.Join(open, ", ")
	if len(s.AllowFrom) == 0 {
		d.warn(faultConfiguration, from+" can be reached from other hosts, but only callers on this host are served",
			"name the others with --allow-from (addresses or CIDR ranges), and the names they call this host by with --allow-host; or listen on 127.0.0.1")
		return
	}
	if len(s.AllowHost) == 0 {
		d.warn(faultConfiguration, "callers on other hosts are let in, but only with localhost, a loopback address or a host of the vendor's in their Host header",
			"name what they call this host by with --allow-host")
	}
	for _, peers := range s.AllowFrom {
		if prefix, err := netip.ParsePrefix(peers); err == nil && prefix.Bits() == 0 && !d.callerToken.isSet() {
			d.warn(faultConfiguration, "whoever can reach "+from+" can make calls at the expense of the account", "set CONVOAI_CALLER_TOKEN, or narrow --allow-from")
			return
		}
	}
}

// proxyNames are the variables by which programs find a proxy.
var proxyNames = []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"}

// proxyVariables returns those of proxyNames that are set. Their values may hold
// passwords.
func proxyVariables() []string {
	var set []string
	for _, name := range proxyNames {
		if os.Getenv(name) != "" {
			set = append(set, name)
		}
	}
	return set
}

// checkProxies says what proxy variables mean: nothing to the sidecar, but that the
// application may not find it.
func (d *diagnosis) checkProxies() {
	set := proxyVariables()
	if len(set) == 0 {
		d.ok("no proxy variables are set")
		return
	}
	what, direct := verb(set, " is set", " are set"), "the sidecar uses no proxy: its calls go out directly"
	if d.anyUp() {
		direct += ", which works from here"
	}
	if d.sidecar.connect != nil && d.anyUp() {
		d.ok("%s: %s; with --intercept the application's HTTPS_PROXY has to be the address of the sidecar", what, direct)
		return
	}
	if missing := missingFromNoProxy(); len(missing) > 0 && throughProxy(set) {
		d.warn(faultConfiguration, what+", and NO_PROXY does not hold "+strings.Join(missing, ", "), direct,
			"an application with the same variables may send its calls to the proxy in the place of the sidecar: put localhost,127.0.0.1,::1 (or the name it calls the sidecar by) into its NO_PROXY and no_proxy")
		return
	}
	if !d.anyUp() {
		d.warn(faultConfiguration, what, direct)
		return
	}
	d.ok("%s: %s; the application's calls to it need no proxy either", what, direct)
}

// throughProxy reports whether some of these variables are about http:// URLs,
// which that of the sidecar is.
func throughProxy(set []string) bool {
	for _, name := range set {
		if !strings.HasPrefix(strings.ToUpper(name), "HTTPS") {
			return true
		}
	}
	return false
}

// missingFromNoProxy returns which names of this host may be looked for behind the
// proxy. Some programs look at the variable in capitals, others at the other one.
func missingFromNoProxy() []string {
	var lists []string
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		if value := os.Getenv(name); value != "" {
			lists = append(lists, value)
		}
	}
	var missing []string
	for _, host := range []string{"localhost", "127.0.0.1"} {
		lacks := func(list string) bool { return !holdsHost(list, host) }
		if len(lists) == 0 || slices.ContainsFunc(lists, lacks) {
			missing = append(missing, host)
		}
	}
	return missing
}

// holdsHost reports whether a list as in NO_PROXY holds a host.
func holdsHost(list, host string) bool {
	addr, _ := netip.ParseAddr(host)
	for _, one := range splitList(list) {
		prefix, err := netip.ParsePrefix(one)
		if one == "*" || strings.EqualFold(one, host) || err == nil && addr.IsValid() && prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// verb joins names with the verb for one or for several.
func verb(names []string, one, several string) string {
	if len(names) == 1 {
		return names[0] + one
	}
	return strings.Join(names, ", ") + several
}

package corpus

import (
	"fmt"
	"strings"
)

// A Site is one of the configurations that cases are for.
type Site struct {
	Name     string
	settings string // beside those of all sites
	TLS      bool
	options  string // of its server
}

// Sites are all of them. "plain" takes calls of loopback peers for names of this
// host, as a sidecar does by default.
var Sites = []Site{
	{Name: "plain"},
	{Name: "caller", settings: "caller_token " + CallerA},
	{Name: "named", settings: "allow_host sidecar.test 10.5.0.1"},
	{Name: "far", settings: "allow_from 10.5.0.0/16"},
	{Name: "cn", settings: "area cn"},
	{Name: "h2c", options: "protocols h1 h2 h2c"},
	{Name: "tls", TLS: true, options: "protocols h1 h2"},
}

// Place is where a site listens: the port, and what it is bound to.
type Place struct{ Port, Bind string }

// Caddyfile returns the configuration of all sites. certificate and key are the
// names of files.
func Caddyfile(place func(Site) Place, upstream, certificate, key string) string {
	var b, sites strings.Builder
	b.WriteString("{\n\tadmin off\n\tpersist_config off\n\tauto_https off\n\tskip_install_trust\n")
	for _, s := range Sites {
		p := place(s)
		scheme, tls := "http", ""
		if s.TLS {
			scheme, tls = "https", "tls "+certificate+" "+key
		}
		if s.options != "" {
			fmt.Fprintf(&b, "\tservers %s:%s {\n\t\t%s\n\t}\n", p.Bind, p.Port, s.options)
		}
		callerB := ""
		if s.Name == "caller" {
			callerB = "caller_token " + CallerB
		}
		fmt.Fprintf(&sites, `%s://:%s {
	bind %s
	%s
	convoai {
		app_id %s
		app_certificate %s
		app %s {
			customer_id %s
			customer_secret %s
			%s
		}
		max_body 1KiB
		allow_header X-Allowed
		upstream %s
		%s
	}
}
`, scheme, p.Port, p.Bind, tls, AppA, CertificateA, AppB, CustomerB, SecretB, callerB, upstream, s.settings)
	}
	b.WriteString("}\n")
	return b.String() + sites.String()
}

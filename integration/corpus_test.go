package integration

import (
	"crypto/tls"
	"net"
	"testing"

	"github.com/caddy-convoai/convoai/integration/corpus"
)

// Every hostile request of testdata/corpus is answered as it must be, and what
// reaches the upstream is a call with our credential, one for each that is
// allowed.
func TestHostileRequests(t *testing.T) {
	cases, err := corpus.Read("testdata/corpus")
	if err != nil {
		t.Fatal(err)
	}
	target := corpusTarget(t)
	if err := target.Learn(); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.File+"/"+c.Name, func(t *testing.T) {
			if !c.HTTP2 {
				for _, fault := range target.Run(c) {
					t.Error(fault)
				}
				return
			}
			for _, c.Site = range []string{"tls", "h2c"} {
				for _, fault := range target.Run(c) {
					t.Errorf("%s: %s", c.Site, fault)
				}
			}
		})
	}
	if late := target.Upstream.Take(); len(late) > 0 {
		t.Errorf("%d requests reached the upstream late", len(late))
	}
}

// The corpus is large enough to mean something.
func TestHostileRequestsAreManyInEachCategory(t *testing.T) {
	cases, err := corpus.Read("testdata/corpus")
	if err != nil {
		t.Fatal(err)
	}
	categories := make(map[string]int)
	for _, c := range cases {
		categories[c.File]++
	}
	if len(categories) < 12 {
		t.Errorf("%d categories, want 12", len(categories))
	}
	for name, n := range categories {
		t.Logf("%s: %d", name, n)
		if n < 25 {
			t.Errorf("%s has %d cases, want 25", name, n)
		}
	}
}

// corpusTarget is the binary with all sites of the corpus.
func corpusTarget(t *testing.T) *corpus.Target {
	t.Helper()
	up := corpus.NewUpstream(listen(t))
	t.Cleanup(up.Close)
	shown, err := corpus.WriteCertificate(t.TempDir(), "site", "localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	ports := make(map[string]string)
	config := corpus.Caddyfile(func(s corpus.Site) corpus.Place {
		if ports[s.Name] == "" {
			ports[s.Name] = freePort(t)
		}
		return corpus.Place{Port: ports[s.Name], Bind: "127.0.0.1"}
	}, up.URL, shown.File, shown.Key)
	start(t, config)
	return &corpus.Target{Upstream: up, Dial: func(site string) (net.Conn, error) {
		address := "127.0.0.1:" + ports[site]
		if site != "tls" {
			return net.DialTimeout("tcp", address, patience)
		}
		return tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", address,
			&tls.Config{RootCAs: shown.Roots, ServerName: "localhost", NextProtos: []string{"h2"}})
	}}
}

package caddymodule

import (
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

// serverOf runs Caddy in this process with one site, which logs nothing, and
// returns its server. Requests are given to that: nothing listens. options are
// global options.
func serverOf(t testing.TB, options, site string) *caddyhttp.Server {
	t.Helper()
	load(t, options, site)
	t.Cleanup(func() { _ = caddy.Stop() })
	running, err := caddy.ActiveContext().App("http")
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range running.(*caddyhttp.App).Servers {
		return server
	}
	t.Fatal("no server")
	return nil
}

// load has the Caddy of this process run one site.
func load(t testing.TB, options, site string) {
	t.Helper()
	text := "{\n admin off\n auto_https off\n storage file_system " + t.TempDir() + "\n log {\n  output discard\n }\n" + options +
		"\n}\nhttp://:9 {\n bind " + memoryNetwork + "/nowhere\n" + site + "\n}\n"
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
}

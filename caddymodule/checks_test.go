package caddymodule

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/integration/corpus"
)

// testNetwork is a network of Caddy's whose listeners are on ports that the
// system chooses, so that no test depends on a port's being free.
const testNetwork = "convoaitest"

var testListeners struct {
	mu      sync.Mutex // guards address
	address map[string]string
}

func init() {
	caddy.RegisterNetwork(testNetwork, func(ctx context.Context, _, host, _ string, _ uint, config net.ListenConfig) (any, error) {
		l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		testListeners.mu.Lock()
		defer testListeners.mu.Unlock()
		if testListeners.address == nil {
			testListeners.address = make(map[string]string)
		}
		testListeners.address[host] = l.Addr().String()
		return l, nil
	})
}

// corpusServer runs Caddy in this process with all sites of the corpus on network,
// and returns what reaches them, with their gates.
func corpusServer(t testing.TB, network string) (*corpus.Target, []*Gate) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	up := corpus.NewUpstream(l)
	t.Cleanup(up.Close)
	dir := t.TempDir()
	shown, err := corpus.WriteCertificate(dir, "site", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	text := corpus.Caddyfile(func(s corpus.Site) corpus.Place {
		// The ports mean nothing but that the sites are not of one server.
		port := 1 + slices.IndexFunc(corpus.Sites, func(other corpus.Site) bool { return other.Name == s.Name })
		return corpus.Place{Port: strconv.Itoa(port), Bind: network + "/" + s.Name}
	}, up.URL, shown.File, shown.Key)
	text = strings.Replace(text, "{\n", "{\n\tstorage file_system "+dir+"\n\tlog {\n\t\toutput discard\n\t}\n", 1)
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })
	target := &corpus.Target{Upstream: up, Dial: func(site string) (net.Conn, error) {
		testListeners.mu.Lock()
		address := testListeners.address[site]
		testListeners.mu.Unlock()
		if site != "tls" {
			return net.Dial("tcp", address)
		}
		return tls.Dial("tcp", address, &tls.Config{RootCAs: shown.Roots, ServerName: "localhost", NextProtos: []string{"h2"}})
	}}
	running, err := caddy.ActiveContext().App("http")
	if err != nil {
		t.Fatal(err)
	}
	var gates []*Gate
	for _, server := range running.(*caddyhttp.App).Servers {
		gates = append(gates, gatesOf(server.Routes)...)
	}
	if len(gates) != len(corpus.Sites) {
		t.Fatalf("%d gates were found, want %d", len(gates), len(corpus.Sites))
	}
	return target, gates
}

// gatesOf returns the gates among the handlers of routes.
func gatesOf(routes caddyhttp.RouteList) (gates []*Gate) {
	for _, route := range routes {
		for _, handler := range route.Handlers {
			switch handler := handler.(type) {
			case *Gate:
				gates = append(gates, handler)
			case *caddyhttp.Subroute:
				gates = append(gates, gatesOf(handler.Routes)...)
			}
		}
	}
	return gates
}

// careless is what stands in for a check that is switched off, where those that
// follow need what it finds out: it finds that out, and refuses nothing. The
// other checks are left out.
var careless = map[string]func(*Gate, *arrival) *callError{
	// Any path, made to look like the nearest call.
	"path": func(_ *Gate, a *arrival) *callError {
		cleaned := strings.ToLower(path.Clean("/" + strings.ReplaceAll(a.r.URL.Path, `\`, "/")))
		cleaned = strings.ReplaceAll(cleaned, strings.ToLower(corpus.AppA), corpus.AppA)
		for cut := cleaned; cut != ""; _, cut, _ = strings.Cut(cut[1:], "/") {
			if p, ok := api.ParsePath("/" + strings.Trim(cut, "/")); ok {
				a.call.path = p
				return nil
			}
		}
		a.call.path, _ = api.ParsePath("/v2/projects/_/agents")
		return nil
	},
	// The first operation of the path, whatever the method.
	"operation": func(_ *Gate, a *arrival) *callError {
		method, _, _ := strings.Cut(a.call.path.Allow(), ",")
		a.call.operation, _ = a.call.path.Operation(method)
		return nil
	},
	"caller token": func(g *Gate, a *arrival) *callError {
		a.project = g.project(a.call.path.AppID)
		return nil
	},
	"project": func(g *Gate, a *arrival) *callError {
		if a.project == nil {
			a.project = g.defaultProject
		}
		a.call.project = a.project
		return nil
	},
	"body size": func(_ *Gate, a *arrival) *callError {
		var body []byte
		if body, a.bodyError = io.ReadAll(a.r.Body); takesBody(a.call.operation) {
			a.call.body = body
		}
		return nil
	},
	"body content": func(_ *Gate, a *arrival) *callError {
		if session, incomplete, err := a.project.read(a.call.operation, a.call.body); err == nil {
			a.session, a.incomplete = session, incomplete
		} else {
			a.session = api.Session{Channel: stopChannel, Account: stopAccount}
		}
		return nil
	},
}

// without returns the checks but the named one.
func without(name string) []check {
	list := slices.Clone(checks)
	i := slices.IndexFunc(list, func(c check) bool { return c.name == name })
	if replacement := careless[name]; replacement != nil {
		list[i].of = replacement
		return list
	}
	return slices.Delete(list, i, i+1)
}

// No check is there in vain: with all of them every hostile request ends as it
// must, and without any single one some do not.
func TestEachCheckOfTheGateIsNeeded(t *testing.T) {
	cases, err := corpus.Read("../integration/testdata/corpus")
	if err != nil {
		t.Fatal(err)
	}
	target, gates := corpusServer(t, testNetwork)
	if err := target.Learn(); err != nil {
		t.Fatal(err)
	}
	run := func(most int) (failed []string) {
		for _, c := range cases {
			if len(failed) >= most {
				break
			}
			sites := []string{c.Site}
			if c.HTTP2 {
				sites = []string{"tls", "h2c"}
			}
			for _, c.Site = range sites {
				if faults := target.Run(c); len(faults) > 0 {
					failed = append(failed, fmt.Sprintf("%s: %s", c, strings.Join(faults, "; ")))
				}
			}
		}
		return failed
	}
	if failed := run(3); len(failed) > 0 {
		t.Fatalf("with all checks:\n%s", strings.Join(failed, "\n"))
	}
	names := make(map[string]bool)
	for _, c := range checks {
		if names[c.name] {
			t.Errorf("two checks are named %q", c.name)
		}
		names[c.name] = true
		t.Run("without "+c.name, func(t *testing.T) {
			for _, g := range gates {
				g.checks = without(c.name)
			}
			failed := run(len(cases))
			if len(failed) == 0 {
				t.Error("no hostile request gets further without this check")
			}
			t.Logf("%d fail, such as\n%s", len(failed), strings.Join(failed[:min(len(failed), 3)], "\n"))
		})
	}
	for name := range careless {
		if !names[name] {
			t.Errorf("there is no check %q", name)
		}
	}
	for _, g := range gates {
		g.checks = checks
	}
	if failed := run(3); len(failed) > 0 {
		t.Errorf("with all checks again:\n%s", strings.Join(failed, "\n"))
	}
}

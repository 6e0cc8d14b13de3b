package command

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func TestInterceptConfigGolden(t *testing.T) {
	testdata := inTestdata(t)
	t.Setenv("XDG_DATA_HOME", t.TempDir()) // has no effect on a storage that is set already
	for _, test := range []struct {
		golden string
		flags  runFlags
		env    map[string]string
	}{
		{
			golden: "run-intercept",
			flags:  runFlags{listen: []string{"127.0.0.1:8080"}, intercept: interceptFlags{on: true}},
		},
		{
			golden: "run-intercept-flags",
			flags: runFlags{
				listen: []string{"127.0.0.1:8080"}, accessLog: true, upstreams: []string{"https://a.example"},
				upstreamCA: filepath.Join("testdata", "ca.pem"),
				intercept:  interceptFlags{tunnels: []string{"a.example,b.example"}},
			},
			env: map[string]string{envIntercept: "true", envTunnel: "c.example", envTunnelPrivate: "true", envOtherPaths: "forward"},
		},
	} {
		t.Run(test.golden, func(t *testing.T) {
			env := map[string]string{"AGORA_APP_ID": testAppID, "AGORA_APP_CERTIFICATE": testAppCertificate}
			for name, value := range test.env {
				env[name] = value
			}
			setEnv(t, env)
			s, _, err := test.flags.sidecar()
			if err != nil {
				t.Fatal(err)
			}
			checkGolden(t, test.golden, s.config(), testdata)
			s.connect.CA = "memory" // nothing is to be kept of a test
			if err := caddy.Validate(s.config()); err != nil {
				t.Errorf("Caddy cannot use it: %v", err)
			}
		})
	}
}

func TestUnusableInterceptFlags(t *testing.T) {
	on := interceptFlags{on: true}
	with := func(change func(*interceptFlags)) runFlags {
		f := on
		change(&f)
		return runFlags{listen: []string{"127.0.0.1:8080"}, intercept: f}
	}
	for _, test := range []struct {
		name  string
		flags runFlags
		env   map[string]string
		err   string
	}{
		{"tunnel to an address", with(func(f *interceptFlags) { f.tunnels = []string{"10.0.0.1"} }), nil, "--tunnel: tunnel takes host names"},
		{"tunnel to a ConvoAI host", with(func(f *interceptFlags) { f.tunnels = []string{"api.agora.io"} }), nil, "--tunnel: tunnel: api.agora.io is a ConvoAI host"},
		{"tunnel variable", with(func(*interceptFlags) {}), map[string]string{envTunnel: "a.example:443"}, "CONVOAI_TUNNEL: tunnel takes host names"},
		{"other paths", with(func(f *interceptFlags) { f.otherPaths = "pass" }), nil, "--other-paths must be refuse or forward"},
		{"other paths variable", with(func(*interceptFlags) {}), map[string]string{envOtherPaths: "x"}, "CONVOAI_OTHER_PATHS must be refuse or forward"},
		{"tunnel alone", with(func(f *interceptFlags) { *f = interceptFlags{tunnels: []string{"a.example"}} }), nil, "--tunnel is of use with --intercept alone"},
		{"other paths alone", with(func(f *interceptFlags) { *f = interceptFlags{} }), map[string]string{envOtherPaths: "forward"}, "CONVOAI_OTHER_PATHS is of use with --intercept alone"},
		{"intercept variable", runFlags{}, map[string]string{envIntercept: "perhaps"}, "CONVOAI_INTERCEPT must be true or false"},
		{"private variable", with(func(*interceptFlags) {}), map[string]string{envTunnelPrivate: "perhaps"}, "CONVOAI_TUNNEL_PRIVATE must be true or false"},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := map[string]string{"AGORA_APP_ID": testAppID, "AGORA_APP_CERTIFICATE": testAppCertificate}
			for name, value := range test.env {
				env[name] = value
			}
			setEnv(t, env)
			_, _, err := test.flags.sidecar()
			checkError(t, err, test.err)
		})
	}
}

func TestErrorOfInterceptIsInItsOwnWords(t *testing.T) {
	err, ok := errIntercept(errors.New("loading x: provision http.handlers.convoai_connect: the disk is full"))
	if !ok || err.Error() != "--intercept: the disk is full" {
		t.Errorf("%v, %t", err, ok)
	}
	if _, ok := errIntercept(errors.New("provision http.handlers.convoai: no")); ok {
		t.Error("an error of the gate is taken for one of --intercept")
	}
	if _, ok := errIntercept(nil); ok {
		t.Error("no error is one")
	}
}

func TestAnnounceSaysHowToUseTheProxy(t *testing.T) {
	s, mode := newTestSidecar(t, runFlags{listen: []string{"127.0.0.1:0"}, upstreams: []string{startSimulator(t)}, intercept: interceptFlags{on: true}}, nil)
	s.connect.CA = "memory"
	if status, err := s.start(); err != nil {
		t.Fatalf("status %d, %v", status, err)
	}
	var text strings.Builder
	s.announce(&text, mode)
	if !strings.Contains(text.String(), "HTTPS_PROXY="+s.urls()[0]) || !strings.Contains(text.String(), "caddy convoai trust") {
		t.Errorf("%s", &text)
	}
}

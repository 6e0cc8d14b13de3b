package command

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/caddy-convoai/convoai/simulator"
)

var update = flag.Bool("update", false, "write the golden files anew")

// inTestdata makes file names that the tests are given the same everywhere.
func inTestdata(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestConfigGolden(t *testing.T) {
	testdata := inTestdata(t)
	for _, test := range []struct {
		golden string
		flags  runFlags
		env    map[string]string
		socket string
	}{
		{
			golden: "run-default",
			flags:  runFlags{listen: []string{"127.0.0.1:8080"}},
			env:    map[string]string{"AGORA_APP_ID": testAppID, "AGORA_APP_CERTIFICATE": testAppCertificate},
			socket: "/run/convoai/1-00000000.sock",
		},
		{
			golden: "run-flags",
			flags: runFlags{
				listen: []string{"127.0.0.1:8080,[::1]:8080", "unix//run/app/convoai.sock|0660"},
				area:   "EU", appID: testAppID,
				upstreams:  []string{"https://a.example", "https://b.example:8443"},
				upstreamCA: filepath.Join("testdata", "ca.pem"),
				allowHost:  []string{"sidecar"}, allowFrom: []string{"10.0.0.0/8"}, accessLog: true,
				healthListen: []string{":9090", "unix//run/app/health.sock|0666"},
			},
			env: map[string]string{
				"AGORA_CUSTOMER_ID": "customer-id", "AGORA_CUSTOMER_SECRET_FILE": filepath.Join("testdata", "secret.txt"),
				"CONVOAI_CALLER_TOKEN": "caller-token",
			},
		},
		{
			golden: "run-environment",
			env: map[string]string{
				"APP_ID": testAppID, "APP_CERTIFICATE": testAppCertificate, "AGORA_AREA": "cn",
				"CONVOAI_LISTEN": "127.0.0.1:8080", "CONVOAI_UPSTREAM": "https://a.example https://b.example",
				"CONVOAI_UPSTREAM_CA": filepath.Join("testdata", "ca.pem"),
				"CONVOAI_ALLOW_HOST":  "sidecar,sidecar.test", "CONVOAI_ALLOW_FROM": "10.0.0.0/8", "CONVOAI_ACCESS_LOG": "true",
				"CONVOAI_HEALTH_LISTEN": "127.0.0.1:9090 [::1]:9090",
			},
		},
	} {
		t.Run(test.golden, func(t *testing.T) {
			setEnv(t, test.env)
			s, _, err := test.flags.sidecar()
			if err != nil {
				t.Fatal(err)
			}
			s.adminSocket = test.socket
			checkGolden(t, test.golden, s.config(), testdata)
			if err := caddy.Validate(s.config()); err != nil {
				t.Errorf("Caddy cannot use it: %v", err)
			}
		})
	}
}

func TestDemoConfigGolden(t *testing.T) {
	project := simulator.RandomProject()
	t.Setenv(envDemoAppID, "")
	t.Setenv(envDemoAppCertificate, "")
	s, err := demoSidecar([]string{"127.0.0.1:8080"}, "http://127.0.0.1:8081", project)
	if err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "demo", s.config(), inTestdata(t))
	if err := caddy.Validate(s.config()); err != nil {
		t.Errorf("Caddy cannot use it: %v", err)
	}
}

func checkGolden(t *testing.T, name string, config *caddy.Config, testdata string) {
	t.Helper()
	got, err := json.MarshalIndent(config, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	got = append(bytes.ReplaceAll(got, []byte(testdata), []byte("TESTDATA")), '\n')
	for _, secret := range []string{testAppCertificate, "customer-secret", "caller-token\""} {
		if bytes.Contains(got, []byte(secret)) {
			t.Error("the configuration holds a secret")
		}
	}
	file := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the configuration is not that of %s (-update writes it anew):\n%s", file, got)
	}
}

func TestUnusableFlagsAndVariables(t *testing.T) {
	noCertificate := writeFile(t, t.TempDir(), "ca.pem", "canary")
	for _, test := range []struct {
		name  string
		flags runFlags
		env   map[string]string
		err   string
	}{
		{"area", runFlags{area: "mars"}, nil, "--area: area must be us, eu, ap or cn"},
		{"area variable", runFlags{}, map[string]string{envArea: "mars"}, "AGORA_AREA: area must be"},
		{"upstream", runFlags{upstreams: []string{"ftp://x"}}, nil, "--upstream: "},
		{"upstream with user information", runFlags{upstreams: []string{"https://u:canary@x"}}, nil, "user information"},
		{"public upstream without TLS", runFlags{upstreams: []string{"http://example.com"}}, nil, "--upstream: "},
		{"upstream variable", runFlags{}, map[string]string{envUpstream: "https://a.example/path"}, "CONVOAI_UPSTREAM: "},
		{"too many upstreams", runFlags{upstreams: []string{strings.Repeat("https://a.example,", 17)}}, nil, "at most 16"},
		{"missing CA", runFlags{upstreamCA: "/does/not/exist"}, nil, "--upstream-ca: "},
		{"CA without certificate", runFlags{upstreamCA: noCertificate}, nil, "holds no certificate"},
		{"host", runFlags{allowHost: []string{"*.example"}}, nil, "--allow-host: "},
		{"host with a port", runFlags{allowHost: []string{"sidecar:8080"}}, nil, "--allow-host: "},
		{"host variable", runFlags{}, map[string]string{envAllowHost: "http://x"}, "CONVOAI_ALLOW_HOST: "},
		{"peer", runFlags{allowFrom: []string{"10.0.0.0/33"}}, nil, "--allow-from: "},
		{"peer with a zone and a length", runFlags{allowFrom: []string{"fe80::1%eth0/64"}}, nil, "--allow-from: "},
		{"peer variable", runFlags{}, map[string]string{envAllowFrom: "localhost"}, "CONVOAI_ALLOW_FROM: "},
		{"listen", runFlags{listen: []string{"127.0.0.1"}}, nil, "--listen: "},
		{"listen variable", runFlags{}, map[string]string{envListen: "udp/127.0.0.1:1"}, "CONVOAI_LISTEN: "},
		{"health listener", runFlags{healthListen: []string{"9090"}}, nil, "--health-listen: "},
		{"health listener variable", runFlags{}, map[string]string{envHealthListen: "udp/127.0.0.1:1"}, "CONVOAI_HEALTH_LISTEN: "},
		{"health listener where calls come in", runFlags{listen: []string{"127.0.0.1:8080"}, healthListen: []string{"127.0.0.1:8080"}}, nil, "--health-listen: calls come in at 127.0.0.1:8080"},
		{"health listener at the default port", runFlags{}, map[string]string{envHealthListen: ":8080"}, "CONVOAI_HEALTH_LISTEN: calls come in at 127.0.0.1:8080"},
		{"access log variable", runFlags{}, map[string]string{envAccessLog: "perhaps"}, "CONVOAI_ACCESS_LOG must be true or false"},
		{"caller token", runFlags{}, map[string]string{"CONVOAI_CALLER_TOKEN": "canary\r\nx"}, "CONVOAI_CALLER_TOKEN must consist of printable"},
		{"caller token and its file", runFlags{}, map[string]string{"CONVOAI_CALLER_TOKEN": "canary", "CONVOAI_CALLER_TOKEN_FILE": "x"}, "CONVOAI_CALLER_TOKEN and CONVOAI_CALLER_TOKEN_FILE are both set"},
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

func TestCredentialWithoutAppID(t *testing.T) {
	setEnv(t, map[string]string{"AGORA_APP_CERTIFICATE": testAppCertificate})
	_, _, err := new(runFlags).sidecar()
	checkError(t, err, "set AGORA_APP_ID or --app-id")
}

func TestFlagCountsBeforeVariable(t *testing.T) {
	setEnv(t, map[string]string{
		"AGORA_APP_ID": testAppID, "AGORA_APP_CERTIFICATE": testAppCertificate,
		envArea: "cn", envUpstream: "https://variable.example", envAccessLog: "false",
	})
	flags := runFlags{area: "ap", upstreams: []string{"https://flag.example"}, accessLog: true}
	s, mode, err := flags.sidecar()
	if err != nil {
		t.Fatal(err)
	}
	if s.settings.Area != "ap" || len(s.settings.Upstreams) != 1 || s.settings.Upstreams[0] != "https://flag.example" || !s.accessLog {
		t.Errorf("got area %s, upstreams %v, access log %v", s.settings.Area, s.settings.Upstreams, s.accessLog)
	}
	if mode != (authMode{modeApp, "1b33"}) {
		t.Errorf("mode is %+v", mode)
	}
}

package integration

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// example is Caddyfile.example with its port and its upstream replaced, and
// nothing else.
func example(t *testing.T, up *upstream) string {
	t.Helper()
	text, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	config := string(text)
	for _, change := range [][2]string{
		{"http://:8080 {", "http://:<PORT> {"},
		{"\t\tarea us\n", "\t\tarea us\n\t\tupstream https://127.0.0.1:" + up.port + "\n"},
		{"\tconvoai {\n\t\t# A second app", "\tconvoai {\n\t\ttransport http {\n\t\t\ttls_trust_pool file <CA>\n\t\t}\n\t\t# A second app"},
	} {
		if strings.Count(config, change[0]) != 1 {
			t.Fatalf("Caddyfile.example does not contain %q once", change[0])
		}
		config = strings.Replace(config, change[0], change[1], 1)
	}
	return config
}

var exampleEnv = []string{"AGORA_APP_ID=" + appA, "AGORA_APP_CERTIFICATE=" + certificateA}

func TestExampleListensOnLoopbackOnly(t *testing.T) {
	side := start(t, example(t, newUpstream(t, nil)), exampleEnv...)
	var local []string
	if ss, err := exec.LookPath("ss"); err == nil {
		out, err := exec.Command(ss, "-ltnpH").Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(out), "\n") {
			if fields := strings.Fields(line); len(fields) > 4 && (strings.Contains(line, "pid="+itoa(side.pid)+",") || strings.HasSuffix(fields[3], ":"+side.port)) {
				local = append(local, fields[3])
			}
		}
	} else {
		t.Skip("ss is not installed: what the binary listens on cannot be listed")
	}
	if len(local) != 1 || local[0] != "127.0.0.1:"+side.port {
		t.Errorf("listens on %v, want 127.0.0.1:%s alone", local, side.port)
	}
}

func TestExampleAnswersItsOwnHostsOnly(t *testing.T) {
	up := newUpstream(t, nil)
	side := start(t, example(t, up), exampleEnv...)
	for _, host := range []string{"localhost", "LOCALHOST", "localhost:" + side.port, "127.0.0.1", "127.0.0.1:" + side.port, "[::1]:" + side.port, "api.agora.io", "api-cn-east-1.sd-rtn.com:443"} {
		up.reset()
		if a := side.send("GET", listA, "", "Host: "+host); a.StatusCode != http.StatusOK || a.body != okBody {
			t.Errorf("Host %s: %d %s", host, a.StatusCode, a.body)
		} else {
			up.only(t)
		}
	}
	up.CloseClientConnections()
	up.reset()
	for _, host := range []string{"evil.test", "evil.test:" + side.port, "localhost.evil.test", "127.0.0.1.evil.test", "10.0.0.1", "api.agora.io.evil.test", "evilagora.io", "0.0.0.0"} {
		wantError(t, side.send("GET", listA, "", "Host: "+host), http.StatusForbidden, "HostNotAllowed")
		wantError(t, side.send("GET", "/", "", "Host: "+host), http.StatusForbidden, "HostNotAllowed")
	}
	if got := side.raw("GET " + listA + " HTTP/1.0\r\n\r\n"); !strings.Contains(got, "403 Forbidden") || !strings.Contains(got, "HostNotAllowed") {
		t.Errorf("without a Host: %q", got)
	}
	up.untouched(t)
}

func TestExampleIsValidAsItStands(t *testing.T) {
	file, err := filepath.Abs("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"validate", "adapt"} {
		stdout, stderr, status := boot{args: []string{command, "--adapter", "caddyfile", "--config", file}, env: exampleEnv}.run(t)
		if status != 0 {
			t.Errorf("%s: status %d\n%s", command, status, stderr)
		}
		if strings.Contains(stdout+stderr, certificateA) {
			t.Errorf("%s shows the certificate", command)
		}
	}
}

// Every commented line of the example is a promise that it works.
func TestExamplesCommentedLinesAreValid(t *testing.T) {
	text, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	uncomment := func(config string, lines ...string) string {
		for _, line := range lines {
			commented := regexp.MustCompile(`(?m)^(\s*)# ?(\s*` + regexp.QuoteMeta(line) + `)$`)
			if !commented.MatchString(config) {
				t.Fatalf("Caddyfile.example has no line %q", line)
			}
			config = commented.ReplaceAllString(config, "$1$2")
		}
		return config
	}
	env := append([]string{"AGORA_CUSTOMER_ID=me", "AGORA_CUSTOMER_SECRET=mine"}, exampleEnv...)
	for _, test := range []struct {
		name  string
		lines []string
	}{
		{"Basic", []string{"customer_id {env.AGORA_CUSTOMER_ID}", "customer_secret {env.AGORA_CUSTOMER_SECRET}"}},
		{"IPv6", []string{"bind 127.0.0.1 [::1]"}},
	} {
		config := uncomment(string(text), test.lines...)
		config = strings.Replace(config, "\n\tbind 127.0.0.1\n\tbind", "\n\tbind", 1)
		if _, stderr, status := (boot{caddyfile: config, env: env}).run(t); status != 0 {
			t.Errorf("%s: status %d\n%s", test.name, status, stderr)
		}
	}
}

func TestPeersOutsideAllowFromAreRefused(t *testing.T) {
	up := newUpstream(t, nil)
	side := start(t, site(credentialsA, "allow_from 127.0.0.9 10.0.0.0/8", to(up)), envA...)
	wantError(t, side.send("GET", listA, ""), http.StatusForbidden, "PeerNotAllowed")
	wantError(t, side.send("GET", listA, "", "X-Forwarded-For: 127.0.0.9", "X-Real-Ip: 127.0.0.9", "Forwarded: for=127.0.0.9"), http.StatusForbidden, "PeerNotAllowed")
	up.untouched(t)
	from := clientFrom("127.0.0.9")
	r, _ := http.NewRequest("GET", side.url+listA, nil)
	res, err := from.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("from 127.0.0.9: %d", res.StatusCode)
	}
}

func TestAllowHostReplacesTheDefaults(t *testing.T) {
	up := newUpstream(t, nil)
	side := start(t, site(credentialsA, "allow_host sidecar.internal", to(up)), envA...)
	if a := side.send("GET", listA, "", "Host: Sidecar.Internal:8080"); a.StatusCode != http.StatusOK {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	wantError(t, side.send("GET", listA, "", "Host: localhost"), http.StatusForbidden, "HostNotAllowed")
}

// A site with a name answers to it without further configuration.
func TestNamesOfTheSiteAreAllowedHosts(t *testing.T) {
	up := newUpstream(t, nil)
	side := start(t, global+"http://convoai.internal:<PORT>, http://*.example.internal:<PORT> {\n bind 127.0.0.1\n convoai {\n"+credentialsA+"\n"+to(up)+"\n}\n}\n", envA...)
	if a := side.send("GET", listA, "", "Host: convoai.internal"); a.StatusCode != http.StatusOK {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	// A pattern names no host: whoever answers to all of a domain says so.
	wantError(t, side.send("GET", listA, "", "Host: x.example.internal"), http.StatusForbidden, "HostNotAllowed")
}

package integration

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
)

// redirectSite is a Caddyfile with a site in the place of one of the vendor's hosts,
// for clients whose resolver leads them to it.
func redirectSite(front string, subdirectives ...string) string {
	return strings.Replace(global, "{", "{\n\tauto_https disable_redirects", 1) + fmt.Sprintf(
		"https://%s:<PORT>, https://api-eu-west-1.agora.io:<PORT> {\n\tbind 127.0.0.1\n\ttls {\n\t\tget_certificate convoai\n\t}\n\t%s\n\tconvoai {\n\t%s\n\t}\n}\n", vendorHost, front, strings.Join(append([]string{credentialsA}, subdirectives...), "\n\t"))
}

// redirected makes a request to the vendor's host, whose name leads to the sidecar.
func redirected(t *testing.T, s *sidecar, method, path string, headers ...string) (string, int) {
	t.Helper()
	args := []string{"-sS", "-o", "-", "-w", "\n%{http_code} %header{x-convoai-error}", "-X", method, "--cacert", s.caFile(), "--connect-to", vendorHost + ":443:127.0.0.1:" + s.port, vendorURL + path}
	for _, header := range headers {
		args = append(args, "-H", header)
	}
	stdout, stderr, status := runProgram(t, nil, "curl", args...)
	if status != 0 {
		return stderr, status
	}
	return stdout, 0
}

func TestNameThatLeadsToASiteIsServed(t *testing.T) {
	up := newUpstream(t, nil)
	s := start(t, redirectSite("convoai_connect {\n other_paths forward\n}", to(up)), envA...)
	if out, status := redirected(t, s, "GET", listA); status != 0 || !strings.HasPrefix(out, okBody+"\n200") {
		t.Fatalf("status %d: %s", status, out)
	}
	checkToken(t, up.only(t).token(t), appA, certificateA, "stop", "0")
	up.reset()
	if out, status := redirected(t, s, "GET", "/v1/apps", "Authorization: "+basic("client", "its own")); status != 0 || !strings.HasPrefix(out, okBody+"\n200") {
		t.Errorf("status %d: %s", status, out)
	}
	if got := up.only(t); got.authorization(t) != basic("client", "its own") || got.uri != "/v1/apps" {
		t.Errorf("%s", got.uri)
	}
	up.reset()
	// The name of TLS and the Host are the same, here too.
	if out, _ := redirected(t, s, "GET", listA, "Host: api-eu-west-1.agora.io"); !strings.Contains(out, "403 HostNotAllowed") {
		t.Errorf("another Host: %s", out)
	}
	// There is no certificate for other names.
	for _, name := range []string{"example.com", "www.agora.io"} {
		if conn, err := tls.Dial("tcp", "127.0.0.1:"+s.port, &tls.Config{ServerName: name, InsecureSkipVerify: true}); err == nil {
			_ = conn.Close()
			t.Errorf("a certificate for %s", name)
		}
	}
	up.untouched(t)
}

// Where the sidecar's own resolver is redirected as well, as in a pod with
// hostAliases, calls would come back to it. They do not go out, or end when they
// come back.
func TestNameThatLeadsTheSidecarToItselfEndsInNoLoop(t *testing.T) {
	for name, test := range map[string]struct {
		subdirective, want string
	}{
		"address inside":         {"", "508 LoopDetected"},
		"address inside allowed": {"upstream_private on\n upstream https://" + vendorHost + ":<PORT>", "508 LoopDetected"},
	} {
		t.Run(name, func(t *testing.T) {
			hosts := map[string]string{}
			for _, host := range []string{"api-us-west-1.agora.io", "api-us-west-1.sd-rtn.com", "api-us-east-1.agora.io", "api-us-east-1.sd-rtn.com", vendorHost} {
				hosts[host] = "127.0.0.1"
			}
			names := newResolver(t, hosts)
			s := start(t, redirectSite("", test.subdirective, "transport http {\n tls_trust_pool file <DIR>/data/caddy/convoai/connect/ca.crt\n resolvers "+names.address+"\n}"), append([]string{}, envA...)...)
			if out, _ := redirected(t, s, "GET", listA); !strings.Contains(out, test.want) {
				t.Errorf("%s, want %s", out, test.want)
			}
		})
	}
}

// Requests to other APIs carry nothing of ours to know them by.
func TestOtherRequestsEndInNoLoop(t *testing.T) {
	names := newResolver(t, map[string]string{vendorHost: "127.0.0.1"})
	s := start(t, redirectSite("convoai_connect {\n other_paths forward\n}", "upstream_private on\n upstream https://"+vendorHost+":<PORT>",
		"transport http {\n tls_trust_pool file <DIR>/data/caddy/convoai/connect/ca.crt\n resolvers "+names.address+"\n}"), envA...)
	for _, method := range []string{"GET", "POST"} {
		out, _ := redirected(t, s, method, "/v1/apps")
		if !strings.Contains(out, "508 LoopDetected") {
			t.Errorf("%s: %s", method, out)
		}
	}
	if strings.Count(s.stderr.String(), "LoopDetected") > 10 {
		t.Error("it went round")
	}
}

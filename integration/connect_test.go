package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unchanged are programs that call a URL and know nothing of a sidecar.
func unchanged(t *testing.T) map[string][]string {
	return map[string][]string{
		"curl":         {"curl", "-sS"},
		"curl, HTTP/1": {"curl", "-sS", "--http1.1"},
		"Python":       {"python3", "-c", "import sys, urllib.request\nprint(urllib.request.urlopen(sys.argv[1]).read().decode())"},
		"a Go program": {goClient(t)},
		"wget":         {"wget", "-q", "-O", "-"},
	}
}

func TestUnchangedProgramsAreSigned(t *testing.T) {
	up := newUpstream(t, nil)
	s := intercepting(t, up)
	env := []string{"HTTPS_PROXY=" + s.url, "https_proxy=" + s.url, "SSL_CERT_FILE=" + s.caFile(), "CURL_CA_BUNDLE=" + s.caFile()}
	for name, args := range unchanged(t) {
		t.Run(name, func(t *testing.T) {
			up.reset()
			if args[0] == "wget" {
				args = append(args, "--ca-certificate="+s.caFile())
			}
			stdout, stderr, status := runProgram(t, env, args[0], append(args[1:], vendorURL+listA)...)
			if status != 0 || !strings.Contains(stdout, okBody) {
				t.Fatalf("status %d: %s%s", status, stdout, stderr)
			}
			got := up.only(t)
			checkToken(t, got.token(t), appA, certificateA, "stop", "0")
			if got.uri != listA || got.host != "127.0.0.1" || got.sni != "" {
				t.Errorf("sent %s to %s, server name %q", got.uri, got.host, got.sni)
			}
		})
	}
	if strings.Contains(s.stderr.String(), "does not trust") {
		t.Error("a client that trusts the CA is said not to")
	}
}

// Without the CA nothing is called, and nothing is sent.
func TestProgramsThatDoNotTrustTheCARefuse(t *testing.T) {
	up := newUpstream(t, nil)
	s := intercepting(t, up)
	for name, args := range unchanged(t) {
		t.Run(name, func(t *testing.T) {
			stdout, _, status := runProgram(t, []string{"HTTPS_PROXY=" + s.url, "https_proxy=" + s.url}, args[0], append(args[1:], vendorURL+listA)...)
			if status == 0 || strings.Contains(stdout, okBody) {
				t.Errorf("status %d: %s", status, stdout)
			}
		})
	}
	// Nor is another CA of ours any good.
	other := intercepting(t, up)
	if stdout, _, status := runProgram(t, []string{"HTTPS_PROXY=" + s.url}, "curl", "-sS", "--cacert", other.caFile(), vendorURL+listA); status != 60 {
		t.Errorf("with the CA of another sidecar: status %d: %s", status, stdout)
	}
	up.untouched(t)
	s.logged("a client does not trust the CA for intercepted calls: caddy convoai trust says how it would")
}

// The absolute form needs no CA: the way to the sidecar is plain, the one to the
// vendor is not.
func TestAbsoluteFormGoesOutOverTLS(t *testing.T) {
	up := newUpstream(t, nil)
	for name, s := range map[string]*sidecar{"with": front(t, up, ""), "without": start(t, site(credentialsA, to(up)), envA...)} {
		up.reset()
		stdout, stderr, status := runProgram(t, nil, "curl", "-sS", "-x", s.url, "http://"+vendorHost+listA)
		if status != 0 || stdout != okBody {
			t.Fatalf("%s convoai_connect: status %d: %s%s", name, status, stdout, stderr)
		}
		checkToken(t, up.only(t).token(t), appA, certificateA, "stop", "0")
		if stdout, _, _ := runProgram(t, nil, "curl", "-sS", "-x", s.url, "http://example.com"+listA); !strings.Contains(stdout, "HostNotAllowed") {
			t.Errorf("%s convoai_connect: another host: %s", name, stdout)
		}
	}
}

func TestInterceptedCallsAreLikeAnyOthers(t *testing.T) {
	up := newUpstream(t, nil)
	s := front(t, up, "")
	client := s.proxiedClient("")
	for _, op := range operations {
		for _, host := range []string{vendorHost, "api-eu-west-1.agora.io", "API-cn-east-1.sd-rtn.com:443"} {
			up.reset()
			r, err := http.NewRequest(op.method, "https://"+host+op.path, strings.NewReader(op.body))
			if err != nil {
				t.Fatal(err)
			}
			res, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK || res.ProtoMajor != 2 {
				t.Errorf("%s at %s: %s %s", op.name, host, res.Proto, res.Status)
			}
			if got := up.only(t); got.authorization(t) == "" {
				t.Errorf("%s at %s: not signed", op.name, host)
			}
		}
	}
}

// The CA outlives the process, is this user's alone, and is no authority for the
// rest of the system.
func TestRestartKeepsTheCA(t *testing.T) {
	up := newUpstream(t, nil)
	s := front(t, up, "")
	before, err := os.ReadFile(s.caFile())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ca.crt", "ca.key"} {
		info, err := os.Stat(filepath.Join(filepath.Dir(s.caFile()), name))
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	s.stop()
	caddyfile, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	again := boot{caddyfile: string(caddyfile), env: append([]string{"XDG_DATA_HOME=" + filepath.Join(s.dir, "data")}, envA...)}.start(t)
	again.port, again.url = s.port, s.url
	client := s.proxiedClient("")
	res, err := client.Get(vendorURL + listA)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if after, err := os.ReadFile(s.caFile()); err != nil || string(after) != string(before) {
		t.Errorf("the CA has changed: %v", err)
	}
}

// Of run --intercept, the CA is all that stays on the disk.
func TestInterceptKeepsItsCAAlone(t *testing.T) {
	up := newUpstream(t, nil)
	s := intercepting(t, up)
	if res, err := s.proxiedClient("").Get(vendorURL + listA); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", res, err)
	}
	s.stop()
	var left []string
	for _, f := range s.files() {
		left = append(left, strings.TrimPrefix(f.name, s.dir))
	}
	for _, name := range left {
		if !strings.HasSuffix(name, "ca.crt") && !strings.HasSuffix(name, "ca.key") && !strings.HasSuffix(name, "Caddyfile") {
			t.Errorf("%s is left", name)
		}
	}
	if len(left) < 2 {
		t.Errorf("left: %v", left)
	}
}

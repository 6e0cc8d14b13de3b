package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-convoai/convoai/simulator"
)

// The other certificate takes over within the call that finds the first one
// disabled, and stays in use.
func TestSecondaryCertificateTakesOver(t *testing.T) {
	project := func(certificate string) simulator.Project {
		return simulator.Project{AppID: appA, AppCertificate: certificate}
	}
	vendor, url := newSimulator(t, simulator.Options{
		Projects: []simulator.Project{project(certificateA)}, VerifyBodyToken: true, Quota: -1,
	})
	config := strings.Replace(site("app "+appA+" {\n app_certificate {env.A_CERT}\n app_certificate_secondary {env.SECOND}\n}",
		"max_body 100KiB", "upstream "+url, "transport http {\n tls_trust_pool file <CA>\n }"), "admin off", "admin unix/<DIR>/admin.sock", 1)
	env := append(envA, "SECOND="+certificateB)
	s := start(t, config, env...)
	n := 0
	expect := func(step, certificate string, sends int) {
		t.Helper()
		vendor.ResetCalls()
		n++
		if a := s.insist("POST", joinA, bareJoin("room-"+itoa(n))); a.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", step, a.StatusCode, a.body)
		}
		calls := vendor.Calls()
		if len(calls) != sends {
			t.Fatalf("%s: sent %d times, want %d", step, len(calls), sends)
		}
		last := calls[sends-1]
		if last.Credential.Token.Verify(certificate) != nil || bodyToken(t, string(last.Body)).Verify(certificate) != nil {
			t.Errorf("%s: not signed with the certificate that is good", step)
		}
	}
	expect("at first", certificateA, 1)
	if err := vendor.SetProjects(project(certificateB)); err != nil {
		t.Fatal(err)
	}
	expect("the primary is disabled", certificateB, 2)
	expect("later", certificateB, 1)
	s.write(strings.Replace(config, "100KiB", "200KiB", 1))
	s.reload(env)
	expect("after a reload", certificateB, 1)
	s.logged("app_certificate_secondary")
	const warning = "accepted one of the other"
	if got := strings.Count(s.stderr.String(), warning); got != 1 || !contains(s.stderr, appA[28:]) {
		t.Errorf("%d warnings that name the app, want 1", got)
	}
	for _, secret := range []string{certificateA, certificateB} {
		if contains(s.stderr, secret) {
			t.Error("the log shows a certificate")
		}
	}
	// And back, once the secondary is the one that is disabled.
	if err := vendor.SetProjects(project(certificateA)); err != nil {
		t.Fatal(err)
	}
	expect("the other way round", certificateA, 2)
}

func TestSecondaryCertificateNeedsThePrimary(t *testing.T) {
	_, stderr, status := boot{caddyfile: site("app_id "+appA, "app_certificate_secondary {env.SECOND}", "customer_id me", "customer_secret {env.S}")}.run(t)
	if status == 0 || !strings.Contains(stderr, "app_certificate is required beside app_certificate_secondary") || !strings.Contains(stderr, "Caddyfile:9") {
		t.Errorf("status %d\n%s", status, stderr)
	}
	_, stderr, status = boot{caddyfile: site(credentialsA, "app_certificate_secondary {env.SECOND}"), env: append(envA, "SECOND=canary")}.run(t)
	if status == 0 || !strings.Contains(stderr, "app_certificate_secondary must be 32 hexadecimal digits (it comes from {env.SECOND})") || strings.Contains(stderr, "canary") {
		t.Errorf("status %d\n%s", status, stderr)
	}
}

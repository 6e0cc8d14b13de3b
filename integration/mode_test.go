package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestBasicIsSentWithOrWithoutACertificateBeside(t *testing.T) {
	for _, test := range []struct{ name, settings, join string }{
		{"alone", "app_id " + appA, `{"anything":"goes"}`},
		{"beside a certificate", credentialsA, joinBody("room", "1")},
		{"beside a certificate that fills nothing", credentialsA + "\nfill_tokens off", `{"anything":"goes"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			up := newUpstream(t, nil)
			side := start(t, site(test.settings, "customer_id {env.C_ID}", "customer_secret {env.C_SECRET}", to(up)),
				append(envA, "C_ID=customer", "C_SECRET=with:colon and space")...)
			for _, path := range []string{joinA, prefix + "/v2/phone-numbers"} {
				up.reset()
				method, body := "GET", ""
				if path == joinA {
					method, body = "POST", test.join
				}
				if a := side.send(method, path, body, "Authorization: Basic bWluZTptaW5l"); a.StatusCode != http.StatusOK {
					t.Fatalf("%d %s", a.StatusCode, a.body)
				}
				if got := up.only(t).authorization(t); got != basic("customer", "with:colon and space") {
					t.Error("not the Basic credential that is configured")
				}
			}
		})
	}
}

func TestPreBuiltTokenIsSentAsGiven(t *testing.T) {
	token := preBuilt(t, time.Now().Add(time.Hour))
	for _, test := range []struct{ name, configured, settings, want string }{
		{"bare", token, "", "agora token=" + token},
		{"with its scheme", "agora token=" + token, "", "agora token=" + token},
		{"with its scheme and quotes", `Agora Token="` + token + `"`, "", "agora token=" + token},
		{"beside a certificate", token, "app_certificate {env.A_CERT}", "agora token=" + token},
		{"to be quoted", token, "quote_token on", `agora token="` + token + `"`},
		{"with white space at its end", token + " \n", "", "agora token=" + token},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			up := newUpstream(t, nil)
			side := start(t, site("app_id {env.A_ID}", "auth_token {env.A_TOKEN}", test.settings, to(up)), append(envA, "A_TOKEN="+test.configured)...)
			if a := side.send("POST", joinA, joinBody("another-room", "7")); a.StatusCode != http.StatusOK {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			if got := up.only(t).authorization(t); got != test.want {
				t.Error("not the token that is configured")
			}
		})
	}
}

func TestMintedTokensAreQuotedIfAsked(t *testing.T) {
	up := newUpstream(t, nil)
	side := start(t, site(credentialsA, "quote_token on", to(up)), envA...)
	side.send("GET", listA, "")
	value := up.only(t).authorization(t)
	token, ok := strings.CutPrefix(value, `agora token="`)
	token, closed := strings.CutSuffix(token, `"`)
	if !ok || !closed {
		t.Fatal("the token is not quoted")
	}
	checkToken(t, token, appA, certificateA, "stop", "0")
}

func TestPreBuiltTokenIsRefusedOnceExpired(t *testing.T) {
	up := newUpstream(t, nil)
	expiry := time.Unix(time.Now().Unix()+3, 0)
	side := start(t, site("app_id {env.A_ID}", "auth_token {env.A_TOKEN}", to(up)), append(envA, "A_TOKEN="+preBuilt(t, expiry))...)
	if a := side.send("GET", listA, ""); a.StatusCode != http.StatusOK && time.Now().Before(expiry) {
		t.Fatalf("before its expiry: %d %s", a.StatusCode, a.body)
	}
	waitFor(t, "the token to expire", func() bool { return side.send("GET", listA, "").StatusCode != http.StatusOK })
	if early := time.Until(expiry); early > 0 {
		t.Errorf("refused %s before its expiry", early)
	}
	up.CloseClientConnections()
	up.reset()
	wantError(t, side.send("GET", listA, ""), http.StatusServiceUnavailable, "CredentialUnavailable")
	wantError(t, side.send("POST", joinA, joinBody("room", "1")), http.StatusServiceUnavailable, "CredentialUnavailable")
	up.untouched(t)
}

// The mode decides the header alone; what it lacks, or what contradicts it, is
// an error at load, and nothing starts.
func TestBasicModeThatCannotBeIsRefusedAtLoad(t *testing.T) {
	const noSecret = "customer_secret is required when customer_id is set"
	const noID = "customer_id is required when customer_secret is set"
	const both = "auth_token and customer_id are mutually exclusive"
	for _, test := range []struct {
		name, config, want string
		line               int
	}{
		{"id without secret", site("app_id "+appA, "customer_id canary-id"), noSecret, 9},
		{"id without secret behind placeholders", site("app_id {env.X}", "customer_id {env.C}"), noSecret, 9},
		{"secret without id", site("app_id "+appA, "customer_secret canary-secret"), noID, 9},
		{"with a token as well", site("app_id "+appA, "auth_token canary-token", "customer_id canary-id", "customer_secret canary-secret"), both, 10},
		{"in an app block", site("app " + appB + " {\n\t\tcustomer_id canary-id\n\t}"), noSecret, 9},
		{"in the global option", "{\n\tadmin off\n\tconvoai {\n\t\tapp_id " + appA + "\n\t\tcustomer_id canary-id\n\t}\n}\nhttp://:<PORT> {\n\tconvoai\n}\n", noSecret, 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, command := range []string{"validate", "adapt", "run"} {
				stdout, stderr, status := boot{caddyfile: test.config, args: []string{command, "--adapter", "caddyfile", "--config", "Caddyfile"}}.run(t)
				if status == 0 {
					t.Errorf("%s accepts it", command)
				}
				if !strings.Contains(stderr, test.want) || !strings.Contains(stderr, fmt.Sprintf("Caddyfile:%d", test.line)) {
					t.Errorf("%s says %q, want %q at line %d", command, stderr, test.want, test.line)
				}
				if strings.Contains(stdout+stderr, "canary") {
					t.Errorf("%s repeats a value", command)
				}
			}
		})
	}
}

func TestBasicModeOfAPlaceholderThatIsNotSetIsRefusedAtLoad(t *testing.T) {
	for _, test := range []struct {
		name, config, want string
		env                []string
	}{
		{"secret", site("app_id "+appA, "customer_id me", "customer_secret {env.NOT_SET}"), "customer_secret: {env.NOT_SET} is not set, empty or not readable", nil},
		{"certificate", site(credentialsA), "app_certificate: {env.A_CERT} is not set, empty or not readable", []string{"A_ID=" + appA}},
		{"file", site("app_id "+appA, "app_certificate {file.<DIR>/none}"), "is not set, empty or not readable", nil},
		{"malformed", site(credentialsA), "app_certificate must be 32 hexadecimal digits (it comes from {env.A_CERT})", []string{"A_ID=" + appA, "A_CERT=canary"}},
		{"token of another app", site("app_id "+appB, "auth_token {env.T}"), "auth_token was made for another app_id", []string{"T=" + preBuilt(t, time.Now().Add(time.Hour))}},
		{"no token at all", site("app_id "+appB, "auth_token {env.T}"), "auth_token: ", []string{"T=canary"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, status := boot{caddyfile: test.config, env: test.env}.run(t)
			if status == 0 || !strings.Contains(stderr, test.want) {
				t.Errorf("status %d, %q, want %q", status, stderr, test.want)
			}
			if strings.Contains(stdout+stderr, "canary") || strings.Contains(stdout+stderr, "007e") {
				t.Error("the message repeats a value")
			}
		})
	}
}

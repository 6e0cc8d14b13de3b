package integration

import (
	"context"
	"encoding/base64"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Canaries: values that must appear nowhere. The certificates have the form that
// they must have.
const (
	canaryCertificate = "c0ffee00c0ffee00c0ffee00c0ffee01"
	canaryFile        = "c0ffee00c0ffee00c0ffee00c0ffee02"
	canarySecret      = "canary-customer-secret"
	canaryCaller      = "canary-caller-token"
	canaryClients     = "canary-of-the-client"
)

// sink is a place where a secret could come to light.
type sink struct{ name, content string }

// admin gets a path of the admin API.
func (s *sidecar) admin(path string) sink {
	s.t.Helper()
	status, body := s.adminCall("GET", path, "")
	if status != http.StatusOK || body == "" {
		s.t.Fatalf("GET %s of the admin API: %d, %d bytes", path, status, len(body))
	}
	return sink{path, body}
}

// adminCall sends a request to the admin API, and again where its connection is lost:
// after a reload, the server of before may still accept one just as it closes.
func (s *sidecar) adminCall(method, path, caddyfile string) (status int, body string) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		status, body, err := s.tryAdmin(method, path, caddyfile)
		if err == nil {
			return status, body
		}
		if !lostConnection(err) || time.Now().After(deadline) {
			s.t.Fatal(err)
		}
	}
}

func (s *sidecar) tryAdmin(method, path, caddyfile string) (status int, body string, err error) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(s.dir, "admin.sock"))
		},
	}}
	r, err := http.NewRequest(method, "http://localhost"+path, strings.NewReader(caddyfile))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "text/caddyfile")
	res, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	return res.StatusCode, string(content), err
}

// files returns the files below the sidecar's directory but those that the test
// put there.
func (s *sidecar) files(except ...string) []sink {
	s.t.Helper()
	var sinks []sink
	err := filepath.WalkDir(s.dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		for _, known := range except {
			if entry.Name() == known {
				return nil
			}
		}
		content, err := os.ReadFile(name)
		sinks = append(sinks, sink{name, string(content)})
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return sinks
}

// forms are the forms in which a secret could appear.
func forms(secret string) []string {
	return []string{
		secret, url.QueryEscape(secret), strings.ToUpper(secret),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
	}
}

// wantNowhere fails for each sink that holds one of secrets. It does not repeat
// the secret.
func wantNowhere(t *testing.T, sinks []sink, secrets map[string]string) {
	t.Helper()
	for _, sink := range sinks {
		for name, secret := range secrets {
			for i, form := range forms(secret) {
				if strings.Contains(sink.content, form) {
					t.Errorf("%s holds the %s (form %d)", sink.name, name, i)
				}
			}
		}
	}
}

// secretsConfig turns on everything that could print a secret.
const secretsConfig = `{
	admin unix/<DIR>/admin.sock
	debug
	log {
		output stderr
		level DEBUG
	}
	metrics {
		per_host
	}
	servers {
		log_credentials
		trace
	}
}
(observed) {
	bind 127.0.0.1
	log {
		output file <DIR>/access.log
		# Caddy copies the headers for this log before any handler runs.
		format filter {
			wrap json
			request>headers>X-Convoai-Caller-Token delete
		}
	}
	tracing
	log_append before {http.vars.convoai.call}
	log_append operation {http.convoai.operation}
	log_append mode {http.convoai.auth_mode}
	log_append app {http.convoai.app_id}
	log_append upstream {http.convoai.upstream}
	log_append attempts {http.convoai.attempts}
	log_append token {http.convoai.token}
	log_append credential {http.convoai.credential}
	handle_errors {
		header X-Sees "{http.vars.convoai.call} {err.message} {err.trace}"
		respond "{http.vars.convoai.call} {err.message} {http.convoai.error.reason} {http.convoai.error.detail} {http.request.header.Authorization}"
	}
}
http://minted.test:<PORT> {
	import observed
	convoai {
		app_id {env.A_ID}
		app_certificate {env.CERTIFICATE}
		caller_token {env.CALLER}
		response_timeout 1s
		<TO>
		header_down X-Call {http.vars.convoai.call}
		header_down X-Request-Authorization {http.request.header.Authorization}
		@teapot status 418
		handle_response @teapot {
			respond "{http.vars.convoai.call} {rp.header.Authorization} {http.request.header.Authorization}"
		}
	}
}
http://file.test:<PORT> {
	import observed
	convoai {
		app_id {env.A_ID}
		app_certificate {file.<DIR>/certificate}
		<TO>
	}
}
http://basic.test:<PORT> {
	import observed
	convoai {
		app_id {env.A_ID}
		customer_id canary-customer
		customer_secret {env.SECRET}
		<TO>
	}
}
http://given.test:<PORT> {
	import observed
	convoai {
		app_id {env.A_ID}
		auth_token {env.TOKEN}
		quote_token on
		<TO>
	}
}
http://expired.test:<PORT> {
	import observed
	convoai {
		app_id {env.A_ID}
		auth_token {env.EXPIRED}
		<TO>
	}
}
http://unreachable.test:<PORT> {
	import observed
	convoai {
		app_id {env.A_ID}
		app_certificate {env.CERTIFICATE}
		upstream https://127.0.0.1:<PORT2>
	}
}
`

func TestSecretsAppearNowhere(t *testing.T) {
	up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		w.Header().Set("Authorization", r.Header.Get("Authorization"))
		w.Header().Add("Set-Cookie", "session="+strings.TrimPrefix(r.Header.Get("Authorization"), "agora token="))
		switch {
		case strings.Contains(r.URL.Path, "/refuse/"):
			w.WriteHeader(http.StatusUnauthorized)
		case strings.Contains(r.URL.Path, "/teapot"):
			w.WriteHeader(http.StatusTeapot)
		case strings.Contains(r.URL.Path, "/break"):
			panic(http.ErrAbortHandler)
		case strings.Contains(r.URL.Path, "/stall"):
			<-r.Context().Done()
		}
		_, _ = io.WriteString(w, okBody)
	})
	given, expired := preBuilt(t, time.Now().Add(time.Hour)), preBuilt(t, time.Now().Add(-time.Hour))
	env := []string{
		"A_ID=" + appA, "CERTIFICATE=" + canaryCertificate, "SECRET=" + canarySecret, "CALLER=" + canaryCaller,
		"TOKEN=" + given, "EXPIRED=agora token=" + expired,
	}
	b := boot{
		caddyfile: strings.ReplaceAll(secretsConfig, "<TO>", to(up)),
		env:       env,
		files:     map[string]string{"certificate": canaryFile + "\n"},
	}
	s := b.start(t)

	var sinks []sink
	see := func(host string, calls ...func(*sidecar) answer) {
		for _, call := range calls {
			a := call(s)
			var head strings.Builder
			_ = a.Header.Write(&head)
			sinks = append(sinks, sink{"answer " + a.Status + " of " + host, head.String() + "\n" + a.body})
		}
	}
	clients := []string{"Authorization: Bearer " + canaryClients, "X-Convoai-Caller-Token: " + canaryCaller}
	for _, host := range []string{"minted.test", "file.test", "basic.test", "given.test", "expired.test", "unreachable.test"} {
		for _, path := range []string{listA, listA + "/teapot", listA + "/refuse/history", listA + "/break", "/nowhere", pathOf(appB, "/agents")} {
			see(host, at(host, "GET", path, "", clients...))
		}
		see(host,
			at(host, "POST", joinA, joinBody("room", "1"), clients...),
			at(host, "POST", joinA, "{", clients...),
			at(host, "POST", prefix+projectA+"/agents/refuse/speak", "{}", clients...),
			at(host, "POST", prefix+projectA+"/agents/break/speak", "{}", clients...),
			at(host, "TRACE", listA, "", clients...),
			// The caller's text is not evaluated.
			at(host, "POST", joinA, joinBody("{env.CERTIFICATE}", "{env.SECRET}"), clients...),
			at(host, "GET", listA+"?x={env.CERTIFICATE}", "", append(clients, "User-Agent: {env.CERTIFICATE}")...),
		)
	}
	see("minted.test", at("minted.test", "POST", prefix+projectA+"/agents/stall/speak", "{}", clients...))
	see("minted.test", at("minted.test", "GET", listA, "", "X-Convoai-Caller-Token: wrong"))

	secrets := map[string]string{
		"certificate": canaryCertificate, "certificate of the file": canaryFile, "customer secret": canarySecret,
		"caller token": canaryCaller, "pre-built token": given, "expired token": expired,
		"Basic credential": strings.TrimPrefix(basic("canary-customer", canarySecret), "Basic "),
	}
	minted := 0
	for _, r := range up.received() {
		if token, ok := strings.CutPrefix(r.authorization(t), "agora token="); ok && token[0] != '"' {
			if _, known := secrets["minted "+token]; !known {
				minted++
				secrets["minted token "+itoa(minted)] = token
			}
		}
		if strings.Contains(r.uri+r.body+r.header.Get("User-Agent"), "c0ffee") || strings.Contains(r.body, canarySecret) {
			t.Error("a placeholder in the caller's text was evaluated")
		}
	}
	if minted < 4 {
		t.Errorf("saw %d minted tokens: the test looks for too little", minted)
	}

	for _, path := range []string{
		"/config/", "/metrics", "/reverse_proxy/upstreams", "/debug/vars", "/debug/pprof/cmdline",
		"/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1", "/debug/pprof/allocs?debug=1",
	} {
		sinks = append(sinks, s.admin(path))
	}
	for _, command := range []string{"adapt", "validate"} {
		stdout, stderr, status := s.exec(env, command, "--adapter", "caddyfile", "--config", s.config)
		if status != 0 {
			t.Fatalf("%s: status %d", command, status)
		}
		sinks = append(sinks, sink{command, stdout + stderr})
	}
	commandLine, err := os.ReadFile("/proc/" + itoa(s.pid) + "/cmdline")
	if err != nil {
		t.Log("no /proc here: the command line was not looked at")
	}
	s.stop()
	sinks = append(sinks, sink{"command line", string(commandLine)}, sink{"standard output", s.stdout.String()}, sink{"standard error", s.stderr.String()})
	sinks = append(sinks, s.files("certificate")...)

	// A sink that is empty, or not the one that is meant, proves nothing.
	for name, text := range map[string]string{
		"standard error":         `"level":"debug"`,
		"/config/":               "{env.CERTIFICATE}",
		"/metrics":               "caddy_http_requests_total",
		"access.log":             `"operation":"join"`,
		"autosave.json":          "{env.CERTIFICATE}",
		"adapt":                  "{env.CERTIFICATE}",
		"answer 200 OK of minte": "X-Call",
	} {
		if !found(sinks, name, text) {
			t.Errorf("no %s with %s was looked at", name, text)
		}
	}
	wantNowhere(t, sinks, secrets)
}

func found(sinks []sink, name, text string) bool {
	for _, sink := range sinks {
		if strings.Contains(sink.name, name) && strings.Contains(sink.content, text) {
			return true
		}
	}
	return false
}

func TestLiteralSecretsAreWarnedOfByName(t *testing.T) {
	up := newUpstream(t, nil)
	config := global + "http://:<PORT> {\n bind 127.0.0.1\n convoai {\n caller_token canary-caller\n" +
		"app " + appA + " {\n app_certificate " + canaryCertificate + "\n}\n" +
		"app " + appB + " {\n customer_id me\n customer_secret {$SECRET}\n}\n" +
		"app 11111111111111111111111111111111 {\n app_certificate {env.B_CERT}\n caller_token {env.CALLER}\n}\n" + to(up) + "\n}\n}\n"
	s := start(t, config, "SECRET=canary-secret", "B_CERT="+certificateB, "CALLER=caller")
	for _, name := range []string{"app_certificate", "customer_secret", "caller_token"} {
		if !contains(s.stderr, `"a secret is written literally`) || !contains(s.stderr, `"subdirective": "`+name+`"`) && !contains(s.stderr, `"subdirective":"`+name+`"`) {
			t.Errorf("no warning of the literal %s", name)
		}
	}
	if n := strings.Count(s.stderr.String(), "a secret is written literally"); n < 3 || n > 4 {
		t.Errorf("%d warnings", n)
	}
	if contains(s.stderr, "canary") || contains(s.stderr, canaryCertificate) || contains(s.stdout, "canary") {
		t.Error("a warning shows a value")
	}
	// The certificates behind placeholders alone cause none.
	quiet := start(t, site(credentialsA, to(up)), envA...)
	if contains(quiet.stderr, "written literally") {
		t.Error("a warning of what is no literal")
	}
}

// Whatever is wrong with a configuration, the message is about the line.
func TestConfigurationErrorsNameTheLineAndNoValue(t *testing.T) {
	for _, test := range []struct{ name, line string }{
		{"certificate that is none", "app_certificate canary-certificate"},
		{"certificate with too many arguments", "app_certificate " + canaryCertificate + " canary"},
		{"certificate in a block", "app_certificate " + canaryCertificate + " {\n canary\n}"},
		{"certificate of two lines", "app_certificate \"canary\n" + canaryCertificate + "\""},
		{"secret in a block", "customer_secret canary {\n canary\n}"},
		{"secret with too many arguments", "customer_secret canary canary"},
		{"secret that is empty", `customer_secret ""`},
		{"token that is none", "auth_token canary canary"},
		{"caller token with a line feed", "caller_token \"canary\ncanary\""},
		{"certificate where an upstream should be", "upstream https://canary:" + canaryCertificate + "@example.com"},
		{"certificate given to the directive", "app_id " + appA + " " + canaryCertificate},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, status := boot{caddyfile: site(test.line)}.run(t)
			if status == 0 {
				t.Error("accepted")
			}
			if !strings.Contains(stderr, "Caddyfile:8") {
				t.Errorf("the message does not name line 8: %s", stderr)
			}
			if strings.Contains(stdout+stderr, "canary") || strings.Contains(stdout+stderr, canaryCertificate) {
				t.Error("the message shows a value")
			}
		})
	}
}

package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// tokenSecretsConfig turns on everything that could print a secret.
const tokenSecretsConfig = `{
	admin unix/<DIR>/admin.sock
	debug
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
	tracing
	log {
		output file <DIR>/access.log
	}
	log_append app {http.convoai.app_id}
	log_append reason {http.convoai.error.reason}
	log_append detail {http.convoai.error.detail}
	handle_errors {
		header X-Sees "{err.message} {err.trace} {http.convoai.error.reason}"
		respond "{err.message} {http.convoai.error.reason} {http.convoai.error.detail}"
	}
}
http://minted.test:<PORT> {
	import observed
	convoai_token_server {
		app_id {env.A_ID}
		app_certificate {env.CERTIFICATE}
		app_certificate_secondary {env.SECONDARY}
		dialects docker rtc chat-go chat-node chat-java token-service
		origins https://app.example.com
		allow everyone {
			kinds rtc rtm chat-user chat-app rtc-006
			channels room-*
			accounts *
			roles publisher subscriber
		}
	}
}
http://file.test:<PORT> {
	import observed
	convoai_token_server {
		app_id {env.A_ID}
		app_certificate {file.<DIR>/certificate}
		dialects docker rtc chat-go chat-python chat-java token-service
		allow everyone {
			kinds rtc rtm chat-user chat-app rtc-006
			channels room-*
			accounts *
			roles publisher subscriber
		}
	}
}
`

// What the token server signs with comes to light nowhere, and the tokens, which it
// gives away, nowhere but in its answers.
func TestTokenServerSecretsAppearNowhere(t *testing.T) {
	env := []string{"A_ID=" + appA, "CERTIFICATE=" + canaryCertificate, "SECONDARY=" + canarySecondary, "OTEL_TRACES_EXPORTER=none"}
	s := boot{caddyfile: tokenSecretsConfig, env: env, files: map[string]string{"certificate": canaryFile + "\n"}}.start(t)
	secrets := map[string]string{"certificate": canaryCertificate, "secondary certificate": canarySecondary, "certificate of the file": canaryFile}
	var sinks []sink
	statuses := map[int]int{}
	for _, host := range []string{"minted.test", "file.test"} {
		host := "Host: " + host
		for _, e := range tokenEndpoints {
			r := e.wellFormed()
			for _, headers := range [][]string{
				{host}, {host, "Origin: https://app.example.com"}, {host, "Origin: https://evil.example"}, {host, "Authorization: " + basic("42", "password"), "Cookie: session=42"},
			} {
				a := s.send(r.method, r.target, r.body, append(headers, r.headers...)...)
				statuses[a.StatusCode]++
				for _, found := range likeToken.FindAllString(a.body, -1) {
					secrets["token "+itoa(len(secrets))] = found
				}
				sinks = append(sinks, answerSink(a, likeToken.ReplaceAllString(a.body, "")))
			}
			for _, category := range tokenCategories {
				for i, c := range category.cases(e) {
					if c.request.raw != "" || c.request.framed || i%10 != 0 {
						continue
					}
					r := c.request
					a, err := s.try(r.method, r.target, r.body, append([]string{host}, r.headers...)...)
					if err != nil {
						continue // Go's client does not send all of them
					}
					statuses[a.StatusCode]++
					sinks = append(sinks, answerSink(a, a.body))
				}
			}
		}
		for _, body := range []string{
			// The caller's text is not evaluated.
			`{"kind":"rtc","channel":"room-{env.CERTIFICATE}","account":"{env.CERTIFICATE}"}`,
			`{"kind":"rtc","channel":"{env.CERTIFICATE}","account":"{file.<DIR>/certificate}"}`,
			`{"kind":"rtc-006","channel":"room-7","account":"42"}`,
		} {
			a := s.send("POST", "/token", body, host)
			statuses[a.StatusCode]++
			for _, found := range likeToken.FindAllString(a.body, -1) {
				secrets["token "+itoa(len(secrets))] = found
			}
			sinks = append(sinks, answerSink(a, likeToken.ReplaceAllString(a.body, "")))
		}
	}
	for _, status := range []int{http.StatusOK, http.StatusBadRequest, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType, http.StatusRequestEntityTooLarge} {
		if statuses[status] == 0 {
			t.Errorf("no answer %d was looked at: %v", status, statuses)
		}
	}
	if len(secrets) < 20 {
		t.Errorf("%d secrets: the test looks for too little", len(secrets))
	}

	for _, path := range []string{
		"/config/", "/metrics", "/debug/vars", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1", "/debug/pprof/allocs?debug=1",
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
	s.stop()
	sinks = append(sinks, sink{"standard output", s.stdout.String()}, sink{"standard error", s.stderr.String()})
	sinks = append(sinks, s.files("certificate")...)
	for name, text := range map[string]string{
		"standard error": "token granted",
		"/config/":       "{env.CERTIFICATE}",
		"/metrics":       `caddy_convoai_mints_total{kind="chat-user"`,
		"access.log":     `"reason":"NotAllowed"`,
		"autosave.json":  "{env.CERTIFICATE}",
		"adapt":          "{env.CERTIFICATE}",
		"answer 400":     "InvalidRequest",
	} {
		if !found(sinks, name, text) {
			t.Errorf("no %s with %s was looked at", name, text)
		}
	}
	wantNowhere(t, sinks, secrets)
}

func answerSink(a answer, body string) sink {
	var head strings.Builder
	_ = a.Header.Write(&head)
	return sink{"answer " + a.Status, head.String() + "\n" + body}
}

// A certificate in a file is followed: tokens are signed with what stands there.
func TestTokenServerFollowsTheFileOfItsCertificate(t *testing.T) {
	s := boot{
		caddyfile: global + "http://:<PORT> {\n\tbind 127.0.0.1\n\tconvoai_token_server {\n\t\tapp_id " + appA + "\n\t\tapp_certificate {file.<DIR>/certificate}\n\t\t" + allowRule("", "channels *", "accounts *") + "\n\t}\n}\n",
		files:     map[string]string{"certificate": certificateA + "\n"},
	}.start(t)
	signer := func() int {
		a := s.ask(`{"kind":"rtc","channel":"room","uid":1}`)
		return signedBy(likeToken.FindString(a.body), certificateA, certificateB)
	}
	first := signer()
	writeFile(t, s.dir+"/certificate", certificateB)
	deadline := time.Now().Add(patience)
	for signer() == first && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if first != 0 || signer() != 1 {
		t.Errorf("signed by %d, then by %d", first, signer())
	}
}

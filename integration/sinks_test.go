package integration

import (
	"compress/gzip"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

const canarySecondary = "c0ffee00c0ffee00c0ffee00c0ffee03"

// sinksConfig is one site with everything on that could print a secret, its
// traces sent to a collector.
const sinksConfig = `{
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
http://:<PORT> {
	bind 127.0.0.1
	tracing
	log {
		output file <DIR>/access.log
		format filter {
			wrap json
			request>headers>X-Convoai-Caller-Token delete
		}
	}
	convoai {
		app_id {env.A_ID}
		app_certificate {env.CERTIFICATE}
		app_certificate_secondary {env.SECONDARY}
		caller_token {env.CALLER}
		<TO>
	}
}
`

// tokenInBody finds the tokens of a completed body.
var tokenInBody = regexp.MustCompile(`007[\w+/]{40,}=*`)

// What calls leave behind while they run, and when the process dies of a signal:
// traces, profiles, stacks, metrics, and the log of a call whose caller has gone.
func TestSecretsAppearInNoTraceProfileOrStack(t *testing.T) {
	collector := newPlainUpstream(t, func(http.ResponseWriter, *http.Request) {})
	collected := func() string {
		var spans strings.Builder
		for _, r := range collector.received() {
			spans.WriteString(r.body)
		}
		return spans.String()
	}
	came, hold := make(chan struct{}, 16), make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "agora token=")
		switch {
		case strings.Contains(r.URL.Path, "/hold/"):
			came <- struct{}{}
			<-hold
		case signedBy(token, canarySecondary) != 0:
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = io.WriteString(w, `{"agent_id":"`+token+`"}`) // as if it were one
	})
	t.Cleanup(release)
	env := []string{
		"A_ID=" + appA, "CERTIFICATE=" + canaryCertificate, "SECONDARY=" + canarySecondary, "CALLER=" + canaryCaller,
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
		"OTEL_BSP_SCHEDULE_DELAY=100", "OTEL_METRICS_EXPORTER=none", "OTEL_LOGS_EXPORTER=none",
	}
	s := start(t, strings.ReplaceAll(sinksConfig, "<TO>", to(up)), env...)
	known := "X-Convoai-Caller-Token: " + canaryCaller
	s.send("GET", listA, "", known)                      // refused, and sent again with the other certificate
	s.send("POST", joinA, bareJoin("room-1"), known)     // completed
	s.send("GET", listA, "")                             // without the caller token
	s.send("GET", listA, "", known+"-that-is-another's") // with a wrong one

	// A call whose caller goes, and one that is under way to the end.
	for _, stays := range []bool{false, true} {
		p := &patientUpstream{came: came}
		if stays {
			go func() {
				_, _ = s.try("POST", prefix+projectA+"/agents/hold/speak", "{}", known)
			}()
			<-came
			break
		}
		s.leave(p, "POST", prefix+projectA+"/agents/hold/speak", "{}", known)
	}
	sinks := []sink{}
	for _, path := range []string{
		"/config/", "/metrics", "/debug/vars", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/debug/pprof/goroutine?debug=1",
		"/debug/pprof/heap?debug=1", "/debug/pprof/allocs?debug=1", "/debug/pprof/heap", "/debug/pprof/mutex?debug=1", "/debug/pprof/block?debug=1",
	} {
		found := s.admin(path)
		if plain, err := gzip.NewReader(strings.NewReader(found.content)); err == nil {
			text, _ := io.ReadAll(plain)
			found.content = string(text)
		}
		sinks = append(sinks, found)
	}
	waitFor(t, "spans", func() bool { return strings.Contains(collected(), listA) })

	filled := 0
	secrets := map[string]string{"certificate": canaryCertificate, "secondary certificate": canarySecondary, "caller token": canaryCaller}
	for i, r := range up.received() {
		secrets["header token "+itoa(i)] = r.token(t)
		for _, token := range tokenInBody.FindAllString(r.body, -1) {
			filled++
			secrets["body token "+itoa(filled)] = token
		}
	}
	if filled == 0 {
		t.Error("no body was completed: the test looks for too little")
	}
	// The process dies with a call under way, and prints all stacks.
	s.signal(syscall.SIGABRT)
	s.logged("SIGABRT: abort")
	release()
	s.client.CloseIdleConnections()
	waitFor(t, "the stacks", func() bool {
		return contains(s.stderr, "rip ") || contains(s.stderr, "pc  ") || contains(s.stderr, "exit status")
	})
	died := s.stderr.String()
	s.stderr.mu.Lock()
	s.stderr.b.Reset() // a stack is no error here
	s.stderr.mu.Unlock()
	s.stop()
	sinks = append(sinks, sink{"standard output", s.stdout.String()}, sink{"standard error", died + s.stderr.String()}, sink{"spans", collected()})
	sinks = append(sinks, s.files()...)
	for name, text := range map[string]string{
		"standard error": "goroutine ",
		"/metrics":       "caddy_convoai_requests_total",
		"goroutine":      "caddymodule",
		"heap":           "HeapAlloc",
		"spans":          listA,
		"access.log":     "\"status\":401",
	} {
		if !found(sinks, name, text) {
			t.Errorf("no %s with %s was looked at", name, text)
		}
	}
	wantNowhere(t, sinks, secrets)
}

package command

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/simulator"
	"github.com/caddy-convoai/convoai/token"
)

// A lockedBuffer may be written and read at the same time.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// waitFor returns what the first group of pattern matches, as soon as it does.
func (l *lockedBuffer) waitFor(t *testing.T, pattern string) string {
	t.Helper()
	expression := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if match := expression.FindStringSubmatch(l.String()); match != nil {
			return match[1]
		}
	}
	t.Fatalf("waited in vain for %s in:\n%s", pattern, l)
	return ""
}

// clearCredentials takes all credentials from the environment of a test.
func clearCredentials(t *testing.T) {
	t.Helper()
	for _, names := range [][]string{envAppID, envAppCertificate, envCustomerID, envCustomerSecret, envAuthToken, {envSimulatorListen}} {
		for _, name := range names {
			t.Setenv(name, "")
			t.Setenv(name+"_FILE", "")
		}
	}
}

// A simulation is a running simulate command.
type simulation struct {
	stdout, stderr lockedBuffer
	url            string
	stop           context.CancelFunc
	status         chan int
}

func startSimulate(t *testing.T, flags simulateFlags) *simulation {
	t.Helper()
	s := &simulation{status: make(chan int, 1)}
	ended := make(chan struct{})
	flags.listen = "127.0.0.1:0"
	if flags.options.Quota == 0 {
		flags.options.Quota = simulator.DefaultQuota
	}
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(func() {
		stop()
		<-ended
	})
	s.stop = stop
	go func() {
		defer close(ended)
		status, err := flags.run(ctx, &s.stdout, &s.stderr)
		if err != nil {
			t.Error(err)
		}
		s.status <- status
	}()
	s.url = s.stderr.waitFor(t, `simulated ConvoAI API: (\S+)\n(?s:.*)caddy convoai run`)
	return s
}

func (s *simulation) get(t *testing.T, client *http.Client, appID, authorization string) int {
	t.Helper()
	r, err := http.NewRequest("GET", s.url+"/v2/projects/"+appID+"/agents", nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

func sign(t *testing.T, appID, certificate string) string {
	t.Helper()
	s, err := token.BuildConvoAIToken(appID, certificate, "room-1", "1001", 600, 0)
	if err != nil {
		t.Fatal(err)
	}
	return "agora token=" + s
}

func TestSimulateMakesUpAnAppAndPrintsIt(t *testing.T) {
	clearCredentials(t)
	s := startSimulate(t, simulateFlags{faults: []string{"list:status=503,times=1"}})
	if !strings.HasPrefix(s.url, "http://127.0.0.1:") || !strings.HasSuffix(s.url, api.PrefixGlobal) {
		t.Errorf("URL %s", s.url)
	}
	appID := s.stdout.waitFor(t, `(?m)^export AGORA_APP_ID=([0-9a-f]{32})$`)
	certificate := s.stdout.waitFor(t, `(?m)^export AGORA_APP_CERTIFICATE=([0-9a-f]{32})$`)
	for _, want := range []int{503, 200} {
		if got := s.get(t, http.DefaultClient, appID, sign(t, appID, certificate)); got != want {
			t.Errorf("status %d, want %d", got, want)
		}
	}
	if got := s.get(t, http.DefaultClient, appID, ""); got != 401 {
		t.Errorf("status %d without a credential", got)
	}
	s.stderr.waitFor(t, `(?m)^\S+Z GET \S+ (list: 401 \(no Authorization.*)$`)
	http.DefaultClient.CloseIdleConnections()
	s.stop()
	if status := <-s.status; status != 0 {
		t.Errorf("ended with status %d", status)
	}
	if !strings.HasSuffix(s.stderr.String(), "simulator stopped\n") {
		t.Error("does not say that it stopped")
	}
}

func TestSimulateUsesTheAppOfTheEnvironmentAndDoesNotPrintIt(t *testing.T) {
	clearCredentials(t)
	const appID, certificate, secret = "970CA35de60c44645bbae8a215061b33", "5CFd2fd1755d40ecb72977518be15d3b", "canary-secret"
	t.Setenv("AGORA_APP_ID", appID)
	t.Setenv("AGORA_CUSTOMER_ID", "c")
	t.Setenv("AGORA_CUSTOMER_SECRET", secret)
	file := filepath.Join(t.TempDir(), "certificate")
	if err := os.WriteFile(file, []byte(certificate+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AGORA_APP_CERTIFICATE_FILE", file)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	s := startSimulate(t, simulateFlags{caFile: ca})
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	signed := sign(t, appID, certificate)
	if got := s.get(t, client, appID, signed); got != 200 {
		t.Errorf("status %d with a token", got)
	}
	r, _ := http.NewRequest("GET", "/", nil)
	r.SetBasicAuth("c", secret)
	if got := s.get(t, client, appID, r.Header.Get("Authorization")); got != 200 {
		t.Errorf("status %d with Basic", got)
	}
	s.stderr.waitFor(t, `(?s)list: 200.*(list: 200)`)
	if s.stdout.String() != "" {
		t.Error("something was printed to standard output")
	}
	for _, secret := range []string{certificate, secret, signed[len("agora token="):], r.Header.Get("Authorization")[len("Basic "):]} {
		if strings.Contains(s.stderr.String(), secret) {
			t.Error("a secret was printed")
		}
	}
}

func TestSimulateQuietWritesNoLines(t *testing.T) {
	clearCredentials(t)
	s := startSimulate(t, simulateFlags{quiet: true})
	before := s.stderr.String()
	s.get(t, http.DefaultClient, "_", "")
	if got := s.stderr.String(); got != before {
		t.Errorf("wrote %s", strings.TrimPrefix(got, before))
	}
}

func TestSimulateRefusesWhatMakesNoSense(t *testing.T) {
	const canary = "canary-value"
	tests := []struct {
		name        string
		environment map[string]string
		flags       simulateFlags
		message     string
	}{
		{"certificate without app", map[string]string{"AGORA_APP_CERTIFICATE": canary}, simulateFlags{}, "no app ID"},
		{"secret without app", map[string]string{"AGORA_CUSTOMER_SECRET": canary}, simulateFlags{}, "no app ID"},
		{"malformed certificate", map[string]string{"AGORA_APP_ID": strings.Repeat("a", 32), "AGORA_APP_CERTIFICATE": canary}, simulateFlags{}, "32 hexadecimal digits"},
		{"malformed app", nil, simulateFlags{appID: canary}, "32 hexadecimal digits"},
		{"pre-built token alone", map[string]string{"AGORA_AUTH_TOKEN": canary}, simulateFlags{}, "cannot be verified"},
		{"ID without secret", map[string]string{"AGORA_APP_ID": strings.Repeat("a", 32), "AGORA_CUSTOMER_ID": canary}, simulateFlags{}, "go together"},
		{"fault", nil, simulateFlags{faults: []string{"dance:status=500"}}, "dance"},
		{"no quota", nil, simulateFlags{options: simulator.Options{Quota: 0}}, "--quota"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			clearCredentials(t)
			for name, value := range test.environment {
				t.Setenv(name, value)
			}
			if test.name != "no quota" {
				test.flags.options.Quota = 1
			}
			test.flags.listen = "127.0.0.1:0"
			// Should it start all the same, it ends at once.
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			var out lockedBuffer
			status, err := test.flags.run(ctx, &out, &out)
			if status != exitUnusable || err == nil {
				t.Fatalf("status %d, %v", status, err)
			}
			if !strings.Contains(err.Error(), test.message) || strings.Contains(err.Error(), canary) {
				t.Errorf("the error does not contain %q, or shows the value", test.message)
			}
		})
	}
}

func TestSimulateFailsOnATakenAddress(t *testing.T) {
	clearCredentials(t)
	s := startSimulate(t, simulateFlags{})
	address := strings.TrimSuffix(strings.TrimPrefix(s.url, "http://"), api.PrefixGlobal)
	var out lockedBuffer
	flags := simulateFlags{listen: address, options: simulator.Options{Quota: 1}}
	if status, err := flags.run(t.Context(), &out, &out); status != exitFailed || err == nil {
		t.Errorf("status %d, %v", status, err)
	}
}

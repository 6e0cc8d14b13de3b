package command

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-convoai/convoai/simulator"
)

// startSimulator returns the URL of a simulator that knows the test app.
func startSimulator(t *testing.T) string {
	t.Helper()
	vendor, err := simulator.New(simulator.Options{
		Projects: []simulator.Project{{AppID: testAppID, AppCertificate: testAppCertificate}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server, err := vendor.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server.URL()
}

func newTestSidecar(t *testing.T, flags runFlags, env map[string]string) (*sidecar, authMode) {
	t.Helper()
	variables := map[string]string{"AGORA_APP_ID": testAppID, "AGORA_APP_CERTIFICATE": testAppCertificate}
	for name, value := range env {
		variables[name] = value
	}
	setEnv(t, variables)
	s, mode, err := flags.sidecar()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s, mode
}

// get returns status and body of a GET, over a Unix socket if one is given.
func get(t *testing.T, socket, url string, header http.Header) (int, string) {
	t.Helper()
	transport := new(http.Transport)
	if socket != "" {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
	}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		r.Header, r.Host = header, header.Get("Host")
	}
	res, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestSidecarServesAndAdminSocketIsPrivate(t *testing.T) {
	dir := shortTempDir(t)
	listen := filepath.Join(dir, "sidecar.sock")
	s, mode := newTestSidecar(t, runFlags{
		listen: []string{"127.0.0.1:0", "unix/" + listen}, upstreams: []string{startSimulator(t)},
	}, nil)
	var err error
	if s.adminSocket, err = newAdminSocket([]socketDir{{path: filepath.Join(dir, "admin")}}); err != nil {
		t.Fatal(err)
	}
	if status, err := s.start(); status != exitDone || err != nil {
		t.Fatalf("status %d, error %v", status, err)
	}

	urls := s.urls()
	if len(urls) != 2 || !strings.HasPrefix(urls[0], "http://127.0.0.1:") || urls[1] != "unix/"+listen {
		t.Fatalf("it says that it listens on %q", urls)
	}
	const path = "/v2/projects/" + testAppID + "/agents"
	if status, body := get(t, "", urls[0]+path, nil); status != http.StatusOK {
		t.Errorf("over TCP: %d %s", status, body)
	}
	if status, body := get(t, listen, "http://localhost"+path, nil); status != http.StatusOK {
		t.Errorf("over the Unix socket: %d %s", status, body)
	}

	info, err := os.Lstat(s.adminSocket)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("mode of the admin socket is %v", info.Mode())
	}
	status, config := get(t, s.adminSocket, "http://localhost/config/", nil)
	if status != http.StatusOK || !strings.Contains(config, "{env.AGORA_APP_CERTIFICATE}") || strings.Contains(config, testAppCertificate) {
		t.Errorf("/config/ (status %d) does not hold the placeholder alone", status)
	}

	var text strings.Builder
	s.announce(&text, mode)
	for _, part := range []string{urls[0], urls[1], "area us", s.settings.Upstreams[0], "auth mode app-credentials", "app ID ending in 1b33", s.adminSocket} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("the line at the start lacks %s: %s", part, &text)
		}
	}
	if strings.Contains(text.String(), testAppCertificate) || strings.Contains(text.String(), testAppID) {
		t.Error("the line at the start shows too much")
	}
}

func TestHealthHasAListenerOfItsOwn(t *testing.T) {
	s, mode := newTestSidecar(t, runFlags{
		listen: []string{"127.0.0.1:0"}, healthListen: []string{"localhost:0"}, upstreams: []string{startSimulator(t)},
	}, nil)
	if status, err := s.start(); status != exitDone || err != nil {
		t.Fatalf("status %d, error %v", status, err)
	}
	calls, health := s.urls()[0], urlsOf(healthName)[0]
	for _, test := range []struct {
		url    string
		status int
		body   string
	}{
		{health + "/readyz", http.StatusOK, `{"status":"ready"}` + "\n"},
		{health + "/livez", http.StatusOK, `{"status":"live"}` + "\n"},
		{health + "/v2/projects/_/agents", http.StatusNotFound, ""},
		{health + "/", http.StatusNotFound, ""},
	} {
		if status, body := get(t, "", test.url, nil); status != test.status || body != test.body {
			t.Errorf("%s: %d %q", test.url, status, body)
		}
	}
	for _, path := range []string{"/readyz", "/livez"} {
		if status, body := get(t, "", calls+path, nil); status != http.StatusNotFound || !strings.Contains(body, "NotConvoAI") {
			t.Errorf("%s where calls come in: %d %s", path, status, body)
		}
	}
	var text strings.Builder
	if s.announce(&text, mode); !strings.Contains(text.String(), "; health on "+health+"\n") {
		t.Errorf("the line at the start does not say where: %s", &text)
	}
}

func TestAnnounceWarnsOfUnservedCallers(t *testing.T) {
	for _, test := range []struct {
		listen    string
		allowFrom []string
		warns     bool
	}{
		{"127.0.0.1:8080", nil, false},
		{"0.0.0.0:8080", nil, true},
		{"0.0.0.0:8080", []string{"10.0.0.0/8"}, false},
	} {
		s := &sidecar{server: server{listen: []string{test.listen}}}
		s.settings.AllowFrom = test.allowFrom
		var text strings.Builder
		s.announce(&text, authMode{})
		if warns := strings.Contains(text.String(), "--allow-from"); warns != test.warns {
			t.Errorf("%s, allow-from %v: warns = %v, want %v", test.listen, test.allowFrom, warns, test.warns)
		}
	}
}

func TestStartSaysWhatIsUnusable(t *testing.T) {
	t.Run("taken port", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		s, _ := newTestSidecar(t, runFlags{listen: []string{ln.Addr().String()}}, nil)
		status, err := s.start()
		checkError(t, err, "--listen")
		if status != exitFailed {
			t.Errorf("status %d", status)
		}
	})
	t.Run("taken port for the health", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		s, _ := newTestSidecar(t, runFlags{listen: []string{"127.0.0.1:0"}, healthListen: []string{ln.Addr().String()}}, nil)
		status, err := s.start()
		checkError(t, err, ln.Addr().String()+" is taken by another program: choose another address with --health-listen")
		if status != exitFailed {
			t.Errorf("status %d", status)
		}
	})
	t.Run("credential that the gate refuses", func(t *testing.T) {
		s, _ := newTestSidecar(t, runFlags{listen: []string{"127.0.0.1:0"}}, nil)
		t.Setenv("AGORA_APP_CERTIFICATE", "canary")
		status, err := s.start()
		checkError(t, err, "AGORA_APP_CERTIFICATE")
		if status != exitUnusable || err != nil && strings.Contains(err.Error(), "loading") {
			t.Errorf("status %d, error %v", status, err)
		}
	})
}

func TestAccessLogSaysWhatHappenedToCall(t *testing.T) {
	s, _ := newTestSidecar(t,
		runFlags{listen: []string{"127.0.0.1:0"}, upstreams: []string{startSimulator(t)}, accessLog: true},
		map[string]string{"CONVOAI_CALLER_TOKEN": "canary"})
	file := filepath.Join(t.TempDir(), "log")
	config := s.config()
	writer, err := json.Marshal(map[string]string{"output": "file", "filename": file})
	if err != nil {
		t.Fatal(err)
	}
	config.Logging.Logs[caddy.DefaultLoggerName].WriterRaw = writer
	if err := caddy.Run(config); err != nil {
		t.Fatal(err)
	}
	url := s.urls()[0] + "/v2/projects/_/agents"
	if status, body := get(t, "", url, http.Header{"X-Convoai-Caller-Token": {"canary"}}); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	if status, body := get(t, "", url, http.Header{"X-Convoai-Caller-Token": {"canary-wrong"}}); status != http.StatusUnauthorized {
		t.Fatalf("%d %s", status, body)
	}
	// The log lines are complete once the server has stopped.
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}

	lines := accessLogLines(t, file)
	if len(lines) != 2 {
		t.Fatalf("%d lines of access log, want 2", len(lines))
	}
	host := strings.TrimPrefix(s.settings.Upstreams[0], "http://")
	for i, want := range []map[string]any{
		{
			"convoai_operation": "list", "convoai_upstream": host, "convoai_region": host,
			"convoai_attempts": float64(1), "convoai_auth_mode": "app-credentials", "convoai_error": nil, "status": float64(200),
			"convoai_app": testAppID[len(testAppID)-4:], "convoai_agent": nil,
		},
		{
			"convoai_error": "CallerNotAuthorized", "convoai_operation": "list", "convoai_upstream": nil, "status": float64(401),
			"convoai_app": nil, "convoai_duration_connect": float64(0), "convoai_duration_upstream": float64(0),
		},
	} {
		for key, value := range want {
			if got, there := lines[i][key]; !there || got != value {
				t.Errorf("line %d: %s is %v (there: %v), want %v", i+1, key, got, there, value)
			}
		}
	}
}

// accessLogLines reads the lines of the access log, and checks that nothing in
// the file is a secret.
func accessLogLines(t *testing.T, file string) []map[string]any {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []map[string]any
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		line := map[string]any{}
		if strings.Contains(scanner.Text(), "canary") {
			t.Error("the log holds a caller token")
		}
		if strings.Contains(scanner.Text(), "records caller tokens") {
			t.Error("the log warns of caller tokens, which its format deletes")
		}
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line["logger"] == "http.log.access" {
			lines = append(lines, line)
		}
	}
	return lines
}

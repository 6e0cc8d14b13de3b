package integration

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// accessLine is a line of the access log.
type accessLine map[string]any

func (l accessLine) text(key string) string { text, _ := l[key].(string); return text }

// duration is a field in seconds, as Caddy's logs have durations.
func (l accessLine) duration(t *testing.T, key string) time.Duration {
	t.Helper()
	seconds, ok := l[key].(float64)
	if !ok {
		t.Fatalf("%s is %v", key, l[key])
	}
	return time.Duration(seconds * float64(time.Second))
}

// accessLog waits for the access log to have n lines, and returns them.
func (s *sidecar) accessLog(n int) (lines []accessLine) {
	s.t.Helper()
	waitFor(s.t, "the access log", func() bool {
		lines = nil
		for text := range strings.Lines(s.stderr.String()) {
			line := accessLine{}
			if json.Unmarshal([]byte(text), &line) == nil && line.text("msg") == "handled request" {
				lines = append(lines, line)
			}
		}
		return len(lines) >= n
	})
	return lines
}

// lateListener has each of its connections wait before the first byte is read, so
// that a TLS handshake takes that time.
type lateListener struct {
	net.Listener
	by time.Duration
}

func (l lateListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &lateConn{Conn: conn, by: l.by}, err
}

type lateConn struct {
	net.Conn
	by   time.Duration
	once sync.Once
}

func (c *lateConn) Read(p []byte) (int, error) {
	c.once.Do(func() { time.Sleep(c.by) })
	return c.Conn.Read(p)
}

const (
	connectDelay = time.Second // no machine is so busy that nothing takes as long
	headerDelay  = 500 * time.Millisecond
	bodyDelay    = 400 * time.Millisecond
)

// newLateUpstream takes its time for everything.
func newLateUpstream(t *testing.T) *upstream {
	t.Helper()
	u := unstarted(t, func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(headerDelay)
		_, _ = io.WriteString(w, okBody[:10])
		_ = http.NewResponseController(w).Flush()
		time.Sleep(bodyDelay)
		_, _ = io.WriteString(w, okBody[10:])
	})
	u.Listener = lateListener{u.Listener, connectDelay}
	u.EnableHTTP2 = true
	u.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	u.StartTLS()
	u.started(t)
	return u
}

// wantSplit checks that the durations of a line are what the upstream has taken for
// each part, and add up to Caddy's duration of the request but for what other
// handlers take. A busy machine may add to all of them.
func wantSplit(t *testing.T, line accessLine, connect, upstream, others time.Duration) {
	t.Helper()
	total := line.duration(t, "duration")
	connected, waited, own := line.duration(t, "convoai_duration_connect"), line.duration(t, "convoai_duration_upstream"), line.duration(t, "convoai_duration_sidecar")
	t.Logf("%s: connect %s, upstream %s, sidecar %s", total, connected, waited, own)
	const grain = 5 * time.Millisecond // of sleeping, at most
	if connected < connect-grain || connected > total-upstream+grain {
		t.Errorf("connect is %s of %s, want %s", connected, total, connect)
	}
	if waited < upstream-grain || waited > total-connect+grain {
		t.Errorf("upstream is %s of %s, want %s", waited, total, upstream)
	}
	if rest := total - connected - waited - own; rest < -grain || rest > others {
		t.Errorf("the parts make %s, and Caddy says %s", connected+waited+own, total)
	}
}

// One line of `run --access-log` tells what has become of a call, and where its
// time went.
func TestAccessLogOfRun(t *testing.T) {
	t.Parallel()
	up, dead, port := newLateUpstream(t), freePort(t), freePort(t)
	s := boot{
		args: []string{"convoai", "run", "--listen", "127.0.0.1:" + port, "--upstream-ca", authority, "--access-log",
			"--upstream", "https://127.0.0.1:" + dead, "--upstream", "https://127.0.0.1:" + up.port},
		env: vendorEnv, listens: port, says: "convoai: listening on ",
	}.start(t)
	for _, call := range []struct{ method, path, body string }{
		{"POST", joinA, joinBody("room", "1")},
		{"POST", leaveA, ""},
		{"GET", "/elsewhere", ""},
	} {
		s.send(call.method, call.path, call.body)
	}
	lines := s.accessLog(3)
	for i, want := range []map[string]any{
		{
			"convoai_operation": "join", "convoai_app": "1b33", "convoai_agent": "1NT29X10YHxxxxxWJOXLYHNYB", "convoai_upstream": "127.0.0.1:" + up.port,
			"convoai_region": "127.0.0.1:" + up.port, "convoai_attempts": 2.0, "convoai_auth_mode": "app-credentials", "convoai_error": nil, "status": 200.0,
		},
		{
			"convoai_operation": "leave", "convoai_app": "1b33", "convoai_agent": "agent-1", "convoai_attempts": 1.0, "convoai_error": nil, "status": 200.0,
		},
		{
			"convoai_operation": nil, "convoai_app": nil, "convoai_agent": nil, "convoai_upstream": nil, "convoai_region": nil,
			"convoai_attempts": 0.0, "convoai_auth_mode": nil, "convoai_error": "NotConvoAI", "status": 404.0,
			"convoai_duration_connect": 0.0, "convoai_duration_upstream": 0.0,
		},
	} {
		for key, value := range want {
			if got, ok := lines[i][key]; !ok || got != value {
				t.Errorf("line %d: %s is %v (there: %v), want %v", i+1, key, got, ok, value)
			}
		}
	}
	wantSplit(t, lines[0], connectDelay, headerDelay+bodyDelay, prompt)
	wantSplit(t, lines[1], 0, headerDelay+bodyDelay, prompt)
	if connected := lines[1].duration(t, "convoai_duration_connect"); connected >= connectDelay {
		t.Errorf("a kept connection took %s", connected)
	}
}

// A Caddyfile has the same by log_fields or by log_append, beside who has called.
func TestAccessLogOfACaddyfile(t *testing.T) {
	t.Parallel()
	up := newLateUpstream(t)
	hash, failed, status := boot{}.prepare(t).exec(nil, "hash-password", "--bcrypt-cost", "4", "--plaintext", "secret")
	if status != 0 {
		t.Fatal(failed)
	}
	fields := ""
	for field, placeholder := range map[string]string{
		"operation": "operation", "app": "app_id_ends_in", "agent": "agent_id", "upstream": "upstream", "attempts": "attempts",
		"duration_sidecar": "duration.sidecar", "duration_connect": "duration.connect", "duration_upstream": "duration.upstream",
		"upstream_ms": "duration.upstream_ms",
	} {
		fields += "\tlog_append convoai_" + field + " {http.convoai." + placeholder + "}\n"
	}
	users := "\tbasic_auth {\n\t\talice " + strings.TrimSpace(hash) + "\n\t}\n\tlog\n"
	appended := strings.Replace(siteAt("<PORT>", credentialsA, to(up)), "\tconvoai {", users+fields+"\tconvoai {", 1)
	built := strings.Replace(siteAt("<PORT2>", credentialsA, "log_fields on", to(up)), "\tconvoai {", users+"\tconvoai {", 1)
	s := start(t, global+appended+built, envA...)
	for i, url := range []string{s.url, "http://127.0.0.1:" + s.other} {
		r := "Authorization: Basic YWxpY2U6c2VjcmV0" // alice:secret
		if a := s.send("POST", url+joinA, joinBody("room", "1"), r); a.StatusCode != http.StatusOK {
			t.Fatalf("answered %d", a.StatusCode)
		}
		line := s.accessLog(i + 1)[i]
		for key, value := range map[string]any{
			"user_id": "alice", "convoai_operation": "join", "convoai_app": "1b33", "convoai_agent": "1NT29X10YHxxxxxWJOXLYHNYB",
			"convoai_upstream": "127.0.0.1:" + up.port, "convoai_attempts": 1.0,
		} {
			if line[key] != value {
				t.Errorf("site %d: %s is %v, want %v", i, key, line[key], value)
			}
		}
		if peer := line["request"].(map[string]any)["remote_ip"]; peer != "127.0.0.1" {
			t.Errorf("site %d: the peer is %v", i, peer)
		}
		wantSplit(t, line, connectDelay, headerDelay+bodyDelay, prompt)
		if ms, ok := line["convoai_upstream_ms"].(float64); i == 0 && (!ok || math.Abs(ms-1000*line["convoai_duration_upstream"].(float64)) > 1) {
			t.Errorf("{…duration.upstream_ms} is %v", line["convoai_upstream_ms"])
		}
	}
}

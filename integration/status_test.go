package integration

import (
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// sockets is a folder for admin sockets, whose path leaves room for their names.
func sockets(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat("/run/convoai"); err == nil {
		t.Skip("/run/convoai exists: the sockets are there, and those of others may be, too")
	}
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// runAt starts a sidecar without a configuration file, with its socket below dir.
func runAt(t *testing.T, dir string, env []string, args ...string) *sidecar {
	t.Helper()
	port := freePort(t)
	return boot{
		args:    append([]string{"convoai", "run", "--listen", "127.0.0.1:" + port, "--upstream-ca", authority}, args...),
		env:     append([]string{"XDG_RUNTIME_DIR=" + dir, "TMPDIR=" + dir}, env...),
		listens: port,
		says:    "convoai: listening on ",
	}.start(t)
}

// convoai runs a command that looks for sidecars below dir.
func convoai(t *testing.T, dir string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	return boot{args: append([]string{"convoai"}, args...), env: []string{"XDG_RUNTIME_DIR=" + dir, "TMPDIR=" + dir}}.run(t)
}

// socketOf returns the admin socket of a sidecar of runAt.
func socketOf(t *testing.T, s *sidecar) string {
	t.Helper()
	match := regexp.MustCompile(`admin API on unix/(\S+?)[;\s]`).FindStringSubmatch(s.stderr.String())
	if match == nil {
		t.Fatalf("no admin API is announced:\n%s", s.stderr)
	}
	return match[1]
}

// overSocket gets a path of the admin API.
func overSocket(t *testing.T, socket, method, path string) (status int, body string) {
	t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	r, err := http.NewRequest(method, "http://localhost"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func TestStatusOfARunningSidecarHasNoSecret(t *testing.T) {
	t.Parallel()
	dir := sockets(t)
	up := newUpstream(t, picky(func(value string) bool { return false }))
	caller := filepath.Join(dir, "caller")
	writeFile(t, caller, canaryCaller)
	s := runAt(t, dir, []string{
		"AGORA_APP_ID=" + appA, "AGORA_APP_CERTIFICATE=" + canaryCertificate, "AGORA_APP_CERTIFICATE_SECONDARY=" + canaryFile,
		"CONVOAI_CALLER_TOKEN_FILE=" + caller,
	}, "--upstream", up.URL)
	const channel = "canary-of-the-channel"
	if a := s.send("POST", joinA, joinBody(channel, "4711"), "X-Convoai-Caller-Token: "+canaryCaller); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	socket := socketOf(t, s)
	for _, check := range []struct {
		path string
		mode fs.FileMode
	}{{socket, fs.ModeSocket | 0o600}, {filepath.Dir(socket), fs.ModeDir | 0o700}} {
		if info, err := os.Lstat(check.path); err != nil || info.Mode() != check.mode {
			t.Errorf("mode of %s is %v (%v), want %v", check.path, info.Mode(), err, check.mode)
		}
	}
	status, text := overSocket(t, socket, "GET", "/convoai/status")
	page, stderr, code := convoai(t, dir, "status")
	if status != http.StatusOK || code != 0 || stderr != "" {
		t.Fatalf("%d %s\nstatus %d: %s", status, text, code, stderr)
	}
	shown, _, code := convoai(t, dir, "status", "--json", "--address", "unix/"+socket)
	if code != 0 || !json.Valid([]byte(shown)) {
		t.Errorf("status --json: %d %s", code, shown)
	}
	secrets := map[string]string{
		"certificate": canaryCertificate, "other certificate": canaryFile, "caller token": canaryCaller,
		"channel": channel, "account": "4711", "app ID": appA, "token": up.only(t).token(t),
	}
	wantNowhere(t, []sink{{"/convoai/status", text}, {"status", page}, {"status --json", shown}}, secrets)

	var got map[string]any
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	app := got["apps"].([]any)[0].(map[string]any)
	host := got["regions"].([]any)[0].(map[string]any)
	tokens := app["tokens"].(map[string]any)
	for what, pair := range map[string][2]any{
		"process_id":     {got["process_id"], float64(s.pid)},
		"readiness":      {got["readiness"].(map[string]any)["status"], "ready"},
		"app_id_ends_in": {app["app_id_ends_in"], appA[28:]},
		"mode":           {app["mode"], "app-credentials"},
		"tokens":         {tokens["count"], 1.0},
		"host":           {host["host"], "127.0.0.1:" + up.port},
		"state":          {host["state"], "available"},
		"reachable":      {host["reachable"], true},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %v, want %v", what, pair[0], pair[1])
		}
	}
	for _, name := range []string{"issued_first_at", "next_refresh_at", "expires_first_at"} {
		if at, err := time.Parse(time.RFC3339, tokens[name].(string)); err != nil || time.Until(at).Abs() > 25*time.Hour {
			t.Errorf("%s is %v", name, tokens[name])
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE"} {
		if status, _ := overSocket(t, socket, method, "/convoai/status"); status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, status)
		}
	}
	// Those who ask all the time do not fill the log.
	if lines := logLines(s.stderr, "/convoai/"); len(lines) != 3 { // the three above
		t.Errorf("the log says %q", lines)
	}
}

func TestStatusAndHealthFindTheSidecarOfThisUser(t *testing.T) {
	t.Parallel()
	dir := sockets(t)
	if _, stderr, code := convoai(t, dir, "status"); code != 1 || !strings.HasPrefix(stderr, "no sidecar runs here") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("status without a sidecar: %d %q", code, stderr)
	}
	if stdout, stderr, code := convoai(t, dir, "health"); code != 1 || !strings.HasPrefix(stdout, "unready: no sidecar runs here") || stderr != "" {
		t.Errorf("health without a sidecar: %d %q %q", code, stdout, stderr)
	}

	up := newUpstream(t, nil)
	g := newGate(t, up.Listener.Addr().String())
	health := freePort(t)
	s := runAt(t, dir, vendorEnv, "--upstream", g.url(), "--health-listen", "127.0.0.1:"+health)
	for _, args := range [][]string{{"health"}, {"health", "--address", "127.0.0.1:" + health}, {"health", "--address", "unix/" + socketOf(t, s)}} {
		if stdout, stderr, code := convoai(t, dir, args...); code != 0 || stdout != "ready\n" || stderr != "" {
			t.Errorf("%q: %d %q %q", args, code, stdout, stderr)
		}
	}
	page, _, code := convoai(t, dir, "status")
	if code != 0 || !strings.HasPrefix(page, "READY  process "+itoa(s.pid)+", up ") || !strings.Contains(page, "127.0.0.1:"+g.port+"  available") {
		t.Errorf("status: %d\n%s", code, page)
	}
	if strings.Contains(page, "\x1b") {
		t.Error("colours in a file")
	}

	g.close()
	waitFor(t, "health to say that no host can be reached", func() bool {
		stdout, _, code := convoai(t, dir, "health")
		return code == 1 && stdout == "unready: site 1: no host can be reached (127.0.0.1:"+g.port+")\n"
	})
	if stdout, _, code := convoai(t, dir, "health", "--live"); code != 0 || stdout != "live\n" {
		t.Errorf("health --live: %d %q", code, stdout)
	}
	if page, _, code := convoai(t, dir, "status"); code != 0 || !strings.HasPrefix(page, "NOT READY  process ") || !strings.Contains(page, "connection refused") {
		t.Errorf("status: %d\n%s", code, page)
	}

	other := runAt(t, dir, vendorEnv, "--upstream", up.URL)
	for _, command := range []string{"status", "health"} {
		stdout, stderr, code := convoai(t, dir, command)
		for _, one := range []*sidecar{s, other} {
			if said := stdout + stderr; code != 1 || !strings.Contains(said, "process "+itoa(one.pid)+": --address unix/"+socketOf(t, one)) {
				t.Errorf("%s with two: %d %q", command, code, said)
			}
		}
	}
	if stdout, _, code := convoai(t, dir, "health", "--address", "unix/"+socketOf(t, other)); code != 0 || stdout != "ready\n" {
		t.Errorf("health --address: %d %q", code, stdout)
	}
	other.stop()
	s.stop()
	if _, _, code := convoai(t, dir, "status"); code != 1 {
		t.Errorf("status after both have ended: %d", code)
	}
}

// The status of a sidecar with a configuration file, over a reload.
func TestStatusIsKeptOverAReload(t *testing.T) {
	t.Parallel()
	up := newUpstream(t, nil)
	config := strings.Replace(site(credentialsA, "max_body 1MiB", to(up)), "admin off", "admin unix/<DIR>/admin.sock|0600", 1)
	s := start(t, config, envA...)
	for range 3 {
		if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
	}
	type kept struct {
		StartedAt time.Time `json:"started_at"`
		Apps      []struct {
			Tokens struct {
				Count         int
				IssuedFirstAt time.Time `json:"issued_first_at"`
			}
		}
		Regions  []struct{ Reachable bool }
		Counters struct{ Requests struct{ Total int } }
		Clock    struct {
			SkewSeconds *float64 `json:"skew_seconds"`
		}
	}
	read := func() (k kept) {
		t.Helper()
		if err := json.Unmarshal([]byte(s.admin("/convoai/status").content), &k); err != nil {
			t.Fatal(err)
		}
		if len(k.Apps) != 1 || k.Apps[0].Tokens.Count != 1 || len(k.Regions) != 1 || !k.Regions[0].Reachable || k.Counters.Requests.Total != 3 || k.Clock.SkewSeconds == nil {
			t.Fatalf("%+v", k)
		}
		return k
	}
	before := read()
	for i := range 3 {
		s.post(t, strings.Replace(config, "1MiB", itoa(i+2)+"MiB", 1))
		if after := read(); !after.StartedAt.Equal(before.StartedAt) || !after.Apps[0].Tokens.IssuedFirstAt.Equal(before.Apps[0].Tokens.IssuedFirstAt) {
			t.Errorf("after a reload: %+v, %+v before", after, before)
		}
	}
}

// tmux is a terminal of 80 columns and 24 lines with a shell in it.
type tmux struct {
	t      *testing.T
	socket string
}

func newTmux(t *testing.T, dir string, env ...string) *tmux {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("tmux is not installed: what a terminal shows cannot be seen")
	}
	terminal := &tmux{t: t, socket: filepath.Join(dir, "tmux")}
	args := append([]string{"-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "env", "-i", "PATH=" + os.Getenv("PATH"), "TERM=screen", "PS1=$ "}, env...)
	terminal.run(append(args, "sh")...)
	t.Cleanup(func() { terminal.run("kill-server") })
	return terminal
}

func (m *tmux) run(args ...string) string {
	m.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-S", m.socket}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(m.socket), "LC_ALL=C.UTF-8", "TERM=xterm"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Fatalf("tmux %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// screen returns what the terminal shows. A line that was too long for it is one
// line here, so that it is noticed.
func (m *tmux) screen() string {
	var b strings.Builder
	for line := range strings.Lines(m.run("capture-pane", "-p", "-J")) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}

// state says whether the second screen is on, and whether there is a cursor.
func (m *tmux) state() string {
	return strings.TrimSpace(m.run("display-message", "-p", "#{alternate_on} #{cursor_flag}"))
}

func TestWatchedStatusInATerminal(t *testing.T) {
	t.Parallel()
	dir := sockets(t)
	up := newUpstream(t, nil)
	first, second := newGate(t, up.Listener.Addr().String()), newGate(t, up.Listener.Addr().String())
	s := runAt(t, dir, vendorEnv, "--upstream", first.url(), "--upstream", second.url())
	terminal := newTmux(t, dir, "XDG_RUNTIME_DIR="+dir, "TMPDIR="+dir, "HOME="+dir)
	if state := terminal.state(); state != "0 1" {
		t.Fatalf("the terminal begins in the state %s", state)
	}
	terminal.run("send-keys", binary+" convoai status --watch", "Enter")
	shows := func(what string, rows ...string) string {
		t.Helper()
		var screen string
		defer func() {
			if t.Failed() {
				t.Logf("the terminal shows\n%s", screen)
			}
		}()
		waitFor(t, what, func() bool {
			time.Sleep(50 * time.Millisecond)
			screen = terminal.screen()
			for _, row := range rows {
				if !regexp.MustCompile(`(?m)` + row).MatchString(screen) {
					return false
				}
			}
			return true
		})
		for line := range strings.Lines(screen) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
				t.Errorf("%s: a line of %d columns: %s", what, n, line)
			}
		}
		return screen
	}
	shows("the first page",
		`^READY  process `+itoa(s.pid)+`, up .*, convoai `,
		`^APP +MODE +READY  CREDENTIAL$`,
		`^\.\.`+appA[28:]+`  app-credentials  yes    app_certificate$`,
		`^HOST +STATE +CONNECT  REACHED$`,
		`^127\.0\.0\.1:`+first.port+`  available  \d+ ms +\d+s ago$`,
		`^Clock       not compared`,
		`^Requests    0$`,
	)
	if state := terminal.state(); state != "1 0" {
		t.Errorf("while watching the terminal is in the state %s, want the second screen and no cursor", state)
	}
	if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	shows("the page after a call", `^\.\.`+appA[28:]+`  app-credentials  yes    1 token, refresh in `, `^Requests    1: 200 1$`, `^Clock       agrees`)
	first.close()
	second.close()
	shows("the page without a host", `^NOT READY  process `, `^  no host can be reached \(`, `^127\.0\.0\.1:`+first.port+`  resting .* no$`, `^    connection refused, `)
	second.open()
	shows("the page with a host again", `^READY  process `)
	s.stop()
	shows("the page when the sidecar has gone", `^no sidecar runs here`)

	terminal.run("send-keys", "C-c")
	waitFor(t, "the terminal to be as before", func() bool { return terminal.state() == "0 1" })
	shows("the shell's prompt", `^\$$`)
	terminal.run("send-keys", "echo status=$?", "Enter")
	shows("the status of the command", `^status=0$`)
}

// Where there is no terminal, the pages follow each other.
func TestWatchedStatusInAPipe(t *testing.T) {
	t.Parallel()
	dir := sockets(t)
	up := newUpstream(t, nil)
	runAt(t, dir, vendorEnv, "--upstream", up.URL)
	watching := boot{
		args: []string{"convoai", "status", "--watch", "--json"}, env: []string{"XDG_RUNTIME_DIR=" + dir, "TMPDIR=" + dir},
		listens: freePort(t), says: `{"version"`,
	}.start(t)
	waitFor(t, "three lines", func() bool { return strings.Count(watching.stdout.String(), "\n") >= 3 })
	watching.signal(os.Interrupt)
	watching.stop()
	for line := range strings.Lines(watching.stdout.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("%q is no JSON", line)
		}
	}
}

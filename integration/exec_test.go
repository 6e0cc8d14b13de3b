//go:build unix

package integration

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// execution is a `caddy convoai exec` that runs.
type execution struct {
	*sidecar
	cmd    *exec.Cmd
	lines  *bufio.Reader // of its standard output
	stdin  io.WriteCloser
	status chan int // once it has ended
}

// execIn prepares one whose files are in a folder of its own.
func execIn(t *testing.T, up *upstream, env []string, args ...string) (*sidecar, *exec.Cmd) {
	t.Helper()
	s := boot{}.prepare(t)
	if err := os.Remove(s.config); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"tmp", "run"} {
		if err := os.Mkdir(filepath.Join(s.dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if up != nil {
		args = append([]string{"--upstream", "https://127.0.0.1:" + up.port, "--upstream-ca", authority}, args...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	cmd := s.command(ctx, append(append([]string{"TMPDIR=" + filepath.Join(s.dir, "tmp"), "XDG_RUNTIME_DIR=" + filepath.Join(s.dir, "run")}, vendorEnv...), env...), append([]string{"convoai", "exec"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal, wherever the tests run
	return s, cmd
}

// execute runs one to its end.
func execute(t *testing.T, up *upstream, env []string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	s, cmd := execIn(t, up, env, args...)
	var out, err strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &err
	failure := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](failure); failure != nil && !exited {
		t.Fatal(failure)
	}
	s.leavesNothing(err.String())
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}

// leavesNothing fails the test where something of an execution is still there.
func (s *sidecar) leavesNothing(log string) {
	s.t.Helper()
	for _, left := range s.files() {
		s.t.Errorf("%s is left", left.name)
	}
	for _, folder := range []string{"tmp", "run"} {
		entries, err := os.ReadDir(filepath.Join(s.dir, folder))
		if err != nil || len(entries) > 0 {
			s.t.Errorf("%s: %v, %v", folder, entries, err)
		}
	}
	if strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic") {
		s.t.Errorf("it reports a race or a panic:\n%s", log)
	}
}

// begin starts one whose command prints a line when it is there.
func begin(t *testing.T, up *upstream, env []string, args ...string) *execution {
	t.Helper()
	s, cmd := execIn(t, up, env, args...)
	e := &execution{sidecar: s, cmd: cmd, status: make(chan int, 1)}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if e.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	s.stderr = new(buffer)
	cmd.Stderr = s.stderr
	e.lines = bufio.NewReader(stdout)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	processes.add(cmd)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		processes.remove(cmd)
	})
	return e
}

func (e *execution) line() string {
	e.t.Helper()
	line, err := e.lines.ReadString('\n')
	if err != nil {
		e.t.Fatalf("%v\n%s", err, e.stderr)
	}
	return strings.TrimSpace(line)
}

// end waits for the end and returns the exit status.
func (e *execution) end() int {
	e.t.Helper()
	_, _ = io.Copy(io.Discard, e.lines)
	_ = e.cmd.Wait()
	e.leavesNothing(e.stderr.String())
	return e.cmd.ProcessState.ExitCode()
}

func TestExecSignsTheCallsOfACommand(t *testing.T) {
	up := newUpstream(t, nil)
	for name, args := range unchanged(t) {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(args[0]); err != nil {
				t.Skipf("%s is not installed", args[0])
			}
			if args[0] == "wget" {
				t.Skip("it knows no variable for its CAs")
			}
			up.reset()
			stdout, stderr, status := execute(t, up, nil, append(append([]string{"--"}, args...), vendorURL+"/api/conversational-ai-agent/v2/projects/_/agents")...)
			if status != 0 || !strings.Contains(stdout, okBody) || stderr != "" {
				t.Fatalf("status %d: %s%s", status, stdout, stderr)
			}
			checkToken(t, up.only(t).token(t), appA, certificateA, "stop", "0")
		})
	}
}

func TestExecEndsAsItsCommandDoes(t *testing.T) {
	for _, test := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"--", "sh", "-c", "exit 0"}, 0, ""},
		{[]string{"--", "sh", "-c", "exit 1"}, 1, ""},
		{[]string{"--", "sh", "-c", "exit 7"}, 7, ""},
		{[]string{"sh", "-c", "exit 255"}, 255, ""},
		{[]string{"--", "sh", "-c", "kill -TERM $$"}, 128 + 15, ""},
		{[]string{"--", "sh", "-c", "kill -KILL $$"}, 128 + 9, ""},
		{[]string{"--", "no-such-command"}, 127, "no-such-command"},
		{[]string{"--", "/no/such/command"}, 127, "/no/such/command"},
		{[]string{"--", authority}, 126, "permission denied"},
		{[]string{}, 2, "no command"},
		{[]string{"--"}, 2, "no command"},
		{[]string{"--area", "mars", "--", "true"}, 2, "--area"},
		{[]string{"--unknown", "--", "true"}, 2, "unknown flag"},
		{[]string{"--listen", "unix//tmp/x.sock", "--", "true"}, 2, "TCP port"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			stdout, stderr, status := execute(t, nil, nil, test.args...)
			if status != test.status || stdout != "" || !strings.Contains(stderr, test.says) || test.says == "" && stderr != "" {
				t.Errorf("status %d, want %d: %s%s", status, test.status, stdout, stderr)
			}
		})
	}
}

// Arguments and standard streams are the command's, to the byte.
func TestExecPassesArgumentsAndStreams(t *testing.T) {
	s, cmd := execIn(t, nil, nil, "--", "sh", "-c", `printf '%s|' "$0" "$@"; cat; echo err >&2; test -t 1 || echo no tty`, "--listen", "a b", "", "$HOME", "-x")
	cmd.Stdin = strings.NewReader("in\x00\xff\n")
	var out, err strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &err
	if failure := cmd.Run(); failure != nil {
		t.Fatal(failure, err.String())
	}
	if want := "--listen|a b||$HOME|-x|in\x00\xff\nno tty\n"; out.String() != want || err.String() != "err\n" {
		t.Errorf("%q and %q, want %q", out.String(), err.String(), want)
	}
	s.leavesNothing("")
}

// Nothing in the environment of the command is a secret of ours, whatever name it
// has there.
func TestExecGivesItsCommandNoSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	writeFile(t, file, "canary-file-secret\n")
	env := []string{
		"AGORA_APP_CERTIFICATE_SECONDARY=" + certificateB, "APP_CERTIFICATE=" + canaryCertificate, "CONVOAI_CALLER_TOKEN_FILE=" + file,
		"COPY=" + certificateA, "COPY_UPPER=x" + strings.ToUpper(certificateA) + "x", "COPY_SECONDARY=" + certificateB, "COPY_UNUSED=" + canaryCertificate, "COPY_FILE=prefix-canary-file-secret",
		"HARMLESS=value", "HARMLESS_ID=" + appA, "EMPTY=",
	}
	stdout, stderr, status := execute(t, nil, env, "--", "env")
	if status != 0 {
		t.Fatal(stderr)
	}
	wantNowhere(t, []sink{{"the environment", stdout}}, map[string]string{
		"certificate": certificateA, "secondary certificate": certificateB, "unused certificate": canaryCertificate, "caller token": "canary-file-secret",
	})
	got := map[string]string{}
	for line := range strings.Lines(stdout) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		got[name] = value
	}
	for _, name := range []string{"AGORA_APP_CERTIFICATE", "AGORA_APP_CERTIFICATE_SECONDARY", "APP_CERTIFICATE", "CONVOAI_CALLER_TOKEN_FILE", "CONVOAI_EXEC_TOKEN", "COPY", "COPY_UPPER", "COPY_SECONDARY", "COPY_UNUSED", "COPY_FILE"} {
		if _, there := got[name]; there {
			t.Errorf("%s is there", name)
		}
	}
	for name, want := range map[string]string{"HARMLESS": "value", "HARMLESS_ID": appA, "EMPTY": "", "AGORA_APP_ID": appA, "NODE_USE_ENV_PROXY": "1", "NO_PROXY": "localhost,127.0.0.1,::1"} {
		if value, there := got[name]; !there || value != want {
			t.Errorf("%s is %q", name, value)
		}
	}

	basicEnv := []string{"AGORA_CUSTOMER_ID=canary-id", "AGORA_CUSTOMER_SECRET=canary-secret", "HEADER=" + basic("canary-id", "canary-secret"), "OTHER_HEADER=x"}
	if stdout, stderr, status = execute(t, nil, basicEnv, "--", "env"); status != 0 {
		t.Fatal(stderr)
	}
	wantNowhere(t, []sink{{"the environment", stdout}}, map[string]string{"customer secret": "canary-secret", "pair": "canary-id:canary-secret"})
	if strings.Contains(stdout, "AGORA_CUSTOMER") || strings.Contains(stdout, "\nHEADER=") || !strings.Contains(stdout, "OTHER_HEADER=x\n") {
		t.Error("the environment is another one")
	}
}

// Whoever can load a configuration reads the environment of the process, with a
// placeholder in it: the command must find no admin API.
func TestExecGivesItsCommandNoAdminAPI(t *testing.T) {
	const script = `ls "${SSL_CERT_FILE%/*}"; find "$TMPDIR" "$XDG_RUNTIME_DIR" -type s; ! curl -s -m 5 --noproxy '*' http://localhost:2019/config/ | grep convoai_connect`
	stdout, stderr, status := execute(t, nil, nil, "--", "sh", "-c", script)
	if status != 0 {
		t.Fatal(stdout, stderr)
	}
	if !strings.Contains(stdout, "ssl_cert_file.pem\n") {
		t.Fatalf("the folder of the command is not listed: %s", stdout)
	}
	if strings.Contains(stdout, ".sock") {
		t.Errorf("there is a socket: %s", stdout)
	}
}

// What takes calls past a proxy does not take ConvoAI calls past this one.
func TestExecIsNotPassedBy(t *testing.T) {
	up := newUpstream(t, nil)
	elsewhere := newPlainUpstream(t, nil)
	env := []string{
		"NO_PROXY=*,agora.io,.agora.io,api.agora.io:443,*.sd-rtn.com,internal.test,10.0.0.0/8", "no_proxy=agora.io",
		"HTTPS_PROXY=" + elsewhere.URL, "HTTP_PROXY=" + elsewhere.URL, "https_proxy=" + elsewhere.URL, "http_proxy=" + elsewhere.URL, "ALL_PROXY=" + elsewhere.URL,
	}
	stdout, stderr, status := execute(t, up, env, "--", "sh", "-c", `echo "$NO_PROXY"; echo "$no_proxy"; echo "$HTTP_PROXY"; curl -sS `+vendorURL+listA+` && curl -sS http://`+vendorHost+listA)
	if status != 0 || !strings.HasPrefix(stdout, "internal.test,10.0.0.0/8,localhost,127.0.0.1,::1\nlocalhost,127.0.0.1,::1\nhttp://convoai:") || strings.Count(stdout, okBody) != 2 {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	elsewhere.untouched(t)
}

// What is set for a sidecar that serves others, and runs already, is not for that of
// a command.
func TestExecLeavesARunningSidecarAlone(t *testing.T) {
	up := newUpstream(t, nil)
	taken := listen(t)
	env := []string{
		"CONVOAI_LISTEN=" + taken.Addr().String(), "CONVOAI_HEALTH_LISTEN=" + taken.Addr().String(), "CONVOAI_ALLOW_FROM=10.0.0.0/8", "CONVOAI_ALLOW_HOST=sidecar",
		"CONVOAI_CALLER_TOKEN_FILE=/does/not/exist", "CONVOAI_ACCESS_LOG=true",
	}
	stdout, stderr, status := execute(t, up, env, "--", "sh", "-c", `curl -sS `+vendorURL+listA+`; echo; echo "$CONVOAI_LISTEN"`)
	if status != 0 || stdout != okBody+"\n"+taken.Addr().String()+"\n" || stderr != "" {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
}

// The command keeps the trust that it had.
func TestExecAddsToWhatItsCommandTrusts(t *testing.T) {
	up, other := newUpstream(t, nil), newUpstream(t, nil)
	env := []string{"SSL_CERT_FILE=" + authority, "NODE_EXTRA_CA_CERTS=" + authority}
	stdout, stderr, status := execute(t, up, env, "--", "sh", "-c",
		`curl -sS `+vendorURL+listA+` && curl -sS https://127.0.0.1:`+other.port+`/ && cat "$NODE_EXTRA_CA_CERTS" && ls -l "$SSL_CERT_FILE"`)
	if status != 0 || strings.Count(stdout, okBody) != 2 || strings.Count(stdout, "BEGIN CERTIFICATE") != 2 || !strings.Contains(stdout, "-rw------- ") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
}

// The sidecar of a command is the command's: nobody else on this host can use it.
func TestExecServesItsCommandAlone(t *testing.T) {
	up := newUpstream(t, nil)
	e := begin(t, up, nil, "--", "sh", "-c", `echo "$HTTPS_PROXY"; read line`)
	_, address, _ := strings.Cut(e.line(), "@")
	if host, _, err := net.SplitHostPort(address); err != nil || host != "127.0.0.1" {
		t.Fatalf("it listens on %s", address)
	}
	_, e.port, _ = net.SplitHostPort(address)
	e.url = "http://" + address
	for _, headers := range [][]string{nil, {"Proxy-Authorization: " + basic("convoai", "guess")}} {
		wantError(t, e.send("GET", listA, "", headers...), http.StatusProxyAuthRequired, "CallerNotAuthorized")
		conn, res := e.connect(vendorHost+":443", headers...)
		wantRefusal(t, conn, res, http.StatusProxyAuthRequired, "CallerNotAuthorized")
	}
	up.untouched(t)
	if _, err := io.WriteString(e.stdin, "\n"); err != nil {
		t.Fatal(err)
	}
	if status := e.end(); status != 0 {
		t.Errorf("status %d: %s", status, e.stderr)
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		_ = conn.Close()
		t.Error("it listens still")
	}
}

// A command that calls other hosts is told that it may not, unless it may.
func TestExecRefusesOtherHosts(t *testing.T) {
	l, address := at443(t)
	go echo(l)
	stdout, stderr, status := execute(t, nil, nil, "--tunnel", "localhost.tunnel.test", "--", "sh", "-c",
		`curl -s -o /dev/null -w '%{http_connect} ' https://example.com/; curl -s -o /dev/null -w '%{http_connect}' https://localhost.tunnel.test/`)
	if !strings.HasPrefix(stdout, "403 502") {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
	_ = address
}

func TestExecPassesSignalsOn(t *testing.T) {
	for _, test := range []struct {
		signal syscall.Signal
		name   string
	}{{syscall.SIGINT, "INT"}, {syscall.SIGTERM, "TERM"}, {syscall.SIGHUP, "HUP"}, {syscall.SIGQUIT, "QUIT"}, {syscall.SIGUSR1, "USR1"}, {syscall.SIGUSR2, "USR2"}, {syscall.SIGWINCH, "WINCH"}} {
		t.Run(test.name, func(t *testing.T) {
			e := begin(t, nil, nil, "--", "sh", "-c", fmt.Sprintf(`n=0; trap 'n=$((n+1)); echo got %[1]s $n' %[1]s; echo there; while read line; do echo line $n; done; exit 42`, test.name))
			if e.line() != "there" {
				t.Fatal("it is not there")
			}
			if err := e.cmd.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			// The shell runs the trap when it has read a line.
			if _, err := io.WriteString(e.stdin, "x\n"); err != nil {
				t.Fatal(err)
			}
			got := e.line()
			for got == "line 0" { // the line came first
				if _, err := io.WriteString(e.stdin, "x\n"); err != nil {
					t.Fatal(err)
				}
				got = e.line()
			}
			if got != "got "+test.name+" 1" {
				t.Errorf("%q", got)
			}
			_ = e.stdin.Close()
			if status := e.end(); status != 42 {
				t.Errorf("status %d: %s", status, e.stderr)
			}
		})
	}
	t.Run("to its end", func(t *testing.T) {
		e := begin(t, nil, nil, "--", "sh", "-c", `echo there; exec sleep 60`)
		e.line()
		if err := e.cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if status := e.end(); status != 128+int(syscall.SIGINT) {
			t.Errorf("status %d: %s", status, e.stderr)
		}
	})
}

// nohup has its command ignore SIGHUP, and so do we.
func TestExecIgnoresWhatItsCallerIgnores(t *testing.T) {
	s, cmd := execIn(t, nil, nil)
	wrapped := exec.Command("sh", append([]string{"-c", `trap '' HUP; exec "$0" "$@"`}, append(cmd.Args, "--", "sh", "-c", `kill -HUP $$; kill -HUP $PPID; echo still there`)...)...)
	wrapped.Env, wrapped.Dir, wrapped.SysProcAttr = cmd.Env, cmd.Dir, cmd.SysProcAttr
	if out, err := wrapped.CombinedOutput(); err != nil || string(out) != "still there\n" {
		t.Errorf("%s, %v", out, err)
	}
	s.leavesNothing("")
}

// A join whose command has gone is not cut off: it may have started an agent.
func TestExecWaitsForAJoinWithoutItsCommand(t *testing.T) {
	up := newPatient(t, false, false, answerOK)
	e := begin(t, up.upstream, nil, "--", "sh", "-c", `curl -sS -X POST -d '`+joinBody("room", "1")+`' `+vendorURL+joinA+` & echo $!; wait`)
	pid := e.line()
	<-up.came
	if err := exec.Command("kill", "-KILL", pid).Run(); err != nil {
		t.Fatal(err)
	}
	go func() {
		<-time.After(300 * time.Millisecond) // the command has ended by now, or the test is of no use
		close(up.goOn)
	}()
	_ = e.end()
	if cancelled := <-up.cancelled; cancelled {
		t.Error("the join was cut off")
	}
}

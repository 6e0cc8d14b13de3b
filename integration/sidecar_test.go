package integration

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must come. It is a bound, not a
// pause.
const patience = 60 * time.Second

// prompt bounds what takes a moment, so that only waiting for a time-out takes
// longer, however busy the machine is.
const prompt = 20 * time.Second

// sidecar is a running binary.
type sidecar struct {
	t      *testing.T
	dir    string // its working directory; HOME lies in it
	config string // path of the Caddyfile
	port   string // what <PORT> stands for in the Caddyfile
	other  string // what <PORT2> stands for
	url    string // http://127.0.0.1:port
	pid    int

	stdout, stderr *buffer

	client *http.Client
	stop   func() // ends the process and waits for it
}

// boot is what a process is started with.
type boot struct {
	caddyfile string   // <PORT>, <PORT2>, <DIR> and <CA> stand for what they say
	env       []string // beside PATH and HOME
	files     map[string]string
	args      []string // default: run --config Caddyfile
	listens   string   // the port that args make it listen on; default: <PORT>
	says      string   // what it prints once it serves; default: Caddy's line
}

// serving is what Caddy logs when all listeners of its first configuration are up.
const serving = "serving initial configuration"

// start runs the binary with a Caddyfile and waits until it serves all that is
// in there. The process ends with the test.
func start(t *testing.T, caddyfile string, env ...string) *sidecar {
	t.Helper()
	return boot{caddyfile: caddyfile, env: env}.start(t)
}

func (b boot) start(t *testing.T) *sidecar {
	t.Helper()
	s := b.prepare(t)
	if b.listens != "" {
		s.port, s.url = b.listens, "http://127.0.0.1:"+b.listens
	}
	args := b.args
	if args == nil {
		args = []string{"run", "--adapter", "caddyfile", "--config", s.config}
	}
	cmd := s.command(context.Background(), b.env, args...)
	s.stdout, s.stderr = new(buffer), new(buffer)
	cmd.Stdout, cmd.Stderr = s.stdout, s.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	processes.add(cmd)
	s.pid = cmd.Process.Pid
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
		processes.remove(cmd)
	}()
	var once sync.Once
	s.stop = func() {
		once.Do(func() {
			s.client.CloseIdleConnections()
			_ = cmd.Process.Signal(syscall.SIGTERM)
			select {
			case <-ended:
			case <-time.After(patience):
				t.Errorf("the binary did not end on SIGTERM")
				_ = cmd.Process.Kill()
				<-ended
			}
			if out := s.stderr.String(); strings.Contains(out, "DATA RACE") || strings.Contains(out, "panic") {
				t.Errorf("the binary reports a race or a panic:\n%s", out)
			} else if t.Failed() {
				t.Logf("the binary on port %s logged:\n%s", s.port, excerpt(out))
			}
		})
	}
	t.Cleanup(s.stop)

	for deadline := time.After(patience); !b.up(s); {
		select {
		case <-ended:
			t.Fatalf("the binary ended before it served:\n%s", s.stderr)
		case <-deadline:
			t.Fatalf("the binary does not serve:\n%s", s.stderr)
		case <-time.After(2 * time.Millisecond):
		}
	}
	return s
}

// up reports whether s serves: it says so itself, of all its listeners. A command
// of which nothing is known but where it listens is connected to instead.
func (b boot) up(s *sidecar) bool {
	says := b.says
	if b.args == nil {
		says = serving
	}
	if says != "" {
		return contains(s.stderr, says) || contains(s.stdout, says)
	}
	conn, err := net.DialTimeout("tcp", "127.0.0.1:"+s.port, time.Second)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// secretValues are those that an excerpt of a log may not show.
var secretValues = regexp.MustCompile(`007[\w+/=-]{40,}|(?i)` + certificateA + `|` + certificateB + `|c0ffee[0-9a-f]{26}|canary[\w-]*`)

// excerpt is the end of a log, for the message of a test that has failed.
func excerpt(log string) string {
	const most = 16 << 10
	if len(log) > most {
		log = "…" + log[len(log)-most:]
	}
	return secretValues.ReplaceAllString(log, "[redacted]")
}

// prepare makes the directory of a process, with its Caddyfile.
func (b boot) prepare(t *testing.T) *sidecar {
	t.Helper()
	s := &sidecar{t: t, dir: t.TempDir(), port: freePort(t), other: freePort(t), client: &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	s.url = "http://127.0.0.1:" + s.port
	s.config = filepath.Join(s.dir, "Caddyfile")
	for name, content := range b.files {
		writeFile(t, filepath.Join(s.dir, name), content)
	}
	s.write(b.caddyfile)
	return s
}

// write writes the Caddyfile.
func (s *sidecar) write(caddyfile string) {
	s.t.Helper()
	words := strings.NewReplacer("<PORT>", s.port, "<PORT2>", s.other, "<DIR>", s.dir, "<CA>", authority)
	writeFile(s.t, s.config, words.Replace(caddyfile))
}

// command is the binary with a clean environment.
func (s *sidecar) command(ctx context.Context, env []string, args ...string) *exec.Cmd {
	if err := readSources(); err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = s.dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + s.dir,
		"XDG_CONFIG_HOME=" + filepath.Join(s.dir, "config"),
		"XDG_DATA_HOME=" + filepath.Join(s.dir, "data"),
	}, env...)
	return cmd
}

// run runs the binary to its end; without args it validates the Caddyfile.
func (b boot) run(t *testing.T) (stdout, stderr string, status int) {
	t.Helper()
	s := b.prepare(t)
	args := append([]string(nil), b.args...)
	if args == nil {
		args = []string{"validate", "--adapter", "caddyfile", "--config", s.config}
	}
	return s.exec(b.env, args...)
}

func (s *sidecar) exec(env []string, args ...string) (stdout, stderr string, status int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := s.command(ctx, env, args...)
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	if failure := cmd.Run(); failure != nil {
		if _, ok := errors.AsType[*exec.ExitError](failure); !ok {
			s.t.Fatal(failure)
		}
	}
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}

// answer is a response that has been read.
type answer struct {
	*http.Response
	body string
}

// send sends a request. path may be a whole URL.
func (s *sidecar) send(method, path, body string, headers ...string) answer {
	s.t.Helper()
	a, err := s.try(method, path, body, headers...)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// try is send for goroutines other than the test's.
func (s *sidecar) try(method, path, body string, headers ...string) (answer, error) {
	if strings.HasPrefix(path, "/") {
		path = s.url + path
	}
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r, err := http.NewRequest(method, path, content)
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		if name == "Host" {
			r.Host = value
		} else {
			r.Header.Add(name, value)
		}
	}
	res, err := s.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	read, err := io.ReadAll(res.Body)
	return answer{res, string(read)}, err
}

// raw writes bytes on a new connection and returns all that comes back until
// the sidecar closes it.
func (s *sidecar) raw(request string) string {
	s.t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+s.port)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, request); err != nil {
		s.t.Fatal(err)
	}
	read, err := io.ReadAll(conn)
	if err != nil && len(read) == 0 {
		s.t.Fatal(err)
	}
	return string(read)
}

// logged waits until standard error contains text.
func (s *sidecar) logged(text string) {
	s.t.Helper()
	waitFor(s.t, "the log to say "+strconv.Quote(text), func() bool { return strings.Contains(s.stderr.String(), text) })
}

// waitFor polls until done says so.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s", patience, what)
		}
	}
}

func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func itoa(n int) string { return strconv.Itoa(n) }

// clientFrom is a client with a source address.
func clientFrom(address string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	return &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}, Timeout: patience}
}

func contains(b *buffer, text string) bool { return strings.Contains(b.String(), text) }

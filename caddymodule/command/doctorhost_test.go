package command

import (
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-convoai/convoai/caddymodule"
	"github.com/caddy-convoai/convoai/caddymodule/connect"
)

// hostOf runs the checks of this host with addresses to listen on. Running sidecars
// are looked for in a folder that is empty.
func hostOf(t *testing.T, flags runFlags, env map[string]string) *diagnosis {
	t.Helper()
	dir := shortTempDir(t)
	d := newTestDiagnosis(t, doctorFlags{runFlags: flags}, env)
	t.Setenv("TMPDIR", dir)
	t.Setenv("XDG_RUNTIME_DIR", "")
	d.checkSettings()
	d.checkHost(t.Context())
	return d
}

// freePort is one that nobody listens on. The system gives those below 30000 to no
// connection by itself.
func freePort(t *testing.T) string {
	t.Helper()
	for range 1000 {
		port := strconv.Itoa(10_000 + rand.IntN(20_000))
		if l, err := net.Listen("tcp", ":"+port); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("there is no port that is free")
	return ""
}

const noProxies = "ok : no proxy variables are set"

func TestAddressesToListenOn(t *testing.T) {
	dir := shortTempDir(t)
	free := "127.0.0.1:" + freePort(t)
	taken := "127.0.0.1:" + dealingWith(t, func(net.Conn) {})
	sidecarOfAnother := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" || r.Method != http.MethodGet {
			t.Errorf("%s %s was asked for", r.Method, r.URL)
		}
		w.Header().Set("X-Convoai-Error", "NotConvoAI")
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(sidecarOfAnother.Close)
	another := sidecarOfAnother.Listener.Addr().String()
	website := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(website.Close)

	socket := filepath.Join(dir, "taken.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	stale := filepath.Join(dir, "stale.sock")
	dead, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = dead.Close()
	file := writeFile(t, dir, "file", "")

	long := filepath.Join(dir, strings.Repeat("a", 110)+".sock")

	by := "another program"
	if runtime.GOOS == "linux" {
		self, err := os.ReadFile("/proc/self/comm")
		if err != nil {
			t.Fatal(err)
		}
		by = strings.TrimSpace(string(self)) + " (process <pid>)"
	}
	pid := strings.NewReplacer("process "+strconv.Itoa(os.Getpid()), "process <pid>")
	for _, test := range []struct{ name, listen, want string }{
		{"free", free, "ok : " + free + " is free to listen on"},
		{"any port", "127.0.0.1:0", "ok : 127.0.0.1:0: the system will choose a port"},
		{"taken", taken, "failed host: " + taken + " is taken by " + by},
		{"taken by a web server", website.Listener.Addr().String(), "failed host: " + website.Listener.Addr().String() + " is taken by " + by},
		{"taken by the sidecar of another user", another, "warning host: " + another + ": a sidecar listens there, whose admin API cannot be had"},
		{"no address of this host", "203.0.113.77:8080", "failed configuration: 203.0.113.77:8080 is no address of this host"},
		{"new socket", "unix/" + dir + "/new.sock|0660", "ok : unix/" + dir + "/new.sock|0660 is free to listen on"},
		{"socket in no folder", "unix/" + dir + "/none/new.sock", "failed configuration: unix/" + dir + "/none/new.sock: there is no such folder"},
		{"socket with a long path", "unix/" + long, "failed configuration: unix/" + long + " is too long for a socket"},
		{"socket that is taken", "unix/" + socket, "failed host: unix/" + socket + " is taken by another program"},
		{"socket that nobody uses", "unix/" + stale, "ok : unix/" + stale + " is free to listen on: nobody uses the socket that is there"},
		{"no socket", "unix/" + file, "failed configuration: unix/" + file + " is there and is no socket"},
		{"given", "fd/3", "ok : fd/3 is handed over by who starts the sidecar"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := hostOf(t, runFlags{listen: []string{test.listen}}, nil)
			got := lines(d, sectionHost)
			if first := pid.Replace(got[0]); first != test.want {
				t.Errorf("got  %s\nwant %s", first, test.want)
			}
		})
	}
}

func TestWhoMayCall(t *testing.T) {
	port := freePort(t)
	free := "ok : :" + port + " is free to listen on"
	const (
		names = "warning configuration: callers on other hosts are let in, but only with localhost, a loopback address or a host of the vendor's in their Host header"
	)
	anybody := "warning configuration: whoever can reach :" + port + " can make calls at the expense of the account"
	for _, test := range []struct {
		name  string
		flags runFlags
		env   map[string]string
		want  []string
	}{
		{"nobody else", runFlags{}, nil, []string{"warning configuration: :" + port + " can be reached from other hosts, but only callers on this host are served"}},
		{"some", runFlags{allowFrom: []string{"172.16.0.0/12"}}, nil, []string{names}},
		{"some, by name", runFlags{allowFrom: []string{"172.16.0.0/12"}, allowHost: []string{"sidecar"}}, nil, nil},
		{"anybody", runFlags{allowFrom: []string{"0.0.0.0/0"}, allowHost: []string{"sidecar"}}, nil, []string{anybody}},
		{"anybody of IPv6", runFlags{allowFrom: []string{"::/0"}, allowHost: []string{"sidecar"}}, nil, []string{anybody}},
		{"anybody with the token", runFlags{allowFrom: []string{"0.0.0.0/0"}, allowHost: []string{"sidecar"}}, map[string]string{"CONVOAI_CALLER_TOKEN": "open sesame"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.flags.listen = []string{":" + port}
			env := map[string]string{"AGORA_APP_ID": testAppID, "AGORA_APP_CERTIFICATE": testAppCertificate}
			maps.Copy(env, test.env)
			d := newTestDiagnosis(t, doctorFlags{runFlags: test.flags}, env)
			t.Setenv("TMPDIR", shortTempDir(t))
			d.checkCredentials()
			d.checkSettings()
			d.checkHost(t.Context())
			wantLines(t, d, sectionHost, append(append([]string{free}, test.want...), noProxies)...)
		})
	}
}

func TestProxyVariables(t *testing.T) {
	const (
		mind   = "warning configuration: "
		direct = "the sidecar uses no proxy: its calls go out directly, which works from here; the application's calls to it need no proxy either"
	)
	for _, test := range []struct {
		name string
		env  map[string]string
		up   bool
		want string
	}{
		{"none", nil, true, noProxies},
		{"no proxy alone", map[string]string{"NO_PROXY": "localhost"}, true, noProxies},
		{"for http", map[string]string{"http_proxy": "http://u:canary@p"}, true, mind + "http_proxy is set, and NO_PROXY does not hold localhost, 127.0.0.1"},
		{"for all", map[string]string{"ALL_PROXY": "socks5://p", "NO_PROXY": "example.com, localhost"}, true, mind + "ALL_PROXY is set, and NO_PROXY does not hold 127.0.0.1"},
		{"for http, but not for this host", map[string]string{"HTTP_PROXY": "http://p", "NO_PROXY": "localhost,127.0.0.0/8"}, true, "ok : HTTP_PROXY is set: " + direct},
		{"for http, but for nothing", map[string]string{"HTTP_PROXY": "http://p", "no_proxy": "*"}, true, "ok : HTTP_PROXY is set: " + direct},
		{"two opinions", map[string]string{"HTTP_PROXY": "http://p", "NO_PROXY": "*", "no_proxy": "example.com"}, true, mind + "HTTP_PROXY is set, and NO_PROXY does not hold localhost, 127.0.0.1"},
		{"for https", map[string]string{"HTTPS_PROXY": "http://p", "https_proxy": "http://p"}, true, "ok : HTTPS_PROXY, https_proxy are set: " + direct},
		{"for https, which may be the only way", map[string]string{"HTTPS_PROXY": "http://p"}, false, mind + "HTTPS_PROXY is set"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newTestDiagnosis(t, doctorFlags{}, nil)
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			d.trials = make([]trial, 1)
			if !test.up {
				d.trials[0].Err = io.EOF
			}
			d.in(sectionHost)
			d.checkProxies()
			wantLines(t, d, sectionHost, test.want)
			wantNoSecret(t, report(t, d), "canary")
		})
	}
}

// startedSidecar is one that runs in this process with an admin socket where doctor
// looks for it.
func startedSidecar(t *testing.T, flags runFlags) {
	t.Helper()
	dir := shortTempDir(t)
	s, _ := newTestSidecar(t, flags, nil)
	t.Setenv("TMPDIR", dir)
	t.Setenv("XDG_RUNTIME_DIR", "")
	var err error
	if s.adminSocket, err = newAdminSocket([]socketDir{{path: filepath.Join(dir, "convoai-"+strconv.Itoa(os.Geteuid()))}}); err != nil {
		t.Fatal(err)
	}
	if status, err := s.start(); err != nil {
		t.Fatalf("status %d, error %v", status, err)
	}
}

func TestSidecarThatRunsIsAskedHowItDoes(t *testing.T) {
	vendor := startSimulator(t)
	free := "127.0.0.1:" + freePort(t)
	startedSidecar(t, runFlags{listen: []string{free}, upstreams: []string{vendor}})
	look := func(listen string, upstreams ...string) *diagnosis {
		d := newDiagnosis(&doctorFlags{runFlags: runFlags{listen: []string{listen}, upstreams: upstreams}}, io.Discard)
		d.in(sectionSettings)
		for _, read := range d.flags.readers() {
			if err := read(d.sidecar); err != nil {
				t.Fatal(err)
			}
		}
		d.endpoints = d.candidates()
		d.checkHost(t.Context())
		d.checkRunning()
		return d
	}
	pid := "process " + strconv.Itoa(os.Getpid())
	d := look(free, vendor)
	if got := lines(d, sectionHost)[0]; got != "ok : "+free+": a sidecar of this user listens there ("+pid+")" {
		t.Error(got)
	}
	if got := lines(d, sectionRunning); len(got) != 1 || !strings.HasPrefix(got[0], "ok : "+pid+" on "+free+" is ready, and has been running for ") {
		t.Errorf("%q", got)
	}
	// Who has the port cannot be told everywhere.
	d = newDiagnosis(&doctorFlags{}, io.Discard)
	d.running = findRunning(t.Context())
	d.in(sectionHost)
	d.reportTaken(t.Context(), free, "tcp", free, owner{}, "")
	wantLines(t, d, sectionHost, "ok : "+free+": a sidecar of this user listens there ("+pid+")")
	d = look(free, "https://127.0.0.1:1")
	if got := lines(d, sectionRunning); len(got) != 2 || got[0] != "warning configuration: "+pid+" on "+free+" was started with another area or other upstreams than were checked here" {
		t.Errorf("%q", got)
	}
	d = look("127.0.0.1:0", vendor)
	wantLines(t, d, sectionRunning, "ok : "+pid+" on "+free+" runs as well; it was not checked")
}

func TestSidecarThatRunsAndIsNotReady(t *testing.T) {
	free, gone := "127.0.0.1:"+freePort(t), "https://127.0.0.1:"+refusing(t)
	startedSidecar(t, runFlags{listen: []string{free}, upstreams: []string{gone}})
	d := newDiagnosis(&doctorFlags{}, io.Discard)
	d.sidecar.listen, d.running = []string{free}, findRunning(t.Context())
	d.checkRunning()
	got := lines(d, sectionRunning)
	if len(got) == 0 || !strings.Contains(got[0], "on "+free+" is not ready: site 1: no host can be reached (127.0.0.1:") || !strings.HasPrefix(got[0], "failed host: ") {
		t.Errorf("%q", got)
	}
	d = newDiagnosis(&doctorFlags{}, io.Discard)
	d.running = findRunning(t.Context())
	d.checkRunning()
	if got := lines(d, sectionRunning); len(got) != 1 || !strings.HasPrefix(got[0], "warning host: ") || d.count(verdictFailed) != 0 {
		t.Errorf("one that was not asked for: %q", got)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if left := findRunning(t.Context()); len(left) != 0 {
		t.Errorf("%d sidecars run when all have ended", len(left))
	}
}

func TestProxyVariablesOfInterception(t *testing.T) {
	d := newTestDiagnosis(t, doctorFlags{}, nil)
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:8080")
	d.trials, d.sidecar.connect = make([]trial, 1), new(connect.Handler)
	d.in(sectionHost)
	d.checkProxies()
	wantLines(t, d, sectionHost, "ok : HTTPS_PROXY is set: the sidecar uses no proxy: its calls go out directly, which works from here; with --intercept the application's HTTPS_PROXY has to be the address of the sidecar")
}

func TestWhatARunningSidecarSaysIsReported(t *testing.T) {
	const listen, name = "127.0.0.1:8080", "process 7 on 127.0.0.1:8080"
	ready := caddymodule.Readiness{Status: caddymodule.StatusReady}
	isReady := "ok : " + name + " is ready, and has been running for 1 minute"
	for _, test := range []struct {
		name   string
		change func(*caddymodule.Status)
		want   []string
	}{
		{"all well", func(*caddymodule.Status) {}, []string{isReady}},
		{"no status", func(s *caddymodule.Status) { *s = caddymodule.Status{} }, []string{
			"warning host: a sidecar on 127.0.0.1:8080 runs, and does not say how it does",
		}},
		{"just started", func(s *caddymodule.Status) {
			s.Readiness = caddymodule.Readiness{Status: caddymodule.StatusUnready, Reasons: []caddymodule.Reason{{Reason: caddymodule.ReasonStarting}}}
		}, []string{"warning host: " + name + " has just started, and does not know yet whether it is ready"}},
		{"not ready", func(s *caddymodule.Status) {
			s.Readiness = caddymodule.Readiness{Status: caddymodule.StatusUnready, Reasons: []caddymodule.Reason{{Reason: caddymodule.ReasonNoCredential, AppIDsEndIn: []string{"1b33"}}}}
		}, []string{"failed host: " + name + " is not ready: no credential can be made for the app ID ending in 1b33"}},
		{"refused", func(s *caddymodule.Status) {
			s.Apps = []caddymodule.AppStatus{{AppIDEndsIn: "1b33", Certificate: &caddymodule.CertificateStatus{Refused: true}}, {Certificate: new(caddymodule.CertificateStatus)}}
		}, []string{isReady, "failed configuration: " + name + ": the vendor refuses its tokens for the App ID ending in 1b33"}},
		{"a file that cannot be used", func(s *caddymodule.Status) {
			s.Apps = []caddymodule.AppStatus{{Secrets: []caddymodule.SecretStatus{{Name: "app_certificate", ReloadFailing: true, ReloadError: "is empty"}, {Name: "caller_token"}}}}
		}, []string{isReady, "warning configuration: " + name + ": the file of app_certificate holds what cannot be used, and the previous value is kept"}},
		{"a host that rests", func(s *caddymodule.Status) {
			s.Regions = []caddymodule.HostStatus{{Host: "one", State: "available"}, {Host: "two", State: "resting", Since: s.Time.Add(-5 * time.Second), Cause: "connection refused"}}
		}, []string{isReady, "warning network: " + name + ": calls avoid two, for 5 seconds now: connection refused"}},
		{"another clock", func(s *caddymodule.Status) { s.Clock.OffsetSeconds = -300 }, []string{
			isReady, "warning host: " + name + ": tokens are dated by the vendor's clock, which is 5 minutes off this host's",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := caddymodule.Status{ProcessID: 7, UptimeSeconds: 60, Time: testNow, Readiness: ready}
			test.change(&s)
			d := newDiagnosis(&doctorFlags{}, io.Discard)
			d.sidecar.listen = []string{listen}
			d.running = []*running{{listen: []string{listen}, status: s}}
			d.checkRunning()
			wantLines(t, d, sectionRunning, test.want...)
		})
	}
}

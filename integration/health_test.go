package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// healthSite answers for the health at <PORT2>.
const healthSite = "http://:<PORT2> {\n\tbind 127.0.0.1\n\tconvoai_health\n\trespond 404\n}\n"

// promised is within which time readiness follows what happens, asked once a
// second; promptReady is what this machine is given for it. The exact time is held
// in package region, where there is no other time.
const (
	promised    = 5 * time.Second
	promptReady = 3 * promised
)

// health asks for a path of the health listener.
func (s *sidecar) health(path string) answer {
	s.t.Helper()
	return s.send("GET", "http://127.0.0.1:"+s.other+path, "")
}

// unreadiness is the body of an answer that says why.
type unreadiness struct {
	Status  string `json:"status"`
	Reasons []struct {
		Reason      string   `json:"reason"`
		Site        int      `json:"site"`
		AppIDsEndIn []string `json:"app_ids_end_in"`
		Hosts       []string `json:"hosts"`
		Detail      string   `json:"detail"`
	} `json:"reasons"`
}

func (a answer) unreadiness(t *testing.T) unreadiness {
	t.Helper()
	var u unreadiness
	if err := json.Unmarshal([]byte(a.body), &u); err != nil {
		t.Fatalf("%d %s: %v", a.StatusCode, a.body, err)
	}
	return u
}

// turns asks /readyz once a second until the answer is status, and returns it with
// the time that this took. /livez stays as it is.
func (s *sidecar) turns(when string, status int) answer {
	s.t.Helper()
	began := time.Now()
	for {
		asked := time.Now()
		a := s.health("/readyz")
		if live := s.health("/livez"); live.StatusCode != http.StatusOK || live.body != `{"status":"live"}`+"\n" {
			s.t.Fatalf("%s: /livez is %d %s", when, live.StatusCode, live.body)
		}
		took := time.Since(began)
		if a.StatusCode == status {
			s.t.Logf("%s: %d after %s", when, status, took.Round(10*time.Millisecond))
			if took > promptReady {
				s.t.Errorf("%s: %d after %s; %s is promised", when, status, took, promised)
			}
			return a
		}
		if took > patience {
			s.t.Fatalf("%s: still %d %s", when, a.StatusCode, a.body)
		}
		time.Sleep(time.Until(asked.Add(time.Second)))
	}
}

// stays asks /readyz for a while.
func (s *sidecar) stays(when string, status int, during time.Duration) {
	s.t.Helper()
	for began := time.Now(); time.Since(began) < during; time.Sleep(100 * time.Millisecond) {
		if a := s.health("/readyz"); a.StatusCode != status {
			s.t.Fatalf("%s: /readyz is %d %s", when, a.StatusCode, a.body)
		}
	}
}

// A line is a way to an upstream that can be cut without a word: connections are
// taken, and nothing comes of them. It counts them.
type line struct {
	port   string
	target string

	mu       sync.Mutex // guards what follows
	silent   bool
	accepted int
	conns    []net.Conn
}

func newLine(t *testing.T, target string) *line {
	t.Helper()
	l := listen(t)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s := &line{port: port, target: target}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if s.take(conn) {
				serving.Go(func() { s.pass(conn) })
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.cut(true)
		serving.Wait()
	})
	return s
}

func (s *line) url() string { return "https://127.0.0.1:" + s.port }

// take counts a connection, and reports whether something comes of it.
func (s *line) take(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted++
	s.conns = append(s.conns, conn)
	return !s.silent
}

func (s *line) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", s.target)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
}

// cut says whether connections are silent from now on. Those that there are end.
func (s *line) cut(silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = silent
	for _, conn := range s.conns {
		_ = conn.Close()
	}
	s.conns = nil
}

func (s *line) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

func TestReadinessFollowsTheHosts(t *testing.T) {
	t.Parallel()
	up := newUpstream(t, nil)
	first, second := newGate(t, up.Listener.Addr().String()), newGate(t, up.Listener.Addr().String())
	s := start(t, site(credentialsA, throughGates(first, second))+healthSite, envA...)
	s.turns("at first", http.StatusOK)
	first.close()
	s.stays("with one host left", http.StatusOK, 4*time.Second)
	second.close()
	got := s.turns("with no host left", http.StatusServiceUnavailable).unreadiness(t)
	want := []string{"127.0.0.1:" + first.port, "127.0.0.1:" + second.port}
	if len(got.Reasons) != 1 || got.Reasons[0].Reason != "no_host_reachable" || got.Reasons[0].Site != 1 || !reflect.DeepEqual(sorted(got.Reasons[0].Hosts), sorted(want)) {
		t.Errorf("%+v", got)
	}
	s.stays("still with none", http.StatusServiceUnavailable, 3*time.Second)
	second.open()
	s.turns("with a host again", http.StatusOK)
	if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK {
		t.Errorf("ready, and a call ends with %d %s", a.StatusCode, a.body)
	}
	if n := len(logLines(s.stderr, `"not ready"`)); n != 1 {
		t.Errorf("the log says %d times that it is not ready", n)
	}
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// Where packets vanish nobody says that a host has gone.
func TestReadinessFollowsHostsThatFallSilent(t *testing.T) {
	t.Parallel()
	up := newUpstream(t, nil)
	first, second := newLine(t, up.Listener.Addr().String()), newLine(t, up.Listener.Addr().String())
	s := start(t, site(credentialsA, "upstream "+first.url()+" "+second.url(), "transport http {\n tls_trust_pool file <CA>\n}")+healthSite, envA...)
	for _, round := range []string{"first", "second"} {
		s.turns(round+": well", http.StatusOK)
		first.cut(true)
		second.cut(true)
		s.turns(round+": all silent", http.StatusServiceUnavailable)
		first.cut(false)
		s.turns(round+": one is back", http.StatusOK)
		second.cut(false)
	}
	s.stays("with all back", http.StatusOK, 3*time.Second)
}

// A black hole takes no connection at all.
func TestBlackHoleIsNotReadyAndAnswersInTime(t *testing.T) {
	t.Parallel()
	s := start(t, site(credentialsA, "upstream https://127.0.0.1:"+blackHole(t))+healthSite, envA...)
	for range 10 {
		began := time.Now()
		a := s.health("/readyz")
		// Whoever asks gives up after a second, on a machine that does nothing else.
		if took := time.Since(began); a.StatusCode != http.StatusServiceUnavailable || took > promptReady {
			t.Errorf("%d %s after %s", a.StatusCode, a.body, took)
		}
		time.Sleep(300 * time.Millisecond)
	}
	got := s.turns("later", http.StatusServiceUnavailable).unreadiness(t)
	if len(got.Reasons) != 1 || got.Reasons[0].Reason != "no_host_reachable" {
		t.Errorf("%+v", got)
	}
}

// However many ask, a host is probed at most once in 2 s, and while calls are
// answered not at all.
func TestAskingCausesFewProbes(t *testing.T) {
	t.Parallel()
	up := newUpstream(t, nil)
	l := newLine(t, up.Listener.Addr().String())
	s := start(t, site(credentialsA, "upstream "+l.url(), "transport http {\n tls_trust_pool file <CA>\n}")+healthSite, envA...)
	const during = 8 * time.Second
	ask := func() (asked int) {
		var mu sync.Mutex
		var asking sync.WaitGroup
		for range 4 {
			asking.Go(func() {
				for began := time.Now(); time.Since(began) < during; time.Sleep(20 * time.Millisecond) {
					a, err := s.try("GET", "http://127.0.0.1:"+s.other+"/readyz", "")
					if err != nil || a.StatusCode != http.StatusOK {
						t.Errorf("/readyz: %d %s, %v", a.StatusCode, a.body, err)
						return
					}
					mu.Lock()
					asked++
					mu.Unlock()
				}
			})
		}
		asking.Wait()
		return asked
	}
	s.turns("at first", http.StatusOK)
	before, began := l.connections(), time.Now()
	asked := ask()
	probes, most := l.connections()-before, 2+int(time.Since(began)/(2*time.Second)) // one may have been on its way
	t.Logf("%d questions in %s, %d probes", asked, time.Since(began).Round(time.Second), probes)
	if probes > most || probes == 0 {
		t.Errorf("%d questions in %s caused %d probes, want 1 to %d", asked, time.Since(began), probes, most)
	}
	if n := len(up.received()); n != 0 {
		t.Errorf("%d requests came to the upstream", n)
	}

	// In use: one connection is kept, and there is no other.
	done := make(chan struct{})
	var calling sync.WaitGroup
	calling.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(50 * time.Millisecond):
				if a, err := s.try("GET", listA, ""); err != nil || a.StatusCode != http.StatusOK {
					t.Errorf("a call: %d, %v", a.StatusCode, err)
				}
			}
		}
	})
	waitFor(t, "a call", func() bool { return len(up.received()) > 0 })
	before = l.connections()
	ask()
	close(done)
	calling.Wait()
	// More than one only where the machine has stopped for 2 s.
	if probes := l.connections() - before; probes > 2 {
		t.Errorf("%d connections beside the one that calls use", probes)
	}
}

func TestReadinessFollowsTheCredential(t *testing.T) {
	t.Parallel()
	up := newUpstream(t, nil)
	good, bad := preBuilt(t, time.Now().Add(time.Hour)), preBuilt(t, time.Now().Add(-time.Hour))
	s := boot{
		caddyfile: site("app_id "+appA, "auth_token {file.<DIR>/token}", to(up)) + healthSite,
		files:     map[string]string{"token": good},
	}.start(t)
	replace := func(content string) {
		t.Helper()
		writeFile(t, filepath.Join(s.dir, "next"), content)
		if err := os.Rename(filepath.Join(s.dir, "next"), filepath.Join(s.dir, "token")); err != nil {
			t.Fatal(err)
		}
	}
	s.turns("at first", http.StatusOK)
	replace(bad)
	a := s.turns("with an expired token", http.StatusServiceUnavailable)
	got := a.unreadiness(t)
	if len(got.Reasons) != 1 || got.Reasons[0].Reason != "no_credential" || !reflect.DeepEqual(got.Reasons[0].AppIDsEndIn, []string{appA[28:]}) || got.Reasons[0].Detail != "the configured auth_token has expired" {
		t.Errorf("%s", a.body)
	}
	wantNowhere(t, []sink{{"/readyz", a.body}}, map[string]string{"token": bad, "app ID": appA})
	wantError(t, s.send("GET", listA, ""), http.StatusServiceUnavailable, "CredentialUnavailable")
	replace(good)
	s.turns("with another token", http.StatusOK)
	replace("not a token") // keeps the one before
	s.stays("with a file that cannot be used", http.StatusOK, 3*time.Second)

	// A token that ends by itself.
	replace(preBuilt(t, time.Now().Add(8*time.Second)))
	s.logged("using the new value")
	s.turns("when the token has ended", http.StatusServiceUnavailable)
}

// One app that works is what the others' callers would lose.
func TestReadyWithOneAppOfSeveral(t *testing.T) {
	t.Parallel()
	up := newUpstream(t, nil)
	s := start(t, site(credentialsA, "app "+appB+" {\n auth_token {env.EXPIRED}\n}", to(up))+healthSite,
		append(envA, "EXPIRED="+preBuiltFor(t, appB, time.Now().Add(-time.Hour)))...)
	s.turns("with one of two apps", http.StatusOK)
}

// Whom the vendor refuses no restart helps.
func TestRefusedCredentialStaysReady(t *testing.T) {
	t.Parallel()
	up := newUpstream(t, picky(func(string) bool { return true }))
	config := strings.Replace(site(credentialsA, to(up))+healthSite, "admin off", "admin unix/<DIR>/admin.sock\n\tmetrics", 1)
	s := start(t, config, envA...)
	for range 20 {
		if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusUnauthorized {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		if a := s.health("/readyz"); a.StatusCode != http.StatusOK {
			t.Fatalf("/readyz: %d %s", a.StatusCode, a.body)
		}
	}
	// It is an alert.
	if metrics := s.admin("/metrics").content; !strings.Contains(metrics, `caddy_convoai_vendor_unauthorized_total{auth_mode="app-credentials"} 20`) {
		t.Errorf("the metrics do not count what the vendor has refused")
	}
	var status struct {
		Apps []struct {
			Ready       bool `json:"ready"`
			Certificate struct {
				Refused bool `json:"refused"`
			} `json:"certificate"`
		} `json:"apps"`
	}
	if err := json.Unmarshal([]byte(s.admin("/convoai/status").content), &status); err != nil {
		t.Fatal(err)
	}
	if len(status.Apps) != 1 || !status.Apps[0].Ready || !status.Apps[0].Certificate.Refused {
		t.Errorf("the status says %+v", status)
	}
}

// A host that answers that it cannot serve can be reached.
func TestUnavailableVendorStaysReady(t *testing.T) {
	t.Parallel()
	up := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	s := start(t, site(credentialsA, to(up))+healthSite, envA...)
	for range 10 {
		for range 4 {
			if a := s.send("GET", listA, ""); a.StatusCode != http.StatusServiceUnavailable {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
		}
		if a := s.health("/readyz"); a.StatusCode != http.StatusOK {
			t.Fatalf("/readyz: %d %s", a.StatusCode, a.body)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func TestReloadsKeepWhatIsKnown(t *testing.T) {
	t.Parallel()
	up := newUpstream(t, nil)
	l, dead := newLine(t, up.Listener.Addr().String()), newGate(t, up.Listener.Addr().String())
	dead.close()
	config := strings.Replace(site(credentialsA, "max_body 100KiB", "upstream "+dead.url()+" "+l.url(), "transport http {\n tls_trust_pool file <CA>\n}")+healthSite,
		"admin off", "admin unix/<DIR>/admin.sock", 1)
	s := start(t, config, envA...)
	s.client.Transport.(*http.Transport).DisableKeepAlives = true
	s.turns("at first", http.StatusOK)
	before, began := l.connections(), time.Now()
	for i := range 20 {
		s.post(t, strings.Replace(config, "100KiB", itoa(200+i)+"KiB", 1))
		for deadline := time.Now().Add(patience); ; {
			a, err := s.try("GET", "http://127.0.0.1:"+s.other+"/readyz", "")
			if err != nil && time.Now().Before(deadline) {
				continue // Caddy may accept a connection just as it closes the old server
			}
			if err != nil || a.StatusCode != http.StatusOK {
				t.Fatalf("after reload %d: %d %s, %v", i+1, a.StatusCode, a.body, err)
			}
			break
		}
	}
	if probes, most := l.connections()-before, 2+int(time.Since(began)/(2*time.Second)); probes > most {
		t.Errorf("%d probes in %s", probes, time.Since(began))
	}
}

// Before the process ends, it says so to those who send it calls.
func TestNotReadyWhileItStops(t *testing.T) {
	t.Parallel()
	up := newUpstream(t, nil)
	s := start(t, strings.Replace(site(credentialsA, to(up))+healthSite, "admin off", "admin off\n\tshutdown_delay 6s", 1), envA...)
	s.turns("at first", http.StatusOK)
	s.signal(syscall.SIGTERM)
	a := s.turns("while it stops", http.StatusServiceUnavailable)
	if got := a.unreadiness(t); len(got.Reasons) != 1 || got.Reasons[0].Reason != "stopping" {
		t.Errorf("%s", a.body)
	}
	if a := s.send("POST", joinA, joinBody("room", "1")); a.StatusCode != http.StatusOK {
		t.Errorf("a call meanwhile: %d %s", a.StatusCode, a.body)
	}
}

// Beside the API, the paths take nothing from the gate.
func TestHealthBesideTheAPIOpensNothingElse(t *testing.T) {
	t.Parallel()
	up := newUpstream(t, nil)
	config := strings.Replace(site(credentialsA, to(up)), "\tconvoai {", "\tconvoai_health\n\tconvoai {", 1)
	s := start(t, config, envA...)
	for path, body := range map[string]string{"/livez": `{"status":"live"}`, "/readyz": `{"status":"ready"}`} {
		for _, host := range []string{"localhost", "10.1.2.3:8080"} {
			if a := s.send("GET", path, "", "Host: "+host); a.StatusCode != http.StatusOK || a.body != body+"\n" || a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
			}
		}
		if a := s.send("HEAD", path, ""); a.StatusCode != http.StatusOK || a.body != "" || a.ContentLength != int64(len(body)+1) {
			t.Errorf("HEAD %s: %d, %d bytes announced", path, a.StatusCode, a.ContentLength)
		}
		if a := s.send("POST", path, "{}"); a.StatusCode != http.StatusMethodNotAllowed || a.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %d", path, a.StatusCode)
		}
	}
	for _, path := range []string{"/livez/", "/readyz/..", "/livez/v2/projects/" + appA + "/agents", "/livez%2f..%2fv2", "//readyz", "/"} {
		wantError(t, s.send("GET", path, ""), http.StatusNotFound, "NotConvoAI")
	}
	wantError(t, s.send("GET", listA, "", "Host: evil.test"), http.StatusForbidden, "HostNotAllowed")
	if n := len(up.received()); n != 0 {
		t.Errorf("%d requests came to the upstream", n)
	}
}

func TestTokenServerAloneIsReady(t *testing.T) {
	t.Parallel()
	s := start(t, tokenSite("")+healthSite, envA...)
	if a := s.health("/readyz"); a.StatusCode != http.StatusOK {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

func TestEachSiteIsAskedForItsHosts(t *testing.T) {
	t.Parallel()
	up := newUpstream(t, nil)
	dead := newGate(t, up.Listener.Addr().String())
	dead.close()
	s := start(t, siteOfEach(3, func(i int) []string {
		if i == 1 {
			return []string{credentialsA, throughGates(dead)}
		}
		return []string{credentialsA, to(up)}
	})+healthSite, envA...)
	got := s.turns("with one site of three that has no host", http.StatusServiceUnavailable).unreadiness(t)
	if len(got.Reasons) != 1 || !reflect.DeepEqual(got.Reasons[0].Hosts, []string{"127.0.0.1:" + dead.port}) {
		t.Errorf("%+v", got)
	}
	dead.open()
	s.turns("with all", http.StatusOK)
}

func TestPortOfTheHealthThatIsTakenIsNamedByItsFlag(t *testing.T) {
	l := listen(t)
	defer l.Close() // or it may be collected, and closed by that
	_, taken, _ := net.SplitHostPort(l.Addr().String())
	for _, env := range [][]string{nil, {"CONVOAI_HEALTH_LISTEN=127.0.0.1:" + taken}} {
		args := []string{"convoai", "run", "--listen", "127.0.0.1:" + freePort(t)}
		if env == nil {
			args = append(args, "--health-listen", "127.0.0.1:"+taken)
		}
		_, stderr, status := boot{args: args, env: append(env, vendorEnv...)}.run(t)
		if status != 1 || !strings.Contains(stderr, fmt.Sprintf("127.0.0.1:%s is taken by another program: choose another address with --health-listen", taken)) {
			t.Errorf("status %d\n%s", status, stderr)
		}
	}
}

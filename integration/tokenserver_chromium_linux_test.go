package integration

import (
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// browsing is how long the browser may take for one page, its start included.
// A browser that shares two processors with everybody else is slow.
const browsing = 3 * time.Minute

// A visit is a page that the browser opens, and what its script fetches.
type visit struct {
	site  *website
	url   string
	init  map[string]any // of fetch
	first string         // a URL that is called before, with credentials, as one that signs in
}

// What a visit has come to: an answer that the script could read, or an error.
type fetched struct {
	Status int               `json:"status"`
	Body   string            `json:"body"`
	Header map[string]string `json:"header"`
	Error  string            `json:"error"`
}

// A website serves the pages of one origin to the browser.
type website struct {
	origin string
	server *httptest.Server
}

// A tour is a sequence of visits of one browser.
type tour struct {
	t       *testing.T
	results chan fetched

	mu     sync.Mutex // guards visits
	visits []visit
}

// newWebsite serves pages on a port of its own of a loopback address.
func (o *tour) newWebsite(address string) *website {
	o.t.Helper()
	l, err := net.Listen("tcp", address+":0")
	if err != nil {
		o.t.Fatal(err)
	}
	w := &website{origin: "http://" + l.Addr().String()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /visit/{n}", o.page)
	mux.HandleFunc("POST /fetched/{n}", o.fetched)
	w.server = &httptest.Server{Listener: l, Config: &http.Server{Handler: mux}}
	w.server.Start()
	o.t.Cleanup(w.server.Close)
	return w
}

// visitPage fetches what it is told to, says what came of it, and goes on to the
// next page.
var visitPage = template.Must(template.New("").Parse(`<!doctype html>
<meta charset="utf-8">
<title>visit</title>
<script>
(async () => {
	if ({{.First}} !== "") await fetch({{.First}}, {mode: "no-cors", credentials: "include"});
	let outcome;
	try {
		const response = await fetch({{.URL}}, {{.Init}});
		outcome = {status: response.status, body: await response.text(), header: Object.fromEntries(response.headers)};
	} catch (error) {
		outcome = {error: String(error)};
	}
	const next = await fetch("/fetched/{{.N}}", {method: "POST", body: JSON.stringify(outcome)});
	const url = await next.text();
	if (url !== "") location.replace(url);
})();
</script>
`))

func (o *tour) page(w http.ResponseWriter, r *http.Request) {
	n, ok := o.number(r)
	if !ok {
		http.NotFound(w, r)
		return
	}
	v, _ := o.visit(n)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_ = visitPage.Execute(w, map[string]any{"N": n, "URL": v.url, "Init": v.init, "First": v.first})
}

func (o *tour) fetched(w http.ResponseWriter, r *http.Request) {
	n, ok := o.number(r)
	var got fetched
	body, err := io.ReadAll(r.Body)
	if !ok || err != nil || json.Unmarshal(body, &got) != nil {
		http.Error(w, "no outcome", http.StatusBadRequest)
		return
	}
	o.results <- got
	if next, ok := o.visit(n + 1); ok {
		_, _ = io.WriteString(w, next.address(n+1))
	}
}

// visit returns the visit of a number, from 0 on, if there is one.
func (o *tour) visit(n int) (visit, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n < 0 || n >= len(o.visits) {
		return visit{}, false
	}
	return o.visits[n], true
}

func (o *tour) number(r *http.Request) (int, bool) {
	var n int
	if _, err := fmt.Sscan(r.PathValue("n"), &n); err != nil {
		return 0, false
	}
	_, ok := o.visit(n)
	return n, ok
}

func (v visit) address(n int) string { return v.site.origin + "/visit/" + itoa(n) }

// run has a browser make the visits, and returns what came of each.
func (o *tour) run(visits ...visit) []fetched {
	o.t.Helper()
	o.mu.Lock()
	o.visits = visits
	o.mu.Unlock()
	ended := o.browse(visits[0].address(0))
	var outcomes []fetched
	for deadline := time.After(browsing); len(outcomes) < len(visits); {
		select {
		case got := <-o.results:
			outcomes = append(outcomes, got)
			deadline = time.After(browsing)
		case log := <-ended:
			o.t.Fatalf("the browser ended at visit %d:\n%s", len(outcomes), log)
		case <-deadline:
			o.t.Fatalf("waited %s for visit %d", browsing, len(outcomes))
		}
	}
	return outcomes
}

// browse opens a page in Chromium, which ends with the test, and says what it has
// printed should it end before.
func (o *tour) browse(page string) (ended chan string) {
	o.t.Helper()
	log, err := os.Create(filepath.Join(o.t.TempDir(), "chromium.log"))
	if err != nil {
		o.t.Fatal(err)
	}
	profile := o.t.TempDir()
	cmd := exec.Command(chromium(o.t),
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--user-data-dir="+profile,
		"--no-first-run", "--no-default-browser-check", "--disable-extensions", "--disable-sync", "--disable-default-apps",
		// Nothing but this host is to be talked to.
		"--disable-background-networking", "--disable-component-update", "--disable-domain-reliability", "--no-pings", "--no-proxy-server",
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.*",
		page)
	cmd.Env = append(os.Environ(), "HOME="+profile, "XDG_CONFIG_HOME="+profile, "XDG_CACHE_HOME="+profile)
	cmd.Stdout, cmd.Stderr = log, log // a file: helpers may keep a pipe open
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	processes.add(cmd)
	ended = make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait()
		processes.remove(cmd)
		text, _ := os.ReadFile(log.Name())
		ended <- excerpt(string(text))
	}()
	o.t.Cleanup(func() {
		group := -cmd.Process.Pid
		_ = syscall.Kill(group, syscall.SIGKILL)
		<-done
		_ = log.Close()
		// Its helpers may not write to the profile while that is removed.
		for deadline := time.Now().Add(prompt); syscall.Kill(group, 0) == nil && time.Now().Before(deadline); {
			time.Sleep(2 * time.Millisecond)
		}
	})
	return ended
}

// chromium is Debian's, which needs no driver.
func chromium(t *testing.T) string {
	t.Helper()
	if raceDetector {
		t.Skip("what a browser makes of answers does not depend on the race detector")
	}
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed: what a browser lets a page do was not seen (apt-get install chromium)")
	}
	return path
}

func newTour(t *testing.T) *tour {
	chromium(t)
	return &tour{t: t, results: make(chan fetched, 64)}
}

// readable reports whether a script could read an answer at all.
func (got fetched) readable() bool { return got.Error == "" }

func (got fetched) String() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s %s", got.Status, secretValues.ReplaceAllString(got.Body, "[redacted]"), got.Error))
}

// What the kit tells apart, it sees.
func TestTokenServerBrowserKit(t *testing.T) {
	o := newTour(t)
	here, there := o.newWebsite("127.0.0.1"), o.newWebsite("127.0.0.2")
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", here.origin)
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		if r.URL.Path == "/login" {
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "signed-in"})
		}
		_, _ = io.WriteString(w, r.Method+" "+r.Header.Get("Cookie"))
	}))
	t.Cleanup(api.Close)
	get := map[string]any{"method": "GET"}
	with := map[string]any{"method": "GET", "credentials": "include"}
	got := o.run(
		visit{site: here, url: api.URL, init: get},
		visit{site: there, url: api.URL, init: get},
		visit{site: here, url: api.URL, init: with, first: api.URL + "/login"},
	)
	if got[0].Body != "GET " || got[1].readable() || got[2].Body != "GET session=signed-in" {
		t.Errorf("got %v", got)
	}
}

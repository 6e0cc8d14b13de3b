package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/caddy-convoai/convoai/caddymodule"
)

// pageTime is the time of the status pages.
var pageTime = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) *time.Time {
	t := pageTime.Add(d)
	return &t
}

// wellPage is the status of a sidecar that is well.
func wellPage() caddymodule.Status {
	yes, skew := true, 0.3
	host := func(region, host string, latency float64, reached time.Duration) caddymodule.HostStatus {
		h := caddymodule.HostStatus{Site: 1, Region: region, Host: host, State: "available", Since: pageTime, LatencySeconds: latency}
		if reached != 0 {
			h.Reachable, h.ReachedAt = &yes, at(-reached)
		}
		return h
	}
	return caddymodule.Status{
		Version: "v0.3.0", ProcessID: 4242, StartedAt: pageTime.Add(-3 * time.Hour), Time: pageTime, UptimeSeconds: 3*3600 + 12*60,
		Readiness: caddymodule.Readiness{Status: caddymodule.StatusReady},
		Sites:     []caddymodule.SiteStatus{{Site: 1, Serves: "calls", Area: "us", Apps: 1, Ready: true}},
		Apps: []caddymodule.AppStatus{{
			Site: 1, AppIDEndsIn: "1b33", Mode: "app-credentials", Ready: true,
			Certificate: &caddymodule.CertificateStatus{InUse: "app_certificate"},
			Tokens:      &caddymodule.TokenStatus{Count: 1200, NextRefreshAt: at(5 * time.Hour)},
		}},
		Regions: []caddymodule.HostStatus{
			host("us-west-1", "api-us-west-1.agora.io", 0.0342, 2*time.Second),
			host("us-west-1", "api-us-west-1.sd-rtn.com", 0.0361, 30*time.Second),
			host("us-east-1", "api-us-east-1.agora.io", 0.0902, 30*time.Second),
			host("us-east-1", "api-us-east-1.sd-rtn.com", 0, 0),
			host("global", "api.agora.io", 0.0004, 3*time.Hour),
		},
		Clock: caddymodule.ClockStatus{SkewSeconds: &skew},
		Counters: caddymodule.CounterStatus{
			Requests: caddymodule.CountsBy{Total: 1234, By: map[string]float64{"200": 1200, "404": 34}},
			Refused:  caddymodule.CountsBy{Total: 34, By: map[string]float64{"NotConvoAI": 34}},
			Attempts: caddymodule.CountsBy{Total: 1200, By: map[string]float64{"answered": 1200}},
			Minted:   caddymodule.CountsBy{Total: 2400, By: map[string]float64{"ok": 2400}},
		},
	}
}

// troublePage is the status of one where all goes wrong that can, with as much to
// say of it as there can be.
func troublePage() caddymodule.Status {
	no, skew := false, -242.0
	s := wellPage()
	s.Sites = append(s.Sites, caddymodule.SiteStatus{Site: 2, Serves: "tokens", Apps: 1})
	s.Readiness = caddymodule.Readiness{Status: caddymodule.StatusUnready, Reasons: []caddymodule.Reason{
		{Reason: caddymodule.ReasonNoHost, Site: 1, Hosts: []string{"api-us-west-1.agora.io", "api-us-west-1.sd-rtn.com", "api-us-east-1.agora.io", "api-us-east-1.sd-rtn.com", "api.agora.io"}},
		{Reason: caddymodule.ReasonNoCredential, Site: 2, AppIDsEndIn: []string{"cdef", "1b33"}, Detail: "the configured auth_token has expired"},
	}}
	s.Apps[0].Certificate.Refused = true
	s.Apps[0].Tokens.Failing = 3
	s.Apps[0].Secrets = []caddymodule.SecretStatus{{
		Name: "app_certificate", Source: "{file./run/secrets/agora_app_certificate}", FollowsFile: true, ReloadFailing: true, ReloadFailedAt: at(-time.Hour),
		ReloadError: "app_certificate must be 32 hexadecimal digits (it comes from {file./run/secrets/a-folder-with-a-rather-long-name/agora_app_certificate})",
	}}
	s.Apps = append(s.Apps,
		caddymodule.AppStatus{Site: 1, AppIDEndsIn: "cdef", Mode: "token", Problem: "the configured auth_token has expired", AuthTokenExpiresAt: at(-time.Minute)},
		caddymodule.AppStatus{Site: 1, AppIDEndsIn: "0001", Mode: "token", Ready: true, AuthTokenExpiresAt: at(30 * time.Minute)},
		caddymodule.AppStatus{Site: 1, AppIDEndsIn: "0002", Mode: "basic", Ready: true},
		caddymodule.AppStatus{Site: 2, AppIDEndsIn: "1b33", Mode: "app-credentials", Ready: true, Certificate: &caddymodule.CertificateStatus{InUse: "app_certificate_secondary", Secondary: true}},
	)
	for i := range s.Regions {
		h := &s.Regions[i]
		h.State, h.Reachable, h.Cause, h.Failures, h.RestsUntil = "resting", &no, "connect timeout", i+1, at(time.Duration(i*20)*time.Second)
	}
	s.Regions[4].State = "unproven"
	s.Regions[4].Host = "a-rather-long-name-of-an-upstream.somewhere.in.the.internal.network.example.com:8443"
	s.Clock = caddymodule.ClockStatus{SkewSeconds: &skew, OffsetSeconds: 242}
	s.Counters.Failovers = 12
	s.Counters.Unauthorized = 7
	s.Counters.Reauthorizations = caddymodule.CountsBy{Total: 9, By: map[string]float64{"accepted": 2, "refused": 7}}
	s.Counters.Attempts.By = map[string]float64{"answered": 1000000, "unavailable": 1, "not_sent": 2, "lost": 3, "timeout": 4, "abandoned": 5}
	return s
}

func TestStatusPageGolden(t *testing.T) {
	several := wellPage()
	for i := range 30 {
		app := several.Apps[0]
		app.AppIDEndsIn = fmt.Sprintf("%04d", i)
		several.Apps = append(several.Apps, app)
		host := several.Regions[0]
		host.Site, host.Host = 2, fmt.Sprintf("upstream-%d.example.com", i)
		host.Region = host.Host
		several.Regions = append(several.Regions, host)
	}
	several.Sites = append(several.Sites, caddymodule.SiteStatus{Site: 2, Serves: "calls"})
	upstreams := wellPage()
	upstreams.Regions = several.Regions[5:7]
	for name, s := range map[string]caddymodule.Status{
		"status-well": wellPage(), "status-trouble": troublePage(), "status-many": several, "status-upstreams": upstreams,
		"status-token-server": {ProcessID: 1, Time: pageTime, Readiness: caddymodule.Readiness{Status: caddymodule.StatusReady}},
	} {
		got := statusText(&s, textStyle{width: 80})
		file := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("the page is not that of %s (-update writes it anew):\n%s", file, got)
		}
		for _, width := range []int{60, 80, 100} {
			for line := range strings.Lines(statusText(&s, textStyle{width: width})) {
				if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > width {
					t.Errorf("%s: a line of %d columns in %d: %s", name, n, width, line)
				}
			}
		}
	}
}

// uncoloured is text without colours, and how many there were.
func uncoloured(text string) (string, int) {
	n := 0
	for _, colour := range []string{red, green, yellow, bold, plain} {
		n += strings.Count(text, colour)
		text = strings.ReplaceAll(text, colour, "")
	}
	return text, n
}

func TestColoursChangeNothingElse(t *testing.T) {
	s := troublePage()
	bare := statusText(&s, textStyle{width: 80})
	got, n := uncoloured(statusText(&s, textStyle{width: 80, colours: true}))
	if got != bare || n < 10 {
		t.Errorf("%d colours in\n%s", n, got)
	}
	if strings.Contains(bare, "\x1b") {
		t.Error("colours without being asked for")
	}
}

// What a status says comes from elsewhere, and goes to a terminal.
func TestNothingInAStatusReachesTheTerminalAsACommand(t *testing.T) {
	const evil = "\x1b]0;owned\x07\x1b[2J\r\n\u009b31m\u202eabc\x00\x7f\u200bé\U000e0041"
	text, err := json.Marshal(troublePage())
	if err != nil {
		t.Fatal(err)
	}
	// Every string of it is replaced.
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	var spoil func(any) any
	spoil = func(v any) any {
		switch v := v.(type) {
		case string:
			if _, err := time.Parse(time.RFC3339, v); err == nil {
				return v
			}
			return evil
		case []any:
			for i := range v {
				v[i] = spoil(v[i])
			}
		case map[string]any:
			for key := range v {
				v[key] = spoil(v[key])
			}
			if _, ok := v["by"]; ok {
				v["by"] = map[string]any{evil: 1.0}
			}
		}
		return v
	}
	text, err = json.Marshal(spoil(tree))
	if err != nil {
		t.Fatal(err)
	}
	var s caddymodule.Status
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	page := statusText(&s, textStyle{width: 80})
	if !strings.Contains(page, "é") {
		t.Error("the test proves nothing: the page has none of it")
	}
	harmless := func(name, shown string) {
		t.Helper()
		for _, r := range shown {
			if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
				t.Errorf("%s has %U in it", name, r)
				break
			}
		}
	}
	harmless("the page", page)
	harmless("the line of health", strings.Join(reasonTexts(s.Readiness.Reasons), "; "))
	for _, watch := range []bool{false, true} {
		plain, err := (&statusFlags{watch: watch}).plain(text)
		if err != nil {
			t.Fatal(err)
		}
		harmless("the JSON", plain)
		var again caddymodule.Status
		if err := json.Unmarshal([]byte(plain), &again); err != nil || again.Apps[0].Mode != evil {
			t.Errorf("the JSON is another: %v", err)
		}
	}
	if err := errors.New(evil); clean(err.Error()) == err.Error() {
		t.Error("errors are not cleaned")
	}
}

func TestWrapAndCut(t *testing.T) {
	for _, test := range []struct {
		text  string
		width int
		want  string
	}{
		{"", 10, ""},
		{"one two three", 20, "one two three"},
		{"one two three", 7, "one two|three"},
		{"one two three", 6, "one|two|three"},
		{"  one   two ", 10, "one two"},
		{"abcdefghij", 4, "abcd|efgh|ij"},
		{"x abcdefghij y", 4, "x|abcd|efgh|ij y"},
		{"üüüü ü", 4, "üüüü|ü"},
	} {
		if got := strings.Join(wrap(test.text, test.width), "|"); got != test.want {
			t.Errorf("%q in %d: %q, want %q", test.text, test.width, got, test.want)
		}
	}
	if got := cut("abcdef", 5) + cut("abcde", 5) + cut("abc", 1); got != "abc..abcde.." {
		t.Errorf("cut: %q", got)
	}
}

// adminStub is an admin API at a socket, and its address.
func adminStub(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	socket := filepath.Join(shortTempDir(t), "1-0.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
	server.Start()
	t.Cleanup(server.Close)
	return "unix/" + socket
}

func serveJSON(t *testing.T, status int, answers map[string]any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		text, err := json.Marshal(answer)
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(status)
		_, _ = w.Write(text)
	}
}

func TestStatusCommand(t *testing.T) {
	good := adminStub(t, serveJSON(t, 200, map[string]any{"/convoai/status": wellPage()}))
	empty := adminStub(t, serveJSON(t, 503, map[string]any{"/convoai/status": map[string]string{"error": "nothing \x1bhere"}}))
	other := adminStub(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
	})
	web := adminStub(t, func(http.ResponseWriter, *http.Request) {})
	for _, test := range []struct {
		name           string
		flags          statusFlags
		status         int
		stdout, stderr string
		err            string
	}{
		{"status", statusFlags{address: good}, 0, "READY  process 4242", "", ""},
		{"JSON", statusFlags{address: good, json: true}, 0, "{\n  \"version\": \"v0.3.0\",", "", ""},
		{"nothing configured", statusFlags{address: empty}, 1, "", "the admin API answers 503: nothing ?here", ""},
		{"a redirect", statusFlags{address: other}, 1, "", "no admin API of Caddy with this module", ""},
		{"another server", statusFlags{address: web}, 1, "", "no admin API of Caddy with this module", ""},
		{"nobody", statusFlags{address: "unix//does/not/exist"}, 1, "", "the sidecar does not answer: dial unix /does/not/exist", ""},
		{"no address", statusFlags{address: "udp/127.0.0.1:1"}, 2, "", "", "write unix//path or host:port"},
		{"a range", statusFlags{address: "127.0.0.1:1-3"}, 2, "", "", "write unix//path or host:port"},
		{"no port", statusFlags{address: "localhost"}, 2, "", "", "write unix//path or host:port"},
	} {
		var stdout, stderr bytes.Buffer
		status, err := test.flags.run(t.Context(), &stdout, &stderr)
		if status != test.status || !strings.HasPrefix(stdout.String(), test.stdout) || !strings.Contains(stderr.String(), test.stderr) || (stderr.Len() > 0) != (test.stderr != "") {
			t.Errorf("%s: status %d, %q on stdout, %q on stderr", test.name, status, stdout.String(), stderr.String())
		}
		checkError(t, err, test.err)
	}
}

func TestAskerAddresses(t *testing.T) {
	for address, base := range map[string]string{
		"unix//run/x.sock": "http://localhost", "unix//run/x.sock|0600": "http://localhost",
		"127.0.0.1:2019": "http://127.0.0.1:2019", "localhost:2019": "http://localhost:2019", ":2019": "http://localhost:2019",
		"[::1]:2019": "http://[::1]:2019", "http://127.0.0.1:2019": "http://127.0.0.1:2019", "tcp/127.0.0.1:2019": "http://127.0.0.1:2019",
	} {
		a, err := newAsker(address)
		if err != nil || a.base != base {
			t.Errorf("%s: %+v, %v", address, a, err)
		}
	}
}

// sidecarSockets makes sockets at which somebody answers.
func sidecarSockets(t *testing.T, names ...string) socketDir {
	t.Helper()
	dir := socketDir{path: filepath.Join(shortTempDir(t), "convoai")}
	if err := os.Mkdir(dir.path, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		l, err := net.Listen("unix", filepath.Join(dir.path, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
	}
	return dir
}

func TestSidecarsAreFoundByTheirSockets(t *testing.T) {
	dir := sidecarSockets(t, "12-aa.sock", "not-one.socket", "34-bb.sock")
	// A socket that somebody has left, and a file.
	l, err := net.Listen("unix", filepath.Join(dir.path, "56-cc.sock"))
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	writeFile(t, dir.path, "78-dd.sock", "")
	open := sidecarSockets(t, "90-ee.sock")
	if err := os.Chmod(open.path, 0o755); err != nil {
		t.Fatal(err)
	}
	dirs := []socketDir{{path: "/does/not/exist", given: true}, open, dir}
	var pids []int
	for _, s := range findSidecars(dirs) {
		pids = append(pids, s.pid)
	}
	if fmt.Sprint(pids) != "[12 34]" {
		t.Errorf("found %v, want those of 12 and 34", pids)
	}

	var list strings.Builder
	if _, err := theSidecar("", dirs, &list); !errors.Is(err, errSeveralSidecars) {
		t.Error(err)
	}
	want := "process 12: --address unix/" + dir.path + "/12-aa.sock\nprocess 34: --address unix/" + dir.path + "/34-bb.sock\n"
	if list.String() != want {
		t.Errorf("lists %q, want %q", list.String(), want)
	}
	if address, err := theSidecar("given", dirs, &list); err != nil || address != "given" {
		t.Errorf("with --address: %s, %v", address, err)
	}
	if _, err := theSidecar("", []socketDir{open}, &list); !errors.Is(err, errNoSidecar) {
		t.Error(err)
	}
	one := sidecarSockets(t, "12-aa.sock")
	if address, err := theSidecar("", []socketDir{one}, io.Discard); err != nil || address != "unix/"+one.path+"/12-aa.sock" {
		t.Errorf("%s, %v", address, err)
	}
}

// pages is a statusShow that shows one after another; nil is an error.
func pages(texts ...string) statusShow {
	return func(_ context.Context, list io.Writer) (string, error) {
		if len(texts) == 0 {
			return "last\n", nil
		}
		text := texts[0]
		texts = texts[1:]
		if text == "" {
			fmt.Fprintln(list, "process 12: --address unix//x")
			return "", errSeveralSidecars
		}
		return text, nil
	}
}

func TestWatchedStatusTakesThePlaceOfTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := &screen{out: &out, size: func() (int, int) { return 50, 5 }}
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			time.Sleep(7 * time.Second)
			cancel()
		}()
		if err := s.watch(ctx, pages("one\ntwo\n", "", "1\n2\n3\n4\n5\n6\n")); err != nil {
			t.Fatal(err)
		}
		want := secondScreen +
			topLeft + "one" + clearLine + "\r\ntwo" + clearLine + clearBelow +
			topLeft + "several sidecars run here: say which one with" + clearLine + "\r\n--address" + clearLine + "\r\nprocess 12: --address unix//x" + clearLine + clearBelow +
			topLeft + "1" + clearLine + "\r\n2" + clearLine + "\r\n3" + clearLine + "\r\n4" + clearLine + "\r\n..." + clearLine + clearBelow +
			topLeft + "last" + clearLine + clearBelow +
			firstScreen + "last\n"
		if got := out.String(); got != want {
			t.Errorf("%q\nwant\n%q", got, want)
		}
	})
}

// The terminal is left as it was, whatever happens.
func TestScreenIsRestoredAfterAFailedWrite(t *testing.T) {
	var out limited
	out.n = 2
	s := &screen{out: &out, size: func() (int, int) { return 80, 24 }}
	if err := s.watch(t.Context(), pages("one\n")); err == nil {
		t.Error("no error")
	}
	if got := out.last; !strings.HasPrefix(got, firstScreen) {
		t.Errorf("%q was written last", got)
	}
}

// limited fails from the n-th write on.
type limited struct {
	n    int
	last string
}

func (l *limited) Write(p []byte) (int, error) {
	l.last = string(p)
	if l.n--; l.n <= 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func TestWatchWithoutATerminalPrintsOneAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out, failed bytes.Buffer
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			time.Sleep(7 * time.Second)
			cancel()
		}()
		if err := printEach(ctx, pages("one\ntwo\n", "", "three\nfour\n", "{}\n"), &out, &failed); err != nil {
			t.Fatal(err)
		}
		if got, want := out.String(), "one\ntwo\n\nthree\nfour\n{}\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got := failed.String(); got != "process 12: --address unix//x\n"+errSeveralSidecars.Error()+"\n" {
			t.Errorf("%q on stderr", got)
		}
	})
}

func TestHealthCommand(t *testing.T) {
	ready := map[string]any{"status": "ready"}
	unready := caddymodule.Readiness{Status: caddymodule.StatusUnready, Reasons: troublePage().Readiness.Reasons}
	live := map[string]any{"status": "live"}
	for _, test := range []struct {
		name    string
		handler http.HandlerFunc
		live    bool
		status  int
		line    string
	}{
		{"admin API", serveJSON(t, 200, map[string]any{"/convoai/readyz": ready}), false, 0, "ready"},
		{"health listener", serveJSON(t, 200, map[string]any{"/readyz": ready}), false, 0, "ready"},
		{"not ready", serveJSON(t, 503, map[string]any{"/convoai/readyz": unready}), false, 1,
			"unready: site 1: no host can be reached (api-us-west-1.agora.io, api-us-west-1.sd-rtn.com, api-us-east-1.agora.io and 2 more); " +
				"site 2: no credential can be made for the app ID ending in cdef, 1b33: the configured auth_token has expired"},
		{"another server", func(http.ResponseWriter, *http.Request) {}, false, 1, "unready: " + errNoHealth.Error()},
		{"live", serveJSON(t, 200, map[string]any{"/convoai/livez": live}), true, 0, "live"},
		{"live at the health listener", serveJSON(t, 200, map[string]any{"/livez": live}), true, 0, "live"},
		{"not live", serveJSON(t, 500, map[string]any{"/livez": live}), true, 1, "not live: " + errNoHealth.Error()},
	} {
		var stdout bytes.Buffer
		flags := healthFlags{address: adminStub(t, test.handler), live: test.live}
		status, err := flags.run(t.Context(), nil, &stdout)
		if err != nil || status != test.status || stdout.String() != test.line+"\n" {
			t.Errorf("%s: status %d, %v, %q", test.name, status, err, stdout.String())
		}
	}

	var stdout bytes.Buffer
	if status, err := new(healthFlags).run(t.Context(), nil, &stdout); err != nil || status != 1 || stdout.String() != "unready: "+errNoSidecar.Error()+"\n" {
		t.Errorf("without a sidecar: status %d, %v, %q", status, err, stdout.String())
	}
	stdout.Reset()
	dir := sidecarSockets(t, "12-aa.sock", "34-bb.sock")
	if status, err := new(healthFlags).run(t.Context(), []socketDir{dir}, &stdout); err != nil || status != 1 || strings.Count(stdout.String(), "\n") != 1 || !strings.Contains(stdout.String(), "process 34: --address") {
		t.Errorf("with several: status %d, %v, %q", status, err, stdout.String())
	}
	if status, err := (&healthFlags{address: "here"}).run(t.Context(), nil, &stdout); err == nil || status != exitUnusable {
		t.Errorf("without an address: status %d, %v", status, err)
	}
}

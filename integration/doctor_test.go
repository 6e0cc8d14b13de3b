package integration

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// What differs from one run of doctor to the next, or from one machine to the next.
var varyingForDoctor = []struct {
	pattern *regexp.Regexp
	becomes string
}{
	{regexp.MustCompile(`\b\d+ ms\b`), "<n> ms"},
	{regexp.MustCompile(`process \d+`), "process <pid>"},
	{regexp.MustCompile(`running for (\w+ ?)+`), "running for <time>"},
	{regexp.MustCompile(`clock is [\w ]+ (behind|ahead of) that`), "clock is <difference> $1 that"},
	{regexp.MustCompile(`no name can be resolved: .*`), "no name can be resolved: <why>"},
	{regexp.MustCompile(`is taken by .*`), "is taken by <whom>"},
}

// doctor is a run of doctor: its environment, what its arguments stand for, and what
// it has printed.
type doctor struct {
	t      *testing.T
	dir    string // where its sidecars have their sockets
	env    []string
	words  []string // what becomes what in the golden file
	report string
	status int
}

func newDoctor(t *testing.T, env ...string) *doctor {
	t.Helper()
	if raceDetector {
		t.Skip("a command that looks once; its own tests run with the race detector")
	}
	// Not t.TempDir, whose path leaves no room for the name of a socket.
	dir, err := os.MkdirTemp("", "d")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return &doctor{t: t, dir: dir, env: append([]string{"TMPDIR=" + dir}, env...)}
}

// mask has the golden file show a word in the place of a value.
func (d *doctor) mask(value, word string) { d.words = append(d.words, value, word) }

// vendor starts caddy convoai simulate with TLS and returns the flags for it.
func (d *doctor) vendor(args ...string) (flags []string) {
	d.t.Helper()
	port, ca := freePort(d.t), filepath.Join(d.dir, "ca.pem")
	boot{
		args: append([]string{"convoai", "simulate", "--listen", "127.0.0.1:" + port, "--ca-file", ca}, args...),
		env:  vendorEnv, listens: port, says: "a sidecar in front of it",
	}.start(d.t)
	d.mask("127.0.0.1:"+port, "<vendor>")
	return []string{"--upstream", "https://127.0.0.1:" + port, "--upstream-ca", ca}
}

// free returns an address that nobody listens on.
func (d *doctor) free(word string) string {
	d.t.Helper()
	port := freePort(d.t)
	d.mask("127.0.0.1:"+port, word)
	d.mask("127.0.0.1 port "+port, "127.0.0.1 port <port>")
	return "127.0.0.1:" + port
}

// run runs caddy convoai doctor to its end.
func (d *doctor) run(args ...string) {
	d.t.Helper()
	var stderr string
	d.report, stderr, d.status = command(d.t, d.env, append([]string{"doctor"}, args...)...)
	if stderr != "" {
		d.t.Errorf("on standard error: %s", excerpt(stderr))
	}
	d.wantNoSecret()
}

// wantNoSecret fails where the report holds a secret, or the app ID.
func (d *doctor) wantNoSecret() {
	d.t.Helper()
	secrets := map[string]string{"app ID": appA}
	for _, pair := range d.env {
		name, value, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "AGORA_") && name != "AGORA_APP_ID" && name != "AGORA_AREA" {
			secrets[name] = value
		}
	}
	wantNowhere(d.t, []sink{{"the report", d.report}}, secrets)
}

// golden compares the report with a file.
func (d *doctor) golden(name string, status int) {
	d.t.Helper()
	if d.status != status {
		d.t.Errorf("status %d, want %d", d.status, status)
	}
	text := strings.NewReplacer(append(d.words, d.dir, "<dir>")...).Replace(d.report)
	for _, v := range varyingForDoctor {
		text = v.pattern.ReplaceAllString(text, v.becomes)
	}
	file := filepath.Join("testdata", "golden", "doctor-"+name+".txt")
	if *update {
		writeFile(d.t, file, text)
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		d.t.Fatal(err)
	}
	if text != string(want) {
		d.t.Errorf("the report is\n%s\nwant\n%s", text, want)
	}
}

// has fails where the report lacks text.
func (d *doctor) has(text string) {
	d.t.Helper()
	if !strings.Contains(d.report, text) {
		d.t.Errorf("the report lacks %q:\n%s", text, d.report)
	}
}

func TestDoctorOfAGoodSetUp(t *testing.T) {
	d := newDoctor(t, vendorEnv...)
	flags := append(d.vendor(), "--listen", d.free("<listen>"))
	d.run(append(flags, "--live")...)
	d.golden("good", 0)

	d.run(flags...)
	d.golden("good-not-live", 0)

	d.run(append(flags, "--live", "--json")...)
	var report struct {
		Verdict  string
		Findings []struct{ Section, Verdict, What string }
	}
	if err := json.Unmarshal([]byte(d.report), &report); err != nil || d.status != 0 || report.Verdict != "ok" || len(report.Findings) < 8 {
		t.Errorf("status %d, %v, as JSON:\n%s", d.status, err, d.report)
	}
}

func TestDoctorOfAWrongCertificate(t *testing.T) {
	d := newDoctor(t, "AGORA_APP_ID="+appA, "AGORA_APP_CERTIFICATE="+certificateB)
	d.run(append(d.vendor(), "--listen", d.free("<listen>"), "--live")...)
	d.golden("wrong-certificate", 1)
}

func TestDoctorOfAnAppIDThatIsTooShort(t *testing.T) {
	d := newDoctor(t, "AGORA_APP_ID="+appA[:31], "AGORA_APP_CERTIFICATE="+certificateA)
	d.run(append(d.vendor(), "--listen", d.free("<listen>"), "--live")...)
	d.golden("short-app-id", 1)
}

func TestDoctorOfAClockThatIsOff(t *testing.T) {
	for _, test := range []struct{ name, skew, way string }{
		{"clock-behind", "5m", "behind"},
		{"clock-ahead", "-5m", "ahead of"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDoctor(t, vendorEnv...)
			d.run(append(d.vendor("--skew", test.skew), "--listen", d.free("<listen>"), "--live")...)
			d.golden(test.name, 1)
			shown := regexp.MustCompile(`clock is (.*) ` + test.way).FindStringSubmatch(d.report)
			if shown == nil {
				t.Fatal("the difference is not shown")
			}
			words := strings.NewReplacer(" minutes", "m", " minute", "m", " seconds", "s", " second", "s", " ", "").Replace(shown[1])
			difference, err := time.ParseDuration(words)
			if off := (difference - 5*time.Minute).Abs(); err != nil || off > prompt {
				t.Errorf("the difference is shown as %q", shown[1])
			}
		})
	}
}

func TestDoctorOfARegionThatIsDown(t *testing.T) {
	d := newDoctor(t, vendorEnv...)
	down := []string{"--upstream", "https://" + d.free("<down>"), "--listen", d.free("<listen>")}
	d.run(append(down, d.vendor()...)...)
	d.golden("region-down", 0)

	d.run(down...)
	d.golden("all-down", 1)
}

func TestDoctorWithoutDNS(t *testing.T) {
	d := newDoctor(t, vendorEnv...)
	s := boot{}.prepare(t)
	cmd := s.command(t.Context(), d.env, "convoai", "doctor", "--live", "--listen", d.free("<listen>"))
	var out, stderr buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	withoutNetwork(t, cmd)
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Skip("no network namespaces here:", err)
	}
	_ = cmd.Wait()
	within(t, began, 2*prompt)
	d.report, d.status = out.String(), cmd.ProcessState.ExitCode()
	if stderr.String() != "" {
		t.Errorf("on standard error: %s", excerpt(stderr.String()))
	}
	d.wantNoSecret()
	d.golden("no-dns", 1)
	if n := strings.Count(d.report, "DNS:"); n != 1 || strings.Contains(d.report, "agora.io") {
		t.Errorf("%d lines about DNS, or some about hosts:\n%s", n, d.report)
	}
}

func TestDoctorOfAPortThatIsTaken(t *testing.T) {
	d := newDoctor(t, vendorEnv...)
	l := listen(t)
	defer l.Close()
	d.mask(l.Addr().String(), "<listen>")
	d.run(append(d.vendor(), "--listen", l.Addr().String())...)
	d.golden("port-taken", 1)
	if runtime.GOOS == "linux" {
		d.has("(process " + itoa(os.Getpid()) + ")")
	}
}

func TestDoctorBesideASidecarThatRuns(t *testing.T) {
	d := newDoctor(t, vendorEnv...)
	address := d.free("<listen>")
	_, port, _ := net.SplitHostPort(address)
	flags := append(d.vendor(), "--listen", address)
	s := boot{args: append([]string{"convoai", "run"}, flags...), env: d.env, listens: port, says: "convoai: listening on "}.start(t)
	waitFor(t, "the sidecar to be ready", func() bool {
		_, _, status := command(t, d.env, "health")
		return status == 0
	})
	d.run(append(flags, "--live")...)
	d.golden("running", 0)
	d.has("(process " + itoa(s.pid) + ")")

	// Another user's admin socket, or none: it is known by its answer.
	other := newDoctor(t, vendorEnv...)
	other.words = d.words
	other.run(flags...)
	other.golden("running-elsewhere", 0)

	s.stop()
	d.run(append(flags, "--live")...)
	d.golden("good", 0)
}

// It goes on after what is wrong, and finds the rest.
func TestDoctorOfAMess(t *testing.T) {
	d := newDoctor(t, "AGORA_APP_ID="+appA, "AGORA_CUSTOMER_SECRET=canary-customer-secret", "AGORA_APP_CERTIFICATE_FILE="+certificateA,
		"HTTP_PROXY=http://user:canary-password@127.0.0.1:1", "CONVOAI_ALLOW_FROM=office")
	l := listen(t)
	defer l.Close()
	d.mask(l.Addr().String(), "<listen>")
	d.run(append(d.vendor(), "--listen", l.Addr().String(), "--live")...)
	d.golden("mess", 1)
	wantNowhere(t, []sink{{"the report", d.report}}, map[string]string{"password": "canary-password", "certificate": certificateA})
}

func TestDoctorTakesNoUnknownArguments(t *testing.T) {
	for _, args := range [][]string{{"canary"}, {"--app-certificate=" + certificateA}, {"--live=perhaps"}} {
		stdout, stderr, status := command(t, vendorEnv, append([]string{"doctor"}, args...)...)
		if status != 2 || stdout != "" {
			t.Errorf("%s: status %d, %s", args[0][:8], status, stdout)
		}
		wantNowhere(t, []sink{{"standard error", stderr}}, map[string]string{"certificate": certificateA, "argument": "canary"})
	}
}

// What makes no CA, no socket and no file can be run anywhere.
func TestDoctorLeavesNothingBehind(t *testing.T) {
	d := newDoctor(t, vendorEnv...)
	s := boot{}.prepare(t)
	before := len(s.files())
	report, _, status := s.exec(d.env, append([]string{"convoai", "doctor", "--intercept", "--listen", d.free("<listen>"), "--health-listen", d.free("<health>")}, d.vendor()...)...)
	if status != 0 || !strings.Contains(report, "the sidecar would start") {
		t.Errorf("status %d\n%s", status, report)
	}
	if after := len(s.files()); after != before {
		t.Errorf("%d files are there, %d before", after, before)
	}
}

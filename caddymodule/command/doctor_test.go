package command

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"
)

// newTestDiagnosis is a run of doctor with nothing in the environment but env, at
// testNow.
func newTestDiagnosis(t *testing.T, flags doctorFlags, env map[string]string) *diagnosis {
	t.Helper()
	setEnv(t, env)
	for _, name := range append(proxyNames, "NO_PROXY", "no_proxy") {
		t.Setenv(name, "")
	}
	d := newDiagnosis(&flags, io.Discard)
	d.now = func() time.Time { return testNow }
	return d
}

// lines are the findings of a section, one per line: verdict, whose, and what.
func lines(d *diagnosis, section string) []string {
	var list []string
	for _, one := range d.list {
		if one.Section == section {
			list = append(list, strings.Join(strings.Fields(string(one.Verdict)+" "+string(one.Fault)+": "+one.What), " "))
		}
	}
	return list
}

// wantLines compares the findings of a section with what is wanted, and checks what
// holds for each: what is not well says whose it is and what to do.
func wantLines(t *testing.T, d *diagnosis, section string, want ...string) {
	t.Helper()
	got := lines(d, section)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s:\n%s\nwant\n%s", section, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, one := range d.list {
		if ok := one.Verdict == verdictOK; ok != (one.Fault == "") || ok && len(one.Remedy) > 0 || one.Fault != "" && whose[one.Fault] == "" {
			t.Errorf("%q is %s, of %q, with %d remedies", one.What, one.Verdict, one.Fault, len(one.Remedy))
		}
	}
}

// report is all that is printed.
func report(t *testing.T, d *diagnosis) string {
	t.Helper()
	var b strings.Builder
	d.out, d.printed = &b, ""
	for _, one := range d.list {
		d.print(one)
	}
	if _, err := d.end(""); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// wantNoSecret fails where text holds a secret, or the beginning of one.
func wantNoSecret(t *testing.T, text string, secrets ...string) {
	t.Helper()
	for i, secret := range secrets {
		if secret != "" && shares(strings.ToLower(text), strings.ToLower(secret)) {
			t.Errorf("the report holds some of secret %d", i)
		}
	}
}

func TestReportSaysWhoseTheFailuresAre(t *testing.T) {
	ok := func(f *findings) { f.ok("%d things", 2) }
	warn := func(f *findings) { f.warn(faultNetwork, "slow", "wait") }
	fail := func(of fault) func(*findings) {
		return func(f *findings) { f.fail(of, "broken", "mend it", "or buy another") }
	}
	for _, test := range []struct {
		name   string
		add    []func(*findings)
		status int
		end    string
	}{
		{"all well", []func(*findings){ok}, exitDone, "\nAll is well. Hint.\n"},
		{"one warning", []func(*findings){ok, warn}, exitDone, "\nNothing has failed; 1 warning. Hint.\n"},
		{"failed", []func(*findings){fail(faultVendor), ok}, exitFailed, "\n1 failed: look at the vendor. Hint.\n"},
		{
			"failed, with warnings", []func(*findings){fail(faultHost), warn, warn, fail(faultConfiguration), fail(faultHost)}, exitFailed,
			"\n3 failed, 2 warnings: look at this host, your configuration first. Hint.\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b strings.Builder
			f := &findings{out: &b}
			for _, add := range test.add {
				add(f)
			}
			if status, err := f.end("Hint."); status != test.status || err != nil || !strings.HasSuffix(b.String(), test.end) {
				t.Errorf("status %d, error %v, report\n%s", status, err, b.String())
			}
		})
	}
}

func TestReportIsPrintedAsItComes(t *testing.T) {
	var b strings.Builder
	f := &findings{out: &b}
	f.in("One")
	f.ok("first")
	f.warn(faultHost, "second", "do this", "or that")
	f.in("Empty")
	f.in("Two")
	f.fail(faultHost, "third")
	const want = "One\n  ok       first\n  warning  second\n           - do this\n           - or that\n\nTwo\n  failed   third\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}

	b.Reset()
	f.colours, f.printed = true, ""
	f.fail(faultHost, "fourth")
	if got := b.String(); got != bold+"Two"+plain+"\n  "+red+"failed"+plain+"   fourth\n" {
		t.Errorf("in colours: %q", got)
	}
}

func TestReportOfAFullDiskIsAnError(t *testing.T) {
	f := &findings{out: brokenWriter{}}
	f.ok("fine")
	if _, err := f.end(""); err == nil {
		t.Error("a report that nobody got is no error")
	}
}

func TestReportAsJSON(t *testing.T) {
	var b strings.Builder
	f := &findings{out: &b, json: true}
	f.in("Network")
	f.ok("up & running")
	f.warn(faultNetwork, "slow", "wait", "or do not")
	if status, err := f.end("Hint."); status != exitDone || err != nil {
		t.Fatalf("status %d, error %v", status, err)
	}
	var got struct {
		Verdict  string
		Findings []struct {
			Section, Verdict, What, Fault string
			Remedy                        []string
		}
	}
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	if got.Verdict != "warning" || len(got.Findings) != 2 || got.Findings[0].What != "up & running" || got.Findings[0].Section != "Network" ||
		got.Findings[1].Fault != "network" || len(got.Findings[1].Remedy) != 2 || !strings.Contains(b.String(), "up & running") {
		t.Errorf("%s", b.String())
	}
}

func TestForeignTextCannotActOnTheTerminal(t *testing.T) {
	for text, want := range map[string]string{
		"plain":                      "plain",
		" two\r\n\tlines \n":         "two lines",
		"\x1b[31mred\x07":            "?[31mred?",
		"right \u202eto left":        "right ?to left",
		"\xff\xfe":                   "??",
		"zero\u200bwidth":            "zero?width",
		"Zürich 東京":                  "Zürich 東京",
		strings.Repeat("long ", 100): "long long long long long",
	} {
		if got := foreign(text, 20); strings.TrimSuffix(got, "…") != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	if got := foreign("123456", 5); got != "12345…" {
		t.Errorf("too long: %q", got)
	}
}

func TestSecretsAreKeptOutOfWhatOthersSay(t *testing.T) {
	d := newTestDiagnosis(t, doctorFlags{}, nil)
	d.credentials = appCredentials{
		appID: setting{value: testAppID}, appCertificate: setting{value: testAppCertificate},
		customerID: setting{value: "Aladdin"}, customerSecret: setting{value: "open sesame"},
	}
	const sent = "007eJxTYBBbsMMnKq7p9Hf/HcIX5kWhFB+canary"
	v := d.veil("agora token=" + sent)
	for _, text := range []string{
		"invalid token " + sent, "got " + sent[12:30] + "…", strings.ToUpper(sent), "it%20is%20007e%4Ax%54YBB", "broken % and " + sent,
		testAppCertificate, strings.ToLower(testAppCertificate[5:15]), "Aladdin", "open sesam", "open%20sesame",
	} {
		if got := v.show(text, 1000); !strings.HasPrefix(got, "[not shown") {
			t.Errorf("%q is shown as %q", text, got)
		}
	}
	if got := v.show("app "+testAppID+" is unknown", 100); got != "app …1b33 is unknown" {
		t.Errorf("the app ID is shown: %q", got)
	}
	for _, text := range []string{"Invalid authentication credentials", "100% wrong", ""} {
		if got := v.show(text, 100); got != text {
			t.Errorf("%q is shown as %q", text, got)
		}
	}
}

func TestSettingsAreAllChecked(t *testing.T) {
	d := newTestDiagnosis(t, doctorFlags{runFlags: runFlags{area: "mars", allowFrom: []string{"x"}, listen: []string{"localhost"}}}, map[string]string{
		"AGORA_APP_ID": testAppID, "AGORA_APP_CERTIFICATE": testAppCertificate, "CONVOAI_ACCESS_LOG": "perhaps",
	})
	d.checkSettings()
	wantLines(t, d, sectionSettings,
		"failed configuration: --area: area must be us, eu, ap or cn",
		`failed configuration: --allow-from: "x" is no IP address or CIDR range`,
		"failed configuration: CONVOAI_ACCESS_LOG must be true or false",
		`failed configuration: --listen: "localhost" needs one port, as in 127.0.0.1:8080`,
	)
	if d.endpoints != nil {
		t.Error("calls would go somewhere")
	}

	d = newTestDiagnosis(t, doctorFlags{runFlags: runFlags{area: "eu", allowFrom: []string{"x"}}}, nil)
	d.checkSettings()
	if len(d.endpoints) != 5 {
		t.Errorf("a wrong range of callers leaves %d hosts to be checked", len(d.endpoints))
	}
}

// What no check knows of, Caddy still finds.
func TestSettingsAreProvisioned(t *testing.T) {
	d := newTestDiagnosis(t, doctorFlags{}, map[string]string{"AGORA_APP_ID": testAppID, "AGORA_APP_CERTIFICATE": testAppCertificate})
	d.checkSettings()
	wantLines(t, d, sectionSettings, "ok : the sidecar would start; calls go to the hosts of area us")

	d = newTestDiagnosis(t, doctorFlags{runFlags: runFlags{appID: "970C"}}, map[string]string{"AGORA_APP_CERTIFICATE": testAppCertificate})
	d.checkSettings()
	wantLines(t, d, sectionSettings, "failed configuration: the sidecar would not start: --app-id must be 32 hexadecimal digits")
}

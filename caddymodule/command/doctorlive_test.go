package command

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-convoai/convoai/simulator"
	"github.com/caddy-convoai/convoai/token"
)

// vendorOf is a simulated API that knows the test app, and how many calls it got.
type vendorOf struct {
	url string

	mu    sync.Mutex // guards calls
	calls []simulator.Call
}

func newVendorOf(t *testing.T, options simulator.Options) *vendorOf {
	t.Helper()
	v := new(vendorOf)
	if options.Projects == nil {
		options.Projects = []simulator.Project{{
			AppID: testAppID, AppCertificate: testAppCertificate, CustomerID: "Aladdin", CustomerSecret: "open sesame",
		}}
	}
	options.OnCall = func(c simulator.Call) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.calls = append(v.calls, c)
	}
	vendor, err := simulator.New(options)
	if err != nil {
		t.Fatal(err)
	}
	server, err := vendor.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	v.url = server.URL()
	return v
}

// live runs the checks of credentials, network, clock and vendor. The clock is
// ahead by ahead.
func live(t *testing.T, env map[string]string, ahead time.Duration, flags runFlags) *diagnosis {
	t.Helper()
	if env == nil {
		env = map[string]string{"AGORA_APP_ID": testAppID, "AGORA_APP_CERTIFICATE": testAppCertificate}
	}
	d := newTestDiagnosis(t, doctorFlags{runFlags: flags, live: true}, env)
	d.now = func() time.Time { return time.Now().Add(ahead) }
	d.checkCredentials()
	d.checkSettings()
	connectTest(t, d)
	d.checkNetwork(t.Context())
	d.checkClock(t.Context())
	d.checkLive(t.Context())
	return d
}

func wantLive(t *testing.T, d *diagnosis, want ...string) {
	t.Helper()
	if got := masked(lines(d, sectionLive)); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

const (
	certificateIsGood = "ok : the vendor accepts AGORA_APP_CERTIFICATE (<server> lists the app's agents, <n> ms)"
	said401           = ": <server> answers 401 (Invalid authentication credentials)"
)

func TestVendorIsAskedAboutEachCredential(t *testing.T) {
	vendor := newVendorOf(t, simulator.Options{})
	of := func(pairs ...string) map[string]string {
		env := map[string]string{"AGORA_APP_ID": testAppID}
		for i := 0; i < len(pairs); i += 2 {
			env[pairs[i]] = pairs[i+1]
		}
		return env
	}
	minted := func(certificate string) string {
		text, err := token.BuildConvoAIToken(testAppID, certificate, "room", "1", 86400, 0)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	const customer = "AGORA_CUSTOMER_ID and AGORA_CUSTOMER_SECRET"
	const secondaryIsGood = "ok : the vendor accepts AGORA_APP_CERTIFICATE_SECONDARY (<server> lists the app's agents, <n> ms)"
	for _, test := range []struct {
		name string
		env  map[string]string
		want []string
	}{
		{"certificate", of("AGORA_APP_CERTIFICATE", testAppCertificate), []string{certificateIsGood}},
		{"wrong certificate", of("AGORA_APP_CERTIFICATE", otherCertificate), []string{
			"failed configuration: the vendor refuses AGORA_APP_CERTIFICATE" + said401,
		}},
		{"certificate of another app", of("AGORA_APP_ID", strings.ToUpper(testAppID), "AGORA_APP_CERTIFICATE", testAppCertificate), []string{
			"failed configuration: the vendor refuses AGORA_APP_CERTIFICATE" + said401,
		}},
		{"good secondary", of("AGORA_APP_CERTIFICATE", otherCertificate, "AGORA_APP_CERTIFICATE_SECONDARY", testAppCertificate), []string{
			"warning configuration: the vendor refuses AGORA_APP_CERTIFICATE" + said401, secondaryIsGood,
		}},
		{"good primary", of("AGORA_APP_CERTIFICATE", testAppCertificate, "AGORA_APP_CERTIFICATE_SECONDARY", otherCertificate), []string{
			certificateIsGood, "warning configuration: the vendor refuses AGORA_APP_CERTIFICATE_SECONDARY" + said401,
		}},
		{"both wrong", of("AGORA_APP_CERTIFICATE", otherCertificate, "AGORA_APP_CERTIFICATE_SECONDARY", strings.Repeat("1", 32)), []string{
			"failed configuration: the vendor refuses AGORA_APP_CERTIFICATE" + said401,
			"failed configuration: the vendor refuses AGORA_APP_CERTIFICATE_SECONDARY" + said401,
		}},
		{"Basic", of("AGORA_CUSTOMER_ID", "Aladdin", "AGORA_CUSTOMER_SECRET", "open sesame"), []string{
			"ok : the vendor accepts " + customer + " (<server> lists the app's agents, <n> ms)",
		}},
		{"wrong secret", of("AGORA_CUSTOMER_ID", "Aladdin", "AGORA_CUSTOMER_SECRET", "canary"), []string{
			"failed configuration: the vendor refuses " + customer + said401,
		}},
		{"Basic, and a wrong certificate for bodies", of("AGORA_CUSTOMER_ID", "Aladdin", "AGORA_CUSTOMER_SECRET", "open sesame", "AGORA_APP_CERTIFICATE", otherCertificate), []string{
			"ok : the vendor accepts " + customer + " (<server> lists the app's agents, <n> ms)",
			"failed configuration: the vendor refuses AGORA_APP_CERTIFICATE" + said401,
		}},
		{"Basic, and a wrong primary for bodies", of("AGORA_CUSTOMER_ID", "Aladdin", "AGORA_CUSTOMER_SECRET", "open sesame", "AGORA_APP_CERTIFICATE", otherCertificate, "AGORA_APP_CERTIFICATE_SECONDARY", testAppCertificate), []string{
			"ok : the vendor accepts " + customer + " (<server> lists the app's agents, <n> ms)",
			"failed configuration: the vendor refuses AGORA_APP_CERTIFICATE" + said401, secondaryIsGood,
		}},
		{"customer of another app", of("AGORA_APP_ID", strings.ToUpper(testAppID), "AGORA_CUSTOMER_ID", "Aladdin", "AGORA_CUSTOMER_SECRET", "open sesame"), []string{
			"failed account: <server> answers 403 (InvalidPermission: The service is not activated.): the project may not use the service",
		}},
		{"token", of("AGORA_AUTH_TOKEN", minted(testAppCertificate)), []string{
			"ok : the vendor accepts AGORA_AUTH_TOKEN (<server> lists the app's agents, <n> ms)",
		}},
		{"token of another certificate", of("AGORA_AUTH_TOKEN", minted(otherCertificate)), []string{
			"failed configuration: the vendor refuses AGORA_AUTH_TOKEN" + said401,
		}},
		{"nothing that can be used", of("AGORA_APP_CERTIFICATE", "canary"), []string{
			"warning configuration: not asked: there is no credential that can be used",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := live(t, test.env, 0, runFlags{upstreams: []string{vendor.url}})
			wantLive(t, d, test.want...)
			wantNoSecret(t, report(t, d), testAppCertificate, otherCertificate, "open sesame", "Aladdin", "canary", test.env["AGORA_AUTH_TOKEN"])
		})
	}
}

// A call is signed as the sidecar signs it, and goes out once.
func TestVendorIsAskedOnce(t *testing.T) {
	vendor := newVendorOf(t, simulator.Options{})
	wantLive(t, live(t, nil, 0, runFlags{upstreams: []string{vendor.url, vendor.url}}), certificateIsGood)
	vendor.mu.Lock()
	defer vendor.mu.Unlock()
	var lists []simulator.Call
	for _, c := range vendor.calls {
		if c.Operation != "" {
			lists = append(lists, c)
		} else if c.Credential.Scheme != "" {
			t.Error("a credential was sent to be told the time")
		}
	}
	if len(lists) != 1 || lists[0].Operation != "list" || lists[0].Verdict != simulator.Accepted {
		t.Fatalf("%d calls: %v", len(lists), lists)
	}
	rtc, _ := lists[0].Credential.Token.Service(token.ServiceRTC)
	if rtc.Channel != "stop" || rtc.Account != "0" || lists[0].Credential.Token.Expire != token.MaxExpire {
		t.Errorf("signed for %q and %q", rtc.Channel, rtc.Account)
	}
}

var difference = regexp.MustCompile(`clock is [\w ]+ (behind|ahead of) that`)

func TestClockThatIsOffHasTokensRefused(t *testing.T) {
	const refused = "failed configuration: the vendor refuses AGORA_APP_CERTIFICATE" + said401
	for _, test := range []struct {
		name        string
		ahead       time.Duration
		clock, live string
		remedy      string
	}{
		{"right", 0, "ok : this host's clock agrees with that of <server>", certificateIsGood, ""},
		{"ahead", 5 * time.Minute, "failed host: this host's clock is <d> ahead of that of <server>", "warning host: the vendor accepts AGORA_APP_CERTIFICATE only with a token that is dated by its own clock", "chronyc"},
		{"behind", -5 * time.Minute, "failed host: this host's clock is <d> behind that of <server>", certificateIsGood, "dates tokens by the upstream's clock"},
		{"far ahead", 20 * time.Minute, "failed host: this host's clock is <d> ahead of that of <server>", refused, "more than the 10 minutes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			vendor := newVendorOf(t, simulator.Options{FutureTolerance: 15 * time.Second})
			d := live(t, nil, test.ahead, runFlags{upstreams: []string{vendor.url}})
			got := masked(lines(d, sectionClock))
			for i := range got {
				got[i] = difference.ReplaceAllString(got[i], "clock is <d> $1 that")
			}
			if len(got) != 1 || got[0] != test.clock {
				t.Errorf("got %q, want %q", got, test.clock)
			}
			wantLive(t, d, test.live)
			if !strings.Contains(remedies(d), test.remedy) {
				t.Errorf("what to do is not %q but\n%s", test.remedy, remedies(d))
			}
		})
	}
}

// saying is an upstream that answers every call for agents in the same way, and its
// URL.
func saying(t *testing.T, status int, header http.Header, body string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		echo := strings.NewReplacer("<credential>", r.Header.Get("Authorization"))
		for name, values := range header {
			w.Header()[name] = nil
			for _, value := range values {
				w.Header().Add(name, echo.Replace(value))
			}
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, echo.Replace(body))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

var anyToken = regexp.MustCompile(`007[\w+/]{6,}`)

func wantNoToken(t *testing.T, d *diagnosis) {
	t.Helper()
	if anyToken.MatchString(report(t, d)) {
		t.Error("the report holds the token")
	}
}

func TestAnswersAreInterpreted(t *testing.T) {
	const list = `{"data":{"count":0,"list":[]},"meta":{"cursor":"","total":0},"status":"ok"}`
	id := http.Header{"X-Request-Id": {"4711"}}
	for _, test := range []struct {
		name   string
		status int
		header http.Header
		body   string
		want   string
		remedy string
	}{
		{"list", 200, nil, list, certificateIsGood, ""},
		{"portal", 200, nil, "<html>Welcome</html>", "warning network: <server> answers 200 (not in JSON), and not with a list of agents", "--upstream"},
		{"another API", 200, nil, `{"data":[]}`, "warning network: <server> answers 200, and not with a list of agents", "--upstream"},
		{"redirect", 302, http.Header{"Location": {"/login"}}, "", "failed network: <server> answers 302, which the ConvoAI API does not do", "captive portal"},
		{"not enabled", 403, id, `{"detail":"not enabled","reason":"ServiceNotEnabled"}`, "failed account: <server> answers 403 (ServiceNotEnabled: not enabled): the project may not use the service", "request's ID 4711"},
		{"no route", 404, nil, `{"message":"no Route matched with those values"}`, "failed configuration: <server> answers 404 (no Route matched with those values): there is no ConvoAI API", "--area"},
		{"too many", 429, nil, `{"message":"API rate limit exceeded"}`, "warning account: <server> answers 429 (API rate limit exceeded): too many calls at the moment", "later"},
		{"broken", 500, id, "", "failed vendor: <server> answers 500: the vendor cannot serve calls at the moment", "request's ID 4711"},
		{"unavailable", 503, nil, "{}", "failed vendor: <server> answers 503: the vendor cannot serve calls at the moment", "status page"},
		{"a sidecar", 404, http.Header{"X-Convoai-Error": {"NotConvoAI"}}, `{}`, "failed configuration: <server> answers 404 as a sidecar does, not as the vendor", "leads to a sidecar"},
		{"an echo", 401, http.Header{"X-Request-Id": {"<credential>"}}, `{"message":"bad <credential>"}`, "failed configuration: the vendor refuses AGORA_APP_CERTIFICATE: <server> answers 401 ([not shown: it repeats a secret])", "same project"},
		{"an echo that is no JSON", 500, http.Header{"X-Request-Id": {"<credential>"}}, `bad <credential>`, "failed vendor: <server> answers 500 (not in JSON): the vendor cannot serve calls at the moment", "request's ID [not shown: it repeats a secret]"},
		{"no printable text", 500, nil, `{"detail":"\u001b[31m\u202e\r\nSet-Cookie"}`, "failed vendor: <server> answers 500 (?[31m? Set-Cookie): the vendor cannot serve calls at the moment", ""},
		{"endless text", 400, nil, `{"detail":"` + strings.Repeat("a", 5000) + `"}`, "failed network: <server> answers 400 (" + strings.Repeat("a", 160) + "…), which the ConvoAI API does not do", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := live(t, nil, 0, runFlags{upstreams: []string{saying(t, test.status, test.header, test.body)}})
			wantLive(t, d, test.want)
			if !strings.Contains(remedies(d), test.remedy) {
				t.Errorf("what to do is not %q but\n%s", test.remedy, remedies(d))
			}
			wantNoSecret(t, report(t, d), testAppCertificate)
			wantNoToken(t, d)
		})
	}
}

func TestUnavailableUpstreamHasTheNextOneAsked(t *testing.T) {
	vendor := newVendorOf(t, simulator.Options{})
	for _, status := range []int{502, 503, 504} {
		wantLive(t, live(t, nil, 0, runFlags{upstreams: []string{saying(t, status, nil, ""), vendor.url}}), certificateIsGood)
	}
	wantLive(t, live(t, nil, 0, runFlags{upstreams: []string{saying(t, 500, nil, ""), vendor.url}}),
		"failed vendor: <server> answers 500: the vendor cannot serve calls at the moment")
}

// What is not about the credential is said once, however many there are.
func TestVendorIsNotAskedAgainWhatItHasAnsweredForAll(t *testing.T) {
	env := map[string]string{"AGORA_APP_ID": testAppID, "AGORA_APP_CERTIFICATE": testAppCertificate, "AGORA_APP_CERTIFICATE_SECONDARY": otherCertificate}
	d := live(t, env, 0, runFlags{upstreams: []string{saying(t, 403, nil, `{}`)}})
	wantLive(t, d, "failed account: <server> answers 403: the project may not use the service")
}

// What answers in no way that HTTP knows may repeat the credential, too.
func TestBrokenAnswerIsNotShownWithTheCredential(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n"+r.Header.Get("Authorization")+"\r\n\r\n")
		_ = conn.Close()
	}))
	t.Cleanup(server.Close)
	d := live(t, nil, 0, runFlags{upstreams: []string{server.URL}})
	wantLive(t, d, "failed network: no answer to a call: [not shown: it repeats a secret]")
	wantNoToken(t, d)
}

func TestVendorCannotBeAskedWithoutAWay(t *testing.T) {
	d := live(t, nil, 0, runFlags{upstreams: []string{"https://127.0.0.1:" + refusing(t)}})
	wantLive(t, d, "warning network: not asked: no upstream can be reached")
}

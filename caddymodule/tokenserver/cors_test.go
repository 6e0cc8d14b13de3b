package tokenserver

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func TestOrigins(t *testing.T) {
	for source, want := range map[string]string{
		"https://app.example.com":         "https://app.example.com",
		"https://App.Example.com:443":     "https://app.example.com",
		"http://localhost:5173":           "http://localhost:5173",
		"http://localhost:80":             "http://localhost",
		"https://localhost:80":            "https://localhost:80",
		"http://[::1]:3000":               "http://[::1]:3000",
		"capacitor://localhost":           "capacitor://localhost",
		"https://xn--bcher-kva.example":   "https://xn--bcher-kva.example",
		"*":                               "",
		"https://*.example.com":           "",
		"null":                            "",
		"":                                "",
		"app.example.com":                 "",
		"//app.example.com":               "",
		"https://":                        "",
		"https://:443":                    "",
		"https://app.example.com/":        "",
		"https://app.example.com/path":    "",
		"https://app.example.com?q":       "",
		"https://app.example.com#f":       "",
		"https://user@app.example.com":    "",
		"https://app.example.com:":        "",
		"https://bücher.example":          "",
		"https://{env.HOST}":              "",
		"https://a.example https://b.com": "",
		"javascript:alert(1)":             "",
	} {
		got, err := parseOrigin(source)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", source, got, err, want)
		}
	}
}

func TestRequestsOfPages(t *testing.T) {
	const listed = "https://app.example.com"
	set, err := parseOrigins([]string{listed})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, host string
		tls        bool
		header     http.Header
		want       originStanding
	}{
		{"no browser", "tokens.example.com", true, http.Header{}, originNone},
		{"listed", "tokens.example.com", true, http.Header{"Origin": {listed}, "Sec-Fetch-Site": {"cross-site"}}, originListed},
		{"listed, of the same site", "tokens.example.com", true, http.Header{"Origin": {listed}, "Sec-Fetch-Site": {"same-site"}}, originListed},
		{"other", "tokens.example.com", true, http.Header{"Origin": {"https://evil.example"}}, originRefused},
		{"other scheme", "tokens.example.com", true, http.Header{"Origin": {"http://app.example.com"}}, originRefused},
		{"other port", "tokens.example.com", true, http.Header{"Origin": {listed + ":8443"}}, originRefused},
		{"longer", "tokens.example.com", true, http.Header{"Origin": {listed + ".evil.example"}}, originRefused},
		{"shorter", "tokens.example.com", true, http.Header{"Origin": {"https://example.com"}}, originRefused},
		{"opaque", "tokens.example.com", true, http.Header{"Origin": {"null"}}, originRefused},
		{"two", "tokens.example.com", true, http.Header{"Origin": {listed, "https://evil.example"}}, originRefused},
		{"list in one", "tokens.example.com", true, http.Header{"Origin": {listed + ", https://evil.example"}}, originRefused},
		{"own", "tokens.example.com", true, http.Header{"Origin": {"https://tokens.example.com"}}, originNone},
		{"own with a port", "tokens.example.com:8443", true, http.Header{"Origin": {"https://tokens.example.com:8443"}}, originNone},
		{"own with the usual port", "tokens.example.com:443", true, http.Header{"Origin": {"https://tokens.example.com"}}, originNone},
		{"own but for the port", "tokens.example.com:8443", true, http.Header{"Origin": {"https://tokens.example.com"}}, originRefused},
		{"own but for TLS", "tokens.example.com", true, http.Header{"Origin": {"http://tokens.example.com"}}, originRefused},
		{"own behind a proxy with TLS", "tokens.example.com", false, http.Header{"Origin": {"https://tokens.example.com"}}, originNone},
		{"own of another scheme", "localhost", false, http.Header{"Origin": {"capacitor://localhost"}}, originRefused},
		{"embedded by another page", "tokens.example.com", true, http.Header{"Sec-Fetch-Site": {"cross-site"}}, originRefused},
		{"embedded by a page of the site", "tokens.example.com", true, http.Header{"Sec-Fetch-Site": {"same-site"}}, originRefused},
		{"asked by the user", "tokens.example.com", true, http.Header{"Sec-Fetch-Site": {"none"}}, originNone},
		{"own page", "tokens.example.com", true, http.Header{"Sec-Fetch-Site": {"same-origin"}}, originNone},
	} {
		r := &http.Request{Host: test.host, Header: test.header}
		if test.tls {
			r.TLS = new(tls.ConnectionState)
		}
		if got := set.judge(r); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}

var corsHeaders = []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Methods",
	"Access-Control-Allow-Headers", "Access-Control-Max-Age", "Access-Control-Expose-Headers"}

func TestCORS(t *testing.T) {
	const body = `{"kind":"rtc","channel":"c","uid":1}`
	server := serve(t, "dialects rtc token-service chat-go\norigins https://app.example.com http://localhost:5173\n"+allowAll)
	from := func(origin string) map[string]string {
		return map[string]string{"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
	}
	const credentials, expose = "true", "X-Convoai-Error"
	for _, test := range []struct {
		name   string
		asked  asked
		status int
		want   []string // by corsHeaders
	}{
		{"preflight", asked{method: "OPTIONS", header: from("https://app.example.com")}, 204,
			[]string{"https://app.example.com", credentials, "POST, OPTIONS", "Content-Type, Authorization", "600", expose}},
		{"preflight of another listed one", asked{method: "OPTIONS", path: "/rtm/u/", header: from("http://localhost:5173")}, 204,
			[]string{"http://localhost:5173", credentials, "GET, OPTIONS", "Content-Type, Authorization", "600", expose}},
		{"preflight of rtc", asked{method: "OPTIONS", path: "/fetch_rtc_token", header: from("https://app.example.com")}, 200,
			[]string{"https://app.example.com", credentials, "POST, OPTIONS", "Content-Type, Authorization", "600", expose}},
		{"preflight of one not listed", asked{method: "OPTIONS", header: from("https://evil.example")}, 403, make([]string, 6)},
		{"request", asked{body: body, header: from("https://app.example.com")}, 200,
			[]string{"https://app.example.com", credentials, "", "", "", expose}},
		{"error", asked{body: "{", header: from("https://app.example.com")}, 400,
			[]string{"https://app.example.com", credentials, "", "", "", expose}},
		{"request of one not listed", asked{body: body, header: from("https://evil.example")}, 403, make([]string, 6)},
		{"simple request of one not listed", asked{path: "/fetch_rtc_token", body: `{"uid":1,"ChannelName":"c","role":2}`,
			header: map[string]string{"Origin": "https://evil.example", "Content-Type": "text/plain"}}, 403, make([]string, 6)},
		{"image of one not listed", asked{method: "GET", path: "/rtm/u/", header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}}, 403, make([]string, 6)},
		{"no browser", asked{body: body}, 200, make([]string, 6)},
		{"own page", asked{body: body, header: map[string]string{"Origin": "http://example.com"}}, 200, make([]string, 6)},
	} {
		got := ask(t, server, test.asked)
		if got.status != test.status || got.header.Get("Vary") != "Origin" || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v, %v", test.name, got, got.header)
		}
		for i, name := range corsHeaders {
			if got.header.Get(name) != test.want[i] {
				t.Errorf("%s: %s: %q, want %q", test.name, name, got.header.Get(name), test.want[i])
			}
		}
		if test.status != 200 && strings.Contains(got.body, "007") {
			t.Errorf("%s: a token was minted", test.name)
		}
		if test.status == 403 && got.header.Get("X-Convoai-Error") != "CrossSiteRequest" {
			t.Errorf("%s: %v", test.name, got.header)
		}
	}
}

// The server's error routes see the token server's own errors, and what they do
// not answer is answered as JSON.
func TestErrorRoutes(t *testing.T) {
	body := json.RawMessage(`{"handler":"static_response","body":"sorry: {http.convoai.error.reason} {http.error.status_code}","status_code":"{http.error.status_code}"}`)
	var h Handler
	server, err := newServer(t, caddyhttp.RouteList{{HandlersRaw: []json.RawMessage{asJSON(&h)}}}, func(s *caddyhttp.Server) {
		s.Errors = &caddyhttp.HTTPErrorConfig{Routes: caddyhttp.RouteList{{HandlersRaw: []json.RawMessage{body}}}}
	})
	if err != nil {
		t.Fatal(err)
	}
	got := ask(t, server, asked{body: `{"kind":"rtc","channel":"c","uid":1}`})
	if got.status != 403 || got.body != "sorry: NotAllowed 403" || got.header.Get("X-Convoai-Error") != "NotAllowed" || got.header.Get("Cache-Control") != "no-store" {
		t.Error(got, got.header)
	}
}

// Over a connection, with everything that net/http does.
func TestOverHTTP(t *testing.T) {
	front := httptest.NewServer(serve(t, allowAll))
	t.Cleanup(front.Close)
	for _, test := range []struct {
		name   string
		body   string
		status int
	}{
		{"chunked", `{"kind":"rtc","channel":"c","uid":1}`, 200},
		{"chunked and too large", strings.Repeat(" ", 8<<10) + `{"kind":"rtc","channel":"c","uid":1}`, 413},
	} {
		r, err := http.NewRequest(http.MethodPost, front.URL+"/token", struct{ *strings.Reader }{strings.NewReader(test.body)})
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = -1
		r.Header.Set("Content-Type", "application/json")
		res, err := front.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != test.status {
			t.Errorf("%s: %s", test.name, res.Status)
		}
	}
}

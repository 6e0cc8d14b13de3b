package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-convoai/convoai/simulator"
)

// newSimulator serves a strict vendor over TLS.
func newSimulator(t *testing.T, options simulator.Options) (s *simulator.Simulator, url string) {
	t.Helper()
	s, err := simulator.New(options)
	if err != nil {
		t.Fatal(err)
	}
	server, err := s.Listen("127.0.0.1:"+freePort(t), &certificate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return s, server.URL()
}

func TestJoinListAndLeaveAreAcceptedByAStrictVendor(t *testing.T) {
	s, url := newSimulator(t, simulator.Options{
		Projects:   []simulator.Project{{AppID: appA, AppCertificate: certificateA}},
		RequireRTM: true,
	})
	side := start(t, site(credentialsA, "upstream "+url, "transport http {\n tls_trust_pool file <CA>\n }"), envA...)

	join := side.send("POST", joinA, joinBody("room-7", "1001"))
	if join.StatusCode != http.StatusOK || !strings.Contains(join.body, `"agent_id"`) {
		t.Fatalf("join: %d %s", join.StatusCode, join.body)
	}
	_, id, _ := strings.Cut(join.body, `"agent_id":"`)
	id, _, _ = strings.Cut(id, `"`)
	if list := side.send("GET", listA, ""); list.StatusCode != http.StatusOK || !strings.Contains(list.body, id) {
		t.Errorf("list: %d %s", list.StatusCode, list.body)
	}
	if leave := side.send("POST", prefix+projectA+"/agents/"+id+"/leave", ""); leave.StatusCode != http.StatusOK {
		t.Errorf("leave: %d %s", leave.StatusCode, leave.body)
	}
	calls := s.Calls()
	if len(calls) != 3 {
		t.Fatalf("%d calls came, want 3", len(calls))
	}
	for _, call := range calls {
		if call.Verdict != simulator.Accepted {
			t.Errorf("%s: %s", call.Operation, call.Verdict)
		}
	}
}

func TestTheSameJoinWithoutTheSidecarIsUnauthorized(t *testing.T) {
	_, url := newSimulator(t, simulator.Options{Projects: []simulator.Project{{AppID: appA, AppCertificate: certificateA}}})
	up := newUpstream(t, nil) // for a client that trusts the CA
	res, err := up.Client().Post(url+joinA, "application/json", strings.NewReader(joinBody("room-7", "1001")))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d, want 401", res.StatusCode)
	}
}

func TestTokensAreForTheChannelAndAgentOfTheBody(t *testing.T) {
	for _, test := range []struct {
		name, method, path, body, channel, account string
	}{
		{"join", "POST", joinA, joinBody("room-7", "1001"), "room-7", "1001"},
		{"join without an agent uid", "POST", joinA, `{"properties":{"channel":"c","token":"given"}}`, "c", "0"},
		{"call", "POST", callA, joinBody("room-8", "42"), "room-8", "42"},
		{"list", "GET", listA, "", "stop", "0"},
		{"leave", "POST", leaveA, "", "stop", "0"},
		{"speak", "POST", speakA, `{"text":"hello"}`, "stop", "0"},
	} {
		for _, protocol := range []string{"1.1", "2"} {
			t.Run(test.name+" over HTTP "+protocol, func(t *testing.T) {
				t.Parallel()
				up := newUpstream(t, nil)
				side := start(t, site(credentialsA, strings.Replace(to(up), "http {", "http {\n versions "+protocol, 1)), envA...)
				if a := side.send(test.method, test.path, test.body); a.StatusCode != http.StatusOK || a.body != okBody {
					t.Fatalf("%d %s", a.StatusCode, a.body)
				}
				got := up.only(t)
				if !strings.HasPrefix(got.proto, "HTTP/"+protocol[:1]) {
					t.Errorf("sent over %s", got.proto)
				}
				if got.method != test.method || got.uri != test.path || got.body != test.body {
					t.Errorf("sent %s %s %s", got.method, got.uri, got.body)
				}
				checkToken(t, got.token(t), appA, certificateA, test.channel, test.account)
			})
		}
	}
}

func TestScopeAppSignsEverythingForNoChannel(t *testing.T) {
	up := newUpstream(t, nil)
	side := start(t, site(credentialsA, "scope app", to(up)), envA...)
	side.send("POST", joinA, joinBody("room-7", "1001"))
	checkToken(t, up.only(t).token(t), appA, certificateA, "stop", "0")
}

// What a client says of Authorization must not make a difference upstream, not
// even on the wire.
func TestTheClientsAuthorizationMakesNoDifference(t *testing.T) {
	w := newWire(t, nil)
	side := start(t, site(credentialsA, toPlain(w.url)), envA...)
	body := joinBody("room-7", "1001")
	tokens := map[string]bool{}
	for _, test := range []struct{ name, headers, body string }{
		{name: "none"},
		{name: "empty", headers: "Authorization:\r\n"},
		{name: "one", headers: "Authorization: agora token=007mine\r\n"},
		{name: "two", headers: "Authorization: agora token=007mine\r\nAuthorization: Basic bWluZTptaW5l\r\n"},
		{name: "one empty and one not", headers: "Authorization:\r\nAuthorization: mine\r\n"},
		{name: "mixed casing", headers: "aUTHORIZATION: mine\r\nauthorization: mine\r\n"},
		{name: "listed as a connection option", headers: "Authorization: mine\r\nConnection: close, Authorization\r\n"},
		{name: "listed in lower case", headers: "Connection: authorization\r\n"},
		{name: "listed in upper case", headers: "Connection: AUTHORIZATION,close\r\n"},
		{name: "listed on several lines", headers: "Connection: close\r\nconnection: aUtHoRiZaTiOn\r\nCONNECTION: Content-Type\r\n"},
		{name: "listed with everything else", headers: "Connection: Authorization, Host, Content-Length, Content-Type, X-Convoai-Instance\r\n"},
		{name: "underscores", headers: "Authorization_: mine\r\nX_Authorization: mine\r\n"},
		{name: "look-alikes", headers: "X-Original-Authorization: mine\r\nProxy-Authorization: Basic bWluZQ==\r\nX-Agora-Token: mine\r\n"},
		{
			name:    "trailer",
			headers: "Transfer-Encoding: chunked\r\nTrailer: Authorization\r\n",
			body:    fmt.Sprintf("%x\r\n%s\r\n0\r\nAuthorization: mine\r\n\r\n", len(body), body),
		},
		{
			name:    "trailer that was not announced",
			headers: "Transfer-Encoding: chunked\r\n",
			body:    fmt.Sprintf("%x\r\n%s\r\n0\r\nAuthorization: mine\r\n\r\n", len(body), body),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := len(w.received())
			request := "POST " + joinA + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + test.headers
			if !strings.Contains(strings.ToLower(test.headers), "close") {
				request += "Connection: close\r\n"
			}
			if test.body == "" {
				request += fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
			} else {
				request += "\r\n" + test.body
			}
			if answer := side.raw(request); !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
				t.Fatalf("answered %q", answer)
			}
			sent := w.received()[before:]
			if len(sent) != 1 {
				t.Fatalf("%d requests were sent, want 1", len(sent))
			}
			head, gotBody, _ := strings.Cut(sent[0], "\r\n\r\n")
			if gotBody != body {
				t.Errorf("sent the body %q", gotBody)
			}
			var values []string
			for _, line := range strings.Split(head, "\r\n")[1:] {
				name, value, _ := strings.Cut(line, ":")
				switch lower := strings.ToLower(name); {
				case lower == "authorization":
					values = append(values, strings.TrimSpace(value))
				case strings.Contains(lower, "authorization"), lower == "trailer", lower == "transfer-encoding", lower == "connection", lower == "x-agora-token":
					t.Errorf("sent %s", name)
				}
			}
			if len(values) != 1 || !strings.HasPrefix(values[0], "agora token=007") || strings.Contains(head, "mine") {
				t.Fatalf("%d Authorization values were sent, want one that is ours", len(values))
			}
			tokens[strings.TrimPrefix(values[0], "agora token=")] = true
		})
	}
	if len(tokens) != 1 {
		t.Fatalf("%d tokens were sent for one channel, want 1", len(tokens))
	}
	for token := range tokens {
		checkToken(t, token, appA, certificateA, "room-7", "1001")
	}
}

// The whole of what the vendor sees, so that nothing of the caller's network
// goes along.
func TestOnlyAllowedHeadersAreSent(t *testing.T) {
	w := newWire(t, nil)
	side := start(t, site(credentialsA, "allow_header X-Mine", toPlain(w.url)), envA...)
	side.send("GET", listA, "",
		"User-Agent: test/1", "Accept: */*", "X-Request-Id: 42", "Agora-Feature: live-models", "X-Mine: yes", "X-Fern-Language: Go",
		"Cookie: a=b", "X-Forwarded-For: 10.1.2.3", "X-Forwarded-Host: inner", "Forwarded: for=10.1.2.3", "Via: 1.1 inner",
		"Te: trailers", "Upgrade: h2c", "Http2-Settings: AAA", "Expect: 100-continue", "Idempotency-Key: 1", "X-Idempotency-Key: 1",
		"X-Agora-Uid: 1", "X-Other: no", "Origin: "+side.url)
	all := w.received()
	if len(all) != 1 {
		t.Fatalf("%d requests were sent", len(all))
	}
	head, _, _ := strings.Cut(all[0], "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	want := map[string]string{
		"Host": "127.0.0.1", "User-Agent": "test/1", "Accept": "*/*", "X-Request-Id": "42", "Agora-Feature": "live-models",
		"X-Mine": "yes", "X-Fern-Language": "Go", "Accept-Encoding": "gzip", "Authorization": "", "X-Convoai-Instance": "",
	}
	if want := "GET " + listA + " HTTP/1.1"; lines[0] != want {
		t.Errorf("sent %q, want %q", lines[0], want)
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		expected, ok := want[name]
		if !ok || expected != "" && expected != value {
			if name == "Authorization" {
				value = "…"
			}
			t.Errorf("sent %s: %s", name, value)
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s was not sent", name)
	}
}

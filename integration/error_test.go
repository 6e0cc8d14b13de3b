package integration

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// wantError checks that a is the sidecar's own error, in the vendor's shape.
func wantError(t *testing.T, a answer, status int, reason string) {
	t.Helper()
	var body map[string]string
	err := json.Unmarshal([]byte(a.body), &body)
	if a.StatusCode != status || err != nil || body["reason"] != reason || body["detail"] == "" || len(body) != 2 {
		t.Errorf("answered %d %q, want %d with reason %s", a.StatusCode, a.body, status, reason)
		return
	}
	if got := a.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("%s: Content-Type %q", reason, got)
	}
	if got := a.Header.Values("X-Convoai-Error"); len(got) != 1 || got[0] != reason {
		t.Errorf("%s: X-Convoai-Error %q", reason, got)
	}
}

// rawAnswer is raw for a single answer.
func (s *sidecar) rawAnswer(method, request string) answer {
	s.t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(s.raw(request))), &http.Request{Method: method})
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return answer{res, string(body)}
}

// ownErrors are the sidecar's own errors with calls that cause them at
// errorSites.
var ownErrors = []struct {
	name   string
	status int
	reason string
	cause  func(*sidecar) answer
	allow  string
}{
	{"no JSON", 400, "InvalidRequestBody", at("main.test", "POST", joinA, `{"properties":`), ""},
	{"no object", 400, "InvalidRequestBody", at("main.test", "POST", joinA, `[]`), ""},
	{"no body", 400, "InvalidRequestBody", at("main.test", "POST", joinA, ``), ""},
	{"no channel", 400, "InvalidRequestBody", at("main.test", "POST", joinA, `{"channel":"room","properties":{}}`), ""},
	{"empty channel", 400, "InvalidRequestBody", at("main.test", "POST", callA, joinBody("", "1")), ""},
	{"long channel", 400, "InvalidRequestBody", at("main.test", "POST", joinA, joinBody(strings.Repeat("c", 64), "1")), ""},
	{"no caller token", 401, "CallerNotAuthorized", at("caller.test", "GET", listA, ""), ""},
	{"wrong caller token", 401, "CallerNotAuthorized", at("caller.test", "GET", listA, "", "X-Convoai-Caller-Token: wrong"), ""},
	{"another project", 403, "ProjectNotConfigured", at("main.test", "GET", pathOf(appB, "/agents"), ""), ""},
	{"another origin", 403, "CrossSiteRequest", at("main.test", "GET", listA, "", "Origin: http://evil.test"), ""},
	{"an opaque origin", 403, "CrossSiteRequest", at("main.test", "GET", listA, "", "Origin: null"), ""},
	{"another site", 403, "CrossSiteRequest", at("main.test", "GET", listA, "", "Sec-Fetch-Site: cross-site"), ""},
	{"another port of this site", 403, "CrossSiteRequest", at("main.test", "GET", listA, "", "Sec-Fetch-Site: same-site"), ""},
	{"another host", 403, "HostNotAllowed", at("host.test", "GET", listA, ""), ""},
	{"another peer", 403, "PeerNotAllowed", at("peer.test", "GET", listA, ""), ""},
	{"another path", 404, "NotConvoAI", at("main.test", "GET", "/v2/projects", ""), ""},
	{"a query that is none", 404, "NotConvoAI", rawAt("GET", "GET "+listA+"?a=\xff HTTP/1.1\r\nHost: main.test\r\n"), ""},
	{"another method", 405, "MethodNotAllowed", at("main.test", "DELETE", listA, ""), "GET"},
	{"another method of two", 405, "MethodNotAllowed", at("main.test", "PUT", "/v2/phone-numbers", ""), "GET, POST"},
	{"HEAD", 405, "MethodNotAllowed", headAt, "GET"},
	{"TRACE", 405, "MethodNotAllowed", rawAt("TRACE", "TRACE "+listA+" HTTP/1.1\r\nHost: main.test\r\n"), "GET, POST, PATCH, DELETE"},
	{"CONNECT", 405, "MethodNotAllowed", rawAt("", "CONNECT main.test:443 HTTP/1.1\r\nHost: main.test:443\r\n"), "GET, POST, PATCH, DELETE"},
	{"a large body", 413, "BodyTooLarge", at("main.test", "POST", joinA, joinBody("room", strings.Repeat("1", 1024))), ""},
	{"a large body of unknown length", 413, "BodyTooLarge", rawAt("POST", "POST "+joinA+" HTTP/1.1\r\nHost: main.test\r\nTransfer-Encoding: chunked\r\n", "401\r\n"+strings.Repeat(" ", 0x401)+"\r\n0\r\n\r\n"), ""},
	{"a refused connection", 502, "UpstreamUnreachable", at("refused.test", "POST", joinA, joinBody("room", "1")), ""},
	{"an unknown name", 502, "UpstreamUnreachable", at("unresolved.test", "GET", listA, ""), ""},
	{"a broken connection", 502, "UpstreamConnectionLost", at("main.test", "POST", prefix+projectA+"/agents/break/speak", "{}"), ""},
	{"a broken connection of a GET", 502, "UpstreamConnectionLost", at("main.test", "GET", prefix+projectA+"/agents/break", ""), ""},
	{"an expired token", 503, "CredentialUnavailable", at("expired.test", "GET", listA, ""), ""},
	{"no answer", 504, "UpstreamTimeout", at("main.test", "POST", prefix+projectA+"/agents/stall/speak", "{}"), ""},
	{"no answer to a GET", 504, "UpstreamTimeout", at("main.test", "GET", prefix+projectA+"/agents/stall", ""), ""},
	{"a loop", 508, "LoopDetected", at("loop.test", "GET", listA, ""), ""},
}

// at calls a site.
func at(host, method, path, body string, headers ...string) func(*sidecar) answer {
	return func(s *sidecar) answer {
		return s.send(method, path, body, append([]string{"Host: " + host}, headers...)...)
	}
}

// rawAt sends a request with a head that net/http would not send, and perhaps a
// body.
func rawAt(method, head string, body ...string) func(*sidecar) answer {
	return func(s *sidecar) answer {
		return s.rawAnswer(method, head+"Connection: close\r\n\r\n"+strings.Join(body, ""))
	}
}

// headAt is HEAD, whose answer is read as if it could have a body.
func headAt(s *sidecar) answer {
	a := s.send("HEAD", listA, "", "Host: main.test")
	if a.body == "" {
		a.body = `{"detail":"a HEAD has no body","reason":"` + a.Header.Get("X-Convoai-Error") + `"}`
	}
	return a
}

// errorSites are the sites that ownErrors need, all on one listener, and each
// with the lines of extra.
func errorSites(t *testing.T, extra string) *sidecar {
	t.Helper()
	stop := make(chan struct{})
	up := newPlainUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "/break"):
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				reset(conn)
			}
		case strings.Contains(r.URL.Path, "/stall"):
			<-stop
		}
	})
	t.Cleanup(func() { close(stop) }) // before the upstream closes
	names := newResolver(t, nil)
	config := global
	for _, s := range []struct{ host, settings string }{
		{"main.test", credentialsA + "\nmax_body 1KiB\nresponse_timeout 1s\n" + toPlain(up.URL)},
		{"caller.test", credentialsA + "\ncaller_token {env.CALLER}\n" + toPlain(up.URL)},
		{"host.test", credentialsA + "\nallow_host other.test\n" + toPlain(up.URL)},
		{"peer.test", credentialsA + "\nallow_from 127.0.0.9\n" + toPlain(up.URL)},
		{"refused.test", credentialsA + "\n" + toPlain("http://127.0.0.1:"+freePort(t))},
		{"unresolved.test", credentialsA + "\nupstream https://none.upstream.test\ntransport http {\n resolvers " + names.address + "\n}"},
		{"expired.test", "app_id {env.A_ID}\nauth_token {env.EXPIRED}\n" + toPlain(up.URL)},
		{"loop.test", credentialsA + "\nupstream_private on\nupstream http://loop.test:<PORT>\ntransport http {\n resolvers " + newResolver(t, map[string]string{"loop.test": "127.0.0.1"}).address + "\n}"},
	} {
		config += "http://" + s.host + ":<PORT> {\nbind 127.0.0.1\nconvoai {\n" + s.settings + "\n}\n" + extra + "\n}\n"
	}
	config += "http://other.test:<PORT> {\nbind 127.0.0.1\nhandle_errors {\nrespond \"of another site\"\n}\nerror 418\n}\n"
	return start(t, config, append(envA, "CALLER=let-me-in", "EXPIRED="+preBuilt(t, time.Now().Add(-time.Minute)))...)
}

func TestOwnErrorsAreJSONInTheVendorsShape(t *testing.T) {
	s := errorSites(t, "")
	for _, test := range ownErrors {
		t.Run(test.name, func(t *testing.T) {
			a := test.cause(s)
			wantError(t, a, test.status, test.reason)
			if got := a.Header.Get("Allow"); got != test.allow {
				t.Errorf("Allow: %q, want %q", got, test.allow)
			}
		})
	}
}

func TestOwnErrorsGoThroughHandleErrors(t *testing.T) {
	s := errorSites(t, "handle_errors {\nheader Content-Type text/x-own\nrespond \"own {err.status_code} {http.convoai.error.reason}: {http.convoai.error.detail}\"\n}")
	for _, test := range ownErrors {
		if test.name == "HEAD" {
			continue // has no body
		}
		t.Run(test.name, func(t *testing.T) {
			a := test.cause(s)
			want := "own " + itoa(test.status) + " " + test.reason + ": "
			if a.StatusCode != test.status || !strings.HasPrefix(a.body, want) || len(a.body) == len(want) || a.Header.Get("Content-Type") != "text/x-own" {
				t.Errorf("answered %d %q, want %d %q", a.StatusCode, a.body, test.status, want+"…")
			}
			if got := a.Header.Get("X-Convoai-Error"); got != test.reason {
				t.Errorf("X-Convoai-Error %q, want %s", got, test.reason)
			}
			if got := a.Header.Get("Allow"); got != test.allow {
				t.Errorf("Allow: %q, want %q", got, test.allow)
			}
		})
	}
}

// A handle_errors that is about other statuses leaves the JSON.
func TestOwnErrorsStayJSONWhereHandleErrorsIsAboutOthers(t *testing.T) {
	s := errorSites(t, "handle_errors 418 {\nrespond \"a teapot\"\n}")
	for _, test := range ownErrors {
		t.Run(test.name, func(t *testing.T) { wantError(t, test.cause(s), test.status, test.reason) })
	}
}

// What the vendor answers is passed on, and can be told from our own.
func TestVendorsAnswersAreNotOurs(t *testing.T) {
	const body = `{"detail":"task conflict","reason":"TaskConflict"}`
	status := http.StatusOK
	up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Convoai-Error", "UpstreamTimeout")
		w.Header().Set("X-Request-Id", "42")
		w.Header().Set("X-Echo", "you sent "+r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
	s := start(t, site(credentialsA, to(up)), envA...)
	for _, status = range []int{200, 201, 301, 302, 307, 400, 403, 404, 409, 422, 429, 500, 502, 503, 504} {
		up.reset()
		a := s.send("POST", joinA, joinBody("room", "1"))
		if a.StatusCode != status || a.body != body || a.Header.Get("X-Request-Id") != "42" {
			t.Errorf("%d was passed on as %d %s", status, a.StatusCode, a.body)
		}
		if a.Header.Get("X-Convoai-Error") != "" || a.Header.Get("X-Echo") != "" {
			t.Errorf("%d: a header was passed on that must not be", status)
		}
		up.only(t)
	}
}

// A body that stops short is not sent as if it were whole.
func TestBodyThatStopsShortIsNotSent(t *testing.T) {
	up := newUpstream(t, nil)
	s := start(t, site(credentialsA, to(up)), envA...)
	conn, err := net.Dial("tcp", "127.0.0.1:"+s.port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(conn, "POST "+speakA+" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{\"text\":\"half a senten")
	_ = conn.(*net.TCPConn).CloseWrite()
	answered, _ := io.ReadAll(conn)
	if len(answered) > 0 && !strings.Contains(string(answered), "InvalidRequestBody") {
		t.Errorf("answered %q", answered)
	}
	up.untouched(t)
}

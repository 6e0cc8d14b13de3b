package integration

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// wantRefusal checks the answer to a CONNECT, and that nothing that comes behind it
// is read: the connection ends.
func wantRefusal(t *testing.T, conn io.Reader, res *http.Response, status int, reason string) {
	t.Helper()
	if res.StatusCode != status || res.Header.Get("X-Convoai-Error") != reason {
		t.Errorf("%d %s, want %d %s", res.StatusCode, res.Header.Get("X-Convoai-Error"), status, reason)
	}
	if !res.Close {
		t.Fatal("the connection goes on")
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("the connection does not end: %v", err)
	}
}

func TestConnectToOtherHostsIsRefused(t *testing.T) {
	up := newUpstream(t, nil)
	s := front(t, up, "")
	for _, target := range []string{
		"example.com:443", "api.agora.io.evil.test:443", "evilapi.agora.io:443", "agora.io:443", "www.agora.io:443", "api.agora.io.:443",
		"api.agora.io:80", "api.agora.io:8443", "api.agora.io:0443", "127.0.0.1:443", "127.0.0.1:" + up.port, "127.0.0.1:" + s.port, "[::1]:443", "localhost:443", "169.254.169.254:443",
		"2130706433:443", "user@api.agora.io:443", "user:pw@api.agora.io:443", "api.agora.io@example.com:443", "*.agora.io:443", "api.agora.io:443:443",
	} {
		t.Run(target, func(t *testing.T) {
			conn, res := s.connect(target)
			if res.StatusCode == http.StatusBadRequest { // net/http or Caddy itself
				return
			}
			wantRefusal(t, conn, res, http.StatusForbidden, "HostNotAllowed")
		})
	}
	up.untouched(t)
}

// What a client sends behind a CONNECT that is refused was meant for another host,
// whoever wrote it. It is no request to the sidecar.
func TestBytesBehindARefusedConnectAreNoRequest(t *testing.T) {
	up := newUpstream(t, nil)
	s := front(t, up, "")
	for _, target := range []string{"example.com:443", "api.agora.io:80", "/", "api.agora.io"} {
		read := s.raw("CONNECT " + target + " HTTP/1.1\r\nHost: api.agora.io\r\n\r\n" +
			"POST " + joinA + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
		if strings.Count(read, "HTTP/1.1 ") != 1 {
			t.Errorf("%s: answered\n%s", target, read)
		}
	}
	for _, head := range []string{"Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"} {
		read := s.raw("CONNECT api.agora.io:443 HTTP/1.1\r\nHost: api.agora.io:443\r\n" + head + "\r\nGET " + listA + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if !strings.HasPrefix(read, "HTTP/1.1 400 ") || strings.Count(read, "HTTP/1.1 ") != 1 {
			t.Errorf("with %q: answered\n%s", head, read)
		}
	}
	up.untouched(t)
}

// The name of the CONNECT, that of TLS and the Host of each request are the same, or
// nothing is sent.
func TestNamesOfAConnectionMustAgree(t *testing.T) {
	up := newUpstream(t, nil)
	s := front(t, up, "")
	for _, name := range []string{"api-eu-west-1.agora.io", "example.com", "127.0.0.1", ""} {
		conn, res := s.connect(vendorHost + ":443")
		if res.StatusCode != http.StatusOK {
			t.Fatal(res.Status)
		}
		// It is the sidecar that must refuse, and not the client's own check.
		secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: name})
		if err := secure.Handshake(); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("server name %q: %v", name, err)
		}
	}
	for _, host := range []string{
		"api-eu-west-1.agora.io", "api.agora.io.", "api.agora.io:80", "api.agora.io:8443", "localhost", "127.0.0.1:" + s.port, "example.com", "api.agora.io.evil.test",
	} {
		a := ask(t, s.inside(vendorHost), "GET "+listA+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		wantError(t, a, http.StatusForbidden, "HostNotAllowed")
		if !a.Close {
			t.Errorf("Host %s: the connection goes on", host)
		}
	}
	for _, target := range []string{"https://api-eu-west-1.agora.io", "http://127.0.0.1:" + s.port, "https://example.com"} {
		wantError(t, ask(t, s.inside(vendorHost), "GET "+target+listA+" HTTP/1.1\r\nHost: "+vendorHost+"\r\n\r\n"), http.StatusForbidden, "HostNotAllowed")
	}
	for _, authority := range []string{"api-eu-west-1.agora.io", "example.com", "localhost"} {
		secure := s.inside(vendorHost, "h2")
		if status, reason := h2Ask(t, secure, "GET", authority, listA); status != "403" || reason != "HostNotAllowed" {
			t.Errorf(":authority %s: %s %s", authority, status, reason)
		}
	}
	up.untouched(t)
	for _, host := range []string{"api.agora.io", "API.agora.io:443"} {
		if a := ask(t, s.inside(vendorHost), "GET "+listA+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); a.StatusCode != http.StatusOK {
			t.Errorf("Host %s: %d", host, a.StatusCode)
		}
	}
	if status, _ := h2Ask(t, s.inside(vendorHost, "h2"), "GET", vendorHost, listA); status != "200" {
		t.Errorf("HTTP/2: %s", status)
	}
}

// h2Ask sends one request on a connection that speaks HTTP/2.
func h2Ask(t *testing.T, conn io.ReadWriter, method, authority, path string) (status, reason string) {
	t.Helper()
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	var block strings.Builder
	encoder := hpack.NewEncoder(&block)
	fields := []hpack.HeaderField{{Name: ":method", Value: method}, {Name: ":authority", Value: authority}}
	if method != "CONNECT" {
		fields = append(fields, hpack.HeaderField{Name: ":scheme", Value: "https"}, hpack.HeaderField{Name: ":path", Value: path})
	}
	for _, field := range fields {
		if err := encoder.WriteField(field); err != nil {
			t.Fatal(err)
		}
	}
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte(block.String()), EndHeaders: true, EndStream: true}); err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		headers, ok := frame.(*http2.MetaHeadersFrame)
		if !ok {
			continue
		}
		for _, field := range headers.Fields {
			switch field.Name {
			case ":status":
				status = field.Value
			case "x-convoai-error":
				reason = field.Value
			}
		}
		return status, reason
	}
}

// There is no CONNECT with HTTP/2, and none within one.
func TestConnectIsForTheConnectionToTheSidecar(t *testing.T) {
	up := newUpstream(t, nil)
	s := intercepting(t, up)
	conn := s.open()
	if status, reason := h2Ask(t, conn, "CONNECT", vendorHost+":443", ""); status != "405" || reason != "MethodNotAllowed" {
		t.Errorf("HTTP/2: %s %s", status, reason)
	}
	wantError(t, ask(t, s.inside(vendorHost), "CONNECT "+vendorHost+":443 HTTP/1.1\r\nHost: "+vendorHost+":443\r\n\r\n"), http.StatusMethodNotAllowed, "MethodNotAllowed")
	if status, _ := h2Ask(t, s.inside(vendorHost, "h2"), "CONNECT", vendorHost+":443", ""); status != "405" {
		t.Errorf("HTTP/2 inside: %s", status)
	}
	up.untouched(t)
}

// A client need not wait for the answer to its CONNECT.
func TestBytesBehindAConnectAreNotLost(t *testing.T) {
	up := newUpstream(t, nil)
	s := front(t, up, "")
	conn := s.open()
	early := &together{Conn: conn, first: "CONNECT " + vendorHost + ":443 HTTP/1.0\r\n\r\n"}
	secure := tls.Client(early, &tls.Config{RootCAs: s.roots(), ServerName: vendorHost})
	if err := secure.Handshake(); err != nil {
		t.Fatal(err)
	}
	if a := ask(t, secure, "GET "+listA+" HTTP/1.1\r\nHost: "+vendorHost+"\r\n\r\n"); a.StatusCode != http.StatusOK {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	up.only(t)
}

// Gate and CONNECT have one rule of who may call.
func TestConnectIsForThoseWhoMayCall(t *testing.T) {
	up := newUpstream(t, nil)
	s := front(t, up, "", "allow_from 127.0.0.2")
	conn, res := s.connect(vendorHost + ":443")
	wantRefusal(t, conn, res, http.StatusForbidden, "PeerNotAllowed")
	up.untouched(t)
	if status := s.statusFrom("127.0.0.2"); status != http.StatusOK {
		t.Errorf("from 127.0.0.2: %d", status)
	}
	up.only(t)
}

// A caller token is the proxy's password, or comes with the request as ever.
func TestProxyPasswordIsTheCallerToken(t *testing.T) {
	up := newUpstream(t, nil)
	s := start(t, frontSite("", credentialsA, to(up), "caller_token {env.CALLER}",
		"app "+appB+" {\n app_certificate {env.B_CERT}\n caller_token {env.CALLER_B}\n }"),
		append([]string{"CALLER=canary-caller", "B_CERT=" + certificateB, "CALLER_B=canary-other"}, envA...)...)
	listB := strings.Replace(listA, appA, appB, 1)
	for _, test := range []struct {
		password, header, path string
		status                 int
	}{
		{"canary-caller", "", listA, 200},
		{"", "canary-caller", listA, 200},
		{"canary-other", "canary-caller", listA, 200},
		{"canary-other", "", listB, 200},
		{"", "", listA, 401},
		{"canary-wrong", "", listA, 401},
		{"canary-other", "", listA, 401},
		{"canary-caller", "", listB, 401},
		{"canary-caller", "canary-wrong", listA, 401},
	} {
		up.reset()
		for _, scheme := range []string{"https://", "http://"} {
			r, err := http.NewRequest("GET", scheme+vendorHost+test.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if test.header != "" {
				r.Header.Set("X-Convoai-Caller-Token", test.header)
			}
			res, err := s.proxiedClient(test.password).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != test.status {
				t.Errorf("%+v %s: %d", test, scheme, res.StatusCode)
			}
		}
		for _, got := range up.received() {
			if got.header.Get("Proxy-Authorization") != "" || got.header.Get("X-Convoai-Caller-Token") != "" {
				t.Error("the caller token went upstream")
			}
		}
	}
	s.stop()
	wantNowhere(t, append(s.files(), sink{"output", s.stdout.String() + s.stderr.String()}), map[string]string{"caller token": "canary-caller", "other caller token": "canary-other", "wrong caller token": "canary-wrong"})
}

// With proxy_auth required nobody gets past the proxy without the password.
func TestProxyPasswordCanBeRequired(t *testing.T) {
	up := newUpstream(t, nil)
	s := start(t, frontSite("proxy_auth required", credentialsA, to(up), "caller_token {env.CALLER}"), append([]string{"CALLER=canary-caller"}, envA...)...)
	for _, headers := range [][]string{nil, {"Proxy-Authorization: Basic dTpw"}, {"X-Convoai-Caller-Token: canary-caller"}} {
		conn, res := s.connect(vendorHost+":443", headers...)
		if res.Header.Get("Proxy-Authenticate") != `Basic realm="convoai"` {
			t.Error("there is no challenge")
		}
		wantRefusal(t, conn, res, http.StatusProxyAuthRequired, "CallerNotAuthorized")
		a := s.send("GET", listA, "", headers...)
		wantError(t, a, http.StatusProxyAuthRequired, "CallerNotAuthorized")
	}
	up.untouched(t)
	if res, err := s.proxiedClient("canary-caller").Get(vendorURL + listA); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("%v %v", res, err)
	}
	// A client that sends its password when it is asked for it.
	stdout, stderr, status := runProgram(t, nil, "curl", "-sS", "--proxy-anyauth", "-x", strings.Replace(s.url, "//", "//u:canary-caller@", 1), "--cacert", s.caFile(), vendorURL+listA)
	if status != 0 || !strings.Contains(stdout, okBody) {
		t.Errorf("status %d: %s%s", status, stdout, stderr)
	}
}

// A client that keeps its TLS handshake waiting does not keep anything.
func TestHandshakeThatDoesNotComeEnds(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes the time-out")
	}
	up := newUpstream(t, nil)
	s := front(t, up, "")
	conn, res := s.connect(vendorHost + ":443")
	if res.StatusCode != http.StatusOK {
		t.Fatal(res.Status)
	}
	if _, err := io.WriteString(conn, "\x16\x03\x01"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := bufio.NewReader(conn).ReadByte(); err == nil {
		t.Error("something came")
	}
	if took := time.Since(began); took > prompt {
		t.Errorf("it took %s", took)
	}
}

// Error routes see these refusals as they see the gate's.
func TestRefusedConnectGoesThroughHandleErrors(t *testing.T) {
	up := newUpstream(t, nil)
	s := start(t, strings.TrimSuffix(frontSite("", credentialsA, to(up)), "}\n")+"\thandle_errors {\n\t\trespond \"{http.convoai.error.reason}: {http.convoai.error.detail}\" 418\n\t}\n}\n", envA...)
	conn, res := s.connect("example.com:443")
	body, err := io.ReadAll(io.LimitReader(io.MultiReader(res.Body, conn), 1<<10))
	if res.StatusCode != http.StatusTeapot || !res.Close || !strings.Contains(string(body), "HostNotAllowed: CONNECT is for ConvoAI hosts") {
		t.Errorf("%s %s %v", res.Status, body, err)
	}
	conn, res = s.connect("localhost:443")
	if res.StatusCode != http.StatusTeapot || !res.Close {
		t.Error(res.Status)
	}
	_ = conn
	up.untouched(t)
}

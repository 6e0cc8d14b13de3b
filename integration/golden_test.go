package integration

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the upstream got into testdata/golden")

// What differs from one run to the next, or from one curl to the next.
var varying = []struct {
	pattern *regexp.Regexp
	becomes string
}{
	{regexp.MustCompile(`007[A-Za-z0-9+/]{60,}=*`), "<token>"},
	{regexp.MustCompile(`(X-Convoai-Instance: )[0-9a-f]{16}`), "$1<instance>"},
	{regexp.MustCompile(`(User-Agent: curl/)[0-9.]+`), "$1<version>"},
	{regexp.MustCompile(`(Content-Length: )\d+(\r\n(?s:.*)<token>"\}\})`), "$1<length>$2"},
}

const joinWithToken = `{"name":"agent","properties":{"channel":"room","agent_rtc_uid":"1","token":"given"}}`

// golden compares what the upstream got with a file, to the byte but for what
// varies.
func golden(t *testing.T, name string, got []string) {
	t.Helper()
	if len(got) != 1 {
		t.Fatalf("%d requests came to the upstream, want 1", len(got))
	}
	text := got[0]
	for _, v := range varying {
		text = v.pattern.ReplaceAllString(text, v.becomes)
	}
	if strings.Contains(strings.ToLower(text), "canary") {
		t.Error("something of the caller's came to the upstream that is not for it")
	}
	text = strings.ReplaceAll(text, "\r\n", "\n") + "\n"
	file := filepath.Join("testdata", "golden", name+".http")
	if *update {
		writeFile(t, file, text)
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("the upstream got\n%s\nwant\n%s", text, want)
	}
}

// program runs a program of this machine to its end; without it the test is
// skipped.
func program(t *testing.T, name string, args ...string) {
	t.Helper()
	file, err := exec.LookPath(name)
	if err != nil {
		t.Skip(name + " is not installed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, file, args...)
	cmd.Env = append(os.Environ(), "http_proxy=", "HTTP_PROXY=", "all_proxy=", "ALL_PROXY=", "no_proxy=*")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), `"agent_id"`) {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// The whole of what the vendor gets of a call, to the byte: nothing that curl
// adds by itself, that a proxy would add, or that the caller says of credentials
// and of other hops.
func TestUpstreamGetsOfCurlWhatIsDocumented(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
	}{
		{"curl-list", []string{listA + "?limit=20&state=2"}},
		{"curl-join", []string{joinA, "-H", "Content-Type: application/json", "-d", joinWithToken}},
		{"curl-join-filled", []string{joinA, "-H", "Content-Type: application/json", "-d", `{"properties":{"channel":"room","agent_rtc_uid":"1"}}`}},
		{"curl-form", []string{prefix + projectA + "/agents/agent/interrupt", "-X", "POST"}},
		{"curl-chunked", []string{joinA, "-H", "Content-Type: application/json", "-H", "Transfer-Encoding: chunked", "-d", joinWithToken}},
		{"curl-everything", []string{
			listA, "-H", "Accept-Encoding: gzip", "-A", "agent/1.0", "-e", "http://localhost/canary", "-u", "canary:canary", "-b", "canary=canary", "-H", "X-Request-Id: 17",
			"-H", "Connection: keep-alive, Authorization", "-H", "X-Forwarded-For: canary", "-H", "Forwarded: for=canary", "-H", "Via: 1.1 canary", "-H", "TE: canary",
			"-H", "Idempotency-Key: canary", "-H", "X-Convoai-Caller-Token: canary", "-H", "X-Other: canary", "-H", "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWire(t, nil)
			s := start(t, site(credentialsA, toPlain(w.url)), envA...)
			program(t, "curl", append([]string{"-q", "-sS", "--http1.1", "--noproxy", "*", s.url + test.args[0]}, test.args[1:]...)...)
			golden(t, test.name, w.received())
		})
	}
}

func TestUpstreamGetsOfPythonWhatIsDocumented(t *testing.T) {
	const script = `
import http.client, sys
port, method, path, body = sys.argv[1:]
connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
connection.request(method, path, body or None, {"Content-Type": "application/json", "Authorization": "Basic Y2FuYXJ5OmNhbmFyeQ=="} if body else {})
print(connection.getresponse().read().decode())
`
	for _, test := range []struct{ name, method, path, body string }{
		{"python-list", "GET", listA, ""},
		{"python-join", "POST", joinA, joinWithToken},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWire(t, nil)
			s := start(t, site(credentialsA, toPlain(w.url)), envA...)
			program(t, "python3", "-c", script, s.port, test.method, test.path, test.body)
			golden(t, test.name, w.received())
		})
	}
}

// What the vendor's Go SDK sends: its markers go on, its credential does not.
// Source: agora-agents-go core/request_option.go.
func TestUpstreamGetsOfTheVendorsSDKWhatIsDocumented(t *testing.T) {
	markers := []string{
		"User-Agent: github.com/AgoraIO/agora-agents-go/v2/v2.0.0", "X-Fern-Language: Go",
		"X-Fern-SDK-Name: github.com/AgoraIO/agora-agents-go/v2", "X-Fern-SDK-Version: v2.0.0",
		"Authorization: agora token=canary",
	}
	for _, test := range []struct {
		name, method, path, body string
		more                     []string
	}{
		{"sdk-join", "POST", joinA, joinWithToken, nil},
		{"sdk-join-preview", "POST", joinA, joinWithToken, []string{"agora-feature: live-models"}},
		{"sdk-query", "GET", prefix + projectA + "/agents/1NT29X10YHxxxxxWJOXLYHNYB", "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWire(t, nil)
			s := start(t, site(credentialsA, toPlain(w.url)), envA...)
			if a := s.send(test.method, test.path, test.body, append(markers, test.more...)...); a.StatusCode != 200 {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			golden(t, test.name, w.received())
		})
	}
}

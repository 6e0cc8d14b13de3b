package connect

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"reflect"
	"strings"
	"testing"
)

func TestWhatIsAnotherAPI(t *testing.T) {
	request := func(method, target string) *http.Request {
		return httptest.NewRequest(method, "https://api.agora.io"+target, nil)
	}
	for _, target := range []string{
		"/", "/v1/apps/x/cloud_recording/acquire", "/dev/v1/projects", "/v1/projects/x/rtsc/speech-to-text/tasks", "/v2/", "/v2/other", "/api/other/v2/projects", "/v1/100%25", "/v1/a%252Fb",
	} {
		if !isOther(request("GET", target)) {
			t.Errorf("%s is none", target)
		}
	}
	for _, target := range []string{
		"/api/conversational-ai-agent/v2/projects/x/join", "/cn/api/conversational-ai-agent/v2/projects/x/join", "/v2/projects/x/join", "/v2/projects/_/agents/",
		"/api/conversational-ai-agent/v2/projects/x/unknown", "/api/conversational-ai-agent", "/api//conversational-ai-agent/v2/projects/x/join",
		"/api/Conversational-AI-Agent/v2/projects/x/join", "/api/conversational%2Dai%2Dagent/v2/projects/x/join", "/x/../api/conversational-ai-agent/v2/projects/x/join",
		"/api/conversational-ai-agent/../../v1/apps", "/api/conversational%252Dai-agent/v2/projects/x/join", "/api/conversational%25252dai-agent/v2/projects/x/join",
	} {
		if isOther(request("POST", target)) {
			t.Errorf("%s is one", target)
		}
	}
	if isOther(request("TRACE", "/v1/apps")) {
		t.Error("TRACE is one")
	}
	options := request("OPTIONS", "/")
	options.URL.Path, options.RequestURI = "*", "*"
	if isOther(options) {
		t.Error("* is one")
	}
}

func TestHeadersOfOtherRequestsAreTheClients(t *testing.T) {
	in := httptest.NewRequest("POST", "https://api.agora.io/v1/apps?a=1;b=%zz", strings.NewReader("x"))
	sent := http.Header{
		"Authorization": {"Basic Y2xpZW50OnNlY3JldA=="}, "Cookie": {"a=b"}, "Forwarded": {"for=1"}, "X-Forwarded-For": {"192.0.2.1"}, "X-Forwarded-Proto": {"https"},
		"X-Forwarded-Host": {"h"}, "Via": {"1.1 x"}, "X-Custom": {"1", "2"}, "Idempotency-Key": {"k"}, "User-Agent": {"client/1"},
	}
	in.Header = sent.Clone()
	for name, value := range map[string]string{
		"X-Convoai-Caller-Token": "canary", "X-Convoai-Instance": "0123456789abcdef", "Connection": "Upgrade, X-Hop", "Upgrade": "websocket", "X-Hop": "1", "Proxy-Authorization": "Basic eDpjYW5hcnk=", "Te": "gzip",
	} {
		in.Header.Set(name, value)
	}
	var got *http.Request
	proxy := httputil.ReverseProxy{Rewrite: asTheClientSentIt, Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		got = r
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{}}, nil
	})}
	proxy.ServeHTTP(httptest.NewRecorder(), in)
	if !reflect.DeepEqual(got.Header, sent) {
		t.Errorf("sent %v\ncame %v", sent, got.Header)
	}
	if got.URL.RawQuery != "a=1;b=%zz" || got.URL.Path != "/v1/apps" || got.Method != "POST" {
		t.Errorf("%s %s", got.Method, got.URL)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestProxyPassword(t *testing.T) {
	for _, test := range []struct {
		values []string
		want   string
		given  bool
	}{
		{nil, "", false},
		{[]string{"Basic dTpw"}, "p", true},
		{[]string{"basic dTpw"}, "p", true},
		{[]string{"Basic  dTpw "}, "p", true},
		{[]string{"Basic OnA6cQ=="}, "p:q", true},
		{[]string{"Basic dTo="}, "", true},
		{[]string{"Basic dQ=="}, "", false},
		{[]string{"Basic %"}, "", false},
		{[]string{"Basic"}, "", false},
		{[]string{""}, "", false},
		{[]string{"Bearer dTpw"}, "", false},
		{[]string{"Basic dTpw", "Basic dTpw"}, "", false},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		if test.values != nil {
			r.Header["Proxy-Authorization"] = test.values
		}
		password, given := proxyPassword(r)
		if password != test.want || given != test.given {
			t.Errorf("%q: %q, %t", test.values, password, given)
		}
		if _, there := r.Header["Proxy-Authorization"]; there {
			t.Error("the header is still there")
		}
	}
}

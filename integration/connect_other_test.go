package integration

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

const otherPath = "/v1/apps/x/cloud_recording/acquire?a=1;b=%zz"

// post makes a request to another API of the vendor's, with headers of the client's.
func postOther(t *testing.T, s *sidecar, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequest("POST", vendorURL+otherPath, strings.NewReader(`{"cname":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Add(name, value)
	}
	res, err := s.proxiedClient("").Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res, string(body)}
}

func TestOtherPathsOfAnInterceptedHostAreRefused(t *testing.T) {
	up := newUpstream(t, nil)
	for name, s := range map[string]*sidecar{"directive": front(t, up, ""), "run": intercepting(t, up)} {
		a := postOther(t, s, "Authorization: "+basic("client", "canary"))
		wantError(t, a, http.StatusNotFound, "NotConvoAI")
		if t.Failed() {
			t.Log(name)
		}
	}
	up.untouched(t)
}

// Other APIs get what the client sent, and nothing of ours.
func TestOtherPathsCanBeForwarded(t *testing.T) {
	up := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "https://example.com/")
		w.Header().Set("X-Their", "1")
		w.WriteHeader(http.StatusTemporaryRedirect)
		_, _ = io.WriteString(w, "theirs")
	})
	for name, s := range map[string]*sidecar{"directive": front(t, up, "other_paths forward"), "run": intercepting(t, up, "--other-paths", "forward")} {
		t.Run(name, func(t *testing.T) {
			for _, authorization := range []string{basic("client", "its own"), ""} {
				up.reset()
				headers := []string{"Accept: */*", "Content-Type: application/json", "X-Custom: 1", "X-Custom: 2", "X-Convoai-Caller-Token: x", "Cookie: a=b", "User-Agent: client/1", "X-Forwarded-For: 192.0.2.1"}
				if authorization != "" {
					headers = append(headers, "Authorization: "+authorization)
				}
				a := postOther(t, s, headers...)
				if a.StatusCode != http.StatusTemporaryRedirect || a.body != "theirs" || a.Header.Get("Location") != "https://example.com/" || a.Header.Get("X-Their") != "1" || a.Header.Get("X-Convoai-Error") != "" {
					t.Errorf("%d %s %v", a.StatusCode, a.body, a.Header)
				}
				got := up.only(t)
				if got.method != "POST" || got.uri != otherPath || got.body != `{"cname":"x"}` {
					t.Errorf("%s %s %s", got.method, got.uri, got.body)
				}
				want := http.Header{
					"Accept": {"*/*"}, "Content-Type": {"application/json"}, "Content-Length": {"13"}, "X-Custom": {"1", "2"}, "Cookie": {"a=b"},
					"User-Agent": {"client/1"}, "X-Forwarded-For": {"192.0.2.1"}, "Accept-Encoding": {"gzip"}, // Go's client
				}
				if authorization != "" {
					want.Set("Authorization", authorization)
				}
				for name := range want {
					if strings.Join(got.header[name], "|") != strings.Join(want[name], "|") {
						t.Errorf("%s: %q came, %q was sent", name, got.header[name], want[name])
					}
				}
				for name, values := range got.header {
					if _, ok := want[name]; !ok {
						t.Errorf("%s: %q is not the client's", name, values)
					}
				}
			}
			// The calls themselves are not among them, nor what looks like one.
			up.reset()
			for _, path := range []string{prefix + "/v2/projects/" + appB + "/join", prefix + "/v2/unknown", "/cn" + prefix + "/../v1", "//" + prefix[1:] + "/v2/projects/" + appA + "/join"} {
				res, err := s.proxiedClient("").Post(vendorURL+path, "application/json", strings.NewReader("{}"))
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Body.Close()
				if res.StatusCode != http.StatusNotFound && res.StatusCode != http.StatusForbidden || res.Header.Get("X-Convoai-Error") == "" {
					t.Errorf("%s: %d", path, res.StatusCode)
				}
			}
			up.untouched(t)
		})
	}
}

// Without upstreams they go to the host that the client wanted, at a public address.
func TestOtherPathsGoToNoAddressInside(t *testing.T) {
	names := newResolver(t, map[string]string{vendorHost: "127.0.0.1"})
	s := start(t, frontSite("other_paths forward", credentialsA, "transport http {\n resolvers "+names.address+"\n}"), envA...)
	wantError(t, postOther(t, s), http.StatusBadGateway, "UpstreamUnreachable")
	if asked := names.names("agora.io"); len(asked) != 1 || asked[0] != vendorHost {
		t.Errorf("asked for %v", asked)
	}
}

// Who may not call may not have other requests passed on either.
func TestOtherPathsAreForCallers(t *testing.T) {
	up := newUpstream(t, nil)
	s := start(t, frontSite("other_paths forward", credentialsA, to(up), "caller_token {env.CALLER}"), append([]string{"CALLER=canary-caller"}, envA...)...)
	wantError(t, postOther(t, s), http.StatusUnauthorized, "CallerNotAuthorized")
	wantError(t, postOther(t, s, "X-Convoai-Caller-Token: wrong"), http.StatusUnauthorized, "CallerNotAuthorized")
	wantError(t, postOther(t, s, "X-Convoai-Caller-Token: canary-caller", "Origin: https://evil.test"), http.StatusForbidden, "CrossSiteRequest")
	up.untouched(t)
	if a := postOther(t, s, "X-Convoai-Caller-Token: canary-caller"); a.StatusCode != http.StatusOK {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	if got := up.only(t); got.header.Get("X-Convoai-Caller-Token") != "" {
		t.Error("the caller token went upstream")
	}
}

func TestOtherRequestThatBreaksIsNotRepeated(t *testing.T) {
	up := newUpstream(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	s := front(t, up, "other_paths forward")
	wantError(t, postOther(t, s), http.StatusBadGateway, "UpstreamConnectionLost")
	up.only(t)
}

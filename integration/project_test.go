package integration

import (
	"net/http"
	"strings"
	"testing"
)

func pathOf(appID, rest string) string { return prefix + "/v2/projects/" + appID + rest }

func TestEachAppGetsItsOwnCredential(t *testing.T) {
	up := newUpstream(t, nil)
	side := start(t, site(
		"app {env.A_ID} {\n app_certificate {env.A_CERT}\n}",
		"app "+appB+" {\n app_certificate {env.B_CERT}\n}",
		"app 11111111111111111111111111111111 {\n customer_id me\n customer_secret {env.SECRET}\n}",
		to(up)), append(envA, "B_CERT="+certificateB, "SECRET=mine")...)
	for _, test := range []struct{ appID, certificate string }{{appA, certificateA}, {appB, certificateB}, {appA, certificateA}} {
		up.reset()
		side.send("POST", pathOf(test.appID, "/join"), joinBody("room", "1"))
		got := up.only(t)
		if got.uri != pathOf(test.appID, "/join") {
			t.Errorf("sent to %s", got.uri)
		}
		checkToken(t, got.token(t), test.appID, test.certificate, "room", "1")
	}
	up.reset()
	side.send("POST", pathOf("11111111111111111111111111111111", "/join"), "{}")
	if up.only(t).authorization(t) != basic("me", "mine") {
		t.Error("not the third app's credential")
	}

	up.CloseClientConnections()
	up.reset()
	for _, appID := range []string{
		"22222222222222222222222222222222", strings.ToLower(appA), strings.ToUpper(appA), appA + "0", appA[:31], "x",
	} {
		wantError(t, side.send("POST", pathOf(appID, "/join"), joinBody("room", "1")), http.StatusForbidden, "ProjectNotConfigured")
		wantError(t, side.send("GET", pathOf(appID, "/agents"), ""), http.StatusForbidden, "ProjectNotConfigured")
	}
	up.untouched(t)
}

// A caller token of one app opens that app alone.
func TestCallerTokensAreEachAppsOwn(t *testing.T) {
	up := newUpstream(t, nil)
	side := start(t, site(
		"caller_token {env.SITE}",
		"app {env.A_ID} {\n app_certificate {env.A_CERT}\n}",
		"app "+appB+" {\n app_certificate {env.B_CERT}\n caller_token {env.ONLY_B}\n}",
		to(up)), append(envA, "B_CERT="+certificateB, "SITE=site-token", "ONLY_B=b-token")...)
	for _, test := range []struct {
		appID, token string
		status       int
	}{
		{appA, "site-token", http.StatusOK}, {appA, "b-token", http.StatusUnauthorized}, {appA, "", http.StatusUnauthorized},
		{appB, "b-token", http.StatusOK}, {appB, "site-token", http.StatusUnauthorized}, {appB, "b-token ", http.StatusOK},
		{appB, "b-tokem", http.StatusUnauthorized}, {appB, "b-tokenn", http.StatusUnauthorized},
	} {
		up.reset()
		var headers []string
		if test.token != "" {
			headers = append(headers, "X-Convoai-Caller-Token: "+test.token)
		}
		a := side.send("GET", pathOf(test.appID, "/agents"), "", headers...)
		if test.status == http.StatusOK {
			if a.StatusCode != http.StatusOK {
				t.Errorf("its own token: %d %s", a.StatusCode, a.body)
			} else if up.only(t).header.Get("X-Convoai-Caller-Token") != "" {
				t.Error("the caller token was sent on")
			}
			continue
		}
		wantError(t, a, test.status, "CallerNotAuthorized")
		if len(up.received()) != 0 {
			t.Error("an unauthorized call was sent")
		}
	}
}

// Whoever uses the parts without the gate gets nothing: not the caller's own
// request sent to the vendor either.
func TestPartsWithoutTheGateDialNothing(t *testing.T) {
	up := newPlainUpstream(t, nil)
	for _, test := range []struct{ name, block string }{
		{"transport with an upstream", "reverse_proxy 127.0.0.1:" + up.port + " {\n transport convoai\n}"},
		{"transport and source", "reverse_proxy {\n dynamic convoai\n transport convoai\n}"},
		{"source alone", "reverse_proxy {\n dynamic convoai\n}"},
		{"source and another transport", "reverse_proxy {\n dynamic convoai\n transport http\n}"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			side := start(t, global+"http://:<PORT> {\n bind 127.0.0.1\n "+test.block+"\n}\n")
			a := side.send("POST", joinA, joinBody("room", "1"), "Authorization: mine")
			if a.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("status %d, want 503", a.StatusCode)
			}
			if strings.Contains(test.block, "transport convoai") {
				wantError(t, a, http.StatusServiceUnavailable, "CredentialUnavailable")
			}
			up.untouched(t)
		})
	}
}

func TestPathIsSentInTheFormOfTheArea(t *testing.T) {
	const plain, cn = "/api/conversational-ai-agent", "/cn/api/conversational-ai-agent"
	for _, area := range []struct{ name, prefix string }{{"us", plain}, {"eu", plain}, {"ap", plain}, {"cn", cn}} {
		t.Run(area.name, func(t *testing.T) {
			t.Parallel()
			up := newUpstream(t, nil)
			side := start(t, site(credentialsA, "area "+area.name, to(up)), envA...)
			for _, accepted := range []string{plain, cn, ""} {
				for _, test := range []struct{ sent, want string }{
					{projectA + "/agents", projectA + "/agents"},
					{projectA + "/agents/", projectA + "/agents"},
					{projectA + "/agents?limit=2&state=2,3&cursor=a%2Fb", projectA + "/agents?limit=2&state=2,3&cursor=a%2Fb"},
					{"/v2/projects/_/agents", projectA + "/agents"},
					{projectA + "/agents/a%2Db/", projectA + "/agents/a-b"},
					{"/v2/phone-numbers/%2B4912345", "/v2/phone-numbers/+4912345"},
				} {
					up.reset()
					if a := side.send("GET", accepted+test.sent, ""); a.StatusCode != http.StatusOK {
						t.Errorf("%s: %d %s", accepted+test.sent, a.StatusCode, a.body)
						continue
					}
					if got := up.only(t).uri; got != area.prefix+test.want {
						t.Errorf("%s was sent to %s, want %s", accepted+test.sent, got, area.prefix+test.want)
					}
				}
			}
		})
	}
}

func TestPathsThatAreNotCanonicalAreRefused(t *testing.T) {
	up := newUpstream(t, nil)
	side := start(t, site(credentialsA, to(up)), envA...)
	for _, path := range []string{
		"/", "/v2", "/v3/projects/" + appA + "/agents", "//v2/projects/" + appA + "/agents", "/api" + projectA + "/agents",
		prefix + "//v2/projects/" + appA + "/agents", prefix + "/v2/projects/" + appA + "/../" + appB + "/agents",
		prefix + "/v2/projects/" + appA + "%2fagents", prefix + "/v2/projects/" + appA + "/agents/..%2f..%2fjoin",
		prefix + "/v2/projects/" + appA + "/./agents", prefix + "/v2/projects/" + appA + "/agents//",
		prefix + "/v2/projects/" + appA + "/%61gents", prefix + "/V2/projects/" + appA + "/agents",
		prefix + "/v2/projects/" + appA + "/agents/a%00b", prefix + "/v2/projects/" + appA + "/agents/a%252fb",
		prefix + "/v2/projects/" + appA + "/agents/;x", prefix + "/cn" + prefix + projectA + "/agents",
		prefix + "/v2/projects/" + appA + "/agents/%2e%2e", "/v1/apps/" + appA + "/cloud_recording/acquire",
	} {
		got := side.raw("GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 404 ") || !strings.Contains(got, `"reason":"NotConvoAI"`) {
			t.Errorf("%s: %q, want 404 NotConvoAI", path, got)
		}
	}
	up.untouched(t)
}

// The caller chooses neither host nor scheme nor port.
func TestHostAndSNIAreTheUpstreamsWithoutAPort(t *testing.T) {
	up := newUpstream(t, nil)
	names := newResolver(t, map[string]string{"api-one.upstream.test": "127.0.0.1"})
	side := start(t, site(credentialsA, "upstream_private on", "upstream https://api-one.upstream.test:"+up.port,
		"transport http {\n tls_trust_pool file <CA>\n resolvers "+names.address+"\n}"), envA...)
	for _, test := range []struct{ target, host string }{
		{listA, "localhost"},
		{listA, "localhost:1234"},
		{listA, "api.agora.io"},
		{"http://api-us-west-1.agora.io:80" + listA, "localhost"},
		{"https://localhost" + listA, "localhost"},
	} {
		up.reset()
		got := side.raw("GET " + test.target + " HTTP/1.1\r\nHost: " + test.host + "\r\nX-Forwarded-Host: evil.test\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Errorf("%s: %q", test.target, got)
			continue
		}
		if r := up.only(t); r.host != "api-one.upstream.test" || r.sni != "api-one.upstream.test" {
			t.Errorf("%s of Host %s: Host %s and SNI %s were sent", test.target, test.host, r.host, r.sni)
		}
	}
	up.reset()
	for _, target := range []string{"http://evil.test" + listA, "http://evil.test:80" + listA} {
		if got := side.raw("GET " + target + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); !strings.Contains(got, `"reason":"HostNotAllowed"`) {
			t.Errorf("%s: %q, want HostNotAllowed", target, got)
		}
	}
	if len(up.received()) != 0 {
		t.Error("a call for another host was sent")
	}
}

// A certificate for another name ends the attempt, and nothing falls back.
func TestUpstreamWithAnotherNamesCertificateGetsNothing(t *testing.T) {
	up := newUpstream(t, nil)
	names := newResolver(t, map[string]string{"other.upstream.test": "127.0.0.1"})
	side := start(t, site(credentialsA, "upstream_private on", "upstream https://other.upstream.test:"+up.port,
		"transport http {\n tls_trust_pool file <CA>\n resolvers "+names.address+"\n}"), envA...)
	wantError(t, side.send("POST", joinA, joinBody("room", "1")), http.StatusBadGateway, "UpstreamUnreachable")
	if len(up.received()) != 0 {
		t.Error("the upstream got a request")
	}
}

func TestAreaHostsAreAskedForInTheVendorsOrder(t *testing.T) {
	for _, test := range []struct {
		area       string
		unresolved []string // what is asked for when no name exists
	}{
		{"us", []string{"api-us-west-1.agora.io", "api-us-west-1.sd-rtn.com", "api-us-east-1.agora.io", "api-us-east-1.sd-rtn.com", "api.agora.io"}},
		{"eu", []string{"api-eu-west-1.agora.io", "api-eu-west-1.sd-rtn.com", "api-eu-central-1.agora.io", "api-eu-central-1.sd-rtn.com", "api.agora.io"}},
		{"ap", []string{"api-ap-southeast-1.agora.io", "api-ap-southeast-1.sd-rtn.com", "api-ap-northeast-1.agora.io", "api-ap-northeast-1.sd-rtn.com", "api.agora.io"}},
		{"cn", []string{"api-cn-east-1.sd-rtn.com", "api-cn-east-1.agora.io", "api-cn-north-1.sd-rtn.com", "api-cn-north-1.agora.io", "api.sd-rtn.com"}},
	} {
		t.Run(test.area, func(t *testing.T) {
			t.Parallel()
			names := newResolver(t, nil)
			side := start(t, site(credentialsA, "area "+test.area, "transport http {\n resolvers "+names.address+"\n}"), envA...)
			wantError(t, side.send("POST", joinA, joinBody("room", "1")), http.StatusBadGateway, "UpstreamUnreachable")
			if got := names.names(".agora.io", ".sd-rtn.com"); strings.Join(got, " ") != strings.Join(test.unresolved, " ") {
				t.Errorf("asked for %v, want %v", got, test.unresolved)
			}
		})
	}
}

// What goes wrong for another reason than a name goes to the next region first.
// A resolver that gives the vendor's names private addresses is a mistake or an
// attack, and gets no connection to write to.
func TestVendorNameWithAPrivateAddressGetsNothing(t *testing.T) {
	answers := map[string]string{}
	want := []string{"api-us-west-1.agora.io", "api-us-east-1.agora.io", "api.agora.io", "api-us-west-1.sd-rtn.com", "api-us-east-1.sd-rtn.com"}
	for i, name := range want {
		answers[name] = []string{"127.0.0.1", "127.0.0.2"}[i%2]
	}
	names := newResolver(t, answers)
	side := start(t, site(credentialsA, "transport http {\n resolvers "+names.address+"\n}"), envA...)
	wantError(t, side.send("POST", joinA, joinBody("room", "1")), http.StatusBadGateway, "UpstreamUnreachable")
	if got := names.names(".agora.io", ".sd-rtn.com"); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("asked for %v, want %v", got, want)
	}
}

func TestNameThatResolvesToAPrivateAddressNeedsPermission(t *testing.T) {
	up := newUpstream(t, nil)
	names := newResolver(t, map[string]string{"api-one.upstream.test": "127.0.0.1"})
	side := start(t, site(credentialsA, "upstream https://api-one.upstream.test:"+up.port,
		"transport http {\n tls_trust_pool file <CA>\n resolvers "+names.address+"\n}"), envA...)
	wantError(t, side.send("POST", joinA, joinBody("room", "1")), http.StatusBadGateway, "UpstreamUnreachable")
	if len(up.received()) != 0 {
		t.Error("the upstream got a request")
	}
	side.logged("which is no public address")
}

package tokenserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func TestIdentities(t *testing.T) {
	for source, ok := range map[string]bool{
		"":                                             true,
		"{http.auth.user.id}":                          true,
		"{http.auth.user.email}":                       true,
		"{http.request.tls.client.subject}":            true,
		"{http.request.tls.client.fingerprint}":        true,
		"{http.request.tls.client.san.emails.0}":       true,
		"{http.request.header.X-User}":                 true, // where it is removed, see below
		"{http.request.tls.client.san.emails}":         false,
		"{http.request.tls.client.certificate_pem}":    false,
		"{http.request.tls.server_name}":               false,
		"{http.auth.candidate.id}":                     false,
		"{http.auth.user.}":                            false,
		"{http.request.uri.query.user}":                false,
		"{http.request.cookie.user}":                   false,
		"{http.request.body}":                          false,
		"{http.request.remote.host}":                   false,
		"{http.request.header.*}":                      false,
		"{http.vars.user}":                             false,
		"{http.regexp.user}":                           false,
		"{http.reverse_proxy.header.X-User}":           false,
		"{env.USER}":                                   false,
		"http.auth.user.id":                            false,
		"ann":                                          false,
		"{http.auth.user.id}{http.request.header.X}":   false,
		"x{http.auth.user.id}":                         false,
		"{http.auth.user.id} ":                         false,
		"{http.auth.user.id:-{http.request.header.X}}": false,
	} {
		if _, err := parseIdentity(source); (err == nil) != ok {
			t.Errorf("%q: %v", source, err)
		}
	}
}

// A certificate says who is asking if it was verified. Caddy's client_auth modes
// request and require take any.
func TestIdentityOfAClientCertificate(t *testing.T) {
	leaf := &x509.Certificate{Subject: pkix.Name{CommonName: "ann"}, EmailAddresses: []string{"ann@example.com"}, Raw: []byte("x")}
	chains := [][]*x509.Certificate{{leaf}}
	for _, test := range []struct {
		name, placeholder string
		state             *tls.ConnectionState
		want              string
	}{
		{"verified", "subject", &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: chains}, "CN=ann"},
		{"verified, other field", "san.emails.0", &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: chains}, "ann@example.com"},
		{"field that is not there", "san.emails.1", &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: chains}, ""},
		{"not verified", "subject", &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{leaf}}, ""},
		{"early data", "subject", &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: chains}, ""},
		{"no certificate", "fingerprint", &tls.ConnectionState{HandshakeComplete: true}, ""},
		{"no TLS", "subject", nil, ""},
	} {
		i, err := parseIdentity("{http.request.tls.client." + test.placeholder + "}")
		if err != nil {
			t.Fatal(err)
		}
		var got string
		handler := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
			got = i.of(r)
			return nil
		})
		r := httptest.NewRequest(http.MethodPost, "/token", nil)
		r.TLS = test.state
		repl := caddyhttp.NewTestReplacer(r)
		r = r.WithContext(context.WithValue(r.Context(), caddy.ReplacerCtxKey, repl))
		if err := handler.ServeHTTP(httptest.NewRecorder(), r); err != nil {
			t.Fatal(err)
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// What removes the caller's copy of a header puts one in its place. Where there are
// several, something else is going on.
func TestIdentityOfAHeader(t *testing.T) {
	i, err := parseIdentity("{http.request.header.x-USER}")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		header http.Header
		want   string
	}{
		{http.Header{"X-User": {"ann"}}, "ann"},
		{http.Header{"X-User": {"ann\u00a0"}}, "ann\u00a0"},
		{http.Header{"X-User": {""}}, ""},
		{http.Header{"X-User": {"ann", "bob"}}, ""},
		{http.Header{"X-User": {"ann", "ann"}}, ""},
		{http.Header{"X_user": {"ann"}}, ""},
		{nil, ""},
	} {
		if got := i.of(&http.Request{Header: test.header}); got != test.want {
			t.Errorf("%q: %q, want %q", test.header, got, test.want)
		}
	}
}

// site is a site with the token server, which takes a header for who is asking,
// behind other directives.
func site(before string) string {
	return "http://:8080 {\n" + before + "\nconvoai_token_server {\napp_id " + appID + "\napp_certificate " + certificate + `
	allow {
		identity {header.X-User}
		channels *
		accounts {user}
	}
}
}`
}

// validate says what `caddy validate` says.
func validate(t *testing.T, text string) error {
	t.Helper()
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte("{\nadmin off\nauto_https off\n}\n"+text), nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return validateJSON(t, adapted)
}

func validateJSON(t *testing.T, text []byte) error {
	t.Helper()
	config := new(caddy.Config)
	if err := json.Unmarshal(text, config); err != nil {
		t.Fatal(err)
	}
	return caddy.Validate(config)
}

// A header is identity only where no caller's own copy can get.
func TestHeaderIdentityNeedsItsRemoval(t *testing.T) {
	const auth = "forward_auth localhost:9091 {\nuri /auth\ncopy_headers X-User\n}"
	for _, test := range []struct {
		name, before string
		ok           bool
	}{
		{"nothing", "", false},
		{"forward_auth", auth, true},
		{"forward_auth of other headers", strings.Replace(auth, "X-User", "X-Email X_User", 1), false},
		{"forward_auth that renames", strings.Replace(auth, "X-User", "Remote-User>X-User", 1), true},
		{"forward_auth that renames away", strings.Replace(auth, "X-User", "X-User>X-Other", 1), false},
		{"forward_auth for some paths", strings.Replace(auth, "localhost", "/token localhost", 1), false},
		{"removed", "request_header -X-User", true},
		{"removed in another case", "request_header -x-uSER", true},
		{"removed by its beginning", "request_header -X-*", true},
		{"removed by its end", "request_header -*-User", true},
		{"removed with all", "request_header -*", true},
		{"removed by another name", "request_header -X-Use", false},
		{"removed by its underscore form", "request_header -X_User", false},
		{"removed for some paths", "request_header /token -X-User", false},
		{"removed for some methods", "@post method POST\nrequest_header @post -X-User", false},
		{"removed by a placeholder", "request_header -{env.X}", false},
		{"set", "request_header X-User nobody", true},
		{"set to who is signed in", "request_header X-User {http.auth.user.id}", true},
		{"set to what the caller says", "request_header X-User {query.user}", false},
		{"set to what the caller says among other things", "request_header X-User \"{env.A} {cookie.user}\"", false},
		{"added", "request_header +X-User nobody", false},
		{"removed, then set to what the caller says", "route {\nrequest_header -X-User\nrequest_header X-User {header.X-Real-User}\n}", false},
		{"removed, then added to by the caller", "route {\nrequest_header -X-User\nrequest_header +X-User {query.u}\n}", false},
		{"removed, then set for some", "route {\nrequest_header -X-User\nrequest_header /a X-User {query.u}\n}", false},
		{"removed after", "route {\nrequest_header X-User {query.u}\nrequest_header -X-User\n}", true},
		{"removed, then replaced by the caller", "route {\nrequest_header -X-User\nrequest_header X-User a {query.u}\n}", false},
		{"removed in a handle block without a matcher", "handle {\nrequest_header -X-User\n}", true},
		{"removed in a handle block for some paths", "handle /token {\nrequest_header -X-User\n}", false},
		{"removed in a response alone", "header -X-User", false},
		{"removed on the way to an upstream", "reverse_proxy /x localhost:1 {\nheader_up -X-User\n}", false},
		{"answer that lets pass", "route {\nreverse_proxy localhost:1 {\nhandle_response {\nvars a b\n}\n}\n}", false},
		{"answer that lets pass after removal", "route {\nreverse_proxy localhost:1 {\nhandle_response {\nrequest_header -X-User\n}\n}\n}", true},
		{"two answers of which one removes", "route {\nreverse_proxy localhost:1 {\n@ok status 2xx\nhandle_response @ok {\nrequest_header -X-User\n}\nhandle_response {\nvars a b\n}\n}\n}", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := validate(t, site(test.before))
			if (err == nil) != test.ok {
				t.Errorf("%v", err)
			}
			if err != nil && (!strings.Contains(err.Error(), "identity: ") || !strings.Contains(err.Error(), "X-User")) {
				t.Errorf("the error does not say what to do: %v", err)
			}
		})
	}
}

func TestHeaderIdentityInOtherPlaces(t *testing.T) {
	const remove = "request_header -X-User\n"
	inner := func(text string) string {
		text = strings.TrimPrefix(text, "http://:8080 {\n")
		return strings.TrimSuffix(text, "}")
	}
	server := inner(site(""))
	for _, test := range []struct {
		name, text string
		ok         bool
	}{
		{"in a handle block, removed within", "http://:8080 {\nhandle /t/* {\n" + remove + server + "}\n}", true},
		{"in a handle block, removed before", "http://:8080 {\n" + remove + "handle {\n" + server + "}\n}", true},
		{"in a handle block, removed in another", "http://:8080 {\nhandle /a/* {\n" + remove + "}\nhandle {\n" + server + "}\n}", false},
		{"in a route block, before the removal", "http://:8080 {\nroute {\n" + server + remove + "}\n}", false},
		{"in a route block, after the removal", "http://:8080 {\nroute {\n" + remove + server + "}\n}", true},
		{"on a site of two, removed on the other", "http://a.test {\n" + remove + "}\nhttp://b.test {\n" + server + "}", false},
		{"on both sites of two, removed on one", "http://a.test {\n" + remove + server + "}\nhttp://b.test {\n" + server + "}", false},
		{"on both sites of two, removed on both", "http://a.test {\n" + remove + server + "}\nhttp://b.test {\n" + remove + server + "}", true},
		{"in a named route", "&(t) {\n" + server + "}\nhttp://:8080 {\n" + remove + "invoke t\n}", false},
		{"behind a named route that removes", "&(auth) {\n" + remove + "}\nhttp://:8080 {\nroute {\ninvoke auth\n" + server + "}\n}", true},
		{"behind a named route that sets", "&(auth) {\nrequest_header X-User {query.u}\n}\nhttp://:8080 {\nroute {\n" + remove + "invoke auth\n" + server + "}\n}", false},
		{"behind named routes that invoke each other", "&(a) {\ninvoke b\n}\n&(b) {\ninvoke a\n}\nhttp://:8080 {\nroute {\n" + remove + "invoke a\n" + server + "}\n}", false},
		{"behind an upstream, which no request gets past", "http://:8080 {\nroute {\nreverse_proxy localhost:1\n" + server + "}\n}", true},
		{"in an error route", "http://:8080 {\n" + remove + "handle_errors {\n" + server + "}\n}", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := validate(t, test.text); (err == nil) != test.ok {
				t.Errorf("%v", err)
			}
		})
	}
}

// Removals that a subroute's own error routes get around.
func TestHeaderIdentityBehindASubrouteWithErrors(t *testing.T) {
	config := func(errors string) []byte {
		return []byte(`{"admin":{"disabled":true},"apps":{"http":{"servers":{"s":{"listen":[":8080"],"routes":[{"handle":[
			{"handler":"subroute","routes":[{"handle":[{"handler":"headers","request":{"delete":["X-User"]}}]}]` + errors + `},
			{"handler":"convoai_token_server","app_id":"` + appID + `","app_certificate":"` + certificate + `","allow":[{"identity":"{http.request.header.X-User}"}]}]}]}}}}}`)
	}
	if err := validateJSON(t, config("")); err != nil {
		t.Error(err)
	}
	if validateJSON(t, config(`,"errors":{"routes":[{"handle":[{"handler":"vars"}]}]}`)) == nil {
		t.Error("accepted")
	}
}

// What a route does that no request gets past is of no matter behind it.
func TestHeaderIdentityBehindATerminalRoute(t *testing.T) {
	config := func(terminal string) []byte {
		return []byte(`{"admin":{"disabled":true},"apps":{"http":{"servers":{"s":{"listen":[":8080"],"routes":[
			{"handle":[{"handler":"headers","request":{"delete":["X-User"]}}]},
			{"match":[{"path":["/a"]}],"handle":[{"handler":"headers","request":{"set":{"X-User":["{http.request.uri.query.u}"]}}}]` + terminal + `},
			{"handle":[{"handler":"convoai_token_server","app_id":"` + appID + `","app_certificate":"` + certificate + `","allow":[{"identity":"{http.request.header.X-User}"}]}]}]}}}}}`)
	}
	if err := validateJSON(t, config(`,"terminal":true`)); err != nil {
		t.Error(err)
	}
	if validateJSON(t, config("")) == nil {
		t.Error("accepted")
	}
}

// With forward_auth, the user is whom the gateway says, whatever the caller says.
func TestForwardAuthSaysWhoIsAsking(t *testing.T) {
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user := r.Header.Get("Cookie"); user != "" {
			w.Header().Set("X-User", user)
		}
	}))
	t.Cleanup(gateway.Close)
	text := site("forward_auth " + gateway.URL + " {\nuri /auth\ncopy_headers X-User\n}")
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Apps struct {
			HTTP caddyhttp.App `json:"http"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(adapted, &config); err != nil {
		t.Fatal(err)
	}
	server, err := newServer(t, config.Apps.HTTP.Servers["srv0"].Routes, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		header map[string]string
		status int
	}{
		{"signed in", map[string]string{"Cookie": "ann"}, 200},
		{"signed in as another", map[string]string{"Cookie": "bob"}, 403},
		{"not signed in", nil, 403},
		{"not signed in, with a header", map[string]string{"X-User": "ann"}, 403},
		{"signed in as another, with a header", map[string]string{"Cookie": "bob", "X-User": "ann"}, 403},
		{"with a header that is to be dropped", map[string]string{"Cookie": "bob", "X-User": "ann", "Connection": "close, X-User"}, 403},
		{"with an underscore", map[string]string{"Cookie": "bob", "X_User": "ann"}, 403},
	} {
		got := ask(t, server, asked{body: `{"kind":"rtc","channel":"c","account":"ann"}`, header: test.header})
		if got.status != test.status {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestIdentityByRule(t *testing.T) {
	server := serve(t, `
		allow staff {
			identity {http.request.tls.client.subject}
			users CN=*
			channels *
			accounts *
		}
		allow users {
			channels room-*
			accounts {user}
		}`)
	body := func(channel, account string) string {
		return `{"kind":"rtc","channel":"` + channel + `","account":"` + account + `"}`
	}
	for _, test := range []struct {
		user, body string
		status     int
	}{
		{"ann", body("room-1", "ann"), 200},
		{"CN=ann", body("lobby", "ann"), 403},
		{"CN=ann", body("room-1", "CN=ann"), 200},
	} {
		if got := ask(t, server, asked{user: test.user, body: test.body}); got.status != test.status {
			t.Errorf("%s: %s: %v", test.user, test.body, got)
		}
	}
}

package tokenserver

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/caddy-convoai/convoai/token"
)

// The credentials of the vendor's published test vectors.
const (
	appID       = "970CA35de60c44645bbae8a215061b33"
	certificate = "5CFd2fd1755d40ecb72977518be15d3b"
)

func init() { caddy.RegisterModule(signIn{}) }

// signIn is an authentication provider that believes its callers.
type signIn struct{}

const signInHeader = "Test-Sign-In"

func (signIn) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.authentication.providers.test_sign_in", New: func() caddy.Module { return new(signIn) }}
}

func (*signIn) Authenticate(_ http.ResponseWriter, r *http.Request) (caddyauth.User, bool, error) {
	return caddyauth.User{ID: r.Header.Get(signInHeader)}, true, nil
}

// signInRoute is a handler with that provider.
var signInHandler = json.RawMessage(`{"handler":"authentication","providers":{"test_sign_in":{}}}`)

// serve returns a Caddy server with the directive of a Caddyfile, behind an
// authentication that takes the caller's word.
func serve(t testing.TB, directive string) http.Handler {
	t.Helper()
	var h Handler
	if err := h.UnmarshalCaddyfile(caddyfile.NewTestDispenser("convoai_token_server {\n" + directive + "\n}")); err != nil {
		t.Fatal(err)
	}
	return serveHandler(t, &h)
}

func serveHandler(t testing.TB, h *Handler) http.Handler {
	t.Helper()
	server, err := newServer(t, caddyhttp.RouteList{{HandlersRaw: []json.RawMessage{signInHandler, asJSON(h)}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// asJSON returns a handler with credentials.
func asJSON(h *Handler) json.RawMessage {
	with := *h
	with.AppID, with.AppCertificate = appID, certificate
	return caddyconfig.JSONModuleObject(&with, "handler", "convoai_token_server", nil)
}

// newServer provisions a server, without a listener.
func newServer(t testing.TB, routes caddyhttp.RouteList, change func(*caddyhttp.Server)) (http.Handler, error) {
	t.Helper()
	server := &caddyhttp.Server{Listen: []string{"127.0.0.1:0"}, Routes: routes, AutoHTTPS: &caddyhttp.AutoHTTPSConfig{Disabled: true}}
	if change != nil {
		change(server)
	}
	apps := caddy.ModuleMap{"http": caddyconfig.JSON(caddyhttp.App{Servers: map[string]*caddyhttp.Server{"test": server}}, nil)}
	ctx, err := caddy.ProvisionContext(&caddy.Config{
		Admin:   &caddy.AdminConfig{Disabled: true},
		Logging: &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{WriterRaw: json.RawMessage(`{"output":"discard"}`)}}}},
		AppsRaw: apps,
	})
	if err != nil {
		return nil, err
	}
	app, err := ctx.App("http")
	if err != nil {
		return nil, err
	}
	return app.(*caddyhttp.App).Servers["test"], nil
}

// asked is a request of a test.
type asked struct {
	user   string // who is signed in
	method string // default: POST
	path   string // default: /token
	body   string
	header map[string]string
}

// reply is the answer to it.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) String() string { return fmt.Sprintf("%d %s", r.status, strings.TrimSpace(r.body)) }

func ask(t testing.TB, server http.Handler, a asked) reply {
	t.Helper()
	if a.method == "" {
		a.method = http.MethodPost
	}
	if a.path == "" {
		a.path = "/token"
	}
	var body io.Reader
	if a.body != "" {
		body = strings.NewReader(a.body)
	}
	r := httptest.NewRequest(a.method, a.path, body)
	if a.method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set(signInHeader, a.user)
	for name, value := range a.header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	return reply{w.Code, w.Header(), w.Body.String()}
}

// member returns a member of a JSON answer.
func (r reply) member(t testing.TB, name string) any {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(r.body), &members); err != nil {
		t.Fatalf("%v: %v", r, err)
	}
	return members[name]
}

// granted parses and verifies a token.
func granted(t testing.TB, text string) *token.Token {
	t.Helper()
	parsed, err := token.Parse(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if err := parsed.Verify(certificate); err != nil {
		t.Fatal(err)
	}
	if age := time.Since(parsed.After(0)); age < 0 || age > time.Minute {
		t.Fatalf("issued %v ago", age)
	}
	return parsed
}

// spec is what a token holds, without what is of the moment.
func spec(t testing.TB, text string) string {
	t.Helper()
	parsed := granted(t, text)
	body, err := json.Marshal(token.Spec{Token: parsed})
	if err != nil {
		t.Fatal(err)
	}
	_, services, _ := strings.Cut(string(body), `"services":`)
	return fmt.Sprintf("%d %s", parsed.Expire, strings.TrimSuffix(services, "}"))
}

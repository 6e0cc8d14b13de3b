package caddymodule

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	caddy.RegisterModule(asker{})
	httpcaddyfile.RegisterHandlerDirective("convoai_asker", func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		return asker{}, nil
	})
}

// asker is a handler that reads the body and tells who is calling.
type asker struct{}

func (asker) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.convoai_asker", New: func() caddy.Module { return new(asker) }}
}

func (asker) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	_, err := io.Copy(io.Discard, r.Body)
	_, _ = io.WriteString(w, r.RemoteAddr)
	return err
}

// Routes for responses decide by who is calling, and may read the body.
func TestRoutesForResponsesGetTheCaller(t *testing.T) {
	for _, test := range []struct{ route, want string }{
		{"convoai_asker", "192.0.2.7:1"},
		{"@blocked remote_ip 192.0.2.0/24\nrespond @blocked blocked\nrespond open", "blocked"},
		{"reverse_proxy <OTHER>", "for 192.0.2.7"},
	} {
		other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "for "+r.Header.Get("X-Forwarded-For"))
		}))
		t.Cleanup(other.Close)
		route := strings.ReplaceAll(test.route, "<OTHER>", other.URL)
		server := serverOf(t, "order convoai_asker before respond", siteFor(t, "app_certificate {env.CERTIFICATE}",
			"allow_from 192.0.2.0/24", "upstream "+newScript(t).URL, "handle_response {\n"+route+"\n}"))
		r := httptest.NewRequest(http.MethodPost, "/v2/projects/_/join", strings.NewReader(joinText))
		r.Host, r.RemoteAddr = "localhost", "192.0.2.7:1"
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		if got := w.Body.String(); got != test.want {
			t.Errorf("%s: %d %q, want %q", test.route, w.Code, got, test.want)
		}
	}
}

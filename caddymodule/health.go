package caddymodule

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	caddy.RegisterModule(Health{})
	httpcaddyfile.RegisterHandlerDirective("convoai_health", parseHealth)
	httpcaddyfile.RegisterDirectiveOrder("convoai_health", httpcaddyfile.Before, "abort")
}

// Health answers those who ask whether the sidecar lives and whether it is ready:
// GET and HEAD of /livez and /readyz. All other paths are passed on.
//
// /livez is answered with 200 for as long as the process serves. /readyz is
// answered with 200 when each site has an app for which a credential can be made
// and a host that can be reached, and with 503 otherwise; the body, a [Readiness],
// says why. It is answered within a second: from what calls have found lately, and
// where there are none from probes, which are connections without a request, at
// most one per host in 2 s. What the vendor answers has no influence.
//
// Nobody is asked who he is: the answers say which hosts and which ends of App IDs
// are configured, and no more. Its place is a listener of its own, that those who
// ask can reach and callers need not; the paths are none of the API's, so that it
// can stand beside the convoai handler as well.
type Health struct {
	app *App
}

// CaddyModule returns the Caddy module information.
func (Health) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.convoai_health",
		New: func() caddy.Module { return new(Health) },
	}
}

// Provision finds the app that knows the sites.
func (h *Health) Provision(ctx caddy.Context) (err error) {
	h.app, err = AppOf(ctx)
	return err
}

// ServeHTTP implements [caddyhttp.MiddlewareHandler].
func (h *Health) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	path := r.URL.Path
	if path != livePath && path != readyPath {
		return next.ServeHTTP(w, r)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		writeHealth(w, http.StatusMethodNotAllowed, struct {
			Detail string `json:"detail"`
		}{"this path takes GET and HEAD"})
		return nil
	}
	if path == livePath {
		writeLive(w)
		return nil
	}
	if shuttingDown(r) {
		writeReadiness(w, unready(Reason{Reason: ReasonStopping}))
		return nil
	}
	writeReadiness(w, h.app.readiness(r.Context()))
	return nil
}

const (
	livePath  = "/livez"
	readyPath = "/readyz"
)

// shuttingDown reports whether the server of r is to end when its shutdown_delay is
// over.
func shuttingDown(r *http.Request) bool {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return false
	}
	down, _ := repl.Get("http.shutting_down")
	return down == true
}

func writeLive(w http.ResponseWriter) {
	writeHealth(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"live"})
}

func writeReadiness(w http.ResponseWriter, r Readiness) {
	status := http.StatusOK
	if !r.Ready() {
		status = http.StatusServiceUnavailable
	}
	writeHealth(w, status, r)
}

// writeHealth answers with JSON that nobody keeps.
func writeHealth(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{}`)
	}
	text = append(text, '\n')
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(text) // of a HEAD, net/http leaves it out
}

// parseHealth parses the directive:
//
//	convoai_health [<matcher>]
func parseHealth(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	health := new(Health)
	return health, health.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile sets up h, which has no options.
func (h *Health) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.ArgErr()
	}
	if d.NextBlock(0) {
		return d.Errf("convoai_health takes no options")
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Health)(nil)
	_ caddyhttp.MiddlewareHandler = (*Health)(nil)
	_ caddyfile.Unmarshaler       = (*Health)(nil)
)

package caddymodule

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"
)

func init() {
	caddy.RegisterModule(adminAPI{})
}

// adminAPI is what Caddy's admin API says of the sidecar:
//
//   - GET /convoai/status: a [Status]
//   - GET /convoai/readyz: the answer of [Health] to /readyz
//   - GET /convoai/livez: its answer to /livez
type adminAPI struct{}

// CaddyModule returns the Caddy module information.
func (adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.convoai",
		New: func() caddy.Module { return new(adminAPI) },
	}
}

// Routes implements [caddy.AdminRouter].
func (a adminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: "/convoai/status", Handler: caddy.AdminHandlerFunc(a.serveStatus)},
		{Pattern: "/convoai" + readyPath, Handler: caddy.AdminHandlerFunc(a.serveReady)},
		{Pattern: "/convoai" + livePath, Handler: caddy.AdminHandlerFunc(a.serveLive)},
	}
}

func (adminAPI) serveStatus(w http.ResponseWriter, r *http.Request) error {
	if err := onlyGet(r); err != nil {
		return err
	}
	app := runningApp()
	if app == nil {
		return caddy.APIError{
			HTTPStatus: http.StatusServiceUnavailable,
			Err:        errors.New("the configuration has neither a convoai handler nor a token server"),
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(w).Encode(app.status(r.Context()))
}

func (adminAPI) serveReady(w http.ResponseWriter, r *http.Request) error {
	if err := onlyGet(r); err != nil {
		return err
	}
	switch app := runningApp(); {
	case app != nil:
		writeReadiness(w, app.readiness(r.Context()))
	case caddy.Exiting():
		writeReadiness(w, unready(Reason{Reason: ReasonStopping}))
	default:
		writeReadiness(w, unready(Reason{Reason: ReasonNothingConfigured}))
	}
	return nil
}

func (adminAPI) serveLive(w http.ResponseWriter, r *http.Request) error {
	if err := onlyGet(r); err != nil {
		return err
	}
	writeLive(w)
	return nil
}

func onlyGet(r *http.Request) error {
	if r.Method == http.MethodGet {
		return nil
	}
	return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: errors.New("method not allowed")}
}

// runningApp returns the app of the configuration that runs, nil without one. The
// admin API is there before any app, and outlives a reload.
func runningApp() *App {
	app, err := caddy.ActiveContext().AppIfConfigured("convoai")
	if err != nil {
		return nil
	}
	return app.(*App)
}

// Interface guards
var _ caddy.AdminRouter = (*adminAPI)(nil)

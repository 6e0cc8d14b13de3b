package caddymodule

import (
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/caddy-convoai/convoai/cache"
)

func init() {
	caddy.RegisterModule(App{})
}

// App holds the defaults of all convoai handlers, and what outlives a reload of
// the configuration: the credential cache, and what the vendor's answers have
// taught.
type App struct {
	Settings

	state    *state
	projects []*project // of all handlers
	files    *follower
	now      func() time.Time

	unfilled map[string]bool // apps without a certificate that a warning has named; used while handlers are provisioned, one after another
}

var (
	states   = caddy.NewUsagePool()
	stateKey = "convoai"
)

// CaddyModule returns the Caddy module information.
func (App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "convoai",
		New: func() caddy.Module { return new(App) },
	}
}

// Provision takes hold of the shared state.
func (a *App) Provision(ctx caddy.Context) error {
	a.now = time.Now
	shared, _, err := states.LoadOrNew(stateKey, func() (caddy.Destructor, error) {
		return newState(cache.Config[tokenKey]{}), nil
	})
	if err != nil {
		return err
	}
	a.state = shared.(*state)
	return a.state.metrics.register(ctx.GetMetricsRegistry())
}

// Validate checks what can be checked of defaults that no handler has used.
func (a *App) Validate() error { return a.Settings.validate() }

// Start implements caddy.App. From here on the files of secrets are followed.
func (a *App) Start() error {
	a.files = follow(a.projects)
	return nil
}

// Stop implements caddy.App.
func (a *App) Stop() error {
	a.files.stop()
	return nil
}

// Cleanup lets go of the shared state, and of the tokens that no other
// configuration asks for.
func (a *App) Cleanup() error {
	if a.state == nil {
		return nil
	}
	for _, p := range a.projects {
		p.close()
		a.state.remove(p)
	}
	_, err := states.Delete(stateKey)
	return err
}

// appOf returns the convoai app of a configuration, which may not mention it.
func appOf(ctx caddy.Context) (*App, error) {
	app, err := ctx.App("convoai")
	if err != nil {
		return nil, err
	}
	return app.(*App), nil
}

// project evaluates one app's credentials for a handler with settings s.
func (a *App) project(c Credentials, s Settings, logger *zap.Logger) (*project, error) {
	p, err := newProject(c, s, a.state, logger, a.now)
	if err == nil {
		a.projects = append(a.projects, p)
		a.state.add(p)
	}
	return p, err
}

// Interface guards
var (
	_ caddy.App             = (*App)(nil)
	_ caddy.Provisioner     = (*App)(nil)
	_ caddy.Validator       = (*App)(nil)
	_ caddy.CleanerUpper    = (*App)(nil)
	_ caddyfile.Unmarshaler = (*App)(nil)
)

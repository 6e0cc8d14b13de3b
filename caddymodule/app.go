package caddymodule

import (
	"sync"
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
	gates    []*Gate
	fronts   []*Front
	sites    func() []*site // once all handlers are provisioned
	files    *follower
	events   *emitter
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
	a.sites = sync.OnceValue(a.listSites)
	shared, _, err := states.LoadOrNew(stateKey, func() (caddy.Destructor, error) {
		return newState(cache.Config[tokenKey]{}), nil
	})
	if err != nil {
		return err
	}
	a.state = shared.(*state)
	if a.events, err = newEmitter(ctx, a.state.metrics.eventsDropped, a.now); err != nil {
		return err
	}
	return a.state.metrics.register(ctx.GetMetricsRegistry())
}

// AppOf returns the convoai app of a configuration, which may not mention it.
func AppOf(ctx caddy.Context) (*App, error) {
	app, err := ctx.App("convoai")
	if err != nil {
		return nil, err
	}
	return app.(*App), nil
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
	a.events.wait()
	return nil
}

// Cleanup lets go of the shared state, and of the tokens that no other
// configuration asks for.
func (a *App) Cleanup() error {
	if a.state == nil {
		return nil
	}
	if a.events != nil {
		a.events.close()
	}
	for _, p := range a.projects {
		p.close()
		a.state.remove(p)
	}
	_, err := states.Delete(stateKey)
	return err
}

// project evaluates one app's credentials for a handler with settings s.
func (a *App) project(c Credentials, s Settings, logger *zap.Logger) (*project, error) {
	p, err := newProject(c, s, a.state, logger, a.now)
	if err == nil {
		p.events = a.events
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

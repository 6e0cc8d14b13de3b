package command

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"go.uber.org/zap"

	"github.com/caddy-convoai/convoai/caddymodule"
)

// A server is what the commands that serve without a configuration file have in
// common: one HTTP server in this process.
type server struct {
	// listen are Caddy network addresses.
	listen    []string
	accessLog bool
	// logLevel is the lowest level that is logged; "" means INFO.
	logLevel string
	// healthListen are the addresses of a server of their own that answers
	// /livez and /readyz; empty for none.
	healthListen []string
	// adminSocket is the path of the admin API's socket; "" means no admin API.
	adminSocket string
}

// serverName is the name of the HTTP server in the configuration, which error
// messages and metrics repeat.
const serverName = "convoai"

// healthName is that of the server that answers for the health.
const healthName = "convoai_health"

const (
	// gracePeriod is how long calls may take to end at shutdown. Container
	// runtimes wait for ten seconds before they kill: Caddy needs some of it.
	gracePeriod = 8 * time.Second

	// How long a request may take to come: its header, and its body, which may
	// not stop for longer, nor be slower than minBodyRate bytes per second.
	readHeaderTimeout = 10 * time.Second
	readBodyTimeout   = 10 * time.Second
	minBodyRate       = 10_000

	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
)

// configOf returns the Caddy configuration of s with routes.
func (s *server) configOf(routes caddyhttp.RouteList) *caddy.Config {
	server := serverOf(s.listen, routes)
	if s.accessLog {
		server.Logs = new(caddyhttp.ServerLogConfig)
	}
	app := caddyhttp.App{
		GracePeriod: caddy.Duration(gracePeriod),
		Servers:     map[string]*caddyhttp.Server{serverName: server},
	}
	if len(s.healthListen) > 0 {
		app.Servers[healthName] = serverOf(s.healthListen, healthRoutes())
	}
	// The http app brings the tls app along, which would keep house in Caddy's
	// storage. There is nothing in it that is ours.
	tls := caddytls.TLS{DisableStorageCheck: true, DisableStorageClean: true}
	return &caddy.Config{
		Admin:   s.admin(),
		Logging: s.logging(),
		AppsRaw: caddy.ModuleMap{
			"http": caddyconfig.JSON(app, nil),
			"tls":  caddyconfig.JSON(tls, nil),
		},
	}
}

// serverOf returns an HTTP server.
func serverOf(listen []string, routes caddyhttp.RouteList) *caddyhttp.Server {
	return &caddyhttp.Server{
		Listen:            listen,
		ReadHeaderTimeout: caddy.Duration(readHeaderTimeout),
		ReadIdleTimeout:   caddy.Duration(readBodyTimeout),
		ReadMinRate:       minBodyRate,
		IdleTimeout:       caddy.Duration(idleTimeout),
		MaxHeaderBytes:    maxHeaderBytes,
		Routes:            routes,
		// Nothing but what was asked for listens, and no certificate is made.
		AutoHTTPS: &caddyhttp.AutoHTTPSConfig{Disabled: true},
		Protocols: []string{"h1", "h2c"},
	}
}

// healthRoutes answer /livez and /readyz, and nothing else.
func healthRoutes() caddyhttp.RouteList {
	return caddyhttp.RouteList{{HandlersRaw: []json.RawMessage{
		caddyconfig.JSONModuleObject(new(caddymodule.Health), "handler", "convoai_health", nil),
		caddyconfig.JSONModuleObject(caddyhttp.StaticResponse{StatusCode: "404"}, "handler", "static_response", nil),
	}}}
}

func (s *server) admin() *caddy.AdminConfig {
	persist := false
	admin := &caddy.AdminConfig{Config: &caddy.ConfigSettings{Persist: &persist}}
	if s.adminSocket == "" {
		admin.Disabled = true
	} else {
		admin.Listen = "unix/" + s.adminSocket + "|0600"
	}
	return admin
}

// logging leaves the caller token out of whatever is logged of a request. Caddy
// itself leaves out Authorization and cookies. Of the admin API, only what goes
// wrong is logged: whoever asks for the health there asks all the time.
func (s *server) logging() *caddy.Logging {
	const encoder = `{"format":"filter","fields":{"request>headers>X-Convoai-Caller-Token":{"filter":"delete"}}}`
	logging := &caddy.Logging{Logs: map[string]*caddy.CustomLog{
		caddy.DefaultLoggerName: {BaseLog: caddy.BaseLog{
			Level:      s.logLevel,
			EncoderRaw: json.RawMessage(encoder),
		}},
	}}
	if s.adminSocket != "" {
		const requests = "admin.api"
		logging.Logs[caddy.DefaultLoggerName].Exclude = []string{requests}
		logging.Logs["admin"] = &caddy.CustomLog{
			BaseLog: caddy.BaseLog{Level: "WARN", EncoderRaw: json.RawMessage(encoder)},
			Include: []string{requests},
		}
	}
	return logging
}

// serve starts the server, with an admin API if there is a place for its socket,
// and announces it. It returns only if that fails; a signal ends the process with
// status 0.
func (s *server) serve(start func() (int, error), announce func()) (int, error) {
	caddy.TrapSignals()
	limitMemory()
	var err error
	if s.adminSocket, err = newAdminSocket(socketDirs()); err != nil {
		caddy.Log().Warn("no admin API: there is no folder for its socket", zap.Error(err))
	} else {
		caddy.OnExit(removeAtExit(s.adminSocket))
	}
	if status, err := start(); err != nil {
		if s.adminSocket != "" {
			_ = os.Remove(s.adminSocket)
		}
		return status, err
	}
	announce()
	select {}
}

// removeAtExit returns a function for [caddy.OnExit] that removes a file.
func removeAtExit(file string) func(context.Context) {
	return func(context.Context) { _ = os.Remove(file) }
}

// start runs config, which is about the module of an ID, in this process. It
// returns the exit status of what went wrong.
func (s *server) start(config *caddy.Config, module string) (int, error) {
	if err := s.checkFree(); err != nil {
		return exitFailed, err
	}
	if err := caddy.Run(config); err != nil {
		// The module's own words are about what the user gave; those around them
		// are about a configuration that nobody wrote.
		if _, problem, ok := strings.Cut(err.Error(), "provision "+module+": "); ok {
			return exitUnusable, errors.New(problem)
		}
		return exitFailed, err
	}
	return exitDone, nil
}

// checkFree reports an address of s that another program listens on.
func (s *server) checkFree() error {
	if err := checkFree(s.listen, "--listen"); err != nil {
		return err
	}
	return checkFree(s.healthListen, "--health-listen")
}

// urls returns where s can be reached, with the ports that were chosen.
func (s *server) urls() []string { return urlsOf(serverName) }

// urlsOf returns where the HTTP server of a name can be reached.
func urlsOf(name string) []string {
	var list []string
	if app, err := caddy.ActiveContext().AppIfConfigured("http"); err == nil {
		if server := app.(*caddyhttp.App).Servers[name]; server != nil {
			for _, ln := range server.Listeners() {
				list = append(list, listenerURL(ln.Addr().Network(), ln.Addr().String()))
			}
		}
	}
	return list
}

func listenerURL(network, address string) string {
	if caddy.IsUnixNetwork(network) {
		return "unix/" + address
	}
	return "http://" + address
}

// adminText says where the admin API is.
func (s *server) adminText() string {
	if s.adminSocket == "" {
		return "no admin API"
	}
	return "admin API on unix/" + s.adminSocket
}

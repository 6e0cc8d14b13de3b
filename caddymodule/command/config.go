package command

import (
	"encoding/json"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/logging"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/caddy-convoai/convoai/caddymodule"
)

// A sidecar is what a Caddy configuration is made of when there is no
// configuration file.
type sidecar struct {
	// listen are Caddy network addresses.
	listen []string
	// settings hold secrets as placeholders only: the configuration can be read
	// through the admin API.
	settings caddymodule.Settings
	// upstreamCA is the absolute path of a PEM file with the CAs to trust
	// instead of the system's. May be empty.
	upstreamCA string
	accessLog  bool
	// logLevel is the lowest level that is logged; "" means INFO.
	logLevel string
	// adminSocket is the path of the admin API's socket; "" means no admin API.
	adminSocket string
}

// serverName is the name of the HTTP server in the configuration, which error
// messages and metrics repeat.
const serverName = "convoai"

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

// config returns the Caddy configuration of s.
func (s *sidecar) config() *caddy.Config {
	server := &caddyhttp.Server{
		Listen:            s.listen,
		ReadHeaderTimeout: caddy.Duration(readHeaderTimeout),
		ReadIdleTimeout:   caddy.Duration(readBodyTimeout),
		ReadMinRate:       minBodyRate,
		IdleTimeout:       caddy.Duration(idleTimeout),
		MaxHeaderBytes:    maxHeaderBytes,
		Routes:            caddyhttp.RouteList{{HandlersRaw: s.handlers()}},
		// Nothing but what was asked for listens, and no certificate is made.
		AutoHTTPS: &caddyhttp.AutoHTTPSConfig{Disabled: true},
		Protocols: []string{"h1", "h2c"},
	}
	if s.accessLog {
		server.Logs = new(caddyhttp.ServerLogConfig)
	}
	app := caddyhttp.App{
		GracePeriod: caddy.Duration(gracePeriod),
		Servers:     map[string]*caddyhttp.Server{serverName: server},
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

func (s *sidecar) handlers() []json.RawMessage {
	var list []json.RawMessage
	if s.accessLog {
		list = accessLogFields()
	}
	var transport reverseproxy.HTTPTransport
	if s.upstreamCA != "" {
		transport.TLS = &reverseproxy.TLSConfig{
			CARaw: caddyconfig.JSONModuleObject(caddytls.FileCAPool{TrustedCACertPEMFiles: []string{s.upstreamCA}}, "provider", "file", nil),
		}
	}
	gate := &caddymodule.Gate{
		Settings:          s.settings,
		AccessLogFiltered: s.accessLog, // see logging
	}
	return append(list, caddymodule.Handlers(gate, &transport)...)
}

// accessLogFields returns the handlers that put what happened to a call into its
// access log line. They stand in front of the gate and act when it is done, so
// that refused calls have the fields, too: null where it did not come that far.
func accessLogFields() []json.RawMessage {
	var list []json.RawMessage
	// The innermost adds its field first.
	for _, field := range []struct{ key, placeholder string }{
		{"convoai_error", "{http.convoai.error.reason}"},
		{"convoai_auth_mode", "{http.convoai.auth_mode}"},
		{"convoai_attempts", "{http.convoai.attempts}"},
		{"convoai_region", "{http.convoai.region}"},
		{"convoai_upstream", "{http.convoai.upstream}"},
		{"convoai_operation", "{http.convoai.operation}"},
	} {
		handler := logging.LogAppend{Key: field.key, Value: field.placeholder}
		list = append(list, caddyconfig.JSONModuleObject(handler, "handler", "log_append", nil))
	}
	return list
}

func (s *sidecar) admin() *caddy.AdminConfig {
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
// itself leaves out Authorization and cookies.
func (s *sidecar) logging() *caddy.Logging {
	const encoder = `{"format":"filter","fields":{"request>headers>X-Convoai-Caller-Token":{"filter":"delete"}}}`
	return &caddy.Logging{Logs: map[string]*caddy.CustomLog{
		caddy.DefaultLoggerName: {BaseLog: caddy.BaseLog{
			Level:      s.logLevel,
			EncoderRaw: json.RawMessage(encoder),
		}},
	}}
}

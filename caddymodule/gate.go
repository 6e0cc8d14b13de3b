package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-convoai/convoai/region"
)

func init() {
	caddy.RegisterModule(Gate{})
}

// Gate decides whether a request is a ConvoAI call that may go out, and gets it
// ready: which operation of which app, its body, its credential. The handlers
// behind it, a reverse_proxy with the convoai upstream source and transport,
// then only carry the call. What the Gate refuses never reaches them.
//
// It sets these placeholders, which the access log and the handlers behind it
// can use:
//
// Placeholder | Description
// ------------|-------------
// `{http.convoai.operation}` | The operation, such as `join`
// `{http.convoai.app_id}` | The App ID of the call
// `{http.convoai.app_id_ends_in}` | Its last four digits, to name the app by in logs
// `{http.convoai.agent_id}` | The agent that the path names; of a join or call the one that the answer names, once that has come
// `{http.convoai.region}` | The region of the last attempt
// `{http.convoai.upstream}` | The host of the last attempt, with the port where that is not the usual one
// `{http.convoai.auth_mode}` | `app-credentials`, `token` or `basic`
// `{http.convoai.attempts}` | How many attempts were made
// `{http.convoai.duration.connect}` | How long the call waited for connections: looking up names, TCP and TLS, over all attempts
// `{http.convoai.duration.upstream}` | How long it waited for upstreams that it had a connection to, from the connection to the end of the answer
// `{http.convoai.duration.sidecar}` | All other time until now, or the end: the sidecar's own work, and the caller's sending and taking
// `{http.convoai.duration.*_ms}` | Each of the three in milliseconds
// `{http.convoai.error.reason}` | The reason of the sidecar's own error
// `{http.convoai.error.detail}` | Its text
type Gate struct {
	Settings

	// AccessLogFiltered says that the access log's format deletes the header
	// X-Convoai-Caller-Token, so that there is nothing to warn of. Default: off.
	AccessLogFiltered bool `json:"access_log_filtered,omitempty"`

	checks         []check
	projects       map[string]*project
	defaultProject *project
	access         *accessPolicy
	headers        *headerPolicy
	metrics        *metrics
	candidates     []region.Endpoint // in the order of the area, or of the configuration
	endpoints      *region.Group     // of them
	area           string
	paired         bool          // the reverse proxy behind it has been provisioned
	prober         region.Prober // that one's
	transport      *Transport    // that one's
	proxyOnly      bool          // no other handler gets its requests, by handle_response
	configured     bool          // endpoints are upstreams of the configuration
	prefix         string
	logFields      bool
	budget         time.Duration

	warned *atomic.Bool // of the access log
	logger *zap.Logger
	now    func() time.Time
}

// callerTokenHeader is where callers send the caller token.
const callerTokenHeader = "X-Convoai-Caller-Token"

// CaddyModule returns the Caddy module information.
func (Gate) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.convoai",
		New: func() caddy.Module { return new(Gate) },
	}
}

// Provision puts the handler's settings over those of the convoai app and
// evaluates them.
func (g *Gate) Provision(ctx caddy.Context) error {
	g.checks = checks
	g.logger, g.warned = ctx.Logger(), new(atomic.Bool)
	app, err := AppOf(ctx)
	if err != nil {
		return err
	}
	g.now, g.metrics = app.now, app.state.metrics
	if g.DialTimeout != 0 || g.TLSTimeout != 0 || g.ResponseTimeout != 0 {
		return errors.New("dial_timeout, tls_timeout and response_timeout belong into the transport behind this handler, or into the convoai app")
	}
	s := g.Settings.over(app.Settings).withDefaults()
	if err := s.validate(); err != nil {
		return err
	}
	if s.ExpiresIn > caddy.Duration(maxExpiresIn) {
		g.logger.Warn("expires_in is longer than a token can live: using 24h", zap.Duration("expires_in", time.Duration(s.ExpiresIn)))
		s.ExpiresIn = caddy.Duration(maxExpiresIn)
	}
	if err := g.provisionProjects(app, s); err != nil {
		return err
	}
	if g.access, err = newAccessPolicy(s.AllowFrom, s.AllowHost); err != nil {
		return err
	}
	if g.headers, err = newHeaderPolicy(s.AllowHeader); err != nil {
		return err
	}
	area, err := region.ParseArea(s.Area)
	if err != nil {
		return err
	}
	g.prefix = area.PathPrefix()
	endpoints := area.Endpoints()
	if len(s.Upstreams) > 0 {
		if endpoints, err = g.upstreams(s); err != nil {
			return err
		}
		g.configured = true
	}
	g.candidates, g.endpoints = endpoints, app.state.regions.Group(endpoints)
	g.area = s.Area
	app.gates = append(app.gates, g)
	app.standBehind(ctx, g)
	g.MaxBody = s.MaxBody
	g.logFields = *s.LogFields
	g.budget = time.Duration(s.FailoverBudget)

	// The literal values of secrets have no further use here.
	g.Settings = Settings{MaxBody: s.MaxBody}
	return nil
}

// Cleanup lets go of what is known of the upstreams.
func (g *Gate) Cleanup() error {
	if g.endpoints != nil {
		g.endpoints.Release()
	}
	return nil
}

func (g *Gate) provisionProjects(app *App, s Settings) error {
	apps := s.apps()
	if len(apps) == 0 {
		return errors.New("no app is configured: set app_id in the convoai directive or in the global option convoai")
	}
	g.projects = make(map[string]*project, len(apps))
	for i, credentials := range apps {
		p, err := app.project(credentials, s, g.logger)
		if err != nil {
			return err
		}
		if g.projects[p.appID] != nil {
			return errors.New("an app_id is configured twice")
		}
		g.projects[p.appID] = p
		if i == 0 {
			g.defaultProject = p
		}
	}
	app.warnOfUnfilled(g.projects, s, g.logger)
	return nil
}

// upstreams returns the configured upstreams.
func (g *Gate) upstreams(s Settings) ([]region.Endpoint, error) {
	var list []region.Endpoint
	for _, raw := range s.Upstreams {
		text, err := replace("upstream", raw)
		if err != nil {
			return nil, err
		}
		e, err := region.ParseUpstream(text, *s.UpstreamPrivate)
		if err != nil {
			return nil, err
		}
		if e.Scheme == "http" {
			g.logger.Warn("credentials go to an upstream without TLS", zap.String("upstream", e.String()))
		}
		list = append(list, e)
	}
	if len(list) > region.MaxEndpoints {
		return nil, fmt.Errorf("upstream: at most %d are possible", region.MaxEndpoints)
	}
	return list, nil
}

// ServeHTTP passes r on as a Call, or answers it.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if ambiguousEnd(r) {
		w.Header().Set("Connection", "close")
	}
	callerToken := callerTokenOf(r)
	// The reverse proxy's debug log shows the headers of the request. (Caddy's
	// access log has taken its copy by now.)
	r.Header.Del(callerTokenHeader)

	a := &arrival{w: w, r: r, callerToken: callerToken}
	call := &a.call
	call.timing.begin()
	defer g.end(r, call)
	if observing {
		if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
			repl.Map(call.placeholder)
		}
	}
	if refusal := g.admit(a); refusal != nil {
		if mayHoldBodyBack(r) {
			w.Header().Set("Connection", "close")
		}
		return g.refuse(w, r, call, refusal)
	}
	caddyhttp.SetVar(r.Context(), callVar, call)
	returned := false
	defer func() {
		if !returned { // it panics, as the reverse proxy does to break off an answer
			g.countAnswered(r, call)
		}
	}()
	err := next.ServeHTTP(w, call.toProxy(r, g.proxyOnly))
	returned = true
	if err == nil {
		g.countAnswered(r, call)
		return nil
	}
	err = ofUpstream(call, err)
	if leadsBack(r, err) {
		err = errLoopDetected.because(err)
	}
	if own, ok := errors.AsType[*callError](err); ok {
		return g.refuse(w, r, call, own)
	}
	status := http.StatusInternalServerError // as Caddy has it for other errors
	if failed, ok := errors.AsType[caddyhttp.HandlerError](err); ok {
		status = failed.StatusCode
	}
	g.count(call, status)
	return err
}

// end says that g is done with r, and has the access log tell how it went.
func (g *Gate) end(r *http.Request, call *Call) {
	call.end()
	if !observing || !g.logFields {
		return
	}
	if extra, ok := r.Context().Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Add(zap.Inline((*loggedCall)(call)))
	}
}

// ambiguousEnd reports whether a proxy in front may have seen another end of r,
// and a second request where there is none: beside Transfer-Encoding there may
// have been a Content-Length, and HTTP/1.0 has no Transfer-Encoding. net/http does
// not say so, and the connection has to be closed then (RFC 9112, 6.1).
func ambiguousEnd(r *http.Request) bool {
	return r.ProtoMajor == 1 && (r.ProtoMinor == 0 || len(r.TransferEncoding) > 0)
}

// mayHoldBodyBack reports whether the caller may hold the body of r back until it is
// asked for. On a connection that is to be kept, net/http would wait for the body
// before it answers: it does not see the Expect behind Caddy's reader of the body.
func mayHoldBodyBack(r *http.Request) bool {
	return r.ProtoMajor == 1 && len(r.Header["Expect"]) > 0
}

// onlyValue returns the value of a header that is sent once, "" for any other.
func onlyValue(values []string) string {
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

// countAnswered counts a request that was not refused. The reverse proxy has
// answered for a caller who has gone.
func (g *Gate) countAnswered(r *http.Request, call *Call) {
	status := call.status
	if status == 0 && r.Context().Err() != nil {
		status = statusClientClosedRequest
	}
	g.count(call, status)
	if status == http.StatusUnauthorized {
		g.metrics.unauthorized.WithLabelValues(call.project.mode).Inc()
	}
}

// count counts a request by the status of its answer; 0 is that of a handler
// which has answered in the place of the upstream.
func (g *Gate) count(call *Call, status int) {
	if !observing {
		return
	}
	operation := "none"
	if call.operation != nil {
		operation = call.operation.Name
	}
	if status != 0 {
		g.metrics.requested(operation, status)
	}
}

// refuse answers r with e and says so in the log: quietly, where the caller is
// at fault.
func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, call *Call, e *callError) error {
	call.reason = e.wire.Reason
	g.count(call, e.wire.Status)
	g.metrics.rejected.WithLabelValues(e.wire.Reason).Inc()
	level := zapcore.DebugLevel
	if e.wire.Status >= 500 {
		level = zapcore.ErrorLevel
	}
	if c := g.logger.Check(level, "call not carried out"); c != nil {
		fields := []zap.Field{
			zap.String("reason", e.wire.Reason),
			zap.Int("status", e.wire.Status),
			zap.String("remote", r.RemoteAddr),
		}
		if e.cause != nil {
			fields = append(fields, zap.Error(e.cause))
		}
		if call.project != nil {
			fields = append(fields, zap.String("operation", call.operation.Name),
				zap.String("upstream", call.endpoint.Host), zap.Int("attempts", call.attempts))
			if len(call.failures) > 0 {
				fields = append(fields, zap.Strings("failures", call.failures))
			}
		}
		c.Write(fields...)
	}
	if err := e.answer(w, r); err != nil {
		g.logger.Error("the error routes have failed", zap.Error(err))
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Gate)(nil)
	_ caddy.CleanerUpper          = (*Gate)(nil)
	_ caddyhttp.MiddlewareHandler = (*Gate)(nil)
)

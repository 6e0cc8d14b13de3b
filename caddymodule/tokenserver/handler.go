package tokenserver

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/caddymodule"
	"github.com/caddy-convoai/convoai/token"
)

func init() {
	caddy.RegisterModule(Handler{})
}

// Handler mints tokens for the people in a channel: their browsers and phones
// ask it over HTTP. It mints nothing that no rule in Allow grants. Requests to
// other paths than its own go to the next handler.
type Handler struct {
	// AppID is the app's ID: 32 hexadecimal digits, or placeholders such as
	// {env.X}. Default: the app of the global option convoai.
	AppID string `json:"app_id,omitempty"`

	// AppCertificate is the app's certificate, which tokens are signed with: 32
	// hexadecimal digits, or placeholders such as {file./run/secrets/x}, whose
	// file is followed. Default: that of the global option convoai for the app.
	AppCertificate string `json:"app_certificate,omitempty"`

	// AppCertificateSecondary is the app's secondary certificate. Default: none,
	// or, where AppCertificate has its default, that of the global option.
	AppCertificateSecondary string `json:"app_certificate_secondary,omitempty"`

	// Dialects are the token servers that are spoken besides POST /token: docker,
	// rtc, chat-go, chat-node or chat-python, chat-java, token-service. Default:
	// none.
	Dialects []string `json:"dialects,omitempty"`

	// Origins are the web origins, such as https://app.example.com, whose pages
	// may ask for tokens. Default: none but the server's own.
	Origins []string `json:"origins,omitempty"`

	// MaxBody is the largest request body in bytes, at most 1 MiB. Default: 8 KiB.
	MaxBody int64 `json:"max_body,omitempty"`

	// Allow are the rules. A request needs one rule that grants all of it.
	// Default: none, so that nothing is minted.
	Allow []Rule `json:"allow,omitempty"`

	signer     *caddymodule.TokenSigner
	places     *places
	origins    origins
	rules      []*rule
	identities []identity // of the rules, each once
	denials    *throttle
	logger     *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.convoai_token_server",
		New: func() caddy.Module { return new(Handler) },
	}
}

// The limits of max_body in bytes: a request is held in memory.
const (
	defaultMaxBody = 8 << 10
	maxMaxBody     = 1 << 20
)

var (
	errMaxBody  = errors.New("max_body must be a size larger than 0 and at most 1MiB, such as 8KiB")
	errRuleName = errors.New("another rule has the same name")
)

// Provision evaluates the settings.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.logger = ctx.Logger()
	if h.MaxBody == 0 {
		h.MaxBody = defaultMaxBody
	}
	if h.MaxBody < 0 || h.MaxBody > maxMaxBody {
		return errMaxBody
	}
	if err := checkDialects(h.Dialects); err != nil {
		return err
	}
	var err error
	if h.origins, err = parseOrigins(h.Origins); err != nil {
		return err
	}
	if err := h.provisionRules(ctx); err != nil {
		return err
	}
	app, err := caddymodule.AppOf(ctx)
	if err != nil {
		return err
	}
	h.signer, err = app.TokenSigner(caddymodule.Credentials{
		AppID:                   h.AppID,
		AppCertificate:          h.AppCertificate,
		AppCertificateSecondary: h.AppCertificateSecondary,
	}, h.logger)
	if err != nil {
		return err
	}
	// The literal values of secrets have no further use here.
	h.AppCertificate, h.AppCertificateSecondary = "", ""
	h.places = newPlaces(h.Dialects)
	h.denials = newThrottle(time.Now)
	h.warn()
	return nil
}

func (h *Handler) provisionRules(ctx caddy.Context) error {
	h.rules = make([]*rule, 0, len(h.Allow))
	for i := range h.Allow {
		compiled, err := h.Allow[i].compile(i + 1)
		if err != nil {
			return fmt.Errorf("allow %d: %w", i+1, err)
		}
		from, err := parseIdentity(h.Allow[i].Identity)
		if err != nil {
			return fmt.Errorf("allow %s: %w", compiled.name, err)
		}
		if slices.ContainsFunc(h.rules, func(other *rule) bool { return other.name == compiled.name }) {
			return fmt.Errorf("allow %s: %w", compiled.name, errRuleName)
		}
		if compiled.identity = slices.Index(h.identities, from); compiled.identity < 0 {
			compiled.identity = len(h.identities)
			h.identities = append(h.identities, from)
		}
		h.rules = append(h.rules, compiled)
	}
	var headers []string
	for _, from := range h.identities {
		if from.header != "" {
			headers = append(headers, from.header)
		}
	}
	if err := checkRemoval(ctx, headers); err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	return nil
}

// ServeHTTP answers what is asked at one of the token server's paths.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	at, params := h.places.find(r.URL)
	if at == nil {
		return next.ServeHTTP(w, r)
	}
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	standing := h.origins.judge(r)
	standing.setHeaders(header, r)
	e := &at.endpoints[0]
	switch {
	case standing == originRefused:
		h.logCrossSite(r)
		return h.refuse(w, r, e, errCrossSite)
	case r.Method == http.MethodOptions:
		status := e.preflight
		if status == 0 {
			status = http.StatusNoContent
		}
		standing.preflight(w, at.allow, status)
		h.signer.Answered(status, "")
		return nil
	}
	e, refused := at.endpoint(r)
	if refused != nil {
		if refused.status == http.StatusMethodNotAllowed {
			header.Set("Allow", at.allow)
		}
		return h.refuse(w, r, e, refused)
	}
	granted, refused := h.grant(e, r, params)
	if refused != nil {
		return h.refuse(w, r, e, refused)
	}
	h.signer.Answered(http.StatusOK, "")
	write(w, http.StatusOK, e.granted(granted))
	return nil
}

// grant reads what is asked for, decides about it, and mints it: all tokens of a
// request or none.
func (h *Handler) grant(e *endpoint, r *http.Request, params []string) ([]minted, *refusal) {
	if e.read == nil {
		return nil, nil
	}
	if err := checkSegments(params); err != nil {
		return nil, malformed(err.Error())
	}
	in := &input{params: params, query: r.URL.RawQuery}
	if e.body != noBody {
		var refused *refusal
		if in.body, refused = readBody(r, h.MaxBody); refused != nil {
			return nil, refused
		}
	}
	wishes, err := e.read(in)
	if err != nil {
		return nil, malformed(err.Error())
	}
	for i := range wishes {
		if err := wishes[i].check(); err != nil {
			return nil, malformed(err.Error())
		}
	}
	users := make([]string, len(h.identities))
	for i := range h.identities {
		users[i] = h.identities[i].of(r)
	}
	d := decide(h.rules, wishes, users)
	if d.rule == nil {
		h.logDenial(r, e, wishes, users, d)
		return nil, errNotAllowed
	}
	return h.mint(wishes, d.rule)
}

func (h *Handler) mint(wishes []wish, by *rule) ([]minted, *refusal) {
	list := make([]minted, 0, len(wishes))
	for i := range wishes {
		m, err := mint(h.signer, &wishes[i], by)
		if outOfRange, ok := errors.AsType[*token.RangeError](err); ok {
			return nil, malformed(outOfRange.Error())
		}
		if err != nil {
			h.logger.Error("a token was granted and could not be made", zap.Error(err))
			return nil, errUnsigned
		}
		list = append(list, m)
		h.logGrant(&m, by)
	}
	return list, nil
}

// refuse answers without a token, in the shape of the dialect.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, e *endpoint, why *refusal) error {
	h.signer.Answered(why.status, why.reason)
	h.logRefusal(r, why)
	if e.refused == nil {
		err := caddymodule.AnswerError(w, r, api.Error{Status: why.status, Reason: why.reason, Detail: why.detail})
		if err != nil {
			h.logger.Error("the error routes have failed", zap.Error(err))
		}
		return nil
	}
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Set("http.convoai.error.reason", why.reason)
		repl.Set("http.convoai.error.detail", why.detail)
	}
	w.Header().Set("X-Convoai-Error", why.reason)
	write(w, why.status, e.refused(why))
	return nil
}

func write(w http.ResponseWriter, status int, a answer) {
	w.Header().Set("Content-Type", a.contentType)
	w.WriteHeader(status)
	_, _ = w.Write(a.body)
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)

package caddymodule

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-convoai/convoai/region"
)

// Credentials say how the calls of one app are authorised. The mode follows
// from what is set, as in the vendor's SDKs: Basic where customer_id is set,
// else the pre-built auth_token, else tokens minted with app_certificate.
//
// Every field may hold placeholders such as {env.X} or {file./run/secrets/x}.
// A secret that is written literally ends up in Caddy's configuration and
// causes a warning at load. White space at the end of a value is trimmed. A
// secret that comes from {file.*} follows the file.
type Credentials struct {
	// AppID is the project's App ID: 32 hexadecimal digits, compared byte for
	// byte. It is the {appid} of the calls that these credentials are for.
	AppID string `json:"app_id,omitempty"`

	// AppCertificate is the project's App Certificate, 32 hexadecimal digits.
	// It may stand beside the other two modes, whose header does not use it.
	AppCertificate string `json:"app_certificate,omitempty"`

	// AppCertificateSecondary is the project's secondary App Certificate, beside
	// AppCertificate. When the vendor refuses a token that was signed with one
	// of the two, the call is sent once more with a token of the other; if that
	// is accepted, the other is used from then on. Default: none.
	AppCertificateSecondary string `json:"app_certificate_secondary,omitempty"`

	// CustomerID and CustomerSecret are the RESTful API key and secret of
	// Basic mode. Both or neither; not together with AuthToken.
	CustomerID     string `json:"customer_id,omitempty"`
	CustomerSecret string `json:"customer_secret,omitempty"`

	// AuthToken is a token that was made elsewhere ("007…", with or without
	// "agora token=" in front). It is sent as it is until it expires; from
	// then on calls are answered with 503.
	AuthToken string `json:"auth_token,omitempty"`

	// CallerToken is what callers must send in X-Convoai-Caller-Token to use
	// this app. Default: the site's caller_token, or none.
	CallerToken string `json:"caller_token,omitempty"`
}

// Settings are the policy of one gate, and in the convoai app the defaults of
// all gates.
type Settings struct {
	// Area decides the hosts and the path prefix: us, eu, ap or cn. Default: us.
	Area string `json:"area,omitempty"`

	// Credentials are those of the default app: the one that "_" in the place
	// of the App ID and paths without an App ID mean.
	Credentials

	// Apps are further apps, chosen by the App ID in the request path. The
	// first is the default app where Credentials has no app_id.
	Apps []Credentials `json:"apps,omitempty"`

	// ExpiresIn is the lifetime of minted tokens, 1s to 24h; a longer one is
	// shortened to 24h with a warning. Default: 24h.
	ExpiresIn caddy.Duration `json:"expires_in,omitempty"`

	// Scope says whose channel and account the minted header token carries:
	// "session" (join and call: those of the body; the rest: channel "stop",
	// account "0") or "app" (always "stop", "0"). Default: session.
	Scope string `json:"scope,omitempty"`

	// FillTokens completes the bodies of join and call: tokens that are absent,
	// null or "" are made for the channel and the agent of the body, and what
	// goes with those of an avatar or a phone call is filled as the vendor's
	// SDKs do. Nothing that a body has is replaced. It needs the app
	// certificate, whatever the mode; without one nothing is filled, and a
	// warning says so at load. Default: on.
	FillTokens *bool `json:"fill_tokens,omitempty"`

	// QuoteToken sends agora token="007…" in place of agora token=007….
	// The vendor documents both. Default: off.
	QuoteToken *bool `json:"quote_token,omitempty"`

	// LogFields adds what has become of a call to its line of the access log:
	// convoai_operation, convoai_app (the end of the App ID), convoai_agent,
	// convoai_upstream, convoai_region, convoai_attempts, convoai_auth_mode,
	// convoai_error, convoai_duration_sidecar, convoai_duration_connect and
	// convoai_duration_upstream. A log_append handler for each placeholder would
	// say the same, and cost more. Default: off.
	LogFields *bool `json:"log_fields,omitempty"`

	// MaxBody is the largest request body in bytes, at most 64 MiB.
	// Default: 1 MiB.
	MaxBody int64 `json:"max_body,omitempty"`

	// Upstreams replace the area's hosts; the area's path prefix stays. Each is
	// https://host[:port], or http:// for a loopback or private address.
	Upstreams []string `json:"upstreams,omitempty"`

	// UpstreamPrivate allows upstream addresses that are loopback, private or
	// link-local. An upstream that is itself such an address needs no
	// permission. Default: off.
	UpstreamPrivate *bool `json:"upstream_private,omitempty"`

	// AllowHost are the accepted Host headers, without port. Default:
	// localhost, loopback addresses, the names of the server's host matchers,
	// and the vendor's ConvoAI hosts.
	AllowHost []string `json:"allow_host,omitempty"`

	// AllowFrom are the accepted peers: addresses and CIDR ranges. Peers on
	// Unix sockets are always accepted: file permissions decide there.
	// Default: loopback.
	AllowFrom []string `json:"allow_from,omitempty"`

	// AllowHeader are further request headers to pass on.
	AllowHeader []string `json:"allow_header,omitempty"`

	// DialTimeout bounds the making of a TCP connection, from the lookup of the
	// host's name to the last of its addresses. Default: 2s.
	DialTimeout caddy.Duration `json:"dial_timeout,omitempty"`

	// TLSTimeout bounds a TLS handshake. Default: 3s.
	TLSTimeout caddy.Duration `json:"tls_timeout,omitempty"`

	// ResponseTimeout bounds the time from the connection to the response
	// headers: the sending of the request and the wait. Default: 60s.
	ResponseTimeout caddy.Duration `json:"response_timeout,omitempty"`

	// FailoverBudget is the time after which no further upstream is tried.
	// Default: 10s.
	FailoverBudget caddy.Duration `json:"failover_budget,omitempty"`
}

// Defaults, and the limit on a token's lifetime that the vendor documents.
const (
	defaultArea            = region.US
	defaultScope           = scopeSession
	defaultMaxBody         = 1 << 20
	defaultDialTimeout     = 2 * time.Second
	defaultTLSTimeout      = 3 * time.Second
	defaultResponseTimeout = 60 * time.Second
	defaultFailoverBudget  = 10 * time.Second

	maxExpiresIn = 24 * time.Hour

	// maxMaxBody is what max_body can be at most: a body is held in memory.
	maxMaxBody = 64 << 20
)

const (
	scopeSession = "session"
	scopeApp     = "app"
)

// over returns s with the gaps filled from defaults. Apps that s names replace
// those of defaults altogether. Credentials without an app_id change how the
// default app of defaults is authorised.
func (s Settings) over(defaults Settings) Settings {
	if s.AppID == "" && len(s.Apps) == 0 {
		s.Apps = defaults.Apps
		s.Credentials = s.Credentials.over(defaults.Credentials)
	}
	setDefault(&s.CallerToken, defaults.CallerToken)
	setDefault(&s.Area, defaults.Area)
	setDefault(&s.ExpiresIn, defaults.ExpiresIn)
	setDefault(&s.Scope, defaults.Scope)
	setDefault(&s.FillTokens, defaults.FillTokens)
	setDefault(&s.QuoteToken, defaults.QuoteToken)
	setDefault(&s.LogFields, defaults.LogFields)
	setDefault(&s.MaxBody, defaults.MaxBody)
	setDefault(&s.UpstreamPrivate, defaults.UpstreamPrivate)
	setDefault(&s.DialTimeout, defaults.DialTimeout)
	setDefault(&s.TLSTimeout, defaults.TLSTimeout)
	setDefault(&s.ResponseTimeout, defaults.ResponseTimeout)
	setDefault(&s.FailoverBudget, defaults.FailoverBudget)
	setDefaultSlice(&s.Upstreams, defaults.Upstreams)
	setDefaultSlice(&s.AllowHost, defaults.AllowHost)
	setDefaultSlice(&s.AllowFrom, defaults.AllowFrom)
	setDefaultSlice(&s.AllowHeader, defaults.AllowHeader)
	return s
}

// over returns c with the gaps filled from defaults. A mode that c sets replaces
// the mode of defaults as a whole, so that the two cannot mix; nor can the
// certificates of one pair with those of another.
func (c Credentials) over(defaults Credentials) Credentials {
	if c.CustomerID == "" && c.CustomerSecret == "" && c.AuthToken == "" {
		c.CustomerID, c.CustomerSecret = defaults.CustomerID, defaults.CustomerSecret
		c.AuthToken = defaults.AuthToken
	}
	if c.AppCertificate == "" && c.AppCertificateSecondary == "" {
		c.AppCertificate, c.AppCertificateSecondary = defaults.AppCertificate, defaults.AppCertificateSecondary
	}
	setDefault(&c.AppID, defaults.AppID)
	setDefault(&c.CallerToken, defaults.CallerToken)
	return c
}

// withDefaults fills the gaps of s with the built-in defaults.
func (s Settings) withDefaults() Settings {
	on, off := true, false
	return s.over(Settings{
		Area:            string(defaultArea),
		ExpiresIn:       caddy.Duration(maxExpiresIn),
		Scope:           defaultScope,
		FillTokens:      &on,
		QuoteToken:      &off,
		LogFields:       &off,
		MaxBody:         defaultMaxBody,
		UpstreamPrivate: &off,
		DialTimeout:     caddy.Duration(defaultDialTimeout),
		TLSTimeout:      caddy.Duration(defaultTLSTimeout),
		ResponseTimeout: caddy.Duration(defaultResponseTimeout),
		FailoverBudget:  caddy.Duration(defaultFailoverBudget),
	})
}

// apps returns the credentials of all apps, the default app first.
func (s Settings) apps() []Credentials {
	var list []Credentials
	if s.AppID != "" {
		list = append(list, s.Credentials)
	}
	return append(list, s.Apps...)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func setDefaultSlice[T any](field *[]T, value []T) {
	if len(*field) == 0 {
		*field = value
	}
}

var (
	hex32      = regexp.MustCompile(`^[0-9A-Fa-f]{32}$`)
	headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
)

// checkID checks an App ID or App Certificate, whose value its error never
// shows.
func checkID(name, value string) error {
	if !hex32.MatchString(value) {
		return fmt.Errorf("%s must be 32 hexadecimal digits", name)
	}
	return nil
}

var errSecondaryAlone = errors.New("app_certificate is required beside app_certificate_secondary")

// checkMode checks that the fields of one block belong together.
func (c Credentials) checkMode() error {
	switch {
	case c.CustomerID != "" && c.CustomerSecret == "":
		return fmt.Errorf("customer_secret is required when customer_id is set")
	case c.CustomerID == "" && c.CustomerSecret != "":
		return fmt.Errorf("customer_id is required when customer_secret is set")
	case c.CustomerID != "" && c.AuthToken != "":
		return fmt.Errorf("auth_token and customer_id are mutually exclusive")
	case c.AppCertificateSecondary != "" && c.AppCertificate == "":
		return errSecondaryAlone
	}
	return nil
}
